// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/feed"
	"github.com/altoroute/caddy-alto/geo"
)

// What was learned survives reloads of the configuration: feeds and databases
// are pooled by what they are. An unchanged one is inherited with its maps; a
// changed one is new, and the old one ends when the old configuration lets go.
var (
	feeds  = caddy.NewUsagePool()
	geoDBs = caddy.NewUsagePool()
)

// pooledFeed is a feed in the pool.
type pooledFeed struct{ *feed.Feed }

// Destruct ends the feed. It may never have been started.
func (p pooledFeed) Destruct() error {
	p.Stop()
	return nil
}

// acquireFeed returns the feed of a source. The source's name belongs to its
// identity because metrics and logs go by it; `only` does not.
func acquireFeed(s *Source) (*feed.Feed, string, error) {
	cfg, err := s.feedConfig()
	if err != nil {
		return nil, "", err
	}
	identity := *s
	identity.Only = nil
	if identity.Files, err = absolute(s.Files); err != nil {
		return nil, "", err
	}
	key, err := json.Marshal(identity)
	if err != nil {
		return nil, "", err
	}
	cfg.Logger = slog.New(poolLog)
	value, _, err := feeds.LoadOrNew(string(key), func() (caddy.Destructor, error) {
		f, err := feed.New(cfg)
		return pooledFeed{f}, err
	})
	if err != nil {
		return nil, "", err
	}
	return value.(pooledFeed).Feed, string(key), nil //nolint:forcetypeassert // nothing else is in this pool
}

func releaseFeed(key string) error {
	_, err := feeds.Delete(key)
	return err
}

// sameFiles reports whether two lists name the same files.
func sameFiles(a, b []string) bool {
	a, errA := absolute(a)
	b, errB := absolute(b)
	return errA == nil && errB == nil && slices.Equal(a, b)
}

func absolute(paths []string) ([]string, error) {
	made := make([]string, len(paths))
	for i, p := range paths {
		var err error
		if made[i], err = filepath.Abs(p); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// pooledGeo is a set of geo databases in the pool, with the goroutine that
// looks for new files.
type pooledGeo struct {
	db    *geo.DB
	key   string
	once  sync.Once
	stop  context.CancelFunc
	ended chan struct{}
}

func acquireGeo(g *Geo, sources []*Source) (*pooledGeo, error) {
	rules, err := g.rules(sources)
	if err != nil {
		return nil, err
	}
	databases, err := absolute(g.Databases)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprint(databases, rules, g.CacheSize)
	value, _, err := geoDBs.LoadOrNew(key, func() (caddy.Destructor, error) {
		db, err := geo.New(geo.Config{Files: g.Databases, Rules: rules, CacheSize: g.CacheSize, Logger: slog.New(poolLog)})
		return &pooledGeo{db: db, key: key, ended: make(chan struct{})}, err
	})
	if err != nil {
		return nil, err
	}
	return value.(*pooledGeo), nil //nolint:forcetypeassert // nothing else is in this pool
}

func releaseGeo(key string) error {
	_, err := geoDBs.Delete(key)
	return err
}

// start begins to look for new files, once.
func (p *pooledGeo) start() {
	p.once.Do(func() {
		var ctx context.Context
		ctx, p.stop = context.WithCancel(context.Background())
		go func() {
			defer close(p.ended)
			p.db.Run(ctx, 0)
		}()
	})
}

// Destruct ends what start began, if it did.
func (p *pooledGeo) Destruct() error {
	p.once.Do(func() { close(p.ended) })
	if p.stop != nil {
		p.stop()
	}
	<-p.ended
	return nil
}

// poolLog is where pooled things log: to the configuration in force, which
// changes during their life.
var poolLog = new(currentLog)

type currentLog struct{ handler atomic.Pointer[slog.Handler] }

// set makes a configuration's log the one.
func (l *currentLog) set(h slog.Handler) { l.handler.Store(&h) }

// offer makes it the one if there is none yet.
func (l *currentLog) offer(h slog.Handler) { l.handler.CompareAndSwap(nil, &h) }

// Enabled implements slog.Handler.
func (l *currentLog) Enabled(ctx context.Context, level slog.Level) bool {
	h := l.handler.Load()
	return h != nil && (*h).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *currentLog) Handle(ctx context.Context, r slog.Record) error {
	return (*l.handler.Load()).Handle(ctx, r)
}

// WithAttrs implements slog.Handler. Loggers of pooled things are not derived:
// a derived one would be bound to one configuration.
func (l *currentLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler, see WithAttrs.
func (l *currentLog) WithGroup(string) slog.Handler { return l }
