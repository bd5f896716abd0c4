// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// poolState is what a plan knows of a pool beside its rankings.
type poolState struct {
	unguided   bool
	pins       *pins
	needsPlace bool // the client's place counts beyond the ladder
	panic      bool
	up, fit    int // edges that are not down, of those that only their health could speak against

	meter     *meter     // nil where no edge has a limit
	spreading *spreading // nil where costs decide alone
	hot       map[uint64]bool
}

// Learn takes over what checks say of edges, by name; edges that the Router
// does not have are ignored. An edge that is no longer down gets its content
// back over Config.Ramp, counted from now.
func (r *Router) Learn(of map[string]Condition, now time.Time) {
	r.change(now, func(c *conditions) {
		for name, is := range of {
			if e, ok := r.edge(name); ok {
				c.learn(int(e), is, now)
			}
		}
	})
}

// Set puts what an operator has set by hand in force for an edge. The zero
// Setting leaves the edge to its checks.
func (r *Router) Set(edge string, s Setting, now time.Time) error {
	e, ok := r.edge(edge)
	if !ok {
		return fmt.Errorf("there is no edge %s", edge)
	}
	r.change(now, func(c *conditions) { c.set(int(e), s) })
	return nil
}

// ReportLoad takes over what somebody else than the checks tells of an edge's
// load, the share of its capacity that is in use. It counts for a minute, and
// before what the edge says itself. 0 takes it back.
func (r *Router) ReportLoad(edge string, load float64, now time.Time) error {
	e, ok := r.edge(edge)
	if !ok {
		return fmt.Errorf("there is no edge %s", edge)
	}
	if !(load >= 0) || math.IsInf(load, 1) { // NaN is neither
		return fmt.Errorf("load %v: write the share of the capacity that is in use, such as 0.73", load)
	}
	r.change(now, func(c *conditions) { c.told[e] = toldLoad{load, now} })
	return nil
}

