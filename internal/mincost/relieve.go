// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"math"
	"slices"
)

// relieve makes the loads fit the capacities with so much work and returns how many
// moves that took.
func (s *state) relieve(work int) (moves int) {
	var total float64
	for _, x := range s.load {
		total += x
	}
	crumb := noise * total
	all := make([]int, s.cols)
	fits := true
	for c := range all {
		all[c] = c
		fits = fits && s.load[c]-s.capacity[c] <= crumb
	}
	if fits {
		return 0
	}
	l := newRelief(s, crumb)
	l.work = work
	short := l.drain(all)
	if l.work <= 0 {
		l.spill()
	} else if len(short) > 0 {
		l.balance(short)
	}
	for r, moved := range l.moved {
		if moved {
			// Every column may have kept a crumb that it had no room for.
			s.tidy(r, float64(s.cols)*crumb)
		}
	}
	return l.moves
}

// A relief moves load away from the columns that have too much, each time from
// one column to the nearest one with room. The way may lead over others, whose
// load stays the same: from each to the next goes the row that this costs least.
//
// At any time what is placed is the least-cost solution for the loads that the
// columns have just then. At first it is, since each row is where it is
// cheapest, and to move along a shortest way preserves it. These are the
// successive shortest paths of Ahuja, Magnanti and Orlin, Network Flows (1993),
// 9.7, in a graph of which only the columns are nodes, however many rows there
// are.
type relief struct {
	*state
	ways
	crumb  float64   // a load that exceeds by this does not
	target []float64 // by column: the load it should have at most
	moved  []bool    // by row
	moves  int
	steps  []step // for push
}

func newRelief(s *state, crumb float64) *relief {
	return &relief{
		state:  s,
		ways:   newWays(s),
		crumb:  crumb,
		target: slices.Clone(s.capacity),
		moved:  make([]bool, s.rows),
	}
}

// drain moves what exceeds the target of a column of the set to those that have
// room. It returns the columns that what is left can reach, and those have
// none: all rows that are there can be nowhere else.
//
// Each move ends with a column or a part of a row that is done with. Those that
// come back are few: no problem of TestLarge takes more than four moves for each
// row and column. But there are some that take exponentially many, and who waits
// for this cannot wait for ever.
func (l *relief) drain(set []int) (short []int) {
	reached := make([]bool, l.cols)
	for _, from := range set {
		for !reached[from] && l.load[from]-l.target[from] > l.crumb && l.work > 0 {
			to := l.search(set, from, l.room)
			if to == none {
				for _, c := range set {
					reached[c] = reached[c] || l.done[c]
				}
				break
			}
			l.push(from, to)
			l.moves++
		}
	}
	for _, c := range set {
		if reached[c] {
			short = append(short, c)
		}
	}
	return short
}

func (l *relief) room(c int) bool { return l.target[c]-l.load[c] > l.crumb }

// spill moves what is too much, row by row, to the cheapest columns that have room.
// Nobody makes room for it, so that it may cost more than it need.
func (l *relief) spill() {
	for from := range l.cols {
		for r := 0; r < l.rows && l.load[from]-l.target[from] > l.crumb; r++ {
			for l.flow[r*l.cols+from] > 0 {
				to, up := none, l.row(l.up, r)
				for c, x := range up {
					if c != from && !math.IsInf(x, 1) && l.room(c) && (to == none || x < up[to]) {
						to = c
					}
				}
				x := min(l.load[from]-l.target[from], l.flow[r*l.cols+from])
				if to == none || x <= l.crumb {
					break
				}
				x = min(x, l.target[to]-l.load[to], l.less(r, from), l.more(r, to))
				l.take(step{r, from, to}, x)
				l.load[from] -= x
				l.load[to] += x
				l.moves++
			}
		}
	}
}

// balance loads the columns of an overloaded set in proportion to capacity. The
// rows there can be nowhere else, so the targets add up to the load and all
// columns meet theirs.
//
// Where this fails, it is for a part of the set that is overloaded more than
// the whole. Then there is less for the others than their targets, and these
// are two sets. So in the end each has the one factor that suits it, which growing
// all of them at once would miss. No target falls below the capacity: all columns
// of the set were full before.
func (l *relief) balance(set []int) {
	var load, capacity float64
	for _, c := range set {
		load += l.load[c]
		capacity += l.capacity[c]
	}
	for _, c := range set {
		l.target[c] = load * (l.capacity[c] / capacity) // the other way round might overflow
	}
	short := l.drain(set)
	if len(short) == 0 || len(short) == len(set) { // all of it: crumbs
		return
	}
	l.balance(short)
	l.balance(slices.DeleteFunc(slices.Clone(set), func(c int) bool { return slices.Contains(short, c) }))
}

// A step of a way takes a row from one column to another.
type step struct{ row, from, to int }

// push moves as much as goes at this cost along the way that was just found.
func (l *relief) push(from, to int) {
	excess, room := l.load[from]-l.target[from], l.target[to]-l.load[to]
	x := min(excess, room)
	l.steps = l.steps[:0]
	for c := to; c != from; {
		s := step{row: l.by(c), from: l.before[c], to: c}
		// The same row goes on where it has just come to if rounding makes that
		// look as cheap as to go there at once. If it did, what little it has
		// on the way could be all that goes, time after time.
		for s.from != from && l.by(s.from) == s.row {
			s.from = l.before[s.from]
		}
		c = s.from
		x = min(x, l.less(s.row, s.from), l.more(s.row, s.to))
		l.steps = append(l.steps, s)
	}
	for _, s := range l.steps {
		l.take(s, x)
	}
	// Not all sums are exact, but these are to be.
	l.load[from] -= x
	if x == excess {
		l.load[from] = l.target[from]
	}
	l.load[to] += x
	if x == room {
		l.load[to] = l.target[to]
	}
}

// take takes an amount of a row a step.
func (l *relief) take(s step, x float64) {
	l.change(s.row, s.from, -x)
	l.change(s.row, s.to, x)
	l.moved[s.row] = true
}

// less returns how much of a row can leave a column at the same saving: first
// what does not stay there, then that.
func (l *relief) less(r, c int) float64 {
	i := r*l.cols + c
	if l.flow[i] > l.stay[i] {
		return l.flow[i] - l.stay[i]
	}
	return l.flow[i]
}

// more returns how much of a row can come to a column at the same cost.
func (l *relief) more(r, c int) float64 {
	i := r*l.cols + c
	if l.flow[i] < l.stay[i] {
		return l.stay[i] - l.flow[i]
	}
	return math.Inf(1)
}

// change adds to what a row has at a column, or takes from it. All of what goes
// leaves no rounding behind, which would have to go too.
func (l *relief) change(r, c int, x float64) {
	i := r*l.cols + c
	flow := l.flow[i] + x
	if x == l.more(r, c) || -x == l.less(r, c) && l.flow[i] > l.stay[i] {
		flow = l.stay[i]
	}
	l.set(r, c, flow)
}
