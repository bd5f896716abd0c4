// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"
)

// spreading is how the content of a pool is divided where that is not by cost
// alone. Nil is by cost alone.
//
// It has the divisions of loads. Where there is none, the edge to which the load falls
// has all of it.
type spreading map[loadKey]*division

// A load is what a PID's clients ask for of the content that falls to one edge, by
// requests of one kind, per second.
type load struct {
	pool int
	key  loadKey
	rate float64
}

// compare orders loads by what they are of, then by edge.
func (l *load) compare(m *load) int {
	return cmp.Or(l.compareRequests(m), cmp.Compare(l.key.edge, m.key.edge))
}

// compareRequests orders loads by what they are of: pool, PID and kind. Those that
// are equal differ only by where they fall to.
func (l *load) compareRequests(m *load) int {
	a, b := &l.key, &m.key
	return cmp.Or(cmp.Compare(l.pool, m.pool), cmp.Compare(a.slot, b.slot), cmp.Compare(a.pid, b.pid), cmp.Compare(a.kind, b.kind))
}

// spread divides the demand that was measured among the edges, within their
// capacities and at the least cost to the networks, and says how in the plan.
// Where the edges to which it falls have the capacity, there is nothing to say.
func (r *Router) spread(p, before *plan) {
	began := time.Now()
	r.spreads++
	p.spreadAs(p.divide(p.demand(before), before))
	r.spreadTook = time.Since(began)
}

// spreadAs puts spreadings in force, by pool, in a plan that nobody has yet. Nil is
// by cost alone in all.
func (p *plan) spreadAs(of []spreading) {
	for i := range p.pools {
		if p.pools[i].spreading = nil; of != nil && p.pools[i].meter != nil {
			p.pools[i].spreading = of[i]
		}
	}
}

// demand is what has to be divided, and how much of it each edge can take.
type demand struct {
	loads    []load
	units    map[[2]int]float64 // of cost, by pool and slot
	capacity []float64          // by edge
}

// demand returns the demand that was measured, nil where each edge has the
// capacity for what falls to it.
func (p *plan) demand(before *plan) *demand {
	capacity := p.capacities()
	fallen := make([]float64, len(p.states)) // by edge
	astray := false                          // some falls to an edge that has gone
	for i := range p.pools {
		if m := p.pools[i].meter; m != nil {
			for e := range m.trends {
				fallen[e] += m.trends[e].rate
				astray = astray || m.trends[e].rate > 0 && p.narrowed(i, int32(e))
			}
		}
	}
	if !astray && fits(fallen, capacity, before) {
		return nil
	}
	d := &demand{capacity: capacity}
	for i := range p.pools {
		m := p.pools[i].meter
		if m == nil {
			continue
		}
		m.each(func(slot int, pid pidIndex, of *falls) {
			for _, f := range of.all() {
				if f.rate > 0 {
					d.loads = append(d.loads, load{i, loadKey{int32(slot), pid, f.edge, f.kind}, f.rate}) //nolint:gosec // a handful
				}
			}
		})
	}
	return d
}

// narrowed reports whether an edge may serve nobody, or not all whom it could serve a
// moment ago.
func (p *plan) narrowed(pool int, e int32) bool {
	s := &p.states[e]
	return s.gone() || s.shut() || p.router.pools[pool].bases[e] == nil ||
		slices.ContainsFunc(oneOfEach[:], func(client netip.Addr) bool { return s.down(client) && !p.pools[pool].inPanic(client) })
}

// capacities returns what is left of each edge's capacity for clients that go
// where costs say.
func (p *plan) capacities() []float64 {
	capacity := make([]float64, len(p.states))
	for e := range capacity {
		_, pinned := p.traffic(e)
		capacity[e] = max(p.states[e].capacity-pinned, 0)
	}
	return capacity
}

// fits reports whether every edge has the capacity for what falls to it. Once that
// was not so, there must be a little room to spare.
func fits(falls, capacity []float64, before *plan) bool {
	full := 1.0
	if slices.ContainsFunc(before.pools, func(s poolState) bool { return s.spreading != nil }) {
		full = roomToSpare
	}
	for e := range falls {
		if falls[e] > capacity[e]*full {
			return false
		}
	}
	return true
}

// roomToSpare is how full the fullest edge may be for the spreading to end.
const roomToSpare = 0.95

// prepare puts loads in order. What falls to an edge that may not serve it any more
// falls to those that are the cheapest then.
func (p *plan) prepare(d *demand) {
	p.unit(d)
	order := func(a, b load) int { return a.compare(&b) }
	slices.SortFunc(d.loads, order)
	prices := newPrices(p, d)
	var more []load
	for i := range d.loads {
		if l := &d.loads[i]; p.narrowed(l.pool, l.key.edge) && math.IsInf(prices.of(l)[l.key.edge], 1) {
			more = append(more, prices.cheapest(l)...)
			l.rate = 0
		}
	}
	if more == nil {
		return
	}
	d.loads = append(d.loads, more...)
	slices.SortStableFunc(d.loads, order)
	sum := d.loads[:0]
	for _, l := range d.loads {
		if n := len(sum); n > 0 && l.compare(&sum[n-1]) == 0 {
			sum[n-1].rate += l.rate
		} else {
			sum = append(sum, l)
		}
	}
	d.loads = slices.DeleteFunc(sum, func(l load) bool { return l.rate == 0 })
}

// unit finds what an ordinary cost is to a pool in each source: the mean of the
// defined ones, each PID as often as it asks. Costs of different sources have
// nothing to do with each other.
func (p *plan) unit(d *demand) {
	d.units = make(map[[2]int]float64)
	rates := make(map[[2]int][]float64) // by pool and slot, then by PID
	for i := range d.loads {
		l := &d.loads[i]
		if l.key.slot < 0 {
			continue
		}
		at := [2]int{l.pool, int(l.key.slot)}
		if rates[at] == nil {
			rates[at] = make([]float64, p.guidance[l.key.slot].maps.Network.PIDs())
		}
		rates[at][l.key.pid] += l.rate
	}
	for at, rates := range rates {
		var sum, weight float64
		for _, t := range p.router.pools[at[0]].tiers {
			groups := p.guidance[at[1]].rankings[t.index].groups
			for i := range groups {
				for pid, c := range groups[i].costs {
					if rate := rates[pid]; rate > 0 && !math.IsNaN(c) {
						sum, weight = sum+rate*math.Abs(c), weight+rate
					}
				}
			}
		}
		if d.units[at] = 1; sum > 0 {
			d.units[at] = sum / weight
		}
	}
}
