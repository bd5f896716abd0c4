// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// manyEdges are a source and so many edges.
func manyEdges(n int) string {
	var b strings.Builder
	b.WriteString("maps {{dir}}/net.json {{dir}}/cost.json\n")
	for i := range n {
		fmt.Fprintf(&b, "edge e%d https://e%d.cdn.example.net cc-de\n", i, i)
	}
	return b.String()
}

// Another site costs the same however many edges there are, with names that clients may
// tell or without.
func TestSitesShareTheirPool(t *testing.T) {
	s := newStage(t, manyEdges(1000))
	for _, directive := range []string{"altoroute", "altoroute {\nretry query failed\n}"} {
		h := s.handler(directive)
		_ = visit{line: "GET /a.mp4?failed=e7"}.see(t, h)
		made := testing.AllocsPerRun(10, func() {
			again := &Handler{Retry: h.Retry}
			must(t, again.Provision(s.ctx))
			_ = visit{line: "GET /a.mp4?failed=e7"}.see(t, again)
		})
		if made > 300 {
			t.Errorf("%s: %v allocations for another site", directive, made)
		}
	}
}

// An edge has a series for the state that it is in, and none for those it is not in.
func TestEdgeStateSeries(t *testing.T) {
	s := newStage(t, manyEdges(3)+"edge off https://off.cdn.example.net cc-de {\nmode disable\n}\n")
	must(t, s.app.Start())
	t.Cleanup(func() { must(t, s.app.Stop()) })
	ch := make(chan prometheus.Metric, 1000)
	collectEdges(ch, s.app)
	close(ch)
	var states []string
	for m := range ch {
		if text := m.Desc().String(); strings.Contains(text, "edge_state") {
			states = append(states, text)
		}
	}
	if len(states) != 4*2 {
		t.Errorf("%d series of states of 4 edges in 2 families", len(states))
	}
}
