// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/altoroute/caddy-alto/altoroute"
)

// byHand is all that an operator has set by hand.
var byHand = newOverrides(slog.New(sharedLog)) //nolint:gochecknoglobals // outlives every configuration

// overrides are what is set by hand of edges and of pools, instead of what is
// configured. They outlive configurations, and by the storage of Caddy restarts
// too. Names that a configuration does not have are kept for one that has.
type overrides struct {
	logger *slog.Logger

	mu       sync.Mutex // guards what follows, but for store
	settings settings
	configs  []*overridden   // in the order of provisioning; the last one started is in force
	changed  map[string]bool // what has been set before what is stored could be read
	unread   error           // why that is not in force
	aside    error           // why what was stored once is not, and where it is now

	store store
}

func newOverrides(logger *slog.Logger) *overrides {
	return &overrides{logger: logger, settings: newSettings(), changed: make(map[string]bool)}
}

// settings is all that is set, in the form in which it is stored. What the maps
// point to never changes.
type settings struct {
	Version int                     `json:"version"`
	Edges   map[string]*edgeSetting `json:"edges,omitempty"`
	Pools   map[string]*poolSetting `json:"pools,omitempty"`
	// Config is what the configuration says of edges, so that a drain goes on
	// where it was after a reload or a restart.
	Config map[string]*edgeSetting `json:"config,omitempty"`
}

func newSettings() settings {
	return settings{
		Version: settingsVersion, Edges: make(map[string]*edgeSetting), Pools: make(map[string]*poolSetting),
		Config: make(map[string]*edgeSetting),
	}
}

// overridden is a configuration to which overrides apply.
type overridden struct {
	overrides  *overrides
	router     *altoroute.Router
	storage    certmagic.Storage
	declared   []*Edge
	joined     time.Time
	configured map[string]*edgeSetting // what the configuration says of edges
	started    bool

	first sync.Once          // of await
	end   context.CancelFunc // of looking again for what could not be read; nil where there is no need
	done  sync.WaitGroup

	// What was ever set on this Router, or on one of which it has inherited.
	edges, pools map[string]bool
}

// join puts all that is set in force on the Router of a configuration that is
// being provisioned, which has inherited already. From now on changes reach it,
// so that none is lost between two configurations. Nothing is written, and only
// files are read: to validate a configuration asks nobody else.
func (o *overrides) join(storage certmagic.Storage, r *altoroute.Router, edges []*Edge, now time.Time) *overridden {
	u := &overridden{
		overrides: o, router: r, storage: storage, declared: edges, joined: plain(now),
		edges: make(map[string]bool), pools: make(map[string]bool),
	}
	o.mu.Lock()
	for _, before := range o.configs {
		maps.Copy(u.edges, before.edges)
		maps.Copy(u.pools, before.pools)
	}
	o.configs = append(o.configs, u)
	u.configured = o.configured(u.declared, u.joined)
	u.apply(u.joined)
	o.mu.Unlock()
	if _, local := storage.(*certmagic.FileStorage); local {
		u.await()
	}
	return u
}

// await has what is stored read, where nobody has tried to yet. Caddy starts apps
// in any order, so that a request may come before Start.
func (u *overridden) await() {
	u.first.Do(func() { u.overrides.open(context.Background(), u.storage) })
}

// configured returns what a configuration says of its edges. What it said
// before as well has the time of then.
func (o *overrides) configured(edges []*Edge, now time.Time) map[string]*edgeSetting {
	made := make(map[string]*edgeSetting)
	for _, e := range edges {
		if mode, err := altoroute.ParseMode(e.Mode); err != nil || mode == altoroute.Auto {
			continue
		}
		s := &edgeSetting{Mode: e.Mode, Over: span(e.DrainOver), By: byConfig, At: now}
		if was := o.settings.Config[e.Name]; was != nil && was.Mode == s.Mode {
			s.At = was.At
		}
		if s.Mode == altoroute.Drain.String() {
			s.Since = s.At
		}
		made[e.Name] = s
	}
	return made
}

// start tells that the configuration comes into force, and writes what it says.
func (u *overridden) start() {
	u.await()
	o := u.overrides
	o.mu.Lock()
	u.started = true
	o.settings.Config = u.configured
	o.mu.Unlock()
	_ = o.save() // has been logged
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	if o.toRead() {
		var ctx context.Context
		ctx, u.end = context.WithCancel(context.Background())
		u.done.Go(func() { o.retry(ctx, u.storage) })
	}
}

// stop ends what start has begun. It may be called again.
func (u *overridden) stop() {
	if u.end != nil {
		u.end()
		u.done.Wait()
	}
}

// leave ends what join began. It may be called of none.
func (u *overridden) leave() {
	if u == nil {
		return
	}
	u.stop()
	o := u.overrides
	o.mu.Lock()
	o.configs = slices.DeleteFunc(o.configs, func(other *overridden) bool { return other == u })
	last := o.inForce()
	if last != nil { // else what it said is kept for a restart
		o.settings.Config = last.configured // another one, where this was refused after it had started
	}
	o.mu.Unlock()
	if last != nil && u.started {
		_ = o.save() // has been logged
	}
}

// inForce returns the last configuration that has started, or nil.
func (o *overrides) inForce() *overridden {
	for _, u := range slices.Backward(o.configs) {
		if u.started {
			return u
		}
	}
	return nil
}

// apply puts all that is set in force. Where a Router has no such edge or pool,
// there is nothing to do.
func (u *overridden) apply(now time.Time) {
	for _, of := range []map[string]*edgeSetting{u.configured, u.overrides.settings.Edges} {
		for name := range of {
			u.edges[name] = true
		}
	}
	for name := range u.overrides.settings.Pools {
		u.pools[name] = true
	}
	for name := range u.edges {
		u.applyEdge(name, now)
	}
	for name := range u.pools {
		u.applyPool(name, now)
	}
}

