// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// A meter measures what a pool is asked for, by whom, and where that falls.
// Requests only add to its counters; the rest is for whoever holds the Router's
// mutex. Pools without an edge of limited capacity have none.
type meter struct {
	asked    []*pidMeter // as the plan's guidance; nil where there is none
	unplaced falls       // of clients without a PID
	trends   []trend     // by edge, of what falls to it
	pinned   []counter   // by edge
	sent     []counter   // by edge
	keys     *keyMeter

	readAt time.Time     // the counters were last read, or begun
	age    time.Duration // how long the rates have been measured
}

// pidMeter counts by the client PIDs of one network map.
type pidMeter struct {
	network *NetworkMap
	pids    []falls
}

// A counter counts requests. The rate, per second, is what was counted until the
// last reading.
type counter struct {
	count atomic.Uint64
	rate  float64
}

// falls counts requests by the edge to which their content falls by cost alone,
// and by their kind. That is the one thing that the contest knows and costs do
// not tell: an edge may refuse some of the content, because of what it serves or
// while it comes or goes. A list never changes, the next one may have more.
type falls struct{ list atomic.Pointer[[]fall] }

type fall struct {
	edge int32
	kind kind
	*counter
}

func (a fall) compare(b fall) int {
	return cmp.Or(cmp.Compare(a.edge, b.edge), cmp.Compare(a.kind, b.kind))
}

// all returns the counters, by edge and kind.
func (f *falls) all() []fall {
	if list := f.list.Load(); list != nil {
		return *list
	}
	return nil
}

// of returns one counter. It waits for nobody, and allocates only for the first
// request of its like.
func (f *falls) of(edge int32, k kind) *counter {
	want := fall{edge: edge, kind: k}
	for {
		list := f.list.Load()
		var all []fall
		if list != nil {
			all = *list
		}
		i, found := slices.BinarySearchFunc(all, want, fall.compare)
		if found {
			return all[i].counter
		}
		if more := insert(all, i, want); f.list.CompareAndSwap(list, more) {
			return (*more)[i].counter
		}
	}
}

func insert(all []fall, i int, f fall) *[]fall {
	f.counter = new(counter)
	more := slices.Insert(slices.Clone(all), i, f)
	return &more
}

// forget removes the counters that have nothing to tell. What is being counted
// at this moment may be lost with them.
func (f *falls) forget() {
	none := func(f fall) bool { return f.rate < forgotten && f.count.Load() == 0 }
	if list := f.list.Load(); list != nil && slices.ContainsFunc(*list, none) {
		less := slices.DeleteFunc(slices.Clone(*list), none)
		f.list.CompareAndSwap(list, &less)
	}
}

// forgotten is in requests per second: one request more than a minute ago.
const forgotten = 1e-4

// memory is the time over which rates are averaged: long enough for chance to
// even out, short enough to see an evening come.
const memory = 10 * time.Second

func newMeter(now time.Time, edges int, guidance []*guidance) *meter {
	m := &meter{
		readAt: now,
		asked:  make([]*pidMeter, len(guidance)), trends: make([]trend, edges), pinned: make([]counter, edges), sent: make([]counter, edges),
		keys: new(keyMeter),
	}
	for i, g := range guidance {
		m.asked[i] = newPIDMeter(g, sameEdge)
	}
	return m
}

// newPIDMeter returns a meter of a source's clients. PIDs of the same names
// are asked for as before, of edges that may have another index.
func newPIDMeter(g *guidance, index func(int32) (int32, bool), before ...*pidMeter) *pidMeter {
	if g == nil {
		return nil
	}
	n := g.maps.Network
	made := &pidMeter{network: n, pids: make([]falls, n.PIDs())}
	for _, b := range before {
		if b == nil {
			continue
		}
		for pid := range b.pids {
			if to := n.pid(b.network.names[pid]); to != noPID {
				made.pids[to].add(&b.pids[pid], index)
			}
		}
	}
	return made
}

func sameEdge(e int32) (int32, bool) { return e, true }

// add adds the rates of others.
func (f *falls) add(more *falls, index func(int32) (int32, bool)) {
	for _, x := range more.all() {
		if e, ok := index(x.edge); ok {
			f.of(e, x.kind).rate += x.rate
		}
	}
}

