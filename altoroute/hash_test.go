// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// equalEdges returns a Router whose edges all cost the same for every client.
func equalEdges(t testing.TB, weights map[string]int, reversed bool) *Router {
	t.Helper()
	var edges []Edge
	for name, weight := range weights {
		edges = append(edges, Edge{Name: name, URL: mustURL("https://" + name + ".example.net"), PIDs: []SourcePID{{PID: "here"}}, Weight: weight})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		if reversed {
			a, b = b, a
		}
		return int(a.Name[len(a.Name)-1]) - int(b.Name[len(b.Name)-1])
	})
	return mustRouter(t, Config{Sources: []Source{{Name: "own"}}, Edges: edges}, "own", []string{"here 0.0.0.0/0 ::/0"}, "here here 0")
}

func route(t testing.TB, r *Router, path string) string {
	t.Helper()
	d, err := r.Route(Query{Client: ParseClient("192.0.2.1"), Path: path})
	if err != nil || d.Edge == nil {
		t.Fatalf("%+v, %v", d, err)
	}
	return d.Edge.Name
}

func TestRemovingAnEdgeMovesOnlyItsKeys(t *testing.T) {
	with := map[string]int{"e1": 1, "e2": 1, "e3": 3, "e4": 1, "e5": 7}
	all := equalEdges(t, with, false)
	for gone := range with {
		without := make(map[string]int)
		for name, weight := range with {
			if name != gone {
				without[name] = weight
			}
		}
		rest := equalEdges(t, without, true)
		for i := range 20_000 {
			path := fmt.Sprintf("/object/%d", i)
			if before, after := route(t, all, path), route(t, rest, path); before != gone && before != after {
				t.Fatalf("without %s, %s moved from %s to %s", gone, path, before, after)
			}
		}
	}
}

func TestRoutersAgree(t *testing.T) {
	weights := map[string]int{"e1": 1, "e2": 2, "e3": 3, "e4": 1}
	a, b := equalEdges(t, weights, false), equalEdges(t, weights, true)
	for i := range 100_000 {
		path := fmt.Sprintf("/object/%d", i)
		if x, y := route(t, a, path), route(t, b, path); x != y {
			t.Fatalf("%s: %s and %s", path, x, y)
		}
	}
}

func TestSharesFollowWeights(t *testing.T) {
	const keys = 200_000
	weights := map[string]int{"e1": 1, "e2": 2, "e3": 5, "e4": 32}
	r := equalEdges(t, weights, false)
	got := make(map[string]int)
	for i := range keys {
		got[route(t, r, fmt.Sprintf("/object/%d", i))]++
	}
	for name, weight := range weights {
		share := float64(weight) / 40
		// Five standard deviations of a binomial draw.
		if want, slack := share*keys, 5*math.Sqrt(keys*share*(1-share)); math.Abs(float64(got[name])-want) > slack {
			t.Errorf("%s with weight %d has %d of %d keys, want %.0f ± %.0f", name, weight, got[name], keys, want, slack)
		}
	}
}

// TestChoiceIsPinned holds the hash still: another release, process or
// architecture that chose otherwise would empty every cache.
func TestChoiceIsPinned(t *testing.T) {
	r := equalEdges(t, map[string]int{"e1": 1, "e2": 2, "e3": 3, "e4": 1}, false)
	for path, want := range map[string]string{"/": "e2", "/a.mp4": "e2", "/b.mp4": "e3", "/c.mp4": "e3", "/live/index.m3u8": "e3", "/ä": "e1"} {
		if got := route(t, r, path); got != want {
			t.Errorf("%s goes to %s, want %s", path, got, want)
		}
	}
	if got := draw(1, 2); got != 0x4b180fec3ef3d4ac {
		t.Errorf("draw(1, 2) = %#x", got)
	}
	if got := negLog2(1 << 63); got != 1<<32-1 && got != 1<<32 {
		t.Errorf("negLog2(2^63) = %#x, want one, or just less", got)
	}
}

func TestNegLog2(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(x uint64) {
		t.Helper()
		want := 64 - math.Log2(float64(x)+1)
		if got := float64(negLog2(x)) / (1 << 32); math.Abs(got-want) > 1e-9 {
			t.Errorf("negLog2(%#x) = %.12f, want %.12f", x, got, want)
		}
	}
	for _, x := range []uint64{0, 1, 2, 3, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		check(x)
	}
	for range 100_000 {
		x := rng.Uint64() >> rng.IntN(64)
		check(x)
		if y := rng.Uint64() >> rng.IntN(64); x < y && negLog2(x) < negLog2(y) {
			t.Fatalf("not monotonic between %#x and %#x", x, y)
		}
	}
}
