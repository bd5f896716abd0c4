// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"slices"
)

// The steps of cost between edges that costs cannot compare, in units of an
// ordinary cost: a parent is dearer than any edge, an edge that is down in a
// panic is dearer than any parent, and an undefined cost than any defined one.
const (
	undefinedStep = 10
	tierStep      = 100
	downStep      = 10_000
)

// prices tells what the content of loads costs at each edge. Loads are to be asked
// for in order: those that are alike have the same prices.
type prices struct {
	plan   *plan
	demand *demand
	last   *load
	cost   []float64 // by edge
}

func newPrices(p *plan, d *demand) *prices {
	return &prices{plan: p, demand: d, cost: make([]float64, len(p.states))}
}

// of returns the costs by edge, 0 for the best and +Inf where it may not serve.
// They hold until the next question.
func (x *prices) of(l *load) []float64 {
	if x.last != nil && x.last.compareRequests(l) == 0 {
		return x.cost
	}
	x.last = l
	p, pool := x.plan, x.plan.router.pools[l.pool]
	for e := range x.cost {
		x.cost[e] = math.Inf(1)
	}
	unit := x.demand.units[[2]int{l.pool, int(l.key.slot)}]
	for i, t := range pool.tiers {
		p.priceTier(x.cost, pool, t, l.key, unit)
		for _, e := range t.edges {
			x.cost[e] += float64(i) * tierStep
			if _, ok := p.demoted[l.key.at(e)]; ok {
				x.cost[e] += undefinedStep
			}
			switch {
			case p.bars(pool, l.key.kind, e):
				x.cost[e] = math.Inf(1)
			case !p.states[e].down(l.key.kind.client()):
			case p.pools[pool.index].inPanic(l.key.kind.client()):
				x.cost[e] += downStep
			default:
				x.cost[e] = math.Inf(1)
			}
		}
	}
	return x.cost
}

// cheapest divides a load among the edges that are the cheapest, by their weights.
// There may be none.
func (x *prices) cheapest(l *load) (loads []load) {
	cost := x.of(l)
	least := slices.Min(cost)
	var weights float64
	for e, c := range cost {
		if c == least && !math.IsInf(c, 1) {
			made := *l
			made.key.edge = int32(e)
			made.rate *= float64(x.plan.router.edges[e].weight)
			weights += float64(x.plan.router.edges[e].weight)
			loads = append(loads, made)
		}
	}
	for i := range loads {
		loads[i].rate /= weights
	}
	return loads
}

// row returns the costs by site of content that falls to one of them. All that are
// cheaper have refused it, and so do those that take no more than falls to them.
func (x *prices) row(s *sites, falls int32) []float64 {
	row := make([]float64, len(s.edges))
	for i, edges := range s.edges {
		e := edges[0]
		row[i] = x.cost[e]
		if i == s.of[falls] {
			continue
		}
		state := &x.plan.states[e]
		if _, demoted := x.plan.demoted[x.last.key.at(e)]; demoted || state.leaving() || row[i] < x.cost[falls] {
			row[i] = math.Inf(1)
		} else if state.passing() {
			row[i] += undefinedStep
		}
	}
	return row
}

// bars reports whether an edge may not serve any request of a kind, or says that it
// cannot.
func (p *plan) bars(pool *pool, k kind, e int32) bool {
	return p.states[e].gone() || p.states[e].shut() || k&pool.classOf[e] != 0 || k&byHTTPS != 0 && pool.bases[e].Scheme == "http" || !p.router.edges[e].Family.serves(k.client())
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
