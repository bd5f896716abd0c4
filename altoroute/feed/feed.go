// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package feed keeps the maps of one source current: it reads them from files
// or from ALTO servers, checks that they belong together and do not change too
// much at once, and publishes whole sets only. Whatever fails, the last good set
// stays in force, and by a spool it outlives the process.
package feed

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// Config says where a source's maps come from: Files or Servers.
type Config struct {
	// Name of the source, for logs.
	Name string
	// Files are paths of ALTO documents, plain or gzipped: the network map
	// first, then its cost maps.
	Files []string
	// Servers are the URLs of the information resource directories of ALTO servers
	// (RFC 7285 §9) that say the same, in order of preference.
	Servers []*url.URL
	// NetworkMap is the resource id of the network map to use of the directory.
	// Empty is the directory's default (RFC 7285 §9.2.2).
	NetworkMap string
	// Cost picks the cost map that ranks. The zero value is the first of Files,
	// or the directory's routingcost map, numerical before ordinal.
	Cost altoroute.CostInfo
	// Refresh is how often to look for changes where a server does not say how long
	// its answers are fresh. Zero is DefaultFileRefresh or DefaultServerRefresh, the
	// latter within MinRefresh and MaxRefresh.
	Refresh time.Duration
	// MinRefresh and MaxRefresh bound what a server says of how long its answers are
	// fresh, and how long it is until the next look. Zero is DefaultMinRefresh
	// and DefaultMaxRefresh, or Refresh where that is beyond.
	MinRefresh, MaxRefresh time.Duration
	// Expire is for how long after the last contact the last good set serves. Zero
	// is for ever: guidance that is old is better than none.
	Expire time.Duration
	// Guard says what new maps may change without being held.
	Guard Guard
	// Client speaks to the server. The zero value is a good one.
	Client alto.Client
	// Spool keeps the last good sets on disk. Nil keeps none.
	Spool *spool.Spool
	// Logger may be nil.
	Logger *slog.Logger
	// Notify is told of what happens to the set in force; nil tells nobody. It is
	// called by whoever made it happen, and must not call the Feed.
	Notify func(Event)
}

// How often changes are looked for where the configuration does not say.
const (
	// DefaultFileRefresh costs a stat of each file.
	DefaultFileRefresh = 2 * time.Second
	// DefaultServerRefresh costs a conditional request for each document.
	DefaultServerRefresh = 5 * time.Minute
	// DefaultMinRefresh is for servers whose answers are never fresh.
	DefaultMinRefresh = 30 * time.Second
	// DefaultMaxRefresh is for servers whose answers are fresh for long.
	DefaultMaxRefresh = time.Hour
	// firstRetry is the wait after a first failure to reach a server. It
	// doubles with each further one, up to Refresh.
	firstRetry = time.Second
	// maxRetryAfter bounds what a server asks for (RFC 7285 §8.5.3). Either is made
	// longer by up to a tenth by chance, and never shorter.
	maxRetryAfter = time.Hour
)

// A Feed keeps one source's maps current. Make it with New; it does no I/O
// before Watch and no network I/O before Start.
type Feed struct {
	cfg     Config
	origins []*triedOrigin // in order of preference

	// Where several of the three locks are held, they are taken in this order: cycle,
	// publishing, mu.

	cycle     sync.Mutex   // held while documents are read and a set is put together
	at        int          // the origin in use
	tryAt     time.Time    // when to try those again that are preferred to it
	failures  int          // of all origins, in a row
	toldLacks bool         // that a network map does not cover all addresses
	stored    *set         // the newest one in the spool, or that could not be written there
	others    spool.Others // that are in the spool with it
	storedAt  time.Time    // when that was tried last
	againAt   time.Time    // when what the spool had lost was last asked for again

	publishing sync.Mutex // held while watchers are told, in order, one at a time
	watchers   []*watching

	mu     sync.Mutex // guards what follows
	status Status
	passed time.Time // up to when what happens by time alone has happened
	told   faults    // of the source as a whole
	lost   time.Time // since when the source has not been in order; zero where it is
	isLost bool      // that was told
	// The set in force, the one that it gives way to by a ramp, and the one that is
	// held; nil where there is none.
	base, incoming, held *set
	// The sets before the newest that this Feed has had, by their content.
	past []spool.NotInForce
	// What was put aside by hand; nil where there is none.
	aside *spool.NotInForce
	// What was coming in and what was held before this Feed was, until the source is
	// reached.
	before struct{ incoming, held *spool.NotInForce }

	stop    context.CancelFunc
	stopped chan struct{}
	wake    chan struct{}
	forced  atomic.Bool // the next look does not believe that anything is fresh
}

type watching struct {
	Watcher
	told          bool
	has, incoming *altoroute.Maps
}

// origin is where documents come from.
type origin interface {
	// name is a path or a URL, for logs.
	name() string
	// networkMap returns the document of the network map.
	networkMap(ctx context.Context) (*document, error)
	// costMaps returns the documents of its cost maps, with those rows at least.
	costMaps(network *altoroute.NetworkMap, rows []string) ([]*document, error)
	// all returns every document known so far, for the status.
	all() []*document
	// remarks are Status.Skipped and Status.Offered.
	remarks() (skipped, offered []string)
}

