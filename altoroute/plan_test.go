// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// manyMaps returns a Router of so many edges, each in a PID of its own, in so many pools
// of all of them, and maps of as many client PIDs with costs drawn by lot.
func manyMaps(t testing.TB, edges, pids, pools int) (*Router, *Maps) {
	t.Helper()
	r, err := New(manyEdges(edges, pools))
	if err != nil {
		t.Fatal(err)
	}
	var b NetworkMapBuilder
	for pid := range pids {
		_ = b.PID(fmt.Sprint("p", pid))
		_ = b.Prefix(netip.PrefixFrom(clientIn(pid), 24))
	}
	tag := VersionTag{"network", "1"}
	m, err := b.Build(tag)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	c := NewCostMapBuilder(m, r.Rows("own", m))
	for s := range edges {
		c.Row(fmt.Sprint("p", s))
		for d := range pids {
			c.Cost(fmt.Sprint("p", d), float64(rng.IntN(100_000)))
		}
	}
	made, err := c.Build(CostInfo{Mode: "numerical", Metric: "routingcost"}, tag, edges*pids)
	if err != nil {
		t.Fatal(err)
	}
	return r, &Maps{Network: m, Costs: []*CostMap{made}}
}

func manyEdges(edges, pools int) Config {
	cfg := Config{Sources: []Source{{Name: "own"}}}
	for e := range edges {
		cfg.Edges = append(cfg.Edges, edgeAt(fmt.Sprint("e", e), fmt.Sprint("p", e)))
	}
	for p := range pools {
		cfg.Pools = append(cfg.Pools, Pool{Name: fmt.Sprint("pool", p)})
	}
	return cfg
}

// TestRankingHoldsNobodyUp: while the maps of many edges are made ready, what happens to
// edges is learned.
func TestRankingHoldsNobodyUp(t *testing.T) {
	r, m := manyMaps(t, 1000, 1000, 1)
	again := *m
	for _, c := range []struct {
		name  string
		bring func(*Router) error
	}{
		{"Update", func(r *Router) error { return r.Update("own", m) }},
		{"Introduce", func(r *Router) error { return r.Introduce("own", &again, Ramp{Over: time.Hour}, epoch) }},
		{"Inherit", func(r *Router) error {
			next, err := New(manyEdges(1000, 1))
			if err == nil {
				err = next.Update("own", m)
			}
			next.Inherit(r, epoch)
			return err
		}},
	} {
		for try := 0; ; try++ {
			took, longest := waits(t, r, c.bring)
			if longest < took/3 {
				break
			}
			if try == 3 { // the machine may be busy, but not each time
				t.Fatalf("%s took %s, and a death waited for %s", c.name, took, longest)
			}
		}
	}
}

// waits returns how long something takes, and for how long it keeps deaths from being
// learned.
func waits(t *testing.T, r *Router, busy func(*Router) error) (took, longest time.Duration) {
	t.Helper()
	done := make(chan error)
	began := time.Now()
	go func() { done <- busy(r) }()
	for {
		at := time.Now()
		r.Learn(map[string]Condition{"e1": {IPv4: Down, IPv6: Down}}, epoch)
		longest = max(longest, time.Since(at))
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(began), longest
		case <-time.After(time.Millisecond):
		}
	}
}

// TestPoolsShareRankings: pools of the same edges are ranked once.
func TestPoolsShareRankings(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here"), edgeAt("c", "there")}}
	cfg.Pools = []Pool{
		{Name: "one", Edges: []string{"a", "b"}, Parents: [][]string{{"c"}}},
		{Name: "two", Edges: []string{"b", "a"}},
		{Name: "three", Edges: []string{"a", "c"}},
		{Name: "four", Edges: []string{"c"}, Parents: [][]string{{"a", "b"}}},
	}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there"}, "here here 1", "there here 2")
	if n := len(r.plan.Load().guidance[0].rankings); n != 3 {
		t.Errorf("%d rankings of 3 sets of edges", n)
	}
	for pool, want := range map[string]string{"one": "a b", "two": "a b", "three": "a", "four": "c"} {
		ranked, err := r.Rank(Query{Pool: pool, Client: netip.MustParseAddr("10.1.1.1")}, len(want)/2+1)
		if got := sorted(names(ranked)); err != nil || got != want {
			t.Errorf("pool %s: %s, %v", pool, got, err)
		}
	}
}

// BenchmarkRanking makes the maps of 2,000 edges and 2,000 PIDs ready for 5 pools.
func BenchmarkRanking(b *testing.B) {
	r, m := manyMaps(b, 2000, 2000, 5)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Update("own", m); err != nil {
			b.Fatal(err)
		}
	}
}
