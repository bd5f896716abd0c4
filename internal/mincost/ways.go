// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"math"
	"math/bits"
	"slices"
)

// none is no column and no row.
const none = -1

// arcs lead from one column to each: by that, the arc's length and the row that it is
// for, +Inf and none if there is no such row. Where that row has changed they are stale
// and found anew when they are needed next.
type arcs struct {
	length []float64 // nil, as the others, before anybody has come by
	mover  []int32
	stale  []bool
	some   bool // are stale
}

// ways is the graph whose nodes are the columns. An arc leads from each to each
// other; its length is the least cost of moving one unit of some row.
type ways struct {
	s  *state
	up []float64 // by row and column: what one unit more costs there

	// By column, the rows that have something there: bits, since what is asked
	// for are all of them, in order.
	present [][]uint64

	arcs   []arcs // by the column where they begin
	buffer []int  // for refresh
	work   int    // how much more there may be

	// A potential is what has to be added to the length of an arc where it
	// begins and taken off where it ends, so that no length is negative and
	// shortest ways stay the shortest. It is a sum of lengths, thus the last
	// digits may make a length negative after all. It counts as 0 then.
	potential []float64

	// What the last search has found, by column.
	distance []float64
	before   []int  // the column before it on the way
	done     []bool // the distance is final
}

func newWays(s *state) ways {
	w := ways{
		s:         s,
		up:        make([]float64, s.rows*s.cols),
		present:   make([][]uint64, s.cols),
		arcs:      make([]arcs, s.cols),
		potential: make([]float64, s.cols),
		distance:  make([]float64, s.cols),
		before:    make([]int, s.cols),
		done:      make([]bool, s.cols),
	}
	for c := range s.cols {
		w.present[c] = make([]uint64, (s.rows+63)/64)
	}
	for r := range s.rows {
		for c, x := range s.row(s.flow, r) {
			w.up[r*s.cols+c] = w.price(r, c)
			if x > 0 {
				w.present[c][r/64] |= 1 << (r % 64)
			}
		}
	}
	return w
}

// price returns what one unit more of a row costs at a column.
func (w *ways) price(r, c int) float64 {
	i := r*w.s.cols + c
	if w.s.flow[i] < w.s.stay[i] {
		return w.s.cost[i]
	}
	return w.s.cost[i] + w.s.move
}

// saving returns what one unit less of a row saves at a column, -Inf if the row
// has nothing there.
func (w *ways) saving(r, c int) float64 {
	i := r*w.s.cols + c
	switch {
	case w.s.flow[i] <= 0:
		return math.Inf(-1)
	case w.s.flow[i] > w.s.stay[i]:
		return w.s.cost[i] + w.s.move
	}
	return w.s.cost[i]
}

// search finds the shortest way from a column to one for which stop holds, over
// columns of the set alone, and returns that column. It is none if there is no
// way; then the columns that can be reached are done.
//
// It is Dijkstra's algorithm. Without a heap: there is an arc between any two
// columns.
func (w *ways) search(set []int, from int, stop func(int) bool) int {
	for _, c := range set {
		w.distance[c] = math.Inf(1)
		w.done[c] = false
	}
	w.distance[from] = 0
	for {
		w.work -= len(set)
		at := none
		for _, c := range set {
			if !w.done[c] && w.distance[c] < math.Inf(1) && (at == none || w.distance[c] < w.distance[at]) {
				at = c
			}
		}
		if at == none {
			return none
		}
		w.done[at] = true
		if stop(at) {
			w.shift(set, w.distance[at])
			return at
		}
		w.refresh(at)
		length := w.arcs[at].length
		for _, c := range set {
			if w.done[c] {
				continue
			}
			x := w.distance[at] + max(0, length[c]+w.potential[at]-w.potential[c])
			if x < w.distance[c] {
				w.distance[c] = x
				w.before[c] = at
			}
		}
	}
}

// by returns the row that goes to a column on the way that was just found.
func (w *ways) by(to int) int { return int(w.arcs[w.before[to]].mover[to]) }

// shift changes the potentials so that the arcs of shortest ways have length 0
// now, both as they are and reversed. Columns farther than the search went keep
// theirs.
func (w *ways) shift(set []int, far float64) {
	for _, c := range set {
		if w.done[c] {
			w.potential[c] += w.distance[c] - far
		}
	}
}

// refresh finds the stale arcs from a column.
func (w *ways) refresh(from int) {
	a := &w.arcs[from]
	if a.length == nil {
		*a = arcs{make([]float64, w.s.cols), make([]int32, w.s.cols), slices.Repeat([]bool{true}, w.s.cols), true}
	}
	if !a.some {
		return
	}
	a.some = false
	length, mover := a.length, a.mover
	to := w.buffer[:0]
	for c := range a.stale {
		if a.stale[c] {
			a.stale[c] = false
			length[c], mover[c] = math.Inf(1), none
			if c != from {
				to = append(to, c)
			}
		}
	}
	w.buffer = to
	for word, rows := range w.present[from] {
		for ; rows != 0; rows &= rows - 1 {
			r := word*64 + bits.TrailingZeros64(rows)
			w.work -= len(to)
			saving, up := w.saving(r, from), w.s.row(w.up, r)
			for _, c := range to {
				if x := up[c] - saving; x < length[c] {
					length[c], mover[c] = x, int32(r) //nolint:gosec // no more rows than PIDs
				}
			}
		}
	}
}

// set puts an amount of a row at a column and notes which arcs that changes.
func (w *ways) set(r, c int, flow float64) {
	i := r*w.s.cols + c
	saving, up := w.saving(r, c), w.up[i]
	w.s.flow[i] = flow
	if flow > 0 {
		w.present[c][r/64] |= 1 << (r % 64)
	} else {
		w.present[c][r/64] &^= 1 << (r % 64)
	}
	w.up[i] = w.price(r, c)
	if w.saving(r, c) != saving {
		for to := range w.s.cols {
			w.update(r, c, to)
		}
	}
	if w.up[i] != up {
		for from := range w.s.cols {
			if w.s.flow[r*w.s.cols+from] > 0 {
				w.update(r, from, c)
			}
		}
	}
}

// update keeps an arc right when the cost of moving a row along it has changed.
func (w *ways) update(r, from, to int) {
	a := &w.arcs[from]
	if from == to || a.length == nil || a.stale[to] {
		return
	}
	x := w.up[r*w.s.cols+to] - w.saving(r, from)
	switch mover := int(a.mover[to]); {
	case x < a.length[to], x == a.length[to] && r <= mover:
		a.length[to], a.mover[to] = x, int32(r) //nolint:gosec // no more rows than PIDs
	case r == mover:
		a.stale[to] = true // another row may be better now
		a.some = true
	}
}
