// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package feed keeps the maps of one source current: it reads them from files
// or from an ALTO server, checks that they belong together, and publishes whole
// sets only. Whatever fails, the last good set stays in force.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Config says where a source's maps come from: Files or Directory.
type Config struct {
	// Name of the source, for logs.
	Name string
	// Files are paths of ALTO documents, plain or gzipped: the network map
	// first, then its cost maps.
	Files []string
	// Directory is the URL of an ALTO server's information resource directory
	// (RFC 7285 §9).
	Directory *url.URL
	// NetworkMap is the resource id of the network map to use of the directory.
	// Empty is the directory's default (RFC 7285 §9.2.2).
	NetworkMap string
	// Cost picks the cost map that ranks. The zero value is the first of Files,
	// or the directory's routingcost map, numerical before ordinal.
	Cost altoroute.CostInfo
	// Refresh is how often to look for changes. Zero is DefaultFileRefresh or
	// DefaultServerRefresh.
	Refresh time.Duration
	// Client speaks to the server. The zero value is a good one.
	Client alto.Client
	// Logger may be nil.
	Logger *slog.Logger
}

// How often changes are looked for where the configuration does not say.
const (
	// DefaultFileRefresh costs a stat of each file.
	DefaultFileRefresh = 2 * time.Second
	// DefaultServerRefresh costs a conditional request for each document.
	DefaultServerRefresh = 5 * time.Minute
	// firstRetry is the wait after a first failure to reach a server. It
	// doubles with each further one, up to Refresh.
	firstRetry = time.Second
)

// A Feed keeps one source's maps current. Make it with New; it does no I/O
// before Watch and no network I/O before Start.
type Feed struct {
	cfg    Config
	origin origin

	cycle sync.Mutex // held while documents are read and a set is put together

	publishing sync.Mutex // held while watchers are told, in order, one at a time
	watchers   []*watcher

	mu     sync.Mutex // guards what follows
	status Status
	told   string // what was logged last: a fault that lasts is logged once

	stop    context.CancelFunc
	stopped chan struct{}
	wake    chan struct{}
}

type watcher struct {
	rows  func(*altoroute.NetworkMap) []string
	apply func(*altoroute.Maps)
	has   *altoroute.Maps
}

// origin is where documents come from.
type origin interface {
	// documents returns the documents of the network map and its cost maps.
	documents(ctx context.Context) (network *document, costs []*document, err error)
	// all returns every document known so far, for the status.
	all() []*document
}

// New returns a Feed that has read nothing yet.
func New(cfg Config) (*Feed, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{cfg: cfg, wake: make(chan struct{}, 1)}
	switch {
	case cfg.Directory != nil && len(cfg.Files) > 0:
		return nil, errors.New("a source is either files or a server, not both")
	case cfg.Directory != nil:
		f.origin = newServerOrigin(&f.cfg)
		f.status.Kind = "server"
		f.cfg.Refresh = defaultTo(cfg.Refresh, DefaultServerRefresh)
	case len(cfg.Files) < 2:
		return nil, errors.New("a source needs a network map and a cost map")
	default:
		f.origin = newFileOrigin(cfg.Files)
		f.status.Kind = "files"
		f.cfg.Refresh = defaultTo(cfg.Refresh, DefaultFileRefresh)
	}
	f.status.Refusals = make(map[Refusal]uint64)
	return f, nil
}

func defaultTo(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func (f *Feed) local() bool { return f.cfg.Directory == nil }

// Watch has apply called with every set of maps from now on, and with the
// present one before Watch returns, one call at a time. rows says which rows of
// costs are needed of a cost map of the given network map; others are not kept
// in memory. Where the present set lacks some of them, a full one follows.
// Neither function may call Watch or stop.
//
// Local files are looked at now, and read if they have changed or rows are
// missing. The error tells what is wrong with them where there is no good set
// to stand on, not even an earlier one.
//
// The watcher stays until stop is called, also after an error.
func (f *Feed) Watch(rows func(*altoroute.NetworkMap) []string, apply func(*altoroute.Maps)) (stop func(), err error) {
	w := &watcher{rows: rows, apply: apply}
	f.publishing.Lock()
	f.watchers = append(f.watchers, w)
	f.publishing.Unlock()
	stop = func() {
		f.publishing.Lock()
		defer f.publishing.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(o *watcher) bool { return o == w })
	}
	if f.local() {
		if err := f.refresh(context.Background()); err != nil && f.Maps() == nil {
			return stop, err
		}
	}
	f.publish()
	return stop, nil
}

// publish tells the watchers that do not have the set in force yet. The set is
// looked up under the lock, so that nobody is ever told of an older one.
func (f *Feed) publish() {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	m := f.Maps()
	for _, w := range f.watchers {
		if m == nil || w.has == m {
			continue
		}
		w.apply(m)
		w.has = m
		if !keepsRows(m, w.rows(m.Network)) {
			// It came too late for this set: the cost map must be fetched
			// again. Once for each set, lest a server that is down be asked
			// without a pause.
			select {
			case f.wake <- struct{}{}:
			default:
			}
		}
	}
}

// rows returns the rows of costs that the watchers need.
func (f *Feed) rows(network *altoroute.NetworkMap) []string {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	rows := make([]string, 0, len(f.watchers))
	for _, w := range f.watchers {
		rows = append(rows, w.rows(network)...)
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// Maps returns the set in force, or nil.
func (f *Feed) Maps() *altoroute.Maps {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.Maps
}

// Start begins to follow the source until Stop. It returns at once. A Feed is
// started once; further calls do nothing.
func (f *Feed) Start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		return
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	f.stopped = make(chan struct{})
	go f.follow(ctx)
}

// Stop ends what Start began and waits for it. The last set of maps stays
// with those who have it. Stop may be called without Start.
func (f *Feed) Stop() {
	f.mu.Lock()
	stop, stopped := f.stop, f.stopped
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-stopped
	}
}

// follow looks for changes until the context ends.
func (f *Feed) follow(ctx context.Context) {
	defer close(f.stopped)
	retry := firstRetry
	var wait time.Duration
	if f.local() {
		wait = f.cfg.Refresh // Watch has read them
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-f.wake:
		}
		err := f.refresh(ctx)
		switch {
		case f.local():
			wait = f.cfg.Refresh
		case err == nil:
			retry = firstRetry
			wait = jitter(f.cfg.Refresh)
		default:
			wait = jitter(min(retry, f.cfg.Refresh))
			retry = min(2*retry, f.cfg.Refresh)
		}
		timer.Reset(wait)
	}
}

// jitter spreads a wait by a tenth to either side, so that routers that were
// started together do not ask together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // nothing depends on it being secret
}

// keepsRows reports whether all cost maps of a set hold the rows.
func keepsRows(m *altoroute.Maps, rows []string) bool {
	return !slices.ContainsFunc(m.Costs, func(c *altoroute.CostMap) bool { return !c.Keeps(rows) })
}
