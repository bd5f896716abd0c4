// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/altoroute/caddy-alto/internal/mincost"
)

// TestAlikeEdges: of edges that are planned as one each has what it can do, first of
// what falls to it.
func TestAlikeEdges(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}}
	capacity := map[string]float64{"a": 400, "b": 100, "c": 100, "d": 100}
	for _, name := range []string{"a", "b", "c", "d"} {
		e := edgeAt(name, "here")
		e.Capacity = capacity[name]
		cfg.Edges = append(cfg.Edges, e)
	}
	cfg.Edges = append(cfg.Edges, edgeAt("far", "there"))
	made := func() *Router {
		return mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there 172.16.0.0/12"}, "here here 1", "there here 2")
	}
	r := made()
	if n := len(r.plan.Load().sites(make([]float64, 5)).edges); n != 2 {
		t.Errorf("%d sites of edges in two PIDs", n)
	}
	got := served(t, r, 30, 1000, film)
	for name, want := range capacity {
		if math.Abs(float64(got[name])-want) > 0.15*want {
			t.Errorf("%v: %s can do %v", got, name, want)
		}
	}
	if got := served(t, made(), 30, 600, film); got["far"] > 15 || got["b"] > 115 {
		t.Errorf("%v: there is room for all in their PID", got)
	}
}

// TestSettle divides at random among sites and their edges.
func TestSettle(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 4))
		edges := 2 + rng.IntN(12)
		s := &sites{of: make([]int, edges)}
		d := &demand{capacity: make([]float64, edges)}
		for e := range edges {
			if e == 0 || rng.IntN(2) == 0 {
				s.edges, s.capacity = append(s.edges, nil), append(s.capacity, 0)
			}
			site := rng.IntN(len(s.edges))
			if len(s.edges[len(s.edges)-1]) == 0 {
				site = len(s.edges) - 1
			}
			s.of[e] = site
			s.edges[site] = append(s.edges[site], int32(e))
			d.capacity[e] = 50 + 500*rng.Float64()
			s.capacity[site] += d.capacity[e]
		}
		divided := make(spreading)
		var all, capacity float64
		for pid := range 10 {
			for e := range edges {
				if rng.IntN(3) > 0 {
					continue
				}
				l := load{0, loadKey{0, pidIndex(pid), int32(e), anyKind}, 100 * rng.ExpFloat64()}
				d.loads = append(d.loads, l)
				if rng.IntN(2) == 0 {
					divided[l.key] = &division{int32(e), []part{{whole / 3, int32(rng.IntN(edges))}, {whole, int32(e)}}}
				}
				all += l.rate
			}
		}
		for _, c := range d.capacity {
			capacity += c
		}
		settled := newSettlement(s, d, &plan{pools: []poolState{{spreading: divided}}})
		p := mincost.Problem{Capacity: s.capacity, Move: moveCost}
		for i := range settled.rows {
			row := &settled.rows[i]
			cost := make([]float64, len(s.edges))
			for c := range cost {
				cost[c] = rng.Float64()
			}
			p.Demand, p.Cost, p.Stay = append(p.Demand, row.rate), append(p.Cost, cost), append(p.Stay, settled.bySite(row))
		}
		for i, flow := range p.Solve() {
			settled.share(&settled.rows[i], p.Stay[i], flow)
		}
		for i := range s.edges {
			settled.even(i)
		}
		has := make([]float64, edges)
		for i, flow := range settled.flows() {
			var sum float64
			for _, x := range flow {
				has[x.edge] += x.rate
				sum += x.rate
			}
			if rate := d.loads[i].rate; math.Abs(sum-rate) > 1e-6*rate {
				t.Errorf("seed %d: of %v there are %v", seed, rate, sum)
			}
		}
		for e, x := range has {
			if x > d.capacity[e]*max(1, all/capacity)*(1+1e-6) {
				t.Errorf("seed %d: edge %d has %v and can do %v; all is %v of %v", seed, e, x, d.capacity[e], all, capacity)
			}
		}
		if t.Failed() {
			t.Fatal(fmt.Sprint(s.edges))
		}
	}
}
