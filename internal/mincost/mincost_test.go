// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var inf = math.Inf(1)

// total returns what a solution costs.
func total(p *Problem, flow [][]float64) (sum float64) {
	for r := range flow {
		for c, x := range flow[r] {
			if x == 0 {
				continue // where the cost may be infinite
			}
			sum += x * p.Cost[r][c]
			sum += p.Move * max(0, x-mayStay(p, r)[c])
		}
	}
	return sum
}

// mayStay returns a row of what may stay.
func mayStay(p *Problem, r int) []float64 {
	if len(p.Stay) == 0 || len(p.Stay[r]) == 0 {
		return make([]float64, len(p.Capacity))
	}
	return p.Stay[r]
}

func loads(p *Problem, flow [][]float64) []float64 {
	load := make([]float64, len(p.Capacity))
	for r := range flow {
		for c, x := range flow[r] {
			load[c] += x
		}
	}
	return load
}

func near(a, b, scale float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(scale)) }

// valid checks what holds for every solution: all demand is served, where it
// may be.
func valid(t *testing.T, p *Problem, flow [][]float64) {
	t.Helper()
	if len(flow) != len(p.Demand) {
		t.Fatalf("%d rows of %d", len(flow), len(p.Demand))
	}
	for r := range flow {
		var sum, want float64
		choice := false
		for c, x := range p.Cost[r] {
			choice = choice || !math.IsInf(x, 1) && p.Capacity[c] > 0
		}
		for c, x := range flow[r] {
			if x != 0 && choice && p.Capacity[c] == 0 {
				t.Errorf("row %d has %v at column %d, which has no capacity", r, x, c)
			}
			if !math.IsInf(p.Cost[r][c], 1) {
				want = p.Demand[r]
			} else if x != 0 {
				t.Errorf("row %d has %v at column %d, which may not serve it", r, x, c)
			}
			if x < 0 || math.IsNaN(x) || math.IsInf(x, 1) {
				t.Errorf("row %d has %v at column %d", r, x, c)
			}
			sum += x
		}
		if len(flow[r]) != len(p.Capacity) || math.Abs(sum-want) > 4*noise*want {
			t.Errorf("row %d has %v in %v, want %v", r, sum, flow[r], want)
		}
	}
}

// randomProblem has small integers for values, so that ties are frequent and
// the oracle is exact.
func randomProblem(rnd *rand.Rand) *Problem {
	rows, cols := rnd.IntN(8), rnd.IntN(5)+1
	p := &Problem{Move: float64(max(0, rnd.IntN(6)-1))}
	unlimited, allowed, costs, most := rnd.IntN(5), rnd.IntN(5)+1, rnd.IntN(12)+1, rnd.IntN(12)+1
	for range cols {
		x := float64(rnd.IntN(most))
		if rnd.IntN(10) < unlimited-1 {
			x = inf
		}
		p.Capacity = append(p.Capacity, x)
	}
	if rnd.IntN(4) > 0 {
		p.Stay = make([][]float64, rows)
	}
	for r := range rows {
		demand := rnd.IntN(10)
		p.Demand = append(p.Demand, float64(demand))
		cost := make([]float64, cols)
		for c := range cost {
			cost[c] = float64(rnd.IntN(costs))
			if rnd.IntN(6) >= allowed {
				cost[c] = inf
			}
		}
		p.Cost = append(p.Cost, cost)
		if p.Stay != nil && rnd.IntN(8) > 0 {
			p.Stay[r] = make([]float64, cols)
			for rest := rnd.IntN(demand + 1); rest > 0; {
				x := rnd.IntN(rest) + 1
				rest -= x
				p.Stay[r][rnd.IntN(cols)] += float64(x)
			}
		}
	}
	return p
}

func TestOracle(t *testing.T) {
	var overloaded, raised, ties int
	for seed := range uint64(60_000) {
		p := randomProblem(rand.New(rand.NewPCG(seed, 1)))
		flow := p.Solve()
		valid(t, p, flow)
		o := newOracle(p)
		want := o.cost()
		if got := total(p, flow); !near(got, want, want) {
			t.Errorf("it costs %v, the least is %v", got, want)
		}
		for c, x := range loads(p, flow) {
			scale := float64(o.scale)
			limit := inf
			if o.capacity[c] < unbounded {
				limit = float64(o.capacity[c]) / scale
			}
			if x > limit+1e-9 {
				t.Errorf("column %d has %v of %v", c, x, limit)
			}
			if o.raised[c] && !near(x, limit, limit) {
				t.Errorf("column %d has %v, its part is %v", c, x, limit)
			}
		}
		if slices.Contains(o.raised, true) {
			overloaded++
		}
		if o.sets > 1 {
			raised++
		}
		if p.Move > 0 && p.Stay != nil {
			ties++
		}
		if t.Failed() {
			t.Fatalf("seed %d: %+v\ngives %v", seed, p, flow)
		}
	}
	t.Logf("%d with an overload, %d with several, %d with a surcharge", overloaded, raised, ties)
	if min(overloaded, raised, ties) < 1000 {
		t.Error("there are too few of some kind to show anything")
	}
}

