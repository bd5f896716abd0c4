// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"net/netip"
)

// A spot is a rung of the ladder: a PID that may stand for a client.
type spot struct {
	how      Placement
	guidance *guidance // nil when nothing at all was found
	pid      pidIndex
	place    *Place
	byPrefix bool // bits is the length of the prefix that matched
	bits     int
}

// cost returns what an edge costs a client at this spot, NaN when undefined.
func (s *spot) cost(edge int32) float64 {
	if s.guidance == nil {
		return math.NaN()
	}
	if row := s.guidance.maps.Costs[0].rows[s.guidance.pids[edge]]; row != nil {
		return row[s.pid]
	}
	return math.NaN()
}

// edgePID returns the PID in which an edge lies as this spot's guidance has it,
// noPID where there is none.
func (s *spot) edgePID(edge int32) pidIndex {
	if s.guidance == nil {
		return noPID
	}
	return s.guidance.pids[edge]
}

// near reports whether an edge lies in the first PID found, where no cost decides.
func (s *spot) near(edge int32) bool {
	return s.how == Unplaced && s.guidance != nil && s.guidance.pids[edge] == s.pid
}

// place walks down the ladder to the first PID that has a defined cost from
// some edge of the pool. Where none has, it returns the first PID found, as
// Unplaced. The guidance is by source.
func (p *plan) place(by []*guidance, pool *pool, client netip.Addr) spot {
	l := ladder{pool: pool}
	var room [4]spot // more sources than this cost an allocation
	for _, s := range prefixes(by, client, room[:0]) {
		if l.try(s) {
			return s
		}
	}
	if p.locator != nil && client.IsValid() {
		// Only now: it is the slow rung.
		if place := p.locator.Locate(client); place != nil {
			l.place = place
			for _, name := range place.PIDs {
				if s := p.named(by, ByGeo, name); l.try(s) {
					s.place = place
					return s
				}
			}
		}
	}
	for _, g := range by {
		if g == nil || !g.source.covers(client) {
			continue
		}
		if s := (spot{how: ByCatchAll, guidance: g, pid: g.maps.Network.catchAll(client), byPrefix: true}); l.try(s) {
			return s
		}
	}
	if s := p.named(by, ByDefault, p.router.def); l.try(s) {
		return s
	}
	s := l.first
	s.how, s.place = Unplaced, l.place
	return s
}

// ladder remembers the first PID found on the way down.
type ladder struct {
	pool  *pool
	first spot
	place *Place
}

// try reports whether a rung bears: its PID has a defined cost.
func (l *ladder) try(s spot) bool {
	if s.guidance == nil || s.pid == noPID {
		return false
	}
	if l.first.guidance == nil {
		l.first = s
	}
	for _, t := range l.pool.tiers {
		if s.guidance.rankings[t.index].defined(s.pid) {
			return true
		}
	}
	return false
}

// prefixes appends the longest matching prefix of each source that may speak
// for the client, the longest first, of equal ones that of the earlier source.
// Catch-alls are not among them.
func prefixes(by []*guidance, client netip.Addr, rungs []spot) []spot {
	for _, g := range by {
		if g == nil || !g.source.covers(client) {
			continue
		}
		at, ok := g.maps.Network.table.Lookup(client)
		if !ok {
			continue
		}
		rungs = append(rungs, spot{how: ByPrefix, guidance: g, pid: at.pid(), byPrefix: true, bits: at.bits()})
		for i := len(rungs) - 1; i > 0 && rungs[i].bits > rungs[i-1].bits; i-- {
			rungs[i], rungs[i-1] = rungs[i-1], rungs[i]
		}
	}
	return rungs
}

// covers reports whether the source may speak for the client.
func (s *source) covers(client netip.Addr) bool {
	return s.only == nil || s.only.Lookup(client)
}

// named returns the rung of a PID that was named outright. The operator named
// it, so that the source's own space does not matter.
func (p *plan) named(by []*guidance, how Placement, name SourcePID) spot {
	s := spot{how: how, pid: noPID}
	i := p.router.source(name.Source)
	if name.Source == "" && len(by) == 1 {
		i = 0
	}
	if i >= 0 && by[i] != nil {
		s.guidance = by[i]
		s.pid = s.guidance.maps.Network.pid(name.PID)
	}
	return s
}
