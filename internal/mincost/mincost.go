// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package mincost divides demand among places of limited capacity at the least
// total cost, and moves no more of it than that takes.
//
// It is the transport problem: a row is where demand comes from, a column is a
// place that can serve it. There are far more rows than columns.
package mincost

import (
	"cmp"
	"math"
	"slices"
)

// noise is how much of a sum may be the rounding of its parts. A load is the
// sum of thousands of amounts and then changed thousands of times, each with an
// error of 1e-16 of it. Ten thousand such errors are 1e-12, which is one
// request in a trillion. Whatever is smaller is no amount: to carry it around
// would cost as much as to carry a real one, and there would always be more.
const noise = 1e-12

// A Problem is what is to be divided, and among whom. Its values may have any
// unit, as long as it is the same for all amounts and the same for all costs.
// Tables have one row for each demand, and that one value for each capacity.
type Problem struct {
	// Demand is the amount that each row needs. What is negative or not a
	// finite number counts as 0.
	Demand []float64

	// Capacity is the most that each column serves: +Inf for any amount, 0 for
	// nothing, which is what a negative number and NaN mean too.
	Capacity []float64

	// Cost is, by row and column, what it costs to serve one unit: +Inf where
	// the column may not serve the row. Costs may be negative.
	Cost [][]float64

	// Stay is, by row and column, the amount that Move does not apply to, such
	// as what is served there now. It is nil, or has a nil row, for none. A row
	// of it should add up to no more than the demand. If it does, the cheapest
	// may stay.
	Stay [][]float64

	// Move is what each unit beyond Stay costs on top, a finite number. What is
	// negative counts as 0, which still prefers Stay among columns of equal
	// cost as long as there is capacity for it.
	Move float64
}

// Solve returns the amounts by row and column that serve all demand within the
// capacities at the least total cost, with what moving costs. A row that no
// column may serve has zeros. The same problem always has the same solution.
// Where Stay is a solution already, and Move is not 0, it is returned as it is,
// to the last bit.
//
// Demand that does not fit is no error. Where it exceeds the capacity of all
// columns that it can reach, be it directly or by making others move, these
// take it in proportion to capacity: nobody is served by a column that is
// overloaded more than another that may serve it. With such loads for
// capacities, the cost is the least. Columns of capacity 0 stay empty even so,
// but for rows that have no others, which are served where it is cheapest.
//
// It takes time proportional to rows times columns where the cheapest columns
// have the capacity, and some more for each amount that has to move away. That is
// bounded, to something like a second: what is still too much then goes to where
// there is room, as cheaply as it can by itself. It reads p and keeps nothing of it.
func (p *Problem) Solve() [][]float64 { return p.solve(maxWork) }

// maxWork is in steps of a nanosecond or a few. The problems of a network of thousands
// of PIDs and a hundred columns take a tenth of it.
const maxWork = 200_000_000

func (p *Problem) solve(work int) [][]float64 {
	s := newState(p)
	for r := range s.rows {
		s.place(r)
	}
	s.relieve(work)
	flow := make([][]float64, s.rows)
	for r := range flow {
		flow[r] = s.row(s.flow, r)
	}
	return flow
}

// state is a problem, cleaned of what it should not have, and its solution so
// far. All tables are by row, then column.
type state struct {
	rows, cols int
	demand     []float64 // by row
	capacity   []float64 // by column
	cost       []float64 // +Inf where the column does not serve the row
	stay       []float64 // 0 where the column does not serve the row
	move       float64

	flow []float64
	load []float64 // by column: what has a choice
	// hopeless rows have only columns of capacity 0. They are served without
	// regard to capacity and have no part in anything else.
	hopeless []bool
}

func newState(p *Problem) *state {
	rows, cols := len(p.Demand), len(p.Capacity)
	s := &state{
		rows:     rows,
		cols:     cols,
		demand:   make([]float64, rows),
		capacity: make([]float64, cols),
		cost:     make([]float64, rows*cols),
		stay:     make([]float64, rows*cols),
		move:     amount(p.Move),
		flow:     make([]float64, rows*cols),
		load:     make([]float64, cols),
		hopeless: make([]bool, rows),
	}
	for c, x := range p.Capacity {
		s.capacity[c] = amount(x)
	}
	for r, x := range p.Demand {
		if !math.IsInf(x, 0) {
			s.demand[r] = amount(x)
		}
		cost := s.row(s.cost, r)
		s.hopeless[r] = true
		for c, x := range p.Cost[r] {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				x = math.Inf(1)
			} else if s.capacity[c] > 0 {
				s.hopeless[r] = false
			}
			cost[c] = x
		}
		// Where another column has capacity, one that has none is no choice,
		// whatever the overload: it would be the most overloaded of all.
		for c := range cost {
			if !s.hopeless[r] && s.capacity[c] == 0 {
				cost[c] = math.Inf(1)
			}
		}
		if p.Stay == nil {
			continue
		}
		stay := s.row(s.stay, r)
		for c, x := range p.Stay[r] {
			if !math.IsInf(cost[c], 1) {
				stay[c] = amount(x)
			}
		}
	}
	return s
}

// amount returns x, or 0 where it is no amount.
func amount(x float64) float64 {
	if x > 0 {
		return x
	}
	return 0 // NaN too
}

// row returns a row of one of the tables.
func (s *state) row(table []float64, r int) []float64 {
	return table[r*s.cols:][:s.cols:s.cols]
}

// place puts a row where it is cheapest, as if nobody else wanted to be there.
func (s *state) place(r int) {
	demand, cost, stay, flow := s.demand[r], s.row(s.cost, r), s.row(s.stay, r), s.row(s.flow, r)
	best := -1
	for c, x := range cost {
		if !math.IsInf(x, 1) && (best < 0 || x < cost[best]) {
			best = c
		}
	}
	if best < 0 || demand == 0 {
		return
	}
	// What may stay stays, unless to move it to the cheapest column pays.
	most := cost[best] + s.move
	var sum float64
	for c, x := range cost {
		if x <= most {
			flow[c] = stay[c]
			sum += stay[c]
		}
	}
	rest := demand - sum
	switch {
	case rest > noise*demand:
		flow[best] += rest
	case rest < -noise*demand:
		s.trim(r)
	}
	if s.hopeless[r] {
		return
	}
	for c, x := range flow {
		s.load[c] += x
	}
}

// trim leaves of a row whose demand is less than what may stay the cheapest.
func (s *state) trim(r int) {
	cost, flow := s.row(s.cost, r), s.row(s.flow, r)
	order := make([]int, s.cols)
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cost[a], cost[b]) })
	rest := s.demand[r]
	for _, c := range order {
		flow[c] = min(flow[c], rest)
		rest -= flow[c]
	}
}

// tidy removes from a row what rounding has left of amounts that have come and
// gone. What differs by that from where it stays has not moved.
func (s *state) tidy(r int, crumb float64) {
	demand, stay, flow := s.demand[r], s.row(s.stay, r), s.row(s.flow, r)
	sum, moved := 0.0, false
	for c, x := range flow {
		sum += stay[c]
		if math.Abs(x-stay[c]) > crumb {
			moved = true
		}
	}
	if !moved && math.Abs(sum-demand) <= noise*demand {
		copy(flow, stay)
		return
	}
	sum = 0
	most := 0
	for c, x := range flow {
		if x <= noise*demand {
			flow[c] = 0
		}
		sum += flow[c]
		if x > flow[most] {
			most = c
		}
	}
	flow[most] += demand - sum
}