func (u *overridden) applyEdge(name string, now time.Time) {
	u.edges[name] = true
	set := u.edge(name)
	_ = u.router.Set(name, set.setting(), now) // an error is that there is none
}

func (u *overridden) applyPool(name string, now time.Time) {
	u.pools[name] = true
	set := &poolSetting{}
	if by := u.overrides.settings.Pools[name]; by != nil {
		set = by
	}
	_ = u.router.SetPool(name, set.setting(u.router.Edges(name)), now) // as above
}

// edge returns what is set of an edge: by hand, else by the configuration.
func (u *overridden) edge(name string) edgeSetting {
	var set edgeSetting
	if by := u.overrides.settings.Edges[name]; by != nil {
		set = *by
	}
	if u.configured[name] != nil && set.Mode == "" {
		s := *u.configured[name]
		s.Capacity, s.CapacityBy, s.CapacityAt = set.Capacity, set.CapacityBy, set.CapacityAt
		return s
	}
	return set
}

// edge returns what is set of an edge in the configuration in force, or nil.
func (o *overrides) edge(name string) *edgeSetting {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.inForce()
	if u == nil {
		return nil
	}
	if set := u.edge(name); !set.isZero() {
		return &set
	}
	return nil
}

// hasEdge reports whether something is set of an edge by hand.
func (o *overrides) hasEdge(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.settings.Edges[name] != nil
}

// pool returns what is set of a pool, or nil.
func (o *overrides) pool(name string) *poolSetting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.settings.Pools[name]
}

// unusedSettings are those of edges and pools that there are not.
type unusedSettings struct {
	Edges map[string]*edgeSetting `json:"edges,omitempty"`
	Pools map[string]*poolSetting `json:"pools,omitempty"`
}

// unused returns what is set by hand and kept, but has nothing to act on in a
// configuration: of pools that there are, the pins that do not work.
func (o *overrides) unused(r *altoroute.Router, works func(pool string, p pinSetting) bool) unusedSettings {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := unusedSettings{maps.Clone(o.settings.Edges), maps.Clone(o.settings.Pools)}
	for _, e := range r.AllEdges() {
		delete(s.Edges, e.Name)
	}
	for _, name := range r.Pools() {
		set := s.Pools[name]
		delete(s.Pools, name)
		if _, dead := set.pins(name, works); len(dead) > 0 {
			s.Pools[name] = &poolSetting{Pins: dead}
		}
	}
	if len(s.Edges)+len(s.Pools) == 0 {
		return unusedSettings{}
	}
	return s
}

// setEdge changes what is set of an edge and returns what is then. It is in
// force at once; the second result says why it could not be stored.
func (o *overrides) setEdge(name string, c edgeChange, now time.Time) (set *edgeSetting, unstored, err error) {
	now = plain(now)
	o.mu.Lock()
	var was, is edgeSetting
	if by := o.settings.Edges[name]; by != nil {
		was = *by
	}
	if u := o.inForce(); u != nil {
		is = u.edge(name)
	}
	if was, err = was.with(c, is, now); err != nil {
		o.mu.Unlock()
		return nil, nil, err
	}
	o.settings.Edges = replaced(o.settings.Edges, name, &was, was.isZero())
	if c.mode != nil || c.over != nil {
		o.change(modeOf(name))
	}
	if c.capacity != nil {
		o.change(capacityOf(name))
	}
	for _, u := range o.configs {
		if c.load != nil {
			_ = u.router.ReportLoad(name, *c.load, now) // an error is that there is none
		}
		if !c.measures() {
			u.applyEdge(name, now)
		}
	}
	o.mu.Unlock()
	if c.measures() {
		return o.edge(name), nil, nil
	}
	o.logger.LogAttrs(context.Background(), slog.LevelInfo, "edge set by hand", append([]slog.Attr{slog.String("edge", name)}, c.attrs()...)...)
	return o.edge(name), o.save(), nil
}

// change notes what is set as long as what is stored could not be read.
func (o *overrides) change(what string) {
	if o.unread != nil {
		o.changed[what] = true
	}
}

// setPool changes what is set of a pool, as setEdge does of an edge.
func (o *overrides) setPool(name string, c poolChange, now time.Time) (set *poolSetting, unstored, err error) {
	now = plain(now)
	o.mu.Lock()
	var was poolSetting
	if by := o.settings.Pools[name]; by != nil {
		was = *by
	}
	if was, err = was.with(c, now); err != nil {
		o.mu.Unlock()
		return nil, nil, err
	}
	o.settings.Pools = replaced(o.settings.Pools, name, &was, was.isZero())
	if c.guidance != nil {
		o.change(guidanceOf(name))
	}
	if c.pin != nil {
		o.change(pinOf(name, c.pin.Clients()))
	}
	for _, u := range o.configs {
		u.applyPool(name, now)
	}
	o.mu.Unlock()
	o.logger.LogAttrs(context.Background(), slog.LevelInfo, "pool set by hand", append([]slog.Attr{slog.String("pool", name)}, c.attrs()...)...)
	return o.pool(name), o.save(), nil
}

// replaced returns a map with another value, or without one. The map itself
// stays as it is for those who hold it.
func replaced[V any](of map[string]*V, name string, value *V, none bool) map[string]*V {
	made := maps.Clone(of)
	made[name] = value
	if none {
		delete(made, name)
	}
	return made
}

// plain returns a time as it comes back from the storage.
func plain(t time.Time) time.Time { return t.Round(0).UTC() }
