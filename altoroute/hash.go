// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Weighted rendezvous hashing: every edge of a band draws a number from the
// content key and its own name, and the best draw wins. An edge that leaves
// takes only its own keys with it. All arithmetic is on integers, so that
// every process on every architecture chooses the same edge.

// draw returns the number that an edge draws for a key.
func draw(key, edgeSeed uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], key)
	binary.LittleEndian.PutUint64(b[8:], edgeSeed)
	return xxhash.Sum64(b[:])
}

// seed returns an edge's part of its draws.
func seed(edge string) uint64 { return xxhash.Sum64String(edge) }

// A bid is an edge's draw under its weight: -log2(draw / 2^64) / weight, which
// is exponentially distributed with the weight as rate, so that the least of
// several bids falls to each edge in proportion to its weight.
type bid struct {
	draw   uint64
	weight uint64
}

// beats reports whether a wins over b. Equal bids are possible only by the
// rounding of the logarithm, where the draw decides, or by equal draws, where
// the caller does.
func (a bid) beats(b bid) bool {
	if a.weight != b.weight {
		// log(a)/wa < log(b)/wb without a division: 38 bits × 17 bits.
		if x, y := negLog2(a.draw)*b.weight, negLog2(b.draw)*a.weight; x != y {
			return x < y
		}
	}
	return a.draw > b.draw
}

// negLog2 returns -log2((x+1) / 2^64) with 32 binary places, by repeated
// squaring. Integer arithmetic only: math.Log2 differs between architectures.
func negLog2(x uint64) uint64 {
	if x == 1<<64-1 {
		return 0
	}
	x++
	whole := bits.LeadingZeros64(x)
	mantissa := x << whole // in [1, 2) with 63 binary places
	var fraction uint64
	for range 32 {
		hi, lo := bits.Mul64(mantissa, mantissa) // in [1, 4) with 126 places
		fraction <<= 1
		if hi>>63 == 1 { // at least 2: one more bit of the logarithm
			fraction |= 1
			mantissa = hi
		} else {
			mantissa = hi<<1 | lo>>63
		}
	}
	// log2(x) = (63 - whole) + fraction, and we want 64 - log2(x).
	return uint64(whole+1)<<32 - fraction //nolint:gosec // 0 ≤ whole ≤ 63
}
