// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/feed"
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

// pooledProber is the prober in the pool.
type pooledProber struct {
	*health.Prober
	key string
}

// Destruct ends all checks.
func (p *pooledProber) Destruct() error {
	p.Stop()
	return nil
}

func acquireProber() (*pooledProber, error) {
	return acquire(probers, struct{}{}, func(key string) (*pooledProber, error) {
		return &pooledProber{health.New(health.Config{Logger: slog.New(sharedLog)}), key}, nil
	})
}

// pooledFeed is a feed in the pool.
type pooledFeed struct {
	*feed.Feed
	key    string
	place  *place       // of its maps
	owner  *spoolOwner  // of its spool; nil where that is none, or of files
	client *http.Client // of its own; nil where it shares one
}

// Start begins to follow the source, and has its spool know whose it is.
func (p *pooledFeed) Start() {
	if err := p.owner.claim(); err != nil {
		slog.New(sharedLog).Warn("the spool does not know whose it is: with another list of servers it would not be found again",
			slog.String("folder", p.owner.folder), slog.Any("error", err))
	}
	p.Feed.Start()
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
	cfg.Logger, cfg.Notify = slog.New(sharedLog), notify
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
	at := s.place(identity.Files, cfg.Servers)
	return acquire(feeds, identity, func(key string) (*pooledFeed, error) {
		if cfg.Client.HTTP, err = s.httpClient(cfg.Servers, authorities); err != nil {
			return nil, err
		}
		made := &pooledFeed{key: key, place: at, client: cfg.Client.HTTP}
		if cfg.Spool, made.owner, err = s.openSpool(at); err != nil {
			return nil, err
		}
		made.Feed, err = feed.New(cfg)
		return made, err
	})
}

// pooledGeo is a set of geo databases in the pool.
type pooledGeo struct {
	*geo.DB
	key string
}

// Destruct ends the looking for new files. It may never have begun.
func (p *pooledGeo) Destruct() error {
	p.Stop()
	return nil
}

func acquireGeo(cfg geo.Config) (*pooledGeo, error) {
	files, err := absolute(cfg.Files)
	if err != nil {
		return nil, err
	}
	identity := struct {
		Files     []string
		Rules     []geo.Rule
		CacheSize int
	}{files, cfg.Rules, cfg.CacheSize}
	cfg.Logger = slog.New(sharedLog)
	if before := activeApp(); before != nil && before.places != nil {
		cfg.Previous = before.places.DB
	}
	return acquire(geoDBs, identity, func(key string) (*pooledGeo, error) {
		db, err := geo.New(cfg)
		return &pooledGeo{db, key}, err
	})
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
