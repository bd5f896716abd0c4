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

// hand is the operator's hand on this process.
var hand = newOperator(slog.New(poolLog)) //nolint:gochecknoglobals // outlives every configuration

// operator is what an operator has set by hand, of edges and of pools. It
// outlives configurations, and by the storage of Caddy restarts too. Names that
// a configuration does not have are kept for one that has.
type operator struct {
	logger *slog.Logger

	mu   sync.Mutex
	kept settings
	uses []*operated // in the order of provisioning; the last one started is in force

	store store
}

func newOperator(logger *slog.Logger) *operator {
	return &operator{logger: logger, kept: newSettings()}
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

// operated is a configuration under the operator's hand.
type operated struct {
	operator *operator
	router   *altoroute.Router
	storage  certmagic.Storage
	says     map[string]*edgeSetting // what the configuration says of edges
	started  bool

	// What was ever set on this Router, or on one of which it has inherited.
	edges, pools map[string]bool
}

// join puts all that is set in force on the Router of a configuration that is
// being provisioned, which has inherited already. From now on changes reach it,
// so that none is lost between two configurations. Nothing is written.
func (o *operator) join(storage certmagic.Storage, r *altoroute.Router, edges []*Edge, now time.Time) *operated {
	now = plain(now)
	o.open(storage)
	o.mu.Lock()
	defer o.mu.Unlock()
	u := &operated{
		operator: o, router: r, storage: storage, says: o.configured(edges, now),
		edges: make(map[string]bool), pools: make(map[string]bool),
	}
	for _, before := range o.uses {
		maps.Copy(u.edges, before.edges)
		maps.Copy(u.pools, before.pools)
	}
	o.uses = append(o.uses, u)
	u.apply(now)
	return u
}

// configured returns what a configuration says of its edges. What it said
// before as well has the time of then.
func (o *operator) configured(edges []*Edge, now time.Time) map[string]*edgeSetting {
	says := make(map[string]*edgeSetting)
	for _, e := range edges {
		if mode, err := altoroute.ParseMode(e.Mode); err != nil || mode == altoroute.Auto {
			continue
		}
		s := &edgeSetting{Mode: e.Mode, Over: span(e.DrainOver), By: byConfig, At: now}
		if was := o.kept.Config[e.Name]; was != nil && was.Mode == s.Mode {
			s.At = was.At
		}
		if s.Mode == altoroute.Drain.String() {
			s.Since = s.At
		}
		says[e.Name] = s
	}
	return says
}

// start tells that the configuration comes into force, and writes what it says.
func (u *operated) start() {
	o := u.operator
	o.mu.Lock()
	u.started = true
	o.kept.Config = u.says
	o.mu.Unlock()
	_ = o.save() // has been logged
}

// leave ends the operator's hand on a configuration. It may be called of none.
func (u *operated) leave() {
	if u == nil {
		return
	}
	o := u.operator
	o.mu.Lock()
	o.uses = slices.DeleteFunc(o.uses, func(other *operated) bool { return other == u })
	last := o.inForce()
	if last != nil { // else what it said is kept for a restart
		o.kept.Config = last.says // another one, where this was refused after it had started
	}
	o.mu.Unlock()
	if last != nil && u.started {
		_ = o.save() // has been logged
	}
}

// inForce returns the last configuration that has started, or nil.
func (o *operator) inForce() *operated {
	for _, u := range slices.Backward(o.uses) {
		if u.started {
			return u
		}
	}
	return nil
}

// apply puts all that is set in force. Where a Router has no such edge or pool,
// there is nothing to do.
func (u *operated) apply(now time.Time) {
	for _, of := range []map[string]*edgeSetting{u.says, u.operator.kept.Edges} {
		for name := range of {
			u.edges[name] = true
		}
	}
	for name := range u.operator.kept.Pools {
		u.pools[name] = true
	}
	for name := range u.edges {
		u.applyEdge(name, now)
	}
	for name := range u.pools {
		u.applyPool(name, now)
	}
}

func (u *operated) applyEdge(name string, now time.Time) {
	u.edges[name] = true
	set := u.edge(name)
	_ = u.router.Set(name, set.setting(), now) // an error is that there is none
}

func (u *operated) applyPool(name string, now time.Time) {
	u.pools[name] = true
	set := &poolSetting{}
	if by := u.operator.kept.Pools[name]; by != nil {
		set = by
	}
	_ = u.router.SetPool(name, set.setting(u.router.Edges(name)), now) // as above
}

// edge returns what is set of an edge: by hand, else by the configuration.
func (u *operated) edge(name string) edgeSetting {
	var set edgeSetting
	if by := u.operator.kept.Edges[name]; by != nil {
		set = *by
	}
	if u.says[name] != nil && set.Mode == "" {
		s := *u.says[name]
		s.Capacity, s.CapacityBy, s.CapacityAt = set.Capacity, set.CapacityBy, set.CapacityAt
		return s
	}
	return set
}

// edge returns what is set of an edge in the configuration in force, or nil.
func (o *operator) edge(name string) *edgeSetting {
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

// keepsEdge reports whether something is set of an edge by hand.
func (o *operator) keepsEdge(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.Edges[name] != nil
}

// pool returns what is set of a pool, or nil.
func (o *operator) pool(name string) *poolSetting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.Pools[name]
}

// unusedSettings are those of edges and pools that there are not.
type unusedSettings struct {
	Edges map[string]*edgeSetting `json:"edges,omitempty"`
	Pools map[string]*poolSetting `json:"pools,omitempty"`
}

// unused returns what is set by hand and kept, but has nothing to act on in a
// configuration; nil if that is nothing.
func (o *operator) unused(r *altoroute.Router) *unusedSettings {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := unusedSettings{maps.Clone(o.kept.Edges), maps.Clone(o.kept.Pools)}
	for _, e := range r.AllEdges() {
		delete(s.Edges, e.Name)
	}
	for _, name := range r.Pools() {
		delete(s.Pools, name)
	}
	if len(s.Edges)+len(s.Pools) == 0 {
		return nil
	}
	return &s
}

// setEdge changes what is set of an edge and returns what is then. It is in
// force at once; the second result says why it could not be stored.
func (o *operator) setEdge(name string, c edgeChange, now time.Time) (set *edgeSetting, unstored, err error) {
	now = plain(now)
	o.mu.Lock()
	var was, is edgeSetting
	if by := o.kept.Edges[name]; by != nil {
		was = *by
	}
	if u := o.inForce(); u != nil {
		is = u.edge(name)
	}
	if was, err = was.with(c, is.Since, now); err != nil {
		o.mu.Unlock()
		return nil, nil, err
	}
	o.kept.Edges = replaced(o.kept.Edges, name, &was, was.isZero())
	for _, u := range o.uses {
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

// setPool changes what is set of a pool, as setEdge does of an edge.
func (o *operator) setPool(name string, c poolChange, now time.Time) (set *poolSetting, unstored, err error) {
	now = plain(now)
	o.mu.Lock()
	var was poolSetting
	if by := o.kept.Pools[name]; by != nil {
		was = *by
	}
	if was, err = was.with(c, now); err != nil {
		o.mu.Unlock()
		return nil, nil, err
	}
	o.kept.Pools = replaced(o.kept.Pools, name, &was, was.isZero())
	for _, u := range o.uses {
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
