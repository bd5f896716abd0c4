// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"math"
	"math/bits"
)

// unbounded is a capacity that is never reached.
const unbounded = math.MaxInt64 / 4

// An oracle solves a problem of small integers slowly, exactly and by other
// means: it tries all sets of columns for the most overloaded, as often as there
// is one, and then runs the textbook's algorithm on the graph with all nodes.
type oracle struct {
	scale    int64   // what all amounts are multiplied by, so that capacities stay integers
	capacity []int64 // by column, as it has to be raised
	raised   []bool  // by column
	cost     func() float64
	sets     int // how many there were, with different factors
}

func newOracle(p *Problem) *oracle {
	rows, cols := len(p.Demand), len(p.Capacity)
	o := &oracle{scale: 1, raised: make([]bool, cols)}
	allowed := make([]uint, rows) // sets of columns
	capacity := make([]int64, cols)
	for c, x := range p.Capacity {
		capacity[c] = unbounded
		if !math.IsInf(x, 1) {
			capacity[c] = int64(x)
		}
	}
	for r := range rows {
		for c, x := range p.Cost[r] {
			if !math.IsInf(x, 1) {
				allowed[r] |= 1 << c
			}
		}
	}
	// numerator and denominator of each column's factor
	num, den := make([]int64, cols), make([]int64, cols)
	hopeless := make([]bool, rows)
	left := uint(1)<<cols - 1 // columns without a factor yet
	placed := make([]bool, rows)
	for {
		// The set with the greatest quotient of the demand that can be nowhere
		// else and the capacity; the largest of these.
		var best uint
		var bestDemand, bestCapacity int64
		for set := left; set > 0; set = (set - 1) & left {
			var d, k int64
			for r := range rows {
				if !placed[r] && allowed[r]&left != 0 && allowed[r]&left&^set == 0 {
					d += int64(p.Demand[r])
				}
			}
			for c := range cols {
				if set>>c&1 == 1 {
					k = min(unbounded, k+capacity[c])
				}
			}
			if k == unbounded || d <= k {
				continue
			}
			diff := d*bestCapacity - bestDemand*k
			if best == 0 || diff > 0 || diff == 0 && bits.OnesCount(set) > bits.OnesCount(best) {
				best, bestDemand, bestCapacity = set, d, k
			}
		}
		if best == 0 {
			break
		}
		o.sets++
		for r := range rows {
			if !placed[r] && allowed[r]&left != 0 && allowed[r]&left&^best == 0 {
				placed[r] = true
				hopeless[r] = bestCapacity == 0
			}
		}
		for c := range cols {
			if best>>c&1 == 1 {
				num[c], den[c] = bestDemand, bestCapacity
				o.raised[c] = bestCapacity > 0
			}
		}
		if bestCapacity > 0 {
			o.scale *= bestCapacity
		}
		left &^= best
	}
	for c := range cols {
		k := capacity[c]
		switch {
		case k == unbounded:
		case o.raised[c]:
			k = k * num[c] * (o.scale / den[c])
		case den[c] == 0 && num[c] > 0:
			k = unbounded // for the rows that have nothing else
		default:
			k *= o.scale
		}
		o.capacity = append(o.capacity, k)
	}
	o.cost = func() float64 {
		g := newGraph(rows + cols + 2)
		source, sink := rows+cols, rows+cols+1
		for r := range rows {
			if allowed[r] != 0 {
				g.arc(source, r, int64(p.Demand[r])*o.scale, 0)
			}
			for c := range cols {
				if allowed[r]>>c&1 == 0 || capacity[c] == 0 && !hopeless[r] {
					continue
				}
				g.arc(r, rows+c, int64(mayStay(p, r)[c])*o.scale, int64(p.Cost[r][c]))
				g.arc(r, rows+c, unbounded, int64(p.Cost[r][c]+p.Move))
			}
		}
		for c := range cols {
			g.arc(rows+c, sink, o.capacity[c], 0)
		}
		return float64(g.flow(source, sink)) / float64(o.scale)
	}
	return o
}

// graph is one for the minimum-cost flow.
type graph struct {
	nodes int
	arcs  []arc // each followed by its reverse
}

type arc struct {
	from, to   int
	room, cost int64
}

func newGraph(nodes int) *graph { return &graph{nodes: nodes} }

func (g *graph) arc(from, to int, room, cost int64) {
	g.arcs = append(g.arcs, arc{from, to, room, cost}, arc{to, from, 0, -cost})
}

// flow sends as much as it can from source to sink at the least cost and
// returns that.
func (g *graph) flow(source, sink int) (cost int64) {
	for {
		distance, by := make([]int64, g.nodes), make([]int, g.nodes)
		for i := range distance {
			distance[i] = unbounded
		}
		distance[source] = 0
		for again := true; again; {
			again = false
			for i, a := range g.arcs {
				if a.room > 0 && distance[a.from] < unbounded && distance[a.from]+a.cost < distance[a.to] {
					distance[a.to], by[a.to], again = distance[a.from]+a.cost, i, true
				}
			}
		}
		if distance[sink] == unbounded {
			return cost
		}
		x := int64(unbounded)
		for n := sink; n != source; n = g.arcs[by[n]].from {
			x = min(x, g.arcs[by[n]].room)
		}
		for n := sink; n != source; n = g.arcs[by[n]].from {
			g.arcs[by[n]].room -= x
			g.arcs[by[n]^1].room += x
		}
		cost += x * distance[sink]
	}
}
