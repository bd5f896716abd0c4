// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// plane is a problem like a network's: rows and columns are points on a plane,
// costs are distances, and some rows have far more demand than others. Of the
// capacity, the given part is used; 0 is for unlimited. Three columns of four
// have less than what comes to them first.
func plane(rnd *rand.Rand, rows, cols int, used float64) *Problem {
	p := &Problem{Move: 0.01}
	at := make([][2]float64, cols)
	for c := range at {
		at[c] = [2]float64{rnd.Float64(), rnd.Float64()}
		p.Capacity = append(p.Capacity, inf)
	}
	var rest float64
	for range rows {
		demand := math.Exp(2 * rnd.NormFloat64())
		p.Demand = append(p.Demand, demand)
		rest += demand / used
		x, y := rnd.Float64(), rnd.Float64()
		cost := make([]float64, cols)
		for c, to := range at {
			cost[c] = math.Hypot(x-to[0], y-to[1])
		}
		p.Cost = append(p.Cost, cost)
	}
	if used == 0 {
		return p
	}
	few := cols - cols/4
	for c, x := range loads(p, p.Solve()) {
		if c < few {
			p.Capacity[c] = x * min(0.6, 0.6/used)
			rest -= p.Capacity[c]
		} else {
			p.Capacity[c] = rest / float64(cols-few)
		}
	}
	return p
}

// rough makes a problem less like a plane: equal costs, pairs that are not
// allowed, columns without capacity, amounts that may stay anywhere.
func rough(rnd *rand.Rand, p *Problem) {
	ties, forbidden, stay := rnd.IntN(2) == 0, rnd.IntN(3), rnd.IntN(3)
	p.Move = float64(rnd.IntN(3)) * 0.07
	for c := range p.Capacity {
		if rnd.IntN(8) == 0 {
			p.Capacity[c] = 0
		}
	}
	for r, cost := range p.Cost {
		p.Stay = append(p.Stay, make([]float64, len(cost)))
		rest := p.Demand[r]
		for c := range cost {
			if ties {
				cost[c] = math.Round(4 * cost[c])
			}
			if rnd.IntN(4) < forbidden {
				cost[c] = inf
			}
			if rnd.IntN(4) < stay {
				p.Stay[r][c] = rest * rnd.Float64()
				rest -= p.Stay[r][c]
			}
		}
	}
}

// optimal checks a solution against two theorems. It costs the least if and only
// if no cycle of moves saves anything, nor a move to where there is room. And
// overload is spread as well as can be if and only if no row could move from
// where there is more to where there is less. Amounts that could be rounding do
// not move.
func optimal(t *testing.T, p *Problem, flow [][]float64) {
	t.Helper()
	n := len(p.Capacity)
	var sum float64
	for _, x := range p.Demand {
		sum += x
	}
	crumb := 1e-9 * sum
	length := make([][]float64, n)
	for a := range length {
		length[a] = slices.Repeat([]float64{inf}, n)
		for r := range flow {
			stay := mayStay(p, r)
			if flow[r][a] <= crumb {
				continue
			}
			saving := p.Cost[r][a]
			if flow[r][a] > stay[a]+crumb {
				saving += p.Move
			}
			for b := range length {
				cost := p.Cost[r][b]
				if flow[r][b] >= stay[b]-crumb {
					cost += p.Move
				}
				length[a][b] = min(length[a][b], cost-saving)
			}
		}
	}
	for via := range n {
		for a := range n {
			for b := range n {
				length[a][b] = min(length[a][b], length[a][via]+length[via][b])
			}
		}
	}
	load := loads(p, flow)
	for a := range n {
		factor := load[a] / p.Capacity[a]
		for b := range n {
			if load[a] > p.Capacity[a]+crumb && p.Capacity[a] > 0 && length[a][b] < inf && load[b] < factor*p.Capacity[b]-crumb {
				t.Errorf("column %d has %v times its capacity and could give to %d, which has %v of %v", a, factor, b, load[b], p.Capacity[b])
			}
			if (a == b || load[b] < p.Capacity[b]-crumb) && length[a][b] < -1e-9 {
				t.Errorf("to move from column %d to %d saves %v", a, b, -length[a][b])
			}
		}
	}
}

// TestLarge solves problems that are not exact, and checks that rounding brings
// no solution out of shape and that the moves come nowhere near their limit.
func TestLarge(t *testing.T) {
	var most float64
	for seed := range uint64(1500) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		used := []float64{0, 0.3, 0.8, 1, 1.2, 3}[rnd.IntN(6)]
		p := plane(rnd, 20+rnd.IntN(100), 2+rnd.IntN(14), used)
		if rnd.IntN(4) > 0 {
			rough(rnd, p)
		}
		flow := p.Solve()
		valid(t, p, flow)
		optimal(t, p, flow)
		most = max(most, moves(p))
		if t.Failed() {
			t.Fatalf("seed %d: %d rows, %d columns, %v used", seed, len(p.Demand), len(p.Capacity), used)
		}
	}
	t.Logf("at most %.1f moves for each row and column", most)
	if most > 20 {
		t.Error("there are too many moves")
	}
}

