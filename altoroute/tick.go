// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// poolState is what a plan knows of a pool beside its rankings.
type poolState struct {
	guidanceOff bool
	pins        *pins
	needsPlace  bool               // the client's place counts beyond the ladder
	up, fit     int                // edges that are not down, of those that only their health could speak against
	families    [2]FamilyCondition // the same as clients of IPv4 and IPv6 meet them

	meter     *meter    // nil where no edge has a limit
	spreading spreading // nil where costs decide alone
	hot       map[uint64]bool
}

// Tick lets time pass: drains and ramps go on, and where edges have limits,
// what was asked for since the last Tick is divided anew. It is to be called
// about once a second.
func (r *Router) Tick(now time.Time) {
	r.ticking.Lock()
	defer r.ticking.Unlock()
	r.sample.adapt(now)
	if t := r.advance(now); t.demand != nil {
		// With thousands of edges this takes long. What else there is to learn does
		// not wait.
		began := time.Now()
		of := t.plan.divide(t.demand, t.before)
		r.conclude(t, of, time.Since(began))
	}
}

// A tick is what a Tick has begun: the plan that it has put in force, the one before,
// and what there is to be divided, nil where there is nothing.
type tick struct {
	plan, before *plan
	demand       *demand
	spreads      int
}

// conclude puts the spreadings that a Tick has found in force.
func (r *Router) conclude(t tick, of []spreading, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spreadTook = took
	later := *r.plan.Load()
	if r.spreads != t.spreads || !slices.Equal(later.guidance, t.plan.guidance) {
		return // there is a later one, or the PIDs are others
	}
	later.pools = slices.Clone(later.pools)
	later.spreadAs(of)
	r.plan.Store(&later)
}

// advance begins a Tick. It is the part that needs to be alone.
func (r *Router) advance(now time.Time) (t tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.plan.Load()
	metered := before.metered()
	if !metered && !r.conditions.moving(r.ramp) && len(before.trials)+len(before.demoted) == 0 && before.stages == nil {
		return t
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
		next.foresee(before)
		if t.demand = next.demand(before); t.demand == nil {
			next.spreadAs(nil)
			r.spreadTook = 0
		}
		r.heat(&next, before)
	}
	r.plan.Store(&next)
	t.plan, t.before, t.spreads = &next, before, r.spreads
	return t
}

// foresee has the meters take it that as much more or less of the content falls to
// edges as these have opened or closed a little since. What is shut and got nothing any
// more is remembered for no longer.
func (p *plan) foresee(before *plan) {
	factor := make([]float64, len(p.states))
	for i := range p.pools {
		m, changes := p.pools[i].meter, false
		if m == nil {
			continue
		}
		for e := range factor {
			factor[e] = 1
			was, is := before.states[e].share(), p.states[e].share()
			switch t := &m.trends[e]; {
			case t.rate > 0 && t.reading == 0 && before.narrowed(i, int32(e)) && p.narrowed(i, int32(e)):
				factor[e] = 0
			case was > 0 && is > 0:
				factor[e] = is / was
			}
			changes = changes || factor[e] != 1
		}
		if changes {
			m.scale(factor)
		}
	}
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
		s := r.conditions.edges[e].state(r.conditions.now, r.ramp, r.edges[e].Capacity)
		s.capacity /= r.routers
		if load := r.conditions.edges[e].load; before != nil && load >= s.leastLoad(&before.states[e]) {
			// Our part of what it can do is to our part of what it does as full
			// is to its load.
			if sent, _ := before.traffic(e); sent >= tellingRate && sent/load < s.capacity {
				s.capacity, s.byLoad = sent/load, true
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

// leastLoad returns the load from which on it counts. Where a capacity is known, that
// is 1: only an edge that is overloaded all the same knows better. Once it did, it goes
// on to tell what it can do, or it would be overloaded time and again.
func (s *edgeState) leastLoad(before *edgeState) float64 {
	if math.IsInf(s.capacity, 1) || before.byLoad {
		return believedLoad
	}
	return 1
}

// tellingRate is in requests per second: an edge that gets fewer of us is as full as
// others make it.
const tellingRate = 10

// limited reports whether some edge of a pool has a limit.
func (r *Router) limited(pool *pool, states []edgeState) bool {
	return slices.ContainsFunc(pool.edges, func(e int32) bool {
		_, loaded := r.conditions.edges[e].loadAt(r.conditions.now)
		return loaded || !math.IsInf(states[e].capacity, 1)
	})
}

// traffic returns how many requests per second an edge gets of all pools, and how
// many of these by a pin.
func (p *plan) traffic(e int) (sent, pinned float64) {
	for i := range p.pools {
		if m := p.pools[i].meter; m != nil {
			sent += m.sent[e].rate
			pinned += m.pinned[e].rate
		}
	}
	return sent, pinned
}

func (r *Router) poolState(pool *pool, states []edgeState) poolState {
	known := &r.conditions.pools[pool.index]
	s := poolState{guidanceOff: pool.GuidanceOff || known.setting.GuidanceOff, pins: known.pins}
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
		for i, client := range oneOfEach {
			if !r.edges[e].Family.serves(client) {
				continue
			}
			s.families[i].Fit++
			if !states[e].down(client) {
				s.families[i].Up++
			}
		}
	}
	for i := range s.families {
		f := &s.families[i]
		f.Panic = float64(f.Up) < pool.panicShare*float64(f.Fit)
	}
	return s
}

// oneOfEach is a client of each family.
var oneOfEach = [...]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} //nolint:gochecknoglobals // a table

// inPanic reports whether too few edges are up for a client for health to be
// believed. Of one without an address, both families must say so, as of its edges.
func (s *poolState) inPanic(client netip.Addr) bool {
	switch {
	case client.Is4():
		return s.families[0].Panic
	case client.Is6():
		return s.families[1].Panic
	}
	return s.families[0].Panic && s.families[1].Panic
}
