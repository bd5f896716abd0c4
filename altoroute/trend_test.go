// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestStep: a demand that is many times as high from one second to the next is
// divided as it should be after a second, not after those over which rates are averaged.
func TestStep(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 500 })
	rng, now := rand.New(rand.NewPCG(1, 2)), epoch
	second := func(rate int) (small int) {
		for range rate {
			d, _ := r.Route(Query{Client: netip.MustParseAddr("10.1.2.3"), Path: fmt.Sprint("/", rng.Uint64())})
			if d.Edge.Name == "small" {
				small++
			}
		}
		now = now.Add(time.Second)
		r.Tick(now)
		return small
	}
	for range 10 {
		second(50)
	}
	second(2000)
	var sum float64
	for s := range 20 {
		got := float64(second(2000))
		if math.Abs(got-500) > 75 {
			t.Errorf("%d s after the step small gets %.0f of 2000 and can do 500", s+1, got)
		}
		sum += got / 20
	}
	if math.Abs(sum-500) > 25 {
		t.Errorf("small gets %.0f of 2000 and can do 500", sum)
	}
	for range 5 {
		second(300)
	}
	if got := second(300); got < 290 {
		t.Errorf("small gets %d of 300 and can do 500", got)
	}
}

// TestTrends: chance is no trend, and bursts are not forgotten between one and the next.
func TestTrends(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, c := range []struct {
		name string
		rate func(s int) float64
		most int     // how often it may begin anew
		want float64 // the mean rate
		off  float64
	}{
		{"chance", func(int) float64 { return 1000 + rng.NormFloat64()*math.Sqrt(1000) }, 10, 1000, 0.03},
		{"seldom", func(int) float64 { return float64(rng.IntN(2)) }, 10, 0.5, 0.1},
		{"bursts", func(s int) float64 { return float64(4000 * (1 - min(s%4, 1))) }, 5, 1000, 0.25},
		{"steps", func(s int) float64 { return float64(200 + 1800*(s/100%2)) }, 30, 1100, 0.05},
		{"growth", func(s int) float64 { return float64(100 + 10*s) }, 1000, 5100, 0.05},
	} {
		var is trend
		began, sum := 0, 0.0
		for s := range 1000 {
			counted := c.rate(s)
			factor, weight := is.read(counted, time.Second)
			is.rate *= factor
			is.rate += weight * (counted - is.rate)
			if factor != 1 {
				began++
			}
			if sum += is.rate; s > 20 && is.rate == 0 {
				t.Errorf("%s: forgotten", c.name)
			}
		}
		if mean := sum / 1000; began > c.most || math.Abs(mean/c.want-1) > c.off {
			t.Errorf("%s: began anew %d times, mean %.1f, want %.1f", c.name, began, mean, c.want)
		}
	}
}

// TestLoadGoesOnToCount: an edge that cannot do what it is configured for is not
// overloaded again as soon as it says so no more.
func TestLoadGoesOnToCount(t *testing.T) {
	const able = 400
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 2000 })
	now, got, sum := epoch, 0, 0
	for s := range 240 {
		if sum += got; s%5 == 0 {
			r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Load: float64(sum) / 5 / able}}, now)
			sum = 0
		}
		got = seconds(t, r, now, 1, 1000, 0)["small"]
		now = now.Add(time.Second)
		if s > 40 && math.Abs(float64(got-able)) > 0.25*able {
			t.Errorf("after %d s an edge that can do %d gets %d", s, able, got)
		}
	}
}

// TestHeatOfWholeEdges: content is hot for what an edge to which it falls can do when
// it is whole, whatever edge is small and far away, and while one comes or goes.
func TestHeatOfWholeEdges(t *testing.T) {
	r := nearMiddleFar(t, func(near, middle, far *Edge, _ *Config) {
		near.Capacity, middle.Capacity, far.Capacity, middle.PIDs = 10_000, 10_000, 50, near.PIDs
	})
	copies := make(map[string]bool)
	for s := range 200 {
		if s == 40 {
			if err := r.Set("near", Setting{Mode: Drain, Since: epoch.Add(40 * time.Second), Over: 150 * time.Second}, epoch.Add(40*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		clear(copies)
		for i := range 2000 {
			d, _ := r.Route(Query{Client: netip.AddrFrom4([4]byte{10, byte(i >> 6), byte(s), 1}), Path: fmt.Sprint("/vod/", i%40)})
			copies[d.Edge.Name+fmt.Sprint(i%40)] = true
		}
		r.Tick(epoch.Add(time.Duration(s+1) * time.Second))
		if len(copies) > 40 {
			t.Fatalf("after %d s there are %d copies of 40 objects", s, len(copies))
		}
	}
}
