// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"slices"
)

// Shift is how much new guidance of a source would move.
type Shift struct {
	// Sampled is how many of the requests that Route decided last were decided
	// again, Moved how many of them would go to another edge. They are of all
	// pools, and of clients that other sources place, too: what counts is how
	// much of the traffic edges and networks would see move, not how much of
	// what a source says changes. Few have been sampled after a start, or all
	// night.
	Sampled, Moved int
	// Uncosted are the edges that have some defined cost in the source's
	// guidance in force and would have none, by name, sorted.
	Uncosted []string
	// Moves are the largest ten, from the largest.
	Moves []Move
}

// A Move is traffic that goes from one edge to another. No edge is "".
type Move struct {
	From, To string
	Count    int // of the requests sampled
}

// Share returns the share of the sampled requests that would move, from 0 to 1.
// It is 0 where none was sampled, which says nothing.
func (s Shift) Share() float64 {
	if s.Sampled == 0 {
		return 0
	}
	return float64(s.Moved) / float64(s.Sampled)
}

// maxMoves is how many moves a Shift names.
const maxMoves = 10

// Shift tells what Update would do with a source's new guidance, or nil for
// none: it decides a sample of the requests decided last both ways. Nothing is
// put in force or counted, and no request waits for it.
//
// Where guidance comes in by Introduce, the requests are decided as they are at
// that moment, in part by it. Capacities are left out on both sides: what costs
// say is compared, as the division of what is too much for an edge is made anew
// every second. Guidance that is turned off by hand is taken as on, since it will
// be on again, and by then the maps are in force. Errors are those of Update.
func (r *Router) Shift(source string, m *Maps) (Shift, error) {
	at, err := r.check(source, m)
	if err != nil {
		return Shift{}, err
	}
	now := *r.plan.Load()
	now.pools = slices.Clone(now.pools)
	for i := range now.pools {
		now.pools[i].meter, now.pools[i].spreading = nil, nil
		now.pools[i].guidanceOff = r.pools[i].GuidanceOff
	}
	with := now
	with.put(at, newGuidance(r, at, m))
	s := Shift{Uncosted: r.uncosted(now.guidance[at], with.guidance[at])}
	moves := make(map[Move]int)
	for _, q := range r.sample.all() {
		s.Sampled++
		if from, to := now.again(q), with.again(q); from != to {
			s.Moved++
			moves[Move{From: from, To: to}]++
		}
	}
	for move, n := range moves {
		move.Count = n
		s.Moves = append(s.Moves, move)
	}
	slices.SortFunc(s.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	s.Moves = slices.Clip(s.Moves[:min(len(s.Moves), maxMoves)])
	return s, nil
}

// again decides a request that was sampled and returns the name of the edge.
func (p *plan) again(s sampled) string {
	q := Query{Client: s.client, Path: s.path, RawQuery: s.rawQuery, Host: s.host, HTTPS: s.https}
	if d := p.choose(s.pool, &q, nil); d.Edge != nil {
		return d.Edge.Name
	}
	return ""
}

// uncosted returns the edges that have a cost now and would have none with other
// guidance.
func (r *Router) uncosted(now, with *guidance) (names []string) {
	costs := func(g *guidance, e int) bool { return g != nil && g.maps.Costs[0].defines(g.pids[e]) }
	for e := range r.edges {
		if costs(now, e) && !costs(with, e) {
			names = append(names, r.edges[e].Name)
		}
	}
	return names
}