func TestSolve(t *testing.T) {
	tests := map[string]struct {
		p    Problem
		want [][]float64
	}{
		"nothing": {Problem{}, [][]float64{}},
		"no column": {
			Problem{Demand: []float64{1, 2}, Cost: [][]float64{{}, {}}},
			[][]float64{{}, {}},
		},
		"the cheapest, the first of equals": {
			Problem{Demand: []float64{3, 4}, Capacity: []float64{inf, 9, 9}, Cost: [][]float64{{2, 1, 1}, {0, 1, 2}}},
			[][]float64{{0, 3, 0}, {4, 0, 0}},
		},
		"nowhere to go": {
			Problem{Demand: []float64{3, 4}, Capacity: []float64{1, 9}, Cost: [][]float64{{inf, inf}, {0, 1}}},
			[][]float64{{0, 0}, {1, 3}},
		},
		"who loses least goes": {
			Problem{Demand: []float64{5, 5}, Capacity: []float64{5, 9}, Cost: [][]float64{{0, 3}, {0, 2}}},
			[][]float64{{5, 0}, {0, 5}},
		},
		"over a third column": {
			Problem{
				Demand: []float64{5, 5}, Capacity: []float64{3, 5, inf},
				Cost: [][]float64{{0, 1, inf}, {inf, 0, 1}},
			},
			[][]float64{{3, 2, 0}, {0, 3, 2}},
		},
		"an equal split stays": {
			Problem{
				Demand: []float64{10}, Capacity: []float64{inf, inf, inf}, Cost: [][]float64{{4, 4, 5}},
				Stay: [][]float64{{7, 3, 0}}, Move: 2,
			},
			[][]float64{{7, 3, 0}},
		},
		"an equal split stays for no surcharge": {
			Problem{
				Demand: []float64{10}, Capacity: []float64{inf, inf, inf}, Cost: [][]float64{{4, 4, 5}},
				Stay: [][]float64{{7, 2, 1}},
			},
			[][]float64{{8, 2, 0}},
		},
		"more than the demand stays": {
			Problem{
				Demand: []float64{4}, Capacity: []float64{inf, inf, inf}, Cost: [][]float64{{4, 4, 3}},
				Stay: [][]float64{{7, 2, 1}}, Move: 9,
			},
			[][]float64{{3, 0, 1}},
		},
		"to move does not pay": {
			Problem{
				Demand: []float64{4}, Capacity: []float64{inf, inf}, Cost: [][]float64{{4, 3}},
				Stay: [][]float64{{3, 0}}, Move: 2,
			},
			[][]float64{{3, 1}},
		},
		"who has not been there goes": {
			Problem{
				Demand: []float64{5, 5}, Capacity: []float64{5, 9}, Cost: [][]float64{{0, 3}, {0, 2.5}},
				Stay: [][]float64{nil, {4, 0}}, Move: 1,
			},
			[][]float64{{1, 4}, {4, 1}},
		},
		"overload of all": {
			Problem{Demand: []float64{20, 10}, Capacity: []float64{5, 10}, Cost: [][]float64{{0, 1}, {0, 3}}},
			[][]float64{{0, 20}, {10, 0}},
		},
		"overload of some, the rest takes none": {
			Problem{
				Demand: []float64{20, 10, 1}, Capacity: []float64{5, 10, 7},
				Cost: [][]float64{{0, 1, inf}, {0, 3, inf}, {0, 0, 1}},
			},
			[][]float64{{0, 20, 0}, {10, 0, 0}, {0, 0, 1}},
		},
		// The factors are 3 for the first column and 1.7 for the others. One
		// for all, 2.23, would let the costs decide between the others.
		"overload of different degree": {
			Problem{
				Demand: []float64{30, 34, 3}, Capacity: []float64{10, 10, 10},
				Cost: [][]float64{{0, inf, inf}, {inf, 0, 1}, {0, 9, 9}},
			},
			[][]float64{{30, 0, 0}, {0, 18.5, 15.5}, {0, 0, 3}},
		},
		"no capacity": {
			Problem{
				Demand: []float64{2, 3}, Capacity: []float64{0, 0, 1},
				Cost: [][]float64{{2, 1, inf}, {0, 0, 9}},
			},
			[][]float64{{0, 2, 0}, {0, 0, 3}},
		},
		"values that are none": {
			Problem{
				Demand: []float64{math.NaN(), -1, inf, 1}, Capacity: []float64{math.NaN(), -1, 4},
				Cost: [][]float64{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {-1, math.Inf(-1), math.NaN()}},
				Stay: [][]float64{nil, nil, nil, {math.NaN(), -1, inf}}, Move: math.NaN(),
			},
			[][]float64{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {1, 0, 0}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.p.Solve()
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for r := range got {
				if !slices.EqualFunc(got[r], tt.want[r], func(a, b float64) bool { return near(a, b, b) }) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}
