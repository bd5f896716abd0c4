// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/internal/mincost"
)

// spreading is how the content of a pool is divided where that is not by cost
// alone. Nil is by cost alone.
type spreading struct {
	of map[loadKey]*division
	// as says which kinds of requests were planned as one, because the same edges
	// are open to them: each has the first of its like.
	as [kinds]kind
}

// division returns the division of a load, nil where the edge to which it falls
// has all of it.
func (s *spreading) division(key loadKey) *division {
	if s == nil {
		return nil
	}
	key.kind = s.as[key.kind]
	return s.of[key]
}

func (s *spreading) divisions() int {
	if s == nil {
		return 0
	}
	return len(s.of)
}

// follow returns the spreading for a plan with new guidance.
func (s *spreading) follow(gone []int, now *guidance, before ...*guidance) *spreading {
	if s == nil {
		return nil
	}
	return &spreading{follow(s.of, gone, now, before...), s.as}
}

// A load is what a PID's clients ask for of the content that falls to one edge, by
// requests of one kind.
type load struct {
	key  loadKey
	pool *pool
	rate float64   // requests per second
	cost []float64 // by edge, +Inf where it may not serve
}

// The steps of cost between edges that costs cannot compare, in units of an
// ordinary cost: a parent is dearer than any edge, an edge that is down in a
// panic is dearer than any parent, and an undefined cost than any defined one.
const (
	undefinedStep = 10
	tierStep      = 100
	downStep      = 10_000
)

// moveCost is what moving content costs, in units of an ordinary cost: it is
// not worth a hundredth.
const moveCost = 0.01

// spread divides the demand that was measured among the edges, within their
// capacities and at the least cost to the networks, and says how in the plan.
// Where the cheapest edges have the capacity, there is nothing to say.
func (r *Router) spread(p, before *plan) {
	defer func(began time.Time) { r.spreadTook = time.Since(began) }(time.Now())
	capacity := r.capacities(p)
	loads := r.loads(p)
	for i := range p.pools {
		p.pools[i].spreading = nil
	}
	if fits(loads, capacity, before) {
		return
	}
	problem := mincost.Problem{Capacity: capacity, Move: moveCost}
	divisions := make([]*division, len(loads))
	for i := range loads {
		l := &loads[i]
		divisions[i] = before.pools[l.pool.index].spreading.division(l.key)
		problem.Demand = append(problem.Demand, l.rate)
		problem.Cost = append(problem.Cost, l.cost)
		problem.Stay = append(problem.Stay, l.stay(divisions[i]))
	}
	for i, flow := range problem.Solve() {
		l := &loads[i]
		if d := divisions[i].divide(l.key.edge, flow); d != nil {
			s := &p.pools[l.pool.index].spreading
			if *s == nil {
				*s = &spreading{make(map[loadKey]*division), p.alike(l.pool)}
			}
			(*s).of[l.key] = d
		}
	}
}

// capacities returns what is left of each edge's capacity for clients that go
// where costs say.
func (r *Router) capacities(p *plan) []float64 {
	capacity := make([]float64, len(p.states))
	for e := range capacity {
		_, pinned := p.traffic(e)
		capacity[e] = max(p.states[e].capacity-pinned, 0)
	}
	return capacity
}

// fits reports whether every edge has the capacity for what falls to it by
// cost. Once that was not so, there must be a little room to spare.
func fits(loads []load, capacity []float64, before *plan) bool {
	full := 1.0
	if slices.ContainsFunc(before.pools, func(s poolState) bool { return s.spreading != nil }) {
		full = roomToSpare
	}
	sum := make([]float64, len(capacity))
	for i := range loads {
		sum[loads[i].key.edge] += loads[i].rate
	}
	for e := range sum {
		if sum[e] > capacity[e]*full {
			return false
		}
	}
	return true
}

// roomToSpare is how full the fullest edge may be for the spreading to end.
const roomToSpare = 0.95

// loads returns all demand that is measured. Costs of different sources have
// nothing to do with each other; each is counted in units of what is ordinary
// with it.
func (r *Router) loads(p *plan) []load {
	var loads []load
	for i, pool := range r.pools {
		m := p.pools[i].meter
		if m == nil {
			continue
		}
		as := p.alike(pool)
		add := func(slot int, pid pidIndex, asked *[kinds]counter, unit float64) {
			var of [kinds]float64
			for k := range asked {
				of[as[k]] += asked[k].rate
			}
			for k, rate := range of {
				if rate > 0 {
					loads = append(loads, p.loadsOf(pool, loadKey{slot: int32(slot), pid: pid, kind: kind(k)}, rate, unit)...) //nolint:gosec // a handful
				}
			}
		}
		for slot, asked := range m.asked {
			if asked == nil {
				continue
			}
			unit := p.unit(pool, p.guidance[slot], asked)
			for pid := range asked.pids {
				add(slot, pidIndex(pid), &asked.pids[pid], unit)
			}
		}
		add(-1, noPID, &m.unplaced, 1)
	}
	return loads
}

