// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// A plan is everything a question needs, and never changes.
type plan struct {
	router   *Router
	guidance []*guidance // by slot, nil where there is none
	ramps    []ramping   // by source, of what comes in
	stages   []stage     // nil where nothing comes in
	locator  Locator     // may be nil
	states   []edgeState // by edge
	pools    []poolState // by pool
	taken    []uint64    // a bit for each edge that is as if it were not there, nil where all are

	// What clients tell of edges; nil where nothing is.
	trials  map[loadKey]*trial
	demoted map[loadKey]time.Time
}

// incomingSlot returns the slot of what comes in for a source. A slot is an index
// into the guidance of a plan: first come as many as there are sources, by source,
// for what is in force, then as many for what comes in.
func (r *Router) incomingSlot(source int) int { return len(r.sources) + source }

// sourceOf returns the source whose guidance is in a slot.
func (r *Router) sourceOf(slot int) int { return slot % len(r.sources) }

// incoming returns what comes in for a source, or nil.
func (p *plan) incoming(source int) *guidance { return p.guidance[p.router.incomingSlot(source)] }

// inForce returns the guidance in force, by source.
func (p *plan) inForce() []*guidance { return p.guidance[:len(p.router.sources)] }

// guidance is one source's maps made ready: shared by all pools the place of
// each edge, and for each pool and client PID the order of the edges.
type guidance struct {
	source   *source
	slot     int
	maps     *Maps
	pids     []pidIndex // by edge
	rankings []*ranking // by tier
	beyond   int        // prefixes wholly outside of the space that the source may speak for
}

// newGuidance makes a source's maps ready for a slot. It returns nil of none. With
// thousands of edges it takes seconds, and needs nothing that changes: it is not to be
// called under the mutex.
func newGuidance(r *Router, slot int, m *Maps) *guidance {
	if m == nil {
		return nil
	}
	s := &r.sources[r.sourceOf(slot)]
	g := &guidance{source: s, slot: slot, maps: m, pids: make([]pidIndex, len(r.edges))}
	for i := range r.edges {
		g.pids[i] = r.edges[i].locate(s.Name, m.Network)
	}
	g.beyond = m.Network.beyond(s.only)
	for _, t := range r.tiers {
		g.rankings = append(g.rankings, newRanking(t.edges, g.pids, m))
	}
	return g
}

// in returns the guidance for another slot of the same source.
func (g *guidance) in(slot int) *guidance {
	if g == nil || g.slot == slot {
		return g
	}
	made := *g
	made.slot = slot
	return &made
}

// put puts guidance, or none, into a slot of its source in a plan that nobody has yet.
// Guidance that comes in follows upon what is in force, and goes when that is replaced.
func (p *plan) put(slot int, g *guidance) {
	g = g.in(slot)
	source := p.router.sourceOf(slot)
	before := [...]*guidance{p.guidance[source], p.incoming(source)}
	gone := []int{slot}
	if slot == source {
		gone = append(gone, p.router.incomingSlot(source))
	}
	p.guidance = slices.Clone(p.guidance)
	for _, slot := range gone {
		p.guidance[slot] = nil
	}
	p.guidance[slot] = g
	p.trials = follow(p.trials, gone, g, before[:]...)
	p.demoted = follow(p.demoted, gone, g, before[:]...)
	p.pools = slices.Clone(p.pools)
	for i := range p.pools {
		s := &p.pools[i]
		s.meter = s.meter.follow(gone, g)
		s.spreading = follow(s.spreading, gone, g, before[:]...)
	}
	p.stage()
}

// A ranking orders a tier's edges for every client PID of a source. Edges in
// one PID cost the same from everywhere, so that what is ranked are groups of
// edges, not edges: ten thousand edges are still only some hundred PIDs.
type ranking struct {
	info   *CostInfo
	groups []group
	rows   []int32 // for each client PID its row of order, -1 where no cost is defined
	order  []int32 // rows of all groups, from the best
}

// A group is the edges of a tier that lie in one PID.
type group struct {
	pid   pidIndex // noPID for the edges that the source does not place
	edges []int32
	costs []float64 // to each client PID; nil when none is defined
}

// cost returns the group's cost to a client PID, NaN when undefined.
func (g *group) cost(to pidIndex) float64 {
	if g.costs == nil {
		return math.NaN()
	}
	return g.costs[to]
}

func newRanking(edges []int32, pids []pidIndex, m *Maps) *ranking {
	costs := m.Costs[0]
	r := &ranking{info: &costs.info}
	at := make(map[pidIndex]int)
	for _, e := range edges {
		pid := pids[e]
		i, ok := at[pid]
		if !ok {
			i = len(r.groups)
			at[pid] = i
			r.groups = append(r.groups, group{pid: pid, costs: costs.rows[pid]})
		}
		r.groups[i].edges = append(r.groups[i].edges, e)
	}
	column := make([]ranked, len(r.groups))
	for pid := range m.Network.PIDs() {
		defined := false
		for i := range r.groups {
			column[i] = ranked{r.groups[i].cost(pidIndex(pid)), int32(i)}
			defined = defined || !math.IsNaN(column[i].cost)
		}
		if !defined {
			r.rows = append(r.rows, -1)
			continue
		}
		slices.SortFunc(column, r.compare)
		r.rows = append(r.rows, int32(len(r.order)/len(r.groups))) //nolint:gosec // no more rows than PIDs
		for i := range column {
			r.order = append(r.order, column[i].group)
		}
	}
	return r
}

// ranked is a group and what it costs.
type ranked struct {
	cost  float64
	group int32
}

// compare orders groups by their cost. Those of equal cost stay in the order of their
// edges' names, so that the same maps give the same plan.
func (r *ranking) compare(a, b ranked) int {
	switch {
	case r.info.better(a.cost, b.cost):
		return -1
	case r.info.better(b.cost, a.cost):
		return 1
	}
	return cmp.Compare(a.group, b.group)
}

// of returns the groups from the best to the worst for a client PID to which
// some cost is defined.
func (r *ranking) of(pid pidIndex) []int32 {
	n := len(r.groups)
	return r.order[int(r.rows[pid])*n:][:n]
}

// defined reports whether some edge has a defined cost to a client PID.
func (r *ranking) defined(pid pidIndex) bool { return r.rows[pid] >= 0 }

// guides reports whether the ranking has a defined cost at all.
func (r *ranking) guides() bool { return len(r.order) > 0 }
