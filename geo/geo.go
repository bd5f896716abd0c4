// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/internal/localfile"
)

// Config says which databases to read and what to make of their answers.
type Config struct {
	// Files are the paths of MaxMind databases: Country, City, Enterprise, ASN
	// and ISP, in any order and mix, at least one. For each of country with its
	// continent and AS number, the first that knows an answer gives it.
	Files []string
	// Rules turn places into PIDs. Without any, places have none, but are
	// still known by country, continent and AS number.
	Rules []Rule
	// CacheSize is the number of clients remembered. 0 means 65,536.
	CacheSize int
	// Logger is told when a file is replaced or refused. nil: nobody is.
	Logger *slog.Logger
	// Previous is a DB in use whose good databases stand in for files that are
	// missing or broken now, and need not be read again where the file is
	// unchanged. nil: every file must be good. It is not kept.
	Previous *DB
}

// A DB keeps places current while its files are replaced. It is safe for
// concurrent use and holds no descriptor or lock that needs closing; what
// [DB.Start] begins, [DB.Stop] ends.
type DB struct {
	rules     *ruleset
	log       *slog.Logger
	cacheSize int
	counters  counters
	current   atomic.Pointer[Snapshot]

	// refresh is held through one look at the files and what follows from it,
	// so that snapshots are published, and watchers told, in order.
	refresh sync.Mutex
	files   []*file // the slice and paths are constant

	mu   sync.Mutex         // guards stop, and is held while the states of files are written, see there; never for long
	stop context.CancelFunc // nil before Start
	done sync.WaitGroup     // of what Start began

	publishing sync.Mutex // held while watchers are told, in order, one at a time
	watchers   []*watcher
}

type watcher struct {
	call func(*Snapshot)
	has  *Snapshot
}

// A Snapshot is one state of all the databases, with its own cache. It is
// immutable, valid for as long as somebody holds it, and implements
// [altoroute.Locator].
type Snapshot struct {
	dbs   []*database
	rules *ruleset
	cache *cache

	mu     sync.Mutex // guards places
	places map[record]*altoroute.Place
}

var _ altoroute.Locator = (*Snapshot)(nil)

// New opens and checks every file. The error names the file or the rule, what
// is wrong with it and what would be right; nothing is left to close.
//
// A file that is also one of Previous's, by its path as given or absolute, is
// only looked at as [DB.Refresh] would: what is wrong with it now is logged and
// shown by [DB.Status], while the last good database stays in use. Such a file
// is the fault of nobody who changes a rule.
func New(c Config) (*DB, error) {
	rules, err := compileRules(c.Rules)
	if err != nil {
		return nil, err
	}
	if len(c.Files) == 0 {
		return nil, errors.New("geo: no database: name at least one MaxMind database file")
	}
	d := &DB{rules: rules, log: c.Logger, cacheSize: c.CacheSize}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.CacheSize < 0:
		return nil, fmt.Errorf("geo: cache size %d: give the number of clients to remember, or 0 for %d",
			c.CacheSize, defaultCacheSize)
	case c.CacheSize == 0:
		d.cacheSize = defaultCacheSize
	}
	for i, path := range c.Files {
		if slices.Contains(c.Files[:i], path) {
			return nil, fmt.Errorf("geo database %s is named twice: remove one", path)
		}
		f := &file{path: path}
		f.abs, _ = filepath.Abs(path) // without a working directory, the path as given must do
		d.files = append(d.files, f)
	}
	if c.Previous != nil {
		d.inherit(c.Previous)
	}
	if err := d.begin(); err != nil {
		return nil, err
	}
	return d, nil
}

// inherit takes over what another DB knows of the same files. It waits for
// nothing but other readers of that.
func (d *DB) inherit(previous *DB) {
	previous.mu.Lock()
	defer previous.mu.Unlock()
	for _, f := range d.files {
		i := slices.IndexFunc(previous.files, func(p *file) bool {
			return p.path == f.path || p.abs == f.abs && f.abs != ""
		})
		if i < 0 {
			continue
		}
		f.state = previous.files[i].state
		if f.unfit {
			f.stamp = localfile.Stamp{} // by other rules: these may like it
		}
	}
}

// begin looks at the files for the first time.
func (d *DB) begin() error {
	next := make([]state, len(d.files))
	for i, f := range d.files {
		if next[i] = f.look(f.path); next[i].db == nil {
			return f.name(next[i].fault)
		}
	}
	d.fit(next)
	if err := d.rules.answerable(knownBy(next)); err != nil {
		return err
	}
	if _, _, err := d.commit(next); err != nil {
		return err
	}
	for _, f := range d.files {
		if f.fault != nil {
			_ = d.warn(f) // also of what is known: this is when somebody looks
		}
	}
	return nil
}

// Snapshot returns the current state. Take it once per request.
func (d *DB) Snapshot() *Snapshot { return d.current.Load() }

// publish makes a new snapshot current.
func (d *DB) publish(dbs []*database) error {
	cache, err := newCache(d.cacheSize, shardCount(d.cacheSize), &d.counters)
	if err != nil {
		return fmt.Errorf("geo: cache of %d clients: %w", d.cacheSize, err)
	}
	d.current.Store(&Snapshot{dbs: dbs, rules: d.rules, cache: cache, places: map[record]*altoroute.Place{}})
	return nil
}

// Locate returns what is known of an address; nil where nothing is. It asks
// the databases only for clients that it does not remember, and allocates
// nothing for those it does. IPv4-mapped addresses and zones are understood.
func (s *Snapshot) Locate(addr netip.Addr) *altoroute.Place {
	if !addr.IsValid() {
		return nil
	}
	return s.cache.get(addr.Unmap().WithZone(""), s.find)
}

// find asks the databases. Its answer holds for the prefix of addr of the
// length it returns.
func (s *Snapshot) find(addr netip.Addr) (*altoroute.Place, int) {
	var known record
	var bits int
	for _, db := range s.dbs {
		r, b := db.find(addr)
		known, bits = known.merge(r), max(bits, b)
	}
	return s.place(known), bits
}

// place returns the one Place of all addresses with this record. There are no
// more of them than the databases have different records.
func (s *Snapshot) place(r record) *altoroute.Place {
	if !r.known() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.places[r]
	if !ok {
		p = s.rules.place(r)
		s.places[r] = p
	}
	return p
}

// Watch has f called with the present snapshot before it returns, then with
// each new one, in order and one at a time: never with an older one after a
// newer. Several watchers are called in the order of Watch.
//
// Neither Refresh nor Watch nor stop may be called from f. After stop, which
// waits for a call that is under way, there are no more; it may be called again.
func (d *DB) Watch(f func(*Snapshot)) (stop func()) {
	w := &watcher{call: f}
	d.publishing.Lock()
	d.watchers = append(d.watchers, w)
	d.publishing.Unlock()
	d.tell()
	return func() {
		d.publishing.Lock()
		defer d.publishing.Unlock()
		d.watchers = slices.DeleteFunc(d.watchers, func(o *watcher) bool { return o == w })
	}
}

// tell tells the watchers that do not have the current snapshot yet. It is
// looked up under the lock, so that nobody is told of an older one later.
func (d *DB) tell() {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	s := d.Snapshot()
	for _, w := range d.watchers {
		if w.has != s {
			w.has = s
			w.call(s)
		}
	}
}