// A triedOrigin is an origin and how reading it went.
type triedOrigin struct {
	origin
	failures  int   // in a row
	err       error // of the last time
	tried     bool  // by this look
	told      faults
	notBefore time.Time // when it may be asked again by what it has said (RFC 7285 §8.5.3)
}

// New returns a Feed that has read nothing yet.
func New(cfg Config) (*Feed, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{cfg: cfg, wake: make(chan struct{}, 1)}
	switch {
	case len(cfg.Servers) > 0 && len(cfg.Files) > 0:
		return nil, errors.New("a source is either files or servers, not both")
	case len(cfg.Servers) > 0:
		f.status.Kind = "server"
		f.cfg.Refresh = cmp.Or(cfg.Refresh, max(min(DefaultServerRefresh, cmp.Or(cfg.MaxRefresh, DefaultMaxRefresh)), cfg.MinRefresh))
		f.cfg.MinRefresh = cmp.Or(cfg.MinRefresh, min(DefaultMinRefresh, f.cfg.Refresh))
		f.cfg.MaxRefresh = cmp.Or(cfg.MaxRefresh, max(DefaultMaxRefresh, f.cfg.Refresh))
		for _, u := range cfg.Servers {
			f.origins = append(f.origins, &triedOrigin{origin: newServerOrigin(&f.cfg, u)})
		}
	case len(cfg.Files) < 2:
		return nil, errors.New("a source needs a network map and a cost map")
	default:
		f.origins = []*triedOrigin{{origin: newFileOrigin(&f.cfg)}}
		f.status.Kind = "files"
		f.cfg.Refresh = cmp.Or(cfg.Refresh, DefaultFileRefresh)
	}
	f.status.Refusals = make(map[Refusal]uint64)
	f.status.Origin, f.status.Server = f.origins[0].name(), 1
	return f, nil
}

func (f *Feed) local() bool { return len(f.cfg.Servers) == 0 }

// Watch has the watcher told of every set of maps from now on, and of the present
// one before Watch returns. Rows of costs that it needs and the present set lacks are
// read from the spool; where they are not there, a full set follows.
//
// Local files are looked at now, and read if they have changed or rows are missing;
// where there is no good set, the spool is read. The error tells what is wrong where
// there is none after that, and of files also what is wrong with them.
//
// The watcher stays until stop is called, also after an error.
func (f *Feed) Watch(watcher Watcher) (stop func(), err error) {
	w := &watching{Watcher: watcher}
	f.publishing.Lock()
	f.watchers = append(f.watchers, w)
	f.publishing.Unlock()
	stop = func() {
		f.publishing.Lock()
		defer f.publishing.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(o *watching) bool { return o == w })
	}
	f.widen()
	if f.local() {
		err = f.refresh(context.Background())
		f.elapse()
	}
	if f.Maps() == nil {
		f.recall(err)
	}
	f.publish()
	if f.Maps() != nil {
		return stop, nil
	}
	return stop, err
}

// publish tells the watchers what they do not know yet. The sets are looked up
// under the lock, so that nobody is ever told of an older one.
func (f *Feed) publish() {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	s := f.Status()
	for _, w := range f.watchers {
		if !w.told && s.Maps == nil {
			continue
		}
		was := cmp.Or(w.incoming, w.has)
		if w.has != s.Maps || w.incoming != nil && s.Incoming == nil {
			if w.incoming != s.Maps || s.Maps == nil || s.Incoming != nil { // else its ramp has ended by itself
				w.Apply(s.Maps, altoroute.Ramp{})
			}
			w.has, w.incoming, w.told = s.Maps, nil, true
		}
		if s.Incoming != nil && w.incoming != s.Incoming {
			w.Apply(s.Incoming, s.Ramp)
			w.incoming = s.Incoming
		}
		if is := cmp.Or(w.incoming, w.has); is != was && is != nil && !keepsRows(is, w.Rows(is.Network)) {
			// It came too late for this set: the cost map must be fetched
			// again. Once for each set, lest a server that is down be asked
			// without a pause.
			f.look()
		}
	}
}

// look has the source looked at now.
func (f *Feed) look() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// rows returns the rows of costs that the watchers need.
func (f *Feed) rows(network *altoroute.NetworkMap) []string {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	rows := make([]string, 0, len(f.watchers))
	for _, w := range f.watchers {
		rows = append(rows, w.Rows(network)...)
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// Maps returns the set in force, or nil.
func (f *Feed) Maps() *altoroute.Maps {
	s := f.Status()
	return s.Maps
}

// keepsRows reports whether all cost maps of a set hold the rows.
func keepsRows(m *altoroute.Maps, rows []string) bool {
	return !slices.ContainsFunc(m.Costs, func(c *altoroute.CostMap) bool { return !c.Keeps(rows) })
}
