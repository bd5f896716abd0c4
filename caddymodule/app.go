// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/feed"
	"github.com/altoroute/caddy-alto/geo"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App holds what all sites share: the sources of guidance, the edges and the
// pools. Sites use it by the handler `altoroute`.
//
// Local maps and databases are read while the configuration is loaded, so that
// the first request is already guided. Servers are spoken to only once the
// configuration is in force; until a new one has answered, a pool keeps the
// guidance that the source of the same name had. Maps survive reloads of the
// configuration and are read again only when they have changed.
//
// Global placeholders such as `{env.NAME}` are replaced in everything that is a
// path, a URL, a host, an address, a prefix, a PID of an edge, or a secret: also in
// `network_map`, the clients of pins, `on_none`, `default_pid`, `cdn_id`, and the
// path, host and body of checks.
type App struct {
	// The providers of guidance, in order of preference.
	Sources []*Source `json:"sources,omitempty"`

	// The places that serve content.
	Edges []*Edge `json:"edges,omitempty"`

	// The sets of edges that sites use, by name. Without any, all edges form
	// one pool named `default`.
	Pools map[string]*Pool `json:"pools,omitempty"`

	// Where clients are that no prefix of a network map covers.
	Geo *Geo `json:"geo,omitempty"`

	// The PID of clients that nothing else places, as `pid`, or `source/pid`
	// where there are several sources.
	DefaultPID string `json:"default_pid,omitempty"`

	// The name by which this CDN's own requests are known in the CDN-Loop
	// header (RFC 8586). A request that carries it is a cache fill and goes to
	// the next handler. Default: `altoroute`.
	CDNID string `json:"cdn_id,omitempty"`

	// How edges are checked. Default: not at all; then all are taken to be up.
	Health *Health `json:"health,omitempty"`

	// How many routers share the edges. Each plans with its part of their
	// capacities. Default: 1.
	Routers int `json:"routers,omitempty"`

	ctx       caddy.Context
	events    *caddyevents.App
	queue     eventQueue
	logger    *slog.Logger
	router    *altoroute.Router
	sources   []*attached
	places    *pooledGeo
	unwatch   func()
	checks    *checks
	overrides *overridden
	sitePools map[string]*sitePool
	clock     *clock
	ticked    time.Time // by the clock

	// provisioned is set once what the configuration names has been checked
	// against the maps at hand. What later maps lack is a warning.
	provisioned atomic.Bool
}

// attached is a source in use by this configuration.
type attached struct {
	*Source
	feed.Watcher // of the router; Apply is its own
	app          *App
	feed         *pooledFeed
	leave        func()
	// Of the inherited maps that it stands on until it has its own.
	since, lastContact time.Time
	warned             string // what Apply logged last
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "altoroute", New: func() caddy.Module { return new(App) }}
}

// Provision checks the configuration, reads local files and takes over what
// earlier configurations have learned.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Slogger()
	sharedLog.offer(a.logger.Handler())
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := a.attachEvents(ctx); err != nil {
		return err
	}
	if err := a.checkNulls(); err != nil {
		return err
	}
	a.expand(caddy.NewReplacer())
	for _, s := range a.Sources {
		s.Name = s.name()
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if a.router, err = altoroute.New(cfg.router); err != nil {
		return err
	}
	a.sitePools = make(map[string]*sitePool)
	for _, pool := range a.router.Pools() {
		a.sitePools[pool] = newSitePool(a.router, pool)
	}
	for _, s := range a.Sources {
		if err := a.attach(s); err != nil {
			return err
		}
	}
	if a.Geo != nil {
		if err := a.attachGeo(cfg.geo); err != nil {
			return err
		}
	}
	if old := activeApp(); old != nil {
		a.router.Inherit(old.router, time.Now())
	}
	a.overrides = byHand.join(ctx.Storage(), a.router, a.Edges, time.Now())
	if a.checks, err = a.attachChecks(cfg.targets); err != nil {
		return err
	}
	a.provisioned.Store(true)
	return nil
}

// attach takes a source's feed from the pool and has it feed the router.
func (a *App) attach(s *Source) error {
	f, err := acquireFeed(s)
	if err != nil {
		return fmt.Errorf("source %s: %w", s.Name, err)
	}
	for _, warning := range s.warnings() {
		a.logger.Warn("the configuration of a source is not what it may seem", slog.String("source", s.Name), slog.String("warning", warning))
	}
	at := &attached{Source: s, Watcher: feed.For(a.router, s.Name), app: a, feed: f}
	a.sources = append(a.sources, at)
	if f.Maps() == nil {
		// Before Watch, which begins with the spool where there is nothing newer.
		if err := a.inherit(at); err != nil {
			return err
		}
	}
	at.leave, err = f.Watch(at)
	status := a.sourceStatus(at)
	switch {
	case status.Maps == nil && err != nil:
		return fmt.Errorf("source %s: %w", s.Name, err)
	case status.Maps != nil && status.Err != nil:
		a.logger.Warn("source stands on its last good maps", slog.String("source", s.Name), slog.Any("error", status.Err))
	}
	if s.local() {
		if missing := a.unknownPIDs(s, status.Maps.Network); len(missing) > 0 {
			return errors.New(oneLine(missing...))
		}
	}
	return nil
}

