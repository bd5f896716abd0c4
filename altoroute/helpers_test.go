// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// mustRouter returns a Router whose one source says what the lines say.
func mustRouter(t testing.TB, cfg Config, source string, network []string, costs ...string) *Router {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(source, mustMaps(t, r, source, network, costs...)); err != nil {
		t.Fatal(err)
	}
	return r
}

// mustMaps makes maps from lines: "pid prefix prefix" and "src dst cost".
func mustMaps(t testing.TB, r *Router, source string, network []string, costs ...string) *Maps {
	t.Helper()
	var b NetworkMapBuilder
	for _, line := range network {
		fields := strings.Fields(line)
		if err := b.PID(fields[0]); err != nil {
			t.Fatal(err)
		}
		for _, p := range fields[1:] {
			if err := b.Prefix(netip.MustParsePrefix(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tag := VersionTag{"network", "1"}
	m, err := b.Build(tag)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCostMapBuilder(m, r.Rows(source, m))
	for _, line := range costs {
		var src, dst string
		var cost float64
		if _, err := fmt.Sscan(line, &src, &dst, &cost); err != nil {
			t.Fatal(err)
		}
		c.Row(src)
		c.Cost(dst, cost)
	}
	made, err := c.Build(CostInfo{Mode: "numerical", Metric: "routingcost"}, tag, len(costs))
	if err != nil {
		t.Fatal(err)
	}
	return &Maps{Network: m, Costs: []*CostMap{made}}
}
