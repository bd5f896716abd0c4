// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/altoroute/caddy-alto/altoroute"
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
}

// A DB keeps places current while its files are replaced. It is safe for
// concurrent use and holds no descriptor, goroutine or lock that needs closing.
type DB struct {
	rules     *ruleset
	log       *slog.Logger
	cacheSize int
	counters  counters
	current   atomic.Pointer[Snapshot]

	// refresh is held through one look at the files and what follows from it,
	// so that snapshots are published, and watchers told, in order.
	refresh sync.Mutex
	files   []*file // the slice and paths are constant; refresh guards what they hold

	mu       sync.Mutex // guards what follows, and the status of files
	watchers []*watcher
}

type watcher struct{ call func(*Snapshot) }

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
		v, err := f.look()
		if err != nil {
			return nil, f.name(err)
		}
		f.accept(v)
		d.files = append(d.files, f)
	}
	if err := rules.answerable(knownBy(d.databases())); err != nil {
		return nil, err
	}
	if err := d.publish(d.databases()); err != nil {
		return nil, err
	}
	return d, nil
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

// Watch has f called after each new snapshot, in order and one at a time, with
// calls to several watchers in the order of Watch. It is not called for the
// snapshot that is current now: take that after Watch, so that none is missed.
// f must not call Refresh. After stop, which may be called from f and more
// than once, no new call begins; one may still be under way.
func (d *DB) Watch(f func(*Snapshot)) (stop func()) {
	w := &watcher{call: f}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers = append(d.watchers, w)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watchers = slices.DeleteFunc(slices.Clone(d.watchers), func(o *watcher) bool { return o == w })
	}
}

func (d *DB) notify(s *Snapshot) {
	d.mu.Lock()
	watchers := d.watchers
	d.mu.Unlock()
	for _, w := range watchers {
		d.mu.Lock()
		watching := slices.Contains(d.watchers, w)
		d.mu.Unlock()
		if watching {
			w.call(s)
		}
	}
}
