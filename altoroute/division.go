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

// divide returns the division in which each edge has its share of a flow, made
// of the present one by moving no more than that takes. It is nil where the
// edge to which the content falls has all of it. The present division may be
// nil, which means the same.
func (d *division) divide(falls int32, flow []float64) *division {
	shares := toWhole(flow)
	if len(shares) == 0 || shares[falls] == whole {
		return nil
	}
	var parts []part
	if d == nil {
		parts = []part{{whole, falls}}
	} else {
		parts = slices.Clone(d.parts)
	}
	parts = give(parts, shares)
	if len(parts) > maxParts {
		parts = layOut(falls, shares)
	}
	return &division{falls, parts}
}

// toWhole scales amounts so that they add up to a whole, nil if they are none.
// What would be less than a millionth is rounded away.
func toWhole(flow []float64) []uint64 {
	var sum float64
	largest := 0
	for e, x := range flow {
		if sum += x; x > flow[largest] {
			largest = e
		}
	}
	if !(sum > 0) {
		return nil
	}
	shares, left := make([]uint64, len(flow)), uint64(whole)
	for e, x := range flow {
		if share := uint64(math.Floor(x / sum * whole)); e != largest && share > whole/1_000_000 {
			shares[e] = share
			left -= share
		}
	}
	shares[largest] = left
	return shares
}

// give has every edge that has more than its share give the rest to those that
// have less. It gives its smallest parts first, and to a neighbour where that
// misses something, so that parts do not become ever more and smaller.
func give(parts []part, shares []uint64) []part {
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
		for free := p.end - begin - kept[i]; free > 0; {
			to := p.edge // misses nothing: it gives
			if i+1 < len(parts) && missing[parts[i+1].edge] > 0 {
				to = parts[i+1].edge
			} else if len(made) > 0 && missing[made[len(made)-1].edge] > 0 {
				to = made[len(made)-1].edge
			} else {
				for e := range missing {
					if missing[e] > missing[to] {
						to = int32(e)
					}
				}
			}
			size := min(free, missing[to])
			add(size, to)
			missing[to] -= size
			free -= size
		}
		begin = p.end
	}
	return made
}

// keep returns how much of each part stays with its edge, the largest parts
// first, and takes that off what its edge misses.
func keep(parts []part, missing []uint64) []uint64 {
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
		edge := parts[i].edge
		kept[i] = min(size(i), missing[edge])
		missing[edge] -= kept[i]
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
func layOut(falls int32, shares []uint64) []part {
	parts := []part{{shares[falls], falls}}
	if shares[falls] == 0 {
		parts = nil
	}
	for e, share := range shares {
		if share > 0 && int32(e) != falls {
			parts = append(parts, part{end(parts) + share, int32(e)})
		}
	}
	return parts
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
