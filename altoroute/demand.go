// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A meter measures what a pool is asked for, and by whom. Requests only add to
// its counters; the rest is for whoever holds the Router's mutex. Pools without
// an edge of limited capacity have none.
type meter struct {
	asked    []*pidMeter    // as the plan's guidance; nil where there is none
	unplaced [kinds]counter // of clients without a PID
	pinned   []counter      // by edge
	sent     []counter      // by edge
	keys     *keyMeter

	readAt time.Time     // the counters were last read, or begun
	age    time.Duration // how long the rates have been measured
}

// pidMeter counts by the client PIDs of one network map, and in each by kind.
type pidMeter struct {
	network *NetworkMap
	pids    [][kinds]counter
}

// A counter counts requests. The rate, per second, is what was counted until the
// last reading.
type counter struct {
	count atomic.Uint64
	rate  float64
}

// memory is the time over which rates are averaged: long enough for chance to
// even out, short enough to see an evening come.
const memory = 10 * time.Second

func newMeter(now time.Time, edges int, guidance []*guidance) *meter {
	m := &meter{
		readAt: now,
		asked:  make([]*pidMeter, len(guidance)), pinned: make([]counter, edges), sent: make([]counter, edges),
		keys: new(keyMeter),
	}
	for i, g := range guidance {
		m.asked[i] = newPIDMeter(g)
	}
	return m
}

// newPIDMeter returns a meter of a source's clients. PIDs of the same names
// are asked for as before.
func newPIDMeter(g *guidance, before ...*pidMeter) *pidMeter {
	if g == nil {
		return nil
	}
	n := g.maps.Network
	made := &pidMeter{network: n, pids: make([][kinds]counter, n.PIDs())}
	for _, b := range before {
		if b == nil {
			continue
		}
		for pid := range b.pids {
			if to := n.pid(b.network.names[pid]); to != noPID {
				for k := range b.pids[pid] {
					made.pids[to][k].rate += b.pids[pid][k].rate
				}
			}
		}
	}
	return made
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
	next.asked[gone[0]] = newPIDMeter(g, before...)
	next.keys, next.age = m.keys, m.age
	copyRates(next.unplaced[:], m.unplaced[:])
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
	switch {
	case d.Reason == Pinned:
		m.pinned[d.edge].count.Add(1)
	case d.slot < 0 || m.asked[d.slot] == nil || int(d.pid) >= len(m.asked[d.slot].pids):
		m.unplaced[d.kind].count.Add(1)
	default:
		m.asked[d.slot].pids[d.pid][d.kind].count.Add(1)
	}
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
		// A mean of all there is until that is as long as the memory.
		weight = max(1-math.Exp(-seconds/memory.Seconds()), min(seconds/m.age.Seconds(), 1))
	}
	all := func(counters []counter) {
		for i := range counters {
			c := &counters[i]
			c.rate += weight * (float64(c.count.Swap(0))/seconds - c.rate)
		}
	}
	all(m.sent)
	all(m.pinned)
	all(m.unplaced[:])
	for _, p := range m.asked {
		if p == nil {
			continue
		}
		for pid := range p.pids {
			all(p.pids[pid][:])
		}
	}
	m.keys.read(seconds)
}

// A keyMeter finds the content that is asked for most, in little space: each
// cell holds one key and the votes it has over all the others that share the
// cell (Boyer and Moore, 1981). A key that is most of its cell stays in it,
// and its votes are at most what it was asked for.
type keyMeter struct {
	cells [keyCells]struct{ key, votes atomic.Uint64 }
	rates [keyCells]float64 // of the key in the cell
	of    [keyCells]uint64
}

const keyCells = 1 << 14

// add counts a request for a key. Two at the same moment may lose a vote, which
// costs nothing.
func (m *keyMeter) add(key uint64) {
	cell := &m.cells[key%keyCells]
	switch votes := cell.votes.Load(); {
	case cell.key.Load() == key:
		cell.votes.Add(1)
	case votes == 0:
		cell.key.Store(key)
		cell.votes.Store(1)
	default:
		cell.votes.CompareAndSwap(votes, votes-1)
	}
}

// read turns votes into rates. Half of the votes stay, so that a key does not
// lose its cell to the first request after a reading: a key that gets as many
// votes each time has twice as many in the end.
func (m *keyMeter) read(seconds float64) {
	weight := min(seconds/keyMemory, 1)
	for i := range m.cells {
		cell := &m.cells[i]
		key, votes := cell.key.Load(), cell.votes.Load()
		cell.votes.Store(votes / 2)
		if key != m.of[i] {
			m.of[i], m.rates[i] = key, 0
		}
		m.rates[i] += weight * (float64(votes)/2/seconds - m.rates[i])
	}
}

// keyMemory is in seconds. A key must not be taken for hot by two requests at
// a time.
const keyMemory = 5

// hot returns the keys that are asked for more often than the limit, in
// requests per second. One that was hot stays so until it is half as frequent.
func (m *keyMeter) hot(limit float64, before map[uint64]bool) map[uint64]bool {
	var keys map[uint64]bool
	limit = max(limit, minHot)
	for i, key := range m.of {
		if m.rates[i] > limit || m.rates[i] > limit/2 && before[key] {
			if keys == nil {
				keys = make(map[uint64]bool)
			}
			keys[key] = true
		}
	}
	return keys
}

// minHot is in requests per second: what is rarer is not worth a second copy,
// and its rate is half chance.
const minHot = 2

// scatter returns a key of its own for each part of the address space, by
// which content that is too hot for one edge goes to several: a /24 or a /48.
func scatter(key uint64, client netip.Addr) uint64 {
	bits := 48
	if client.Is4() {
		bits = 24
	}
	network, _ := client.Prefix(bits)
	b := network.Addr().As16()
	var seeded [24]byte
	copy(seeded[:], b[:])
	binary.LittleEndian.PutUint64(seeded[16:], key)
	return xxhash.Sum64(seeded[:])
}
