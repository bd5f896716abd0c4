// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"slices"
	"time"
)

// Inherit takes over what an earlier Router has learned and was told by hand of
// sources, edges and pools of the same names: its sample of requests, too, and
// the ramps of guidance that this one has been given of the same sets.
func (r *Router) Inherit(before *Router, now time.Time) {
	missing := r.missing(before.plan.Load())
	before.mu.Lock()
	defer before.mu.Unlock()
	r.change(now, func(c *conditions) {
		for e := range r.edges {
			if was, ok := before.edge(r.edges[e].Name); ok {
				c.edges[e] = before.conditions.edges[was]
			}
		}
		for _, p := range r.pools {
			if was, ok := before.byName[p.Name]; ok {
				r.setPool(c, p, before.conditions.pools[was.index].setting)
			}
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	from, next := before.plan.Load(), *r.plan.Load()
	r.inheritRamps(from, &next, missing, now)
	r.sample.inherit(&before.sample, r)
	next.trials = inheritLoads(r, from.trials, from, &next)
	next.demoted = inheritLoads(r, from.demoted, from, &next)
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

// slotOf returns the slot in this Router's plans of what has one in those of an
// earlier Router, -1 where there is none.
func (r *Router) slotOf(before *Router, slot int) int {
	was := before.sourceOf(slot)
	at := r.source(before.sources[was].Name)
	if at >= 0 && slot != was {
		at = r.incomingSlot(at)
	}
	return at
}

// inheritRamps goes on with the ramps of an earlier Router, where this one has
// been given the same sets: what was in force, or, as the newest there is, what
// came in. The other one of the two is made ready, unless it is already.
func (r *Router) inheritRamps(from, next *plan, made map[*Maps]*guidance, now time.Time) {
	ready := func(at int, m *Maps) *guidance {
		if g := made[m]; g != nil {
			return g
		}
		return newGuidance(r, at, m) // a ramp that has begun at this moment
	}
	for was, source := range from.router.sources {
		at, in := r.source(source.Name), from.incoming(was)
		if at < 0 || in == nil || next.guidance[at] == nil || next.incoming(at) != nil {
			continue
		}
		has, base := next.guidance[at], from.guidance[was]
		switch has.maps {
		case base.maps:
			in = ready(at, in.maps)
		case in.maps:
			next.put(at, ready(at, base.maps))
			in = has
		default:
			continue
		}
		next.introduce(at, in, from.ramps[was].Ramp, from.ramps[was].share, now)
	}
}

// missing makes ready, of ramps to go on with, the maps that this Router has not been
// given.
func (r *Router) missing(from *plan) map[*Maps]*guidance {
	made := make(map[*Maps]*guidance)
	for was, source := range from.router.sources {
		at, in := r.source(source.Name), from.incoming(was)
		if at < 0 || in == nil {
			continue
		}
		switch base, has := from.guidance[was].maps, r.Maps(source.Name); has {
		case base:
			made[in.maps] = newGuidance(r, at, in.maps)
		case in.maps:
			made[base] = newGuidance(r, at, base)
		}
	}
	return made
}

// inheritMeter takes over the rates of an earlier Router's pool.
func (r *Router) inheritMeter(m, before *meter, from, to *plan) {
	m.readAt, m.age = before.readAt, before.age
	edge := func(e int32) (int32, bool) { return r.edge(from.router.edges[e].Name) }
	m.unplaced.add(&before.unplaced, edge)
	m.keys.inherit(before.keys)
	for e := range r.edges {
		if was, ok := from.router.edge(r.edges[e].Name); ok {
			m.pinned[e].rate, m.sent[e].rate, m.trends[e] = before.pinned[was].rate, before.sent[was].rate, before.trends[was]
		}
	}
	for was := range before.asked {
		if slot := r.slotOf(from.router, was); slot >= 0 && m.asked[slot] != nil {
			m.asked[slot] = newPIDMeter(to.guidance[slot], edge, before.asked[was])
		}
	}
}

// inherit takes over what an earlier meter has found. That goes on counting for
// the requests that still have it, and is read under another mutex.
func (m *keyMeter) inherit(before *keyMeter) {
	m.of, m.rates = before.of, before.rates
	for i := range m.cells {
		m.cells[i].key.Store(before.cells[i].key.Load())
		m.cells[i].votes.Store(before.cells[i].votes.Load())
	}
}

// inheritSpreading returns the spreading of an earlier Router's pool for this one.
func (r *Router) inheritSpreading(s spreading, from, to *plan) spreading {
	if s == nil {
		return nil
	}
	made := make(spreading)
	for key, d := range inheritLoads(r, s, from, to) {
		made[key] = d.renamed(key.edge, func(e int32) (int32, bool) { return r.edge(from.router.edges[e].Name) })
	}
	return made
}

// inheritLoads returns what an earlier Router knew of loads for this one, whose
// sources, PIDs and edges may have other indices.
func inheritLoads[M ~map[loadKey]V, V any](r *Router, m M, from, to *plan) M {
	var next M
	for key, value := range m {
		now, ok := r.inheritKey(key, from, to)
		if !ok {
			continue
		}
		if next == nil {
			next = make(M)
		}
		next[now] = value
	}
	return next
}

func (r *Router) inheritKey(key loadKey, from, to *plan) (loadKey, bool) {
	edge, ok := r.edge(from.router.edges[key.edge].Name)
	now := loadKey{-1, noPID, edge, key.kind}
	if !ok || key.slot < 0 {
		return now, ok
	}
	slot := r.slotOf(from.router, int(key.slot))
	if slot < 0 || to.guidance[slot] == nil || from.guidance[key.slot] == nil {
		return now, false
	}
	now.slot = int32(slot) //nolint:gosec // a handful
	now.pid = to.guidance[slot].maps.Network.pid(from.guidance[key.slot].maps.Network.names[key.pid])
	return now, now.pid != noPID
}

// inherit takes over the requests to pools that a later Router has, too.
func (s *sample) inherit(before *sample, r *Router) {
	all := before.all()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range all {
		if p, ok := r.byName[q.pool.Name]; ok {
			q.pool = p
			s.put(q)
		}
	}
	s.mask.Store(before.mask.Load())
}
