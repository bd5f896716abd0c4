// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// explained returns what is said of a client: of sources that do not count, then of
// each edge.
func explained(t *testing.T, r *Router, client string) string {
	t.Helper()
	e, err := r.Explain(Query{Client: netip.MustParseAddr(client)}, mustURL("/x"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range e.Placement.Ignored {
		lines = append(lines, i.Source+": "+i.Why)
	}
	for _, c := range e.Candidates {
		lines = append(lines, c.Edge+": "+c.Why)
	}
	return strings.Join(lines, "\n")
}

// TestExplainWithGuidanceOff: sources whose costs nobody asks for are not said to have
// none.
func TestExplainWithGuidanceOff(t *testing.T) {
	r := mustRouter(t, Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here")}}, "own", []string{"here 10.0.0.0/8"}, "here here 1")
	if err := r.SetPool("", PoolSetting{GuidanceOff: true}, epoch); err != nil {
		t.Fatal(err)
	}
	if got := explained(t, r, "10.0.0.1"); got != "a: guidance is turned off; the content key falls to this edge" {
		t.Error(got)
	}
}

// TestExplainMoreIsBetter: the best of throughputs is not the least cost.
func TestExplainMoreIsBetter(t *testing.T) {
	r := mustRouter(t, Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "there")}}, "own",
		[]string{"here 10.0.0.0/8", "there"}, "here here 1", "there here 9")
	m := *r.Maps("own")
	m.Costs[0].info = CostInfo{Mode: "numerical", Metric: "tput", HigherIsBetter: true}
	if err := r.Update("own", &m); err != nil {
		t.Fatal(err)
	}
	if got, want := explained(t, r, "10.0.0.1"), "b: the best cost (more is better)\na: has 1; b has 9, and more is better"; got != want {
		t.Error(got)
	}
	r.Learn(map[string]Condition{"b": {IPv4: Down, IPv6: Down}}, time.Time{})
	if got, want := explained(t, r, "10.0.0.1"), "b: checks say that it is down\na: the best cost (more is better) among the edges that are eligible"; got != want {
		t.Error(got)
	}
}

// TestExplainWithoutMaps names the sources that have none.
func TestExplainWithoutMaps(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}, {Name: "isp"}}, Edges: []Edge{edgeAt("a", "own/here")}}
	cfg.Edges[0].PIDs[0] = SourcePID{"own", "here"}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8"}, "here here 1")
	if got, want := explained(t, r, "192.0.2.1"), "a: nothing is known of the client, and there are no maps in force of isp; the content key falls to this edge"; got != want {
		t.Error(got)
	}
	if err := r.Update("own", nil); err != nil {
		t.Fatal(err)
	}
	if got := explained(t, r, "10.0.0.1"); !strings.Contains(got, "of own, isp;") {
		t.Error(got)
	}
}
