// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"slices"
)

// A division says who gets the content that by cost alone would fall to one
// edge, for clients in one PID, because that edge has not the capacity for all
// of it.
type division struct {
	falls int32 // the edge to which it falls
	parts []part
}

// A part of the space of draws and the edge that has it. It begins where the
// part before it ends.
type part struct {
	end  uint64 // up to whole
	edge int32
}

// whole is the size of the space of draws that a division divides.
const whole = 1 << 32

// divisionDraw returns the place of a key in divisions. It is the same in all of
// them, so that what overflows in one PID overflows in others too, and is cached
// once.
func divisionDraw(key uint64) uint64 { return draw(key, divisionSalt) >> 32 }

const divisionSalt = 0xd1b54a32d192ed03

// at returns the index of the part that a draw falls into.
func (d *division) at(draw uint64) int {
	i, _ := slices.BinarySearchFunc(d.parts, draw, func(p part, draw uint64) int {
		if p.end <= draw {
			return -1
		}
		return 1
	})
	return i
}

// share returns an edge's share of the whole.
func (d *division) share(edge int32) float64 {
	var sum, begin uint64
	for _, p := range d.parts {
		if p.edge == edge {
			sum += p.end - begin
		}
		begin = p.end
	}
	return float64(sum) / whole
}

// maxParts is how many parts a division may have before it is laid out anew,
// which moves a lot. The world's largest PID, divided among twelve edges once a
// second, has about a hundred parts after minutes, and not many more then.
const maxParts = 1000

// An amount is what an edge has, or is to have, of a load.
type amount struct {
	edge int32
	rate float64
}

// divide returns the division in which each edge has its share of a flow, made
// of the present one by moving no more than that takes. It is nil where the
// edge to which the content falls has all of it. The present division may be
// nil, which means the same. The flow is in the order of edges, each of them once.
func (d *division) divide(falls int32, flow []amount) *division {
	shares := toWhole(flow)
	if len(shares) == 0 || shares.of(falls) == whole {
		return nil
	}
	parts := []part{{whole, falls}}
	if d != nil {
		parts = d.parts
	}
	if parts = give(parts, shares); len(parts) > maxParts {
		parts = layOut(falls, shares)
	}
	return &division{falls, parts}
}

// A due is an edge's share of the whole.
type due struct {
	edge  int32
	share uint64
}

// dues are in the order of edges.
type dues []due

func (s dues) find(edge int32) (i int, ok bool) {
	return slices.BinarySearchFunc(s, edge, func(d due, e int32) int { return cmp.Compare(d.edge, e) })
}

func (s dues) of(edge int32) uint64 {
	if i, ok := s.find(edge); ok {
		return s[i].share
	}
	return 0
}

// take takes as much as there is of an edge's share, up to a size.
func (s dues) take(edge int32, size uint64) uint64 {
	i, ok := s.find(edge)
	if !ok {
		return 0
	}
	size = min(size, s[i].share)
	s[i].share -= size
	return size
}

// toWhole scales amounts so that they add up to a whole, nil if they are none.
// What would be less than a millionth is rounded away.
func toWhole(flow []amount) dues {
	var sum float64
	largest := 0
	for i, x := range flow {
		if sum += x.rate; x.rate > flow[largest].rate {
			largest = i
		}
	}
	if !(sum > 0) {
		return nil
	}
	shares, left := make(dues, len(flow)), uint64(whole)
	for i, x := range flow {
		shares[i].edge = x.edge
		if share := uint64(math.Floor(x.rate / sum * whole)); i != largest && share > whole/1_000_000 {
			shares[i].share = share
			left -= share
		}
	}
	shares[largest].share = left
	return shares
}

// give has every edge that has more than its share give the rest to those that
// have less. It gives its smallest parts first, and to a neighbour where that
// misses something, so that parts do not become ever more and smaller.
func give(parts []part, shares dues) []part {
	missing := slices.Clone(shares) // of what is due to each edge, what it does not have yet
	kept := keep(parts, missing)
	var made []part
	add := func(size uint64, edge int32) {
		switch begin := end(made); {
		case size == 0:
		case len(made) > 0 && made[len(made)-1].edge == edge:
			made[len(made)-1].end += size
		default:
			made = append(made, part{begin + size, edge})
		}
	}
	begin := uint64(0)
	for i, p := range parts {
		add(kept[i], p.edge)
		for free := p.end - begin - kept[i]; free > 0; { // its edge misses nothing: it gives
			var to int32
			if i+1 < len(parts) && missing.of(parts[i+1].edge) > 0 {
				to = parts[i+1].edge
			} else if len(made) > 0 && missing.of(made[len(made)-1].edge) > 0 {
				to = made[len(made)-1].edge
			} else {
				to = missing.most()
			}
			size := missing.take(to, free)
			add(size, to)
			free -= size
		}
		begin = p.end
	}
	return made
}

// most returns the edge with the largest share.
func (s dues) most() int32 {
	most := 0
	for i := range s {
		if s[i].share > s[most].share {
			most = i
		}
	}
	return s[most].edge
}

// keep returns how much of each part stays with its edge, the largest parts
// first, and takes that off what its edge misses.
func keep(parts []part, missing dues) []uint64 {
	size := func(i int) uint64 {
		if i == 0 {
			return parts[0].end
		}
		return parts[i].end - parts[i-1].end
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	kept := make([]uint64, len(parts))
	for _, i := range order {
		kept[i] = missing.take(parts[i].edge, size(i))
	}
	return kept
}

func end(parts []part) uint64 {
	if len(parts) == 0 {
		return 0
	}
	return parts[len(parts)-1].end
}

// layOut returns a division with one part for each edge, the one to which the
// content falls first.
func layOut(falls int32, shares dues) []part {
	var parts []part
	if first := shares.of(falls); first > 0 {
		parts = []part{{first, falls}}
	}
	for _, s := range shares {
		if s.share > 0 && s.edge != falls {
			parts = append(parts, part{end(parts) + s.share, s.edge})
		}
	}
	return parts
}

// amounts returns what each edge has of a load that falls to one of them, of which
// the division, or nil, is. It is in the order of edges.
func (d *division) amounts(falls int32, rate float64) []amount {
	if d == nil {
		return []amount{{falls, rate}}
	}
	var of []amount
	begin := uint64(0)
	for _, p := range d.parts {
		of = append(of, amount{p.edge, rate * float64(p.end-begin) / whole})
		begin = p.end
	}
	return sum(of)
}

// sum adds up what each edge has, in the order of edges.
func sum(of []amount) []amount {
	slices.SortStableFunc(of, func(a, b amount) int { return cmp.Compare(a.edge, b.edge) })
	made := of[:0]
	for _, x := range of {
		if n := len(made); n > 0 && made[n-1].edge == x.edge {
			made[n-1].rate += x.rate
		} else {
			made = append(made, x)
		}
	}
	return made
}

// renamed returns the division with other indices of edges. What was of edges
// that there are no more goes to the one to which the content falls.
func (d *division) renamed(falls int32, index func(int32) (int32, bool)) *division {
	made := &division{falls, slices.Clone(d.parts)}
	for i := range made.parts {
		e, ok := index(made.parts[i].edge)
		if !ok {
			e = falls
		}
		made.parts[i].edge = e
	}
	return made
}