// follow returns a meter for new guidance in the first of the slots that are
// gone. The one at hand stays with the requests that have it, and so do its
// counts: only rates go over.
func (m *meter) follow(gone []int, g *guidance) *meter {
	if m == nil {
		return nil
	}
	next := newMeter(m.readAt, len(m.sent), nil)
	next.asked = slices.Clone(m.asked)
	var before []*pidMeter
	for _, slot := range gone {
		before = append(before, m.asked[slot])
		next.asked[slot] = nil
	}
	next.asked[gone[0]] = newPIDMeter(g, sameEdge, before...)
	next.keys, next.age = m.keys, m.age
	next.unplaced.add(&m.unplaced, sameEdge)
	copy(next.trends, m.trends)
	copyRates(next.pinned, m.pinned)
	copyRates(next.sent, m.sent)
	return next
}

func copyRates(to, from []counter) {
	for i := range to {
		to[i].rate = from[i].rate
	}
}

// count adds a decision that is carried out. It waits for nobody.
func (m *meter) count(d *Decision) {
	m.sent[d.edge].count.Add(1)
	m.keys.add(d.key)
	if d.Reason == Pinned {
		m.pinned[d.edge].count.Add(1)
		return
	}
	of := &m.unplaced
	if d.slot >= 0 {
		of = &m.asked[d.slot].pids[d.pid]
	}
	of.of(d.falls, d.kind).count.Add(1)
}

// each calls a function with the counters of each PID, and of those without one.
func (m *meter) each(do func(slot int, pid pidIndex, of *falls)) {
	for slot, p := range m.asked {
		if p == nil {
			continue
		}
		for pid := range p.pids {
			do(slot, pidIndex(pid), &p.pids[pid])
		}
	}
	do(-1, noPID, &m.unplaced)
}

// read turns what was counted since the last reading into rates.
func (m *meter) read(now time.Time) {
	elapsed := now.Sub(m.readAt)
	if elapsed <= 0 {
		return
	}
	known := !m.readAt.IsZero() // else nobody knows for how long it has counted
	m.readAt = now
	seconds, weight := elapsed.Seconds(), 0.0
	if known {
		m.age += elapsed
		weight = weightOf(seconds, m.age)
	}
	for _, counters := range [...][]counter{m.sent, m.pinned} {
		for i := range counters {
			c := &counters[i]
			c.rate += weight * (float64(c.count.Swap(0))/seconds - c.rate)
		}
	}
	m.readFalls(elapsed, known)
	m.keys.read(seconds)
}

// weightOf returns how much the last seconds count beside the time before: a mean
// of all there is until that is as long as the memory.
func weightOf(seconds float64, age time.Duration) float64 {
	return max(1-math.Exp(-seconds/memory.Seconds()), min(seconds/age.Seconds(), 1))
}

// readFalls reads what falls to the edges. How long is remembered goes by the edge:
// what falls to it as a whole says first that times have changed.
func (m *meter) readFalls(elapsed time.Duration, known bool) {
	seconds := elapsed.Seconds()
	counted := make([]float64, len(m.trends))
	m.each(func(_ int, _ pidIndex, of *falls) {
		for _, f := range of.all() {
			counted[f.edge] += float64(f.count.Load())
		}
	})
	follows := make([]struct{ factor, weight float64 }, len(m.trends))
	for e := range m.trends {
		if known {
			follows[e].factor, follows[e].weight = m.trends[e].read(counted[e]/seconds, elapsed)
		} else {
			follows[e].factor = 1
		}
		m.trends[e].rate = 0
	}
	m.each(func(_ int, _ pidIndex, of *falls) {
		for _, f := range of.all() {
			how := &follows[f.edge]
			f.rate *= how.factor
			f.rate += how.weight * (float64(f.count.Swap(0))/seconds - f.rate)
			m.trends[f.edge].rate += f.rate
		}
		of.forget()
	})
}

// scale takes it that other shares of the content fall to edges from now on.
func (m *meter) scale(factor []float64) {
	m.each(func(_ int, _ pidIndex, of *falls) {
		for _, f := range of.all() {
			f.rate *= factor[f.edge]
		}
	})
	for e := range m.trends {
		m.trends[e].rate *= factor[e]
		m.trends[e].last *= factor[e]
	}
}
