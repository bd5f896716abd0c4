// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"testing"
)

// verdict is what both sides must agree on.
type verdict struct {
	edge        string
	how         Placement
	source, pid string
	prefix      netip.Prefix
	cost        float64 // -1 for undefined: NaN is not comparable
	reason      Reason
}

func said(d *Decision) verdict {
	v := verdict{how: d.How, source: d.Source, pid: d.PID, prefix: d.Prefix, cost: d.Cost, reason: d.Reason}
	if math.IsNaN(v.cost) {
		v.cost = -1
	}
	if d.Edge != nil {
		v.edge = d.Edge.Name
	}
	return v
}

// compare runs worlds and returns how often router and oracle differed, and
// how often each branch of the decision was taken.
func compare(t *testing.T, worlds, queries int, m mistake, report bool) (differences int, branches map[string]int) {
	t.Helper()
	branches = make(map[string]int)
	for seed := range worlds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		w := drawWorld(rng)
		w.mistake = m
		r := w.router(t, rng)
		for range queries {
			q := w.drawQuery(rng)
			got, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			want, names := w.decide(q)
			g := said(&got)
			if slices.Contains(names, g.edge) || len(names) == 0 {
				want.edge = g.edge
				if len(names) == 0 {
					want.edge = ""
				}
			}
			branches["how "+g.how.String()]++
			branches["reason "+string(g.reason)]++
			branches[fmt.Sprintf("sources %d", len(w.sources))]++
			if g != want {
				differences++
				if report && differences <= 5 {
					t.Errorf("world %d, %+v:\n got %+v\nwant %+v of %v", seed, q, g, want, names)
				}
			}
			checkExplained(t, r, &got, q)
		}
	}
	return differences, branches
}

// checkExplained holds an explanation against the decision it explains.
func checkExplained(t *testing.T, r *Router, d *Decision, q Query) {
	t.Helper()
	e, err := r.Explain(q, &url.URL{Path: q.Path})
	if err != nil {
		t.Fatal(err)
	}
	if said(&e.Decision) != said(d) {
		t.Fatalf("explained another decision: %+v, not %+v", said(&e.Decision), said(d))
	}
	if d.Reason == CacheFill {
		return
	}
	pool, _ := r.pool(q.Pool)
	chosen := 0
	for i, c := range e.Candidates {
		if c.Chosen {
			chosen++
		}
		if c.Why == "" {
			t.Fatalf("candidate %s without a why", c.Edge)
		}
		if i > 0 && c.Rank < e.Candidates[i-1].Rank {
			t.Fatalf("candidates out of order: %+v", e.Candidates)
		}
	}
	if len(e.Candidates) != len(pool.edges) || (chosen == 1) != (d.Edge != nil) || chosen > 1 {
		t.Fatalf("%d candidates of %d edges, %d chosen", len(e.Candidates), len(pool.edges), chosen)
	}
}

func TestRouteAgainstOracle(t *testing.T) {
	const least = 1000
	differences, branches := compare(t, 10_000, 25, none, true)
	if differences > 0 {
		t.Errorf("%d differences", differences)
	}
	for _, b := range []string{
		"how prefix", "how geo", "how catch_all", "how default", "how none",
		"reason cheapest", "reason within_tolerance", "reason next_cheapest", "reason undefined_cost",
		"reason same_pid", "reason no_guidance", "reason no_edge", "reason cache_fill",
		"reason pinned", "reason parent", "reason panic", "reason guidance_off",
		"sources 1", "sources 2", "sources 3",
	} {
		t.Logf("%-24s %7d", b, branches[b])
		if branches[b] < least {
			t.Errorf("branch %q was taken %d times, want at least %d", b, branches[b], least)
		}
	}
}

// TestOracleNoticesMistakes shows that the comparison has teeth: an oracle that
// makes one of these mistakes disagrees with the router.
func TestOracleNoticesMistakes(t *testing.T) {
	for name, m := range map[string]mistake{
		"cost direction swapped":              costsSwapped,
		"prefixes matched in insertion order": insertionOrder,
		"undefined cost taken as zero":        undefinedIsZero,
		"unknown health taken as down":        unknownIsDown,
		"parents asked at once":               parentsAtOnce,
	} {
		differences, _ := compare(t, 500, 25, m, false)
		t.Logf("%s: %d of 12500 decisions differ", name, differences)
		if differences < 100 {
			t.Errorf("%s: only %d differences", name, differences)
		}
	}
}