// moves returns how many moves a problem takes for each row and column.
func moves(p *Problem) float64 {
	s := newState(p)
	for r := range s.rows {
		s.place(r)
	}
	return float64(s.relieve(maxWork)) / float64(s.rows+s.cols)
}

// TestLittleWork: what there is no time for goes to where there is room all the same.
func TestLittleWork(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		p := plane(rnd, 20+rnd.IntN(100), 4+rnd.IntN(12), 0.3+0.6*rnd.Float64())
		best := p.Solve()
		for _, work := range []int{1, 100, 10_000} {
			flow := p.solve(work)
			valid(t, p, flow)
			for c, x := range loads(p, flow) {
				if x > p.Capacity[c]*(1+1e-9) {
					t.Errorf("seed %d, work %d: column %d has %v of %v", seed, work, c, x, p.Capacity[c])
				}
			}
			if got, least := costs(p, flow), costs(p, best); got < least*(1-1e-9) {
				t.Errorf("seed %d, work %d: cost %v, the least is %v", seed, work, got, least)
			}
		}
	}
}

// costs returns what a solution costs, without moving.
func costs(p *Problem, flow [][]float64) (sum float64) {
	for r := range flow {
		for c, x := range flow[r] {
			if x > 0 {
				sum += x * p.Cost[r][c]
			}
		}
	}
	return sum
}

// TestUnmoved solves a problem again with its solution as what may stay there.
// Nothing moves, to the last bit.
func TestUnmoved(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		p := randomProblem(rnd)
		if seed%4 == 0 {
			p = plane(rnd, 20+rnd.IntN(200), 2+rnd.IntN(14), float64(rnd.IntN(6))*0.3)
			rough(rnd, p)
		}
		p.Move = rnd.Float64() + 0.001
		for r := range p.Demand {
			p.Demand[r] *= rnd.ExpFloat64() // so that sums are not exact
		}
		p.Stay = nil
		first := p.Solve()
		p.Stay = first
		if second := p.Solve(); !reflect.DeepEqual(first, second) {
			t.Fatalf("seed %d: %d rows, %d columns: something has moved", seed, len(p.Demand), len(p.Capacity))
		}
	}
}

func TestDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		problem := func() *Problem {
			rnd := rand.New(rand.NewPCG(seed, 4))
			p := plane(rnd, 300, 20, 0.9+float64(seed%2))
			rough(rnd, p)
			return p
		}
		if first, second := problem().Solve(), problem().Solve(); !reflect.DeepEqual(first, second) {
			t.Fatalf("seed %d: two solutions of one problem", seed)
		}
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, n := range [][2]int{{251, 20}, {1700, 20}, {1700, 100}} {
		for _, kind := range []struct {
			name string
			used float64
		}{{"unlimited", 0}, {"half used", 0.5}, {"nine tenths used", 0.9}, {"overloaded", 1.5}} {
			p := plane(rand.New(rand.NewPCG(1, 5)), n[0], n[1], kind.used)
			b.Run(fmt.Sprintf("%dx%d/%s", n[0], n[1], kind.name), func(b *testing.B) { benchmark(b, p) })
			// As it is asked a second later: everyone has a little more or less
			// demand and should stay.
			p.Stay = p.Solve()
			rnd := rand.New(rand.NewPCG(1, 6))
			for r := range p.Demand {
				x := 0.9 + 0.2*rnd.Float64()
				p.Demand[r] *= x
				for c := range p.Stay[r] {
					p.Stay[r][c] *= x
				}
			}
			b.Run(fmt.Sprintf("%dx%d/%s, again", n[0], n[1], kind.name), func(b *testing.B) { benchmark(b, p) })
		}
		// The worst for what is kept of the ways: all rows in one column.
		p := plane(rand.New(rand.NewPCG(1, 5)), n[0], n[1], 1.5)
		rough(rand.New(rand.NewPCG(5, 5)), p)
		b.Run(fmt.Sprintf("%dx%d/overloaded, rough", n[0], n[1]), func(b *testing.B) { benchmark(b, p) })
		p = plane(rand.New(rand.NewPCG(1, 5)), n[0], n[1], 0.9)
		for r := range p.Cost {
			p.Cost[r][0] = -2
		}
		b.Run(fmt.Sprintf("%dx%d/all in one", n[0], n[1]), func(b *testing.B) { benchmark(b, p) })
	}
}

func benchmark(b *testing.B, p *Problem) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		p.Solve()
	}
	b.ReportMetric(moves(p)*float64(len(p.Demand)+len(p.Capacity)), "moves")
}