// Load returns the share of its capacity that is in use of an edge, as it was
// told or as the edge says; 0 where nobody says.
func (r *Router) Load(e *Edge) float64 {
	i, ok := r.edge(e.Name)
	if !ok {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conditions.load(int(i))
}

// SetPool puts what an operator has set by hand in force for a pool. Pins to
// edges that there are no more are ignored.
func (r *Router) SetPool(name string, s PoolSetting, now time.Time) error {
	p, err := r.pool(name)
	if err != nil {
		return err
	}
	for _, pin := range s.Pins {
		if err := pin.Validate(); err != nil {
			return err
		}
	}
	r.change(now, func(c *conditions) { r.setPool(c, p, s) })
	return nil
}

func (r *Router) setPool(c *conditions, p *pool, s PoolSetting) {
	c.pools[p.index] = s
	c.pins[p.index] = r.newPins(p, slices.Concat(s.Pins, p.Pins))
}

// Tick lets time pass: drains and ramps go on, and where edges have limits,
// what was asked for since the last Tick is divided anew. It is to be called
// about once a second.
func (r *Router) Tick(now time.Time) {
	r.sample.adapt(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.plan.Load()
	metered := before.metered()
	if !metered && !r.conditions.moving(r.ramp) && len(before.trials)+len(before.demoted) == 0 && before.stages == nil {
		return
	}
	r.conditions.now = now
	elapsed := min(now.Sub(r.conditions.ticked), memory) // the first time it is anything
	r.conditions.ticked = now
	r.conditions.averageLoads(elapsed)
	for i := range before.pools {
		if m := before.pools[i].meter; m != nil {
			m.read(now)
		}
	}
	before = before.advanced(now)
	next := *before
	r.condition(&next, before)
	r.judge(&next, now)
	if metered {
		r.spread(&next, before)
		r.heat(&next, before)
	}
	r.plan.Store(&next)
}

// heat finds the content that is too hot for one edge: more than a hundredth of
// what the smallest can do.
func (r *Router) heat(next, before *plan) {
	for i, pool := range r.pools {
		m := next.pools[i].meter
		if m == nil {
			continue
		}
		least := math.Inf(1)
		for _, e := range pool.edges {
			if c := next.states[e].capacity; c > 0 {
				least = min(least, c)
			}
		}
		next.pools[i].hot = m.keys.hot(least/100, before.pools[i].hot)
	}
}

// Inherit takes over what an earlier Router has learned and was told by hand of
// sources, edges and pools of the same names: its sample of requests, too, and
// the ramps of guidance that this one has been given of the same sets.
func (r *Router) Inherit(before *Router, now time.Time) {
	before.mu.Lock()
	defer before.mu.Unlock()
	r.change(now, func(c *conditions) {
		for e := range r.edges {
			if was, ok := before.edge(r.edges[e].Name); ok {
				c.inherit(e, &before.conditions, int(was))
			}
		}
		for _, p := range r.pools {
			if was, ok := before.byName[p.Name]; ok {
				r.setPool(c, p, before.conditions.pools[was.index])
			}
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	from, next := before.plan.Load(), *r.plan.Load()
	r.inheritRamps(from, &next, now)
	r.sample.inherit(&before.sample, r)
	next.demoted = inherit(r, from.demoted, from, &next)
	next.pools = slices.Clone(next.pools)
	for _, p := range r.pools {
		was, ok := before.byName[p.Name]
		s := &next.pools[p.index]
		if !ok || s.meter == nil || from.pools[was.index].meter == nil {
			continue
		}
		r.inheritMeter(s.meter, from.pools[was.index].meter, from, &next)
		s.spreading = r.inheritSpreading(from.pools[was.index].spreading, from, &next)
		s.hot = from.pools[was.index].hot
	}
	r.plan.Store(&next)
}

// change alters the conditions and puts a plan that knows them in force.
func (r *Router) change(now time.Time, alter func(*conditions)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conditions.now = now
	alter(&r.conditions)
	before := r.plan.Load()
	next := *before
	r.condition(&next, before)
	if next.metered() && next.reaches(before) && r.spreadTook < atOnce {
		r.spread(&next, before) // at once: what was with an edge that is down goes elsewhere now
	}
	r.plan.Store(&next)
}

// atOnce is how long a division may have taken to be made anew at each change, and not
// only with each Tick: changes may come as often as checks do. Until then what was with
// an edge that is down goes to the next cheapest.
const atOnce = 200 * time.Millisecond

// reaches reports whether a plan reaches other edges than the one before. Of
// thousands of edges that report their load some do so all the time, which can
// wait for the next Tick.
func (p *plan) reaches(before *plan) bool {
	return !slices.EqualFunc(p.states, before.states, func(a, b edgeState) bool {
		return a.gone() == b.gone() && a.mode == b.mode && a.health == b.health
	})
}

// metered reports whether some edge has a limit.
func (p *plan) metered() bool {
	return slices.ContainsFunc(p.pools, func(s poolState) bool { return s.meter != nil })
}

// condition gives a plan the present conditions.
func (r *Router) condition(p, before *plan) {
	p.states = make([]edgeState, len(r.edges))
	for e := range p.states {
		s := r.conditions.state(e, r.ramp, r.edges[e].Capacity)
		s.capacity /= r.routers
		least := believedLoad
		if !math.IsInf(s.capacity, 1) {
			least = 1 // what it can do is known, unless it is overloaded all the same
		}
		if load := r.conditions.loads[e]; load >= least && before != nil {
			// Our part of what it can do is to our part of what it does as full
			// is to its load.
			if sent := before.sent(e); sent >= tellingRate {
				s.capacity = min(s.capacity, sent/load)
			}
		}
		p.states[e] = s
	}
	p.pools = make([]poolState, len(r.pools))
	for i, pool := range r.pools {
		s := r.poolState(pool, p.states)
		if before != nil {
			s.meter, s.spreading, s.hot = before.pools[i].meter, before.pools[i].spreading, before.pools[i].hot
		}
		switch limited := r.limited(pool, p.states); {
		case !limited:
			s.meter, s.spreading, s.hot = nil, nil, nil
		case s.meter == nil:
			s.meter = newMeter(r.conditions.now, len(r.edges), p.guidance)
		}
		p.pools[i] = s
	}
}

// believedLoad is the load from which on it says something of the capacity:
// that an idle edge is idle does not.
const believedLoad = 0.5

// tellingRate is in requests per second: an edge that gets fewer of us is as full as
// others make it.
const tellingRate = 10

// limited reports whether some edge of a pool has a limit.
func (r *Router) limited(pool *pool, states []edgeState) bool {
	return slices.ContainsFunc(pool.edges, func(e int32) bool {
		return !math.IsInf(states[e].capacity, 1) || r.conditions.load(int(e)) > 0
	})
}

// sent returns how many requests per second an edge gets of all pools.
func (p *plan) sent(e int) float64 {
	var sum float64
	for i := range p.pools {
		if m := p.pools[i].meter; m != nil {
			sum += m.sentRate[e]
		}
	}
	return sum
}

// pinned returns how many of these go to it by a pin.
func (p *plan) pinned(e int) float64 {
	var sum float64
	for i := range p.pools {
		if m := p.pools[i].meter; m != nil {
			sum += m.pinnedRate[e]
		}
	}
	return sum
}

func (r *Router) poolState(pool *pool, states []edgeState) poolState {
	set := &r.conditions.pools[pool.index]
	s := poolState{unguided: pool.Unguided || set.Unguided, pins: r.conditions.pins[pool.index]}
	s.needsPlace = s.pins.byPlace() || len(pool.Serves.Countries) > 0
	for _, e := range pool.edges {
		s.needsPlace = s.needsPlace || len(r.edges[e].Serves.Countries) > 0
		if states[e].gone() {
			continue
		}
		s.fit++
		if !states[e].down(netip.Addr{}) {
			s.up++
		}
	}
	s.panic = s.fit > 0 && float64(s.up) < pool.panic*float64(s.fit)
	return s
}

// State returns the state in which a client meets an edge, one of StateUp and
// so on. The zero Addr is a client of any family.
func (r *Router) State(e *Edge, client netip.Addr) string {
	i, ok := r.edge(e.Name)
	if !ok {
		return ""
	}
	return r.plan.Load().states[i].name(client)
}

// Traffic returns how many requests per second an edge gets from this Router,
// averaged over some seconds, and this Router's part of its capacity. The rate
// is measured only where some edge of its pools has a limit; without one of its
// own, the capacity is +Inf.
func (r *Router) Traffic(e *Edge) (rate, capacity float64) {
	i, ok := r.edge(e.Name)
	if !ok {
		return 0, 0
	}
	r.mu.Lock() // rates are read and written under it
	defer r.mu.Unlock()
	p := r.plan.Load()
	return p.sent(int(i)), p.states[i].capacity
}

// A PoolCondition says how many edges of a pool are up.
type PoolCondition struct {
	// Up are not down, of the Fit that only their health could speak against.
	Up, Fit int
	// Panic is true while too few are up for health to be believed.
	Panic bool
	// Unguided is true while guidance is turned off.
	Unguided bool
	// Divided is how many loads, the content of a PID that falls to one edge,
	// are divided because that has not the capacity.
	Divided int
	// Hot is how much content goes to several edges because it is too much for
	// one.
	Hot int
}

// PoolCondition returns the condition of a pool, named as in Query.Pool. Of a
// pool that there is not, it is zero.
func (r *Router) PoolCondition(name string) PoolCondition {
	p, err := r.pool(name)
	if err != nil {
		return PoolCondition{}
	}
	s := &r.plan.Load().pools[p.index]
	return PoolCondition{Up: s.up, Fit: s.fit, Panic: s.panic, Unguided: s.unguided, Divided: s.spreading.divisions(), Hot: len(s.hot)}
}
