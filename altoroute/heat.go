// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/binary"
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// heat finds the content that is too hot for one edge.
func (r *Router) heat(next, before *plan) {
	sites := next.sites(next.capacities())
	for i := range r.pools {
		if m := next.pools[i].meter; m != nil {
			next.pools[i].hot = m.keys.hot(next.tooHot(m, sites), before.pools[i].hot)
		}
	}
}

// tooHot returns how often content may be asked for before it is too much for one
// edge: a hundredth of what the edge can do when it is whole. Edges that are alike have
// the part of it that they have of all demand, and each key falls to one of them.
func (p *plan) tooHot(m *meter, s *sites) float64 {
	var all float64
	falls := make([]float64, len(s.edges))
	for e := range m.trends {
		all += m.trends[e].rate
		falls[s.of[e]] += m.trends[e].rate
	}
	least := math.Inf(1)
	for e := range m.trends {
		if state, of := &p.states[e], falls[s.of[e]]; of > 0 && state.open > 0 {
			least = min(least, state.capacity/state.share()*all/of)
		}
	}
	return least / 100
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
	b := networkOf(client).Addr().As16()
	var seeded [24]byte
	copy(seeded[:], b[:])
	binary.LittleEndian.PutUint64(seeded[16:], key)
	return xxhash.Sum64(seeded[:])
}
