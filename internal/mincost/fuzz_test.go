// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package mincost

import (
	"math"
	"reflect"
	"testing"
)

// FuzzSolve makes a problem out of bytes, and from that another with values that
// are none and have to count as those of the first.
func FuzzSolve(f *testing.F) {
	f.Add([]byte("\x01\x01"))
	f.Add([]byte("\x05\x03\x10 the quick brown fox jumps over the lazy dog, and back again"))
	f.Add([]byte("\x07\x05\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7"))
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() (x float64) {
			if len(data) > 0 {
				x, data = float64(data[0]), data[1:]
			}
			return x
		}
		rows, cols := int(next())%9, int(next())%7
		var p, dirty Problem
		p.Move = next() / 64
		dirty.Move = p.Move
		add := func(clean, broken *[]float64, x float64, none ...float64) {
			*clean, *broken = append(*clean, x), append(*broken, x)
			if i := int(next()) % (len(none) + 1); (x == 0 || math.IsInf(x, 1)) && i < len(none) {
				(*broken)[len(*broken)-1] = none[i]
			}
		}
		for range cols {
			x := next() / 7
			if x > 30 {
				add(&p.Capacity, &dirty.Capacity, inf)
			} else {
				add(&p.Capacity, &dirty.Capacity, x, -1, math.NaN(), math.Inf(-1))
			}
		}
		for range rows {
			// Of any size, so that some are less than the rounding of others.
			scale := math.Pow(10, math.Mod(next(), 16)-8)
			add(&p.Demand, &dirty.Demand, next()/3*scale, -1, math.NaN(), inf)
			var cost, stay, badCost, badStay []float64
			for range cols {
				if x := next(); x < 64 {
					add(&cost, &badCost, inf, math.NaN(), math.Inf(-1))
				} else {
					add(&cost, &badCost, math.Round(x/16)-8.1)
				}
				add(&stay, &badStay, max(0, next()-128)/7*scale, -1, math.NaN())
			}
			p.Cost, p.Stay = append(p.Cost, cost), append(p.Stay, stay)
			dirty.Cost, dirty.Stay = append(dirty.Cost, badCost), append(dirty.Stay, badStay)
		}
		flow := p.Solve()
		valid(t, &p, flow)
		optimal(t, &p, flow)
		if x := moves(&p) * float64(rows+cols); x > 500 {
			t.Errorf("%v moves", x)
		}
		if got := dirty.Solve(); !reflect.DeepEqual(got, flow) {
			t.Errorf("got %v, want %v, which are of\n%+v\n%+v", got, flow, dirty, p)
		}
	})
}
