// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/feed"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
	"github.com/altoroute/caddy-alto/altoroute/health"
	"github.com/altoroute/caddy-alto/geo"
)

// What was learned survives reloads of the configuration: feeds and databases
// are pooled by what they are. An unchanged one is inherited with its maps; a
// changed one is new, and the old one ends when the old configuration lets go.
var (
	feeds  = caddy.NewUsagePool()
	geoDBs = caddy.NewUsagePool()
	// There is one prober, whatever the number of configurations and sites.
	probers = caddy.NewUsagePool()
)

// proberKey is the identity of the only prober, as acquire makes it.
const proberKey = "{}"

// pooledProber is the prober in the pool.
type pooledProber struct{ *health.Prober }

// Destruct ends all checks.
func (p *pooledProber) Destruct() error {
	p.Stop()
	return nil
}

// pooledFeed is a feed in the pool.
type pooledFeed struct {
	*feed.Feed
	key    string
	client *http.Client // of its own; nil where it shares one
}

// Destruct ends the feed. It may never have been started.
func (p *pooledFeed) Destruct() error {
	p.Stop()
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	return nil
}

// acquireFeed returns the feed of a source. The source's name belongs to its
// identity because metrics and logs go by it; `only` does not.
func acquireFeed(s *Source) (*pooledFeed, error) {
	cfg, err := s.feedConfig()
	if err != nil {
		return nil, err
	}
	cfg.Logger, cfg.Notify = slog.New(poolLog), notify
	identity := *s
	identity.Only = nil
	if identity.Files, err = absolute(s.Files); err != nil {
		return nil, err
	}
	authorities, err := s.authorities()
	if err != nil {
		return nil, err
	}
	if s.CA != "" { // what is in the file counts, which may have been replaced
		identity.CA = fmt.Sprintf("%x", sha256.Sum256(authorities))
	}
	return acquire(feeds, identity, func(key string) (*pooledFeed, error) {
		if cfg.Client.HTTP, err = s.httpClient(cfg.Servers, authorities); err != nil {
			return nil, err
		}
		if cfg.Spool, err = s.openSpool(identity.Files, cfg.Servers); err != nil {
			return nil, err
		}
		f, err := feed.New(cfg)
		return &pooledFeed{f, key, cfg.Client.HTTP}, err
	})
}

// openSpool returns where the source's last good maps are kept, nil for nowhere. What
// was kept is the source's as long as it says where its maps are in the same words.
func (s *Source) openSpool(files []string, servers []*url.URL) (*spool.Spool, error) {
	if s.Spool == "off" {
		return nil, nil //nolint:nilnil // as the feed has it
	}
	place := struct {
		Files, Servers []string
		NetworkMap     string
		Cost           *CostType
	}{Files: files, NetworkMap: s.NetworkMap, Cost: s.Cost}
	for _, server := range servers { // which are without a user name and password
		place.Servers = append(place.Servers, server.String())
	}
	identity, err := json.Marshal(place)
	if err != nil {
		return nil, err
	}
	folder := s.Spool
	if folder == "" {
		// Several Caddys may share a data directory.
		folder = filepath.Join(caddy.AppDataDir(), "altoroute", "spool", fmt.Sprintf("%s-%016x", s.Name, xxhash.Sum64(identity)))
		s.tellOtherSpools(folder)
	}
	return spool.New(spool.Config{Folder: folder, Source: string(identity)})
}

// tellOtherSpools logs that a source begins without any maps, where those are at hand that
// it had when it was configured otherwise.
func (s *Source) tellOtherSpools(folder string) {
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(folder), s.Name+"-"+strings.Repeat("[0-9a-f]", 16))) // the pattern is right
	if len(others) > 0 {
		slog.New(poolLog).Warn("the source was configured otherwise before: the maps that were spooled then are not used",
			slog.String("source", s.Name), slog.Any("folders", others))
	}
}

// acquire takes a reference to the value of an identity, made if there is none
// yet.
func acquire[T caddy.Destructor](pool *caddy.UsagePool, identity any, construct func(key string) (T, error)) (T, error) {
	var none T
	key, err := json.Marshal(identity)
	if err != nil {
		return none, err
	}
	value, _, err := pool.LoadOrNew(string(key), func() (caddy.Destructor, error) { return construct(string(key)) })
	if err != nil {
		return none, err
	}
	return value.(T), nil //nolint:forcetypeassert // nothing else is in this pool
}

// release gives a reference back.
func release(pool *caddy.UsagePool, key string) error {
	_, err := pool.Delete(key)
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
	cfg := geo.Config{Files: g.Databases, Rules: rules, CacheSize: g.CacheSize, Logger: slog.New(poolLog)}
	if before := activeApp(); before != nil && before.places != nil {
		cfg.Previous = before.places.db
	}
	identity := struct {
		Databases []string
		Rules     []geo.Rule
		CacheSize int
	}{databases, rules, g.CacheSize}
	return acquire(geoDBs, identity, func(key string) (*pooledGeo, error) {
		db, err := geo.New(cfg)
		return &pooledGeo{db: db, key: key, ended: make(chan struct{})}, err
	})
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

// currentLog looks up the log of the configuration in force for each record.
// One kept from Provision or Start could be that of a configuration that was
// rejected, whose writers Caddy has closed.
type currentLog struct {
	first atomic.Pointer[slog.Handler] // as long as no configuration is in force
}

// offer gives the log of a configuration that is being provisioned.
func (l *currentLog) offer(h slog.Handler) { l.first.Store(&h) }

func (l *currentLog) current() slog.Handler {
	if app := activeApp(); app != nil {
		return app.logger.Handler()
	}
	if h := l.first.Load(); h != nil {
		return *h
	}
	return slog.DiscardHandler
}

// Enabled implements slog.Handler.
func (l *currentLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.current().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *currentLog) Handle(ctx context.Context, r slog.Record) error {
	return l.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler. Loggers of pooled things are not derived:
// a derived one would be bound to one configuration.
func (l *currentLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler, see WithAttrs.
func (l *currentLog) WithGroup(string) slog.Handler { return l }