// inherit has a new feed go on where the one of the source of the same name is, in
// the configuration still in force, if their maps come from the same place. Else what
// that one said is put in force: until a server has answered, or local files that were
// good and are in use are good again.
func (a *App) inherit(at *attached) error {
	old := activeApp()
	if old == nil {
		return nil
	}
	for _, s := range old.sources {
		if s.Name != at.Name || at.local() && !sameFiles(s.Files, at.Files) {
			continue
		}
		if s.feed != at.feed && at.feed.place.follows(s.feed.place) {
			at.feed.Inherit(s.feed.Feed)
		}
		if before := old.sourceStatus(s); before.Maps != nil && at.feed.Maps() == nil {
			at.since, at.lastContact = before.Since, before.LastContact
			return a.router.Update(at.Name, before.Maps)
		}
	}
	return nil
}

// unknownPIDs returns an error for each PID that the configuration names and
// the source's network map does not have.
func (a *App) unknownPIDs(s *Source, m *altoroute.NetworkMap) []error {
	errs := a.router.UnknownPIDs(s.Name, m)
	if a.Geo != nil {
		errs = append(errs, a.Geo.unknownPIDs(s.Name, m)...)
	}
	return errs
}

// Apply implements feed.Watcher: it puts a source's maps in force for this
// configuration's pools.
func (at *attached) Apply(m *altoroute.Maps, ramp altoroute.Ramp) {
	a := at.app
	if err := a.router.Introduce(at.Name, m, ramp, time.Now()); err != nil {
		a.logger.Error("maps not in force", slog.String("source", at.Name), slog.Any("error", err))
		return
	}
	if m == nil {
		return
	}
	at.warn(m)
}

// warn logs what the maps do not cover: one line, and not again as long as later maps
// lack the same.
func (at *attached) warn(m *altoroute.Maps) {
	a := at.app
	warnings := at.uncovered(m)
	// Each map has a version of its own, which is named.
	text := strings.ReplaceAll(fmt.Sprint(warnings), m.Network.Tag().String(), "")
	same := text == at.warned
	at.warned = text
	if same || len(warnings) == 0 {
		return
	}
	a.logger.Warn("the maps do not cover what is configured", slog.String("source", at.Name),
		slog.Int("count", len(warnings)), slog.String("error", oneLine(warnings[:min(len(warnings), maxWarnings)]...)))
}

// maxWarnings is how many things that maps do not cover are named.
const maxWarnings = 5

// uncovered tells what is configured that maps do not cover.
func (at *attached) uncovered(m *altoroute.Maps) []error {
	errs := at.app.router.EdgesWithoutCost(at.Name, m)
	if !at.local() || at.app.provisioned.Load() { // else Provision refuses the configuration with them
		errs = append(errs, at.app.unknownPIDs(at.Source, m.Network)...)
	}
	return errs
}

func (a *App) attachGeo(cfg geo.Config) error {
	places, err := acquireGeo(cfg)
	if err != nil {
		return err
	}
	a.places = places
	a.unwatch = places.Watch(func(s *geo.Snapshot) { a.router.SetLocator(s) })
	return nil
}

// Start begins to follow the sources.
func (a *App) Start() error {
	for _, s := range a.sources {
		s.feed.Start()
	}
	if a.places != nil {
		a.places.Start()
	}
	a.checks.watcher.Start()
	a.clock = startClock(a.tick)
	if len(a.waitingFor()) == 0 {
		wasReady.Store(true)
	}
	a.overrides.start() // last: the storage may be slow
	return nil
}

// Stop ends this configuration's clock and leaves what was learned to the next
// one; Cleanup lets go.
func (a *App) Stop() error {
	a.clock.stop()
	a.overrides.stop()
	return nil
}

// Cleanup lets go of what is shared. Requests that are still under way go on
// with the plan they have.
func (a *App) Cleanup() error {
	var errs []error
	a.overrides.leave()
	a.clock.stop()
	if a.checks != nil {
		a.checks.watcher.Stop()
		errs = append(errs, release(probers, a.checks.prober.key))
	}
	for _, s := range a.sources {
		if s.leave != nil {
			s.leave()
		}
		errs = append(errs, release(feeds, s.feed.key))
	}
	if a.places != nil {
		if a.unwatch != nil {
			a.unwatch()
		}
		errs = append(errs, release(geoDBs, a.places.key))
	}
	return errors.Join(errs...)
}

// waitingFor returns the sources that a first attempt is still awaited of, if some
// pool has no guidance because of it.
func (a *App) waitingFor() (waiting []string) {
	unguided := slices.ContainsFunc(a.router.Pools(), func(p string) bool { return !a.router.Guided(p) })
	for _, s := range a.sources {
		if unguided && !s.feed.Status().Attempted {
			waiting = append(waiting, s.Name)
		}
	}
	return waiting
}

// What is amiss where the maps in use are those of a predecessor.
var (
	errNotAnswered = errors.New("the server has not answered yet; the maps in use are those of the source's earlier configuration")
	errNotSpooled  = errors.New("the maps in use are those of the source's earlier configuration: they would not survive a restart")
)

// activeApp returns the app of the configuration in force, or nil.
func activeApp() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("altoroute")
	if err != nil {
		return nil
	}
	a, _ := app.(*App)
	if a == nil || a.router == nil {
		return nil
	}
	return a
}

// configuredApp returns the app for a module that needs it. It never makes an
// empty one.
func configuredApp(ctx caddy.Context, who string) (*App, error) {
	value, err := ctx.AppIfConfigured("altoroute")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, fmt.Errorf("%s needs the global option altoroute, which says what there is to choose from", who)
	}
	if err != nil {
		return nil, err
	}
	app, ok := value.(*App)
	if !ok {
		return nil, fmt.Errorf("the app altoroute is a %T", value)
	}
	return app, nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
