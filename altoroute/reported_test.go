// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"
)

// unlimitedPair is limitedPair without the limit.
func unlimitedPair(t *testing.T) *Router {
	t.Helper()
	return limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 0 })
}

// TestReportedCapacityOfNothing: an edge that reports a capacity of 0 gets nothing,
// also before there is a plan, as long as another may serve.
func TestReportedCapacityOfNothing(t *testing.T) {
	r := unlimitedPair(t)
	shut := Condition{IPv4: Up, IPv6: Up, HasCapacity: true}
	r.Learn(map[string]Condition{"small": shut}, epoch)
	for n := range 3 {
		if got := seconds(t, r, epoch.Add(time.Duration(n)*time.Second), 1, 1000, 0); got["small"] > 0 {
			t.Errorf("after %d s: %v", n, got)
		}
	}
	// Both of them report none: better an edge that is full than no answer.
	r.Learn(map[string]Condition{"big": shut}, epoch)
	if got := seconds(t, r, epoch.Add(3*time.Second), 2, 1000, 0); got["small"] != 1000 {
		t.Errorf("both report no capacity: %v", got)
	}
	// The operator knows better, and the configuration's figure is only what it once had.
	if err := r.Set("small", Setting{Capacity: 100}, epoch); err != nil {
		t.Fatal(err)
	}
	if _, capacity := r.Traffic(r.AllEdges()[1]); capacity != 100 {
		t.Errorf("capacity %v, set by hand was 100", capacity)
	}
	r.Learn(map[string]Condition{"big": {IPv4: Up, IPv6: Up}}, epoch)
	if _, capacity := r.Traffic(r.AllEdges()[0]); !math.IsInf(capacity, 1) {
		t.Errorf("capacity %v, and nothing is reported", capacity)
	}
}

// TestOverflowPastNothing: what would fall to an edge without capacity is divided
// where it falls then.
func TestOverflowPastNothing(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "there"), edgeAt("c", "there")}}
	cfg.Edges[1].Capacity, cfg.Edges[2].Capacity = 200, 2000
	cfg.Edges[2].PIDs[0].PID = "away"
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there", "away"}, "here here 1", "there here 2", "away here 3")
	r.Learn(map[string]Condition{"a": {IPv4: Up, IPv6: Up, HasCapacity: true}}, epoch)
	if got := seconds(t, r, epoch, 40, 1000, 0); got["a"] > 0 || math.Abs(float64(got["b"])-200) > 40 {
		t.Errorf("%v: b can do 200", got)
	}
	e, err := r.Explain(Query{Client: netip.MustParseAddr("10.1.2.3")}, mustURL("/x"))
	if err != nil || e.Candidates[0].Why != "it reports that it has no capacity" {
		t.Errorf("%+v, %v", e.Candidates, err)
	}
}

// TestIdleEdge: a reported load of 0 is a load.
func TestIdleEdge(t *testing.T) {
	r := unlimitedPair(t)
	small := r.AllEdges()[1]
	if load, ok := r.Load(small); ok {
		t.Errorf("load %v of an edge that says nothing", load)
	}
	r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, HasLoad: true}}, epoch)
	if load, ok := r.Load(small); load != 0 || !ok {
		t.Errorf("load %v, %v of an idle edge", load, ok)
	}
	// Averages go through 0 like through any load.
	for s, load := range []float64{0, 1, 0, 1} {
		r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Load: load, HasLoad: true}}, epoch)
		r.Tick(epoch.Add(time.Duration(s) * time.Second))
		if got := r.conditions.edges[1].load; got > 0.25 {
			t.Errorf("after %d s the average is %v", s, got)
		}
	}
}

// TestUnknownForgetsNoReport: checks that have not come to a verdict, as after a
// change of how they are made, say nothing of what was reported.
func TestUnknownForgetsNoReport(t *testing.T) {
	r := unlimitedPair(t)
	small := r.AllEdges()[1]
	r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Capacity: 100, Load: 0.5}}, epoch)
	for _, c := range []struct {
		is       Condition
		capacity float64
		load     bool
	}{{Condition{IPv4: Unknown, IPv6: Unknown}, 100, true}, {Condition{IPv4: Up, IPv6: Unknown}, math.Inf(1), false}} {
		r.Learn(map[string]Condition{"small": c.is}, epoch)
		_, capacity := r.Traffic(small)
		if _, ok := r.Load(small); capacity != c.capacity || ok != c.load {
			t.Errorf("%+v: capacity %v, load %v", c.is, capacity, ok)
		}
	}
}

// TestOddLoad: one odd report does not starve an edge for long.
func TestOddLoad(t *testing.T) {
	r := unlimitedPair(t)
	now := epoch
	report := func(load float64) int {
		r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Load: load}}, now)
		got := seconds(t, r, now, 1, 1000, 0)["small"]
		now = now.Add(time.Second)
		return got
	}
	for range 20 {
		report(0.3)
	}
	report(100)
	for s := range 60 {
		if got := report(0.3); s > 30 && got < 900 {
			t.Fatalf("%d s after one odd report the edge gets %d of 1000", s, got)
		}
	}
}

// TestLoadsWhenTheClockIsSetBack: no average runs away.
func TestLoadsWhenTheClockIsSetBack(t *testing.T) {
	r := unlimitedPair(t)
	for s, load := range []float64{0.3, 0.3, 0.31} {
		r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Load: load}}, epoch)
		r.Tick(epoch.Add(time.Duration(s) * time.Second))
	}
	r.Tick(epoch.Add(-time.Hour))
	if load := r.conditions.edges[1].load; fmt.Sprintf("%.1f", load) != "0.3" {
		t.Errorf("the average is %v", load)
	}
}
