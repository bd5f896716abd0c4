// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"slices"

	"github.com/altoroute/caddy-alto/internal/mincost"
)

// moveCost is what moving content costs, in units of an ordinary cost: it is
// not worth a hundredth.
const moveCost = 0.01

// divide divides the demand, which may be nil, among sites at the least cost, and what
// sites have among their edges. It returns the spreadings by pool, nil where there is
// nothing to divide. It reads nothing that changes, and may take long.
func (p *plan) divide(d *demand, before *plan) []spreading {
	if d == nil {
		return nil
	}
	p.prepare(d)
	fallen := make([]float64, len(p.states)) // by edge
	for i := range d.loads {
		fallen[d.loads[i].key.edge] += d.loads[i].rate
	}
	if fits(fallen, d.capacity, before) {
		return nil
	}
	s := newSettlement(p.sites(d.capacity), d, before)
	problem := mincost.Problem{Capacity: slices.Clone(s.sites.capacity), Move: moveCost}
	rows := s.urgent(p, problem.Capacity)
	prices := newPrices(p, d)
	for _, i := range rows {
		row := &s.rows[i]
		first := &d.loads[row.begin]
		_ = prices.of(first)
		problem.Demand = append(problem.Demand, row.rate)
		problem.Cost = append(problem.Cost, prices.row(s.sites, first.key.edge))
		problem.Stay = append(problem.Stay, s.bySite(row))
	}
	for i, flow := range problem.Solve() {
		s.share(&s.rows[rows[i]], problem.Stay[i], flow)
	}
	for i := range s.edges {
		s.even(i)
	}
	made := make([]spreading, len(p.pools))
	for i, flow := range s.flows() {
		l := &d.loads[i]
		if d := before.pools[l.pool].spreading[l.key].divide(l.key.edge, flow); d != nil {
			if made[l.pool] == nil {
				made[l.pool] = make(spreading)
			}
			made[l.pool][l.key] = d
		}
	}
	return made
}

// A settlement divides among the edges of sites what these have. What is where it
// falls, or has gone to before, stays as far as the edge has the capacity.
type settlement struct {
	*sites
	*demand
	rows   []row
	has    [][]piece // by site
	burden []float64 // by edge: what it has of all
}

// A row is the loads that are alike and fall to one site.
type row struct {
	begin, end int // of the loads
	rate       float64
	pieces     []piece
}

// A piece of a load is what an edge has of it.
type piece struct {
	load int
	amount
}

// loose is the edge of a piece that a site has and none of its edges yet.
const loose = -1

func newSettlement(s *sites, d *demand, before *plan) *settlement {
	t := &settlement{sites: s, demand: d, has: make([][]piece, len(s.edges)), burden: make([]float64, len(s.of))}
	slices.SortStableFunc(d.loads, func(a, b load) int {
		return cmp.Or(a.compareRequests(&b), cmp.Compare(s.of[a.key.edge], s.of[b.key.edge]))
	})
	for i := range d.loads {
		l := &d.loads[i]
		if i == 0 || l.compareRequests(&d.loads[i-1]) != 0 || s.of[l.key.edge] != s.of[d.loads[i-1].key.edge] {
			t.rows = append(t.rows, row{begin: i})
		}
		row := &t.rows[len(t.rows)-1]
		row.end = i + 1
		row.rate += l.rate
		for _, is := range before.pools[l.pool].spreading[l.key].amounts(l.key.edge, l.rate) {
			row.pieces = append(row.pieces, piece{i, is})
			t.burden[is.edge] += is.rate
		}
	}
	return t
}

// maxCells is how many rows times sites are planned for at a time: 16 MB in each of a
// handful of tables.
const maxCells = 2_000_000

