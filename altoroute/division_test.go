// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDivisions divides at random, over and over, and checks each time that
// everybody has a due share and that no more moved than had to.
func TestDivisions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	laidOut := 0
	for range 200 {
		edges := 1 + rng.IntN(8)
		falls := int32(rng.IntN(edges))
		var d *division
		flow := make([]float64, edges)
		for range 100 {
			for e := range flow {
				switch rng.IntN(4) {
				case 0:
					flow[e] = 0
				case 1:
					flow[e] = rng.Float64()
				case 2:
					flow[e] *= 1 + rng.Float64()/10
				}
			}
			var sum float64
			for _, x := range flow {
				sum += x
			}
			was := d
			d = d.divide(falls, amounts(flow))
			if d == nil {
				if flow[falls] < sum*0.99999 {
					t.Fatalf("flow %v is not divided", flow)
				}
				continue
			}
			if sum == 0 {
				t.Fatal("nothing was divided")
			}
			checkDivision(t, d, flow, sum)
			if was == nil {
				was = &division{falls, []part{{whole, falls}}}
			}
			if moved, must := moves(was, d, edges); moved > must+1e-9 {
				if laidOut++; len(was.parts)+edges < maxParts {
					t.Fatalf("%.6f moved, %.6f had to", moved, must)
				}
			}
		}
	}
	if laidOut > 0 {
		t.Logf("laid out anew %d times", laidOut)
	}
}

func checkDivision(t *testing.T, d *division, flow []float64, sum float64) {
	t.Helper()
	for e, x := range flow {
		if got := d.share(int32(e)); math.Abs(got-x/sum) > 1e-5 {
			t.Fatalf("edge %d has %.6f, want %.6f", e, got, x/sum)
		}
	}
	begin := uint64(0)
	for i, p := range d.parts {
		if p.end <= begin || i > 0 && d.parts[i-1].edge == p.edge {
			t.Fatalf("parts %v", d.parts)
		}
		if d.at(begin) != i || d.at(p.end-1) != i {
			t.Fatalf("part %d of %v is not found", i, d.parts)
		}
		begin = p.end
	}
	if begin != whole {
		t.Fatalf("parts %v", d.parts)
	}
}

// moves returns how much of the whole has another edge than before, and how
// much must have because the shares are others.
func moves(a, b *division, edges int) (moved, must float64) {
	for e := range edges {
		must += math.Abs(a.share(int32(e))-b.share(int32(e))) / 2
	}
	var ends []uint64
	for _, p := range slices.Concat(a.parts, b.parts) {
		ends = append(ends, p.end)
	}
	slices.Sort(ends)
	begin := uint64(0)
	for _, end := range slices.Compact(ends) {
		if a.parts[a.at(begin)].edge != b.parts[b.at(begin)].edge {
			moved += float64(end-begin) / whole
		}
		begin = end
	}
	return moved, must
}

func TestLaidOutAnew(t *testing.T) {
	d := &division{falls: 1}
	for i := range uint64(2 * maxParts) {
		d.parts = append(d.parts, part{(i + 1) * whole / (2 * maxParts), int32(i % 4)})
	}
	flow := []float64{1, 2, 3, 4}
	d = d.divide(1, amounts(flow))
	checkDivision(t, d, flow, 10)
	if len(d.parts) != 4 || d.parts[0].edge != 1 {
		t.Errorf("%v", d.parts)
	}
}

func amounts(flow []float64) (of []amount) {
	for e, x := range flow {
		of = append(of, amount{int32(e), x})
	}
	return of
}