// alike returns, for each kind of request, the first one to which the same edges of
// a pool are open.
func (p *plan) alike(pool *pool) (as [kinds]kind) {
	for k := range kind(kinds) {
		for as[k] = 0; as[k] < k; as[k]++ {
			if !slices.ContainsFunc(pool.edges, func(e int32) bool {
				return p.bars(pool, k, e) != p.bars(pool, as[k], e) || p.states[e].down(k.client()) != p.states[e].down(as[k].client())
			}) {
				break
			}
		}
	}
	return as
}

// bars reports whether an edge may not serve any request of a kind.
func (p *plan) bars(pool *pool, k kind, e int32) bool {
	return p.states[e].gone() || k&byHTTPS != 0 && pool.bases[e].Scheme == "http" || !p.router.edges[e].Family.serves(k.client())
}

// unit returns what an ordinary cost is in a source: the mean of the defined
// ones, each PID as often as it asks.
func (p *plan) unit(pool *pool, g *guidance, asked *pidMeter) float64 {
	var sum, weight float64
	for _, t := range pool.tiers {
		for i := range g.rankings[t.index].groups {
			group := &g.rankings[t.index].groups[i]
			for pid := range asked.pids {
				c := group.cost(pidIndex(pid))
				if math.IsNaN(c) {
					continue
				}
				for k := range asked.pids[pid] {
					rate := asked.pids[pid][k].rate
					sum, weight = sum+rate*math.Abs(c), weight+rate
				}
			}
		}
	}
	if sum == 0 {
		return 1
	}
	return sum / weight
}

// loadsOf prices the content of a PID's clients at each edge, and divides it
// among those to which it falls by cost alone, by their weights.
func (p *plan) loadsOf(pool *pool, key loadKey, rate, unit float64) []load {
	cost := make([]float64, len(p.states))
	for e := range cost {
		cost[e] = math.Inf(1)
	}
	for i, t := range pool.tiers {
		p.priceTier(cost, pool, t, key, unit)
		for _, e := range t.edges {
			cost[e] += float64(i) * tierStep
			if _, ok := p.demoted[key.at(e)]; ok {
				cost[e] += undefinedStep
			}
			switch {
			case p.bars(pool, key.kind, e):
				cost[e] = math.Inf(1)
			case !p.states[e].down(key.kind.client()):
			case p.pools[pool.index].inPanic:
				cost[e] += downStep
			default:
				cost[e] = math.Inf(1)
			}
		}
	}
	var loads []load
	var weights float64
	least := slices.Min(cost)
	for e, c := range cost {
		if c == least && !math.IsInf(c, 1) {
			weight := float64(p.router.edges[e].weight)
			weights += weight
			key.edge = int32(e)
			loads = append(loads, load{key: key, pool: pool, rate: rate * weight, cost: cost})
		}
	}
	for i := range loads {
		loads[i].rate /= weights
	}
	return loads
}

// priceTier finds the costs of a tier's edges by themselves, 0 for the best.
func (p *plan) priceTier(cost []float64, pool *pool, t *tier, key loadKey, unit float64) {
	if key.slot < 0 || !p.guidance[key.slot].rankings[t.index].defined(key.pid) {
		for _, e := range t.edges {
			cost[e] = 0
			if key.slot >= 0 && p.guidance[key.slot].pids[e] != key.pid {
				cost[e] = 1 // as SamePID has it
			}
		}
		return
	}
	r, pid := p.guidance[key.slot].rankings[t.index], key.pid
	order := r.of(pid)
	least := r.groups[order[0]].cost(pid)
	for _, i := range order {
		// As in a contest, the band is that of the cheapest edge that may serve.
		if slices.ContainsFunc(r.groups[i].edges, func(e int32) bool {
			return !p.bars(pool, key.kind, e) && !p.states[e].down(key.kind.client())
		}) {
			least = r.groups[i].cost(pid)
			break
		}
	}
	limit := r.info.limit(least, pool.Tolerance)
	worst := 0.0
	for rank, i := range order {
		g := &r.groups[i]
		c := worst + undefinedStep
		if is := g.cost(pid); !math.IsNaN(is) {
			switch {
			case !r.info.better(limit, is): // those before it in the order may not serve
				c = 0
			case r.info.OrderOnly:
				c = float64(rank)
			default:
				c = min(math.Abs(is-least)/unit, tierStep/2)
			}
			worst = c
		}
		for _, e := range g.edges {
			cost[e] = c
		}
	}
}

// stay returns where the load is now: with the edge to which it falls, unless
// it is divided.
func (l *load) stay(d *division) []float64 {
	stay := make([]float64, len(l.cost))
	if d == nil {
		stay[l.key.edge] = l.rate
		return stay
	}
	begin := uint64(0)
	for _, p := range d.parts {
		stay[p.edge] += l.rate * float64(p.end-begin) / whole
		begin = p.end
	}
	return stay
}