// urgent returns the rows that are planned for. Where these would be too many, they are
// those at the fullest edges. The others stay where they are, which leaves less to the
// sites, and have their turn when those fit.
func (t *settlement) urgent(p *plan, capacity []float64) []int {
	rows := make([]int, len(t.rows))
	fullest := make([]float64, len(t.rows))
	for i := range rows {
		rows[i] = i
		for _, has := range t.rows[i].pieces {
			full := t.full(has.edge)
			if p.narrowed(t.loads[has.load].pool, has.edge) {
				full = math.Inf(1)
			}
			fullest[i] = max(fullest[i], full)
		}
	}
	most := max(maxCells/len(t.edges), 1)
	if len(rows) <= most {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		return cmp.Or(cmp.Compare(fullest[b], fullest[a]), cmp.Compare(t.rows[b].rate, t.rows[a].rate))
	})
	for _, i := range rows[most:] {
		for _, has := range t.rows[i].pieces {
			site := t.of[has.edge]
			capacity[site] = max(capacity[site]-has.rate, 0)
			t.has[site] = append(t.has[site], has)
		}
	}
	rows = rows[:most]
	slices.Sort(rows) // prices are the same for neighbours
	return rows
}

// bySite returns what sites have of a row at present.
func (t *settlement) bySite(r *row) []float64 {
	has := make([]float64, len(t.edges))
	for _, p := range r.pieces {
		has[t.of[p.edge]] += p.rate
	}
	return has
}

// share divides among its loads what sites are to have of a row, and had.
func (t *settlement) share(r *row, had, flow []float64) {
	// What is too much is taken from the edges that have the most for what they can.
	slices.SortStableFunc(r.pieces, func(a, b piece) int { return cmp.Compare(t.full(b.edge), t.full(a.edge)) })
	free := make([]float64, r.end-r.begin) // of each load
	for _, p := range r.pieces {
		site := t.of[p.edge]
		less := min(max(had[site]-flow[site], 0), p.rate)
		had[site] -= less
		free[p.load-r.begin] += less
		t.burden[p.edge] -= less
		if p.rate -= less; p.rate > 0 {
			t.has[site] = append(t.has[site], p)
		}
	}
	i := 0
	for site, rate := range flow {
		for more := rate - had[site]; more > 0 && i < len(free); {
			x := min(more, free[i])
			if x > 0 {
				more -= x
				free[i] -= x
				t.has[site] = append(t.has[site], piece{r.begin + i, amount{loose, x}})
			}
			if free[i] == 0 {
				i++
			}
		}
	}
}

// full returns how full an edge is.
func (t *settlement) full(e int32) float64 {
	if t.burden[e] == 0 {
		return 0
	}
	return t.burden[e] / t.demand.capacity[e]
}

// even divides what a site has among its edges, so that none has more than it can do
// while another has room; where all have more, in proportion to what they can. It
// moves large pieces first, so that few are moved.
func (t *settlement) even(site int) {
	edges, pieces := t.edges[site], t.has[site]
	if len(edges) == 1 {
		for i := range pieces {
			pieces[i].edge = edges[0]
		}
		return
	}
	var all float64
	for i := range pieces {
		all += pieces[i].rate
	}
	factor, crumb := max(1, all/t.sites.capacity[site]), 1e-9*all
	room := func(e int32) float64 { return t.demand.capacity[e]*factor - t.burden[e] }
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(b.rate, a.rate) })
	var moved []piece
	for i := range pieces {
		p := &pieces[i]
		excess := p.rate
		if p.edge != loose {
			excess = min(-room(p.edge), p.rate)
		}
		for excess > crumb {
			to := slices.MaxFunc(edges, func(a, b int32) int { return cmp.Compare(room(a), room(b)) })
			x := min(excess, room(to))
			if x <= crumb {
				if p.edge != loose {
					break
				}
				x = excess // there is no room but for crumbs
			}
			excess -= x
			p.rate -= x
			if p.edge != loose {
				t.burden[p.edge] -= x
			}
			t.burden[to] += x
			moved = append(moved, piece{p.load, amount{to, x}})
		}
	}
	t.has[site] = append(pieces, moved...)
}

// flows returns what edges are to have of each load.
func (t *settlement) flows() [][]amount {
	flows := make([][]amount, len(t.loads))
	for _, has := range t.has {
		for _, p := range has {
			if p.edge != loose && p.rate > 0 {
				flows[p.load] = append(flows[p.load], p.amount)
			}
		}
	}
	for i := range flows {
		flows[i] = sum(flows[i])
	}
	return flows
}
