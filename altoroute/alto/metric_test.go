// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

func TestSame(t *testing.T) {
	for _, c := range []struct {
		mode, a, b string
		want       bool
	}{
		{"numerical", "routingcost", "routingcost", true},
		{"numerical", "tput", "tput:median", true},
		{"ordinal", "delay-ow:median", "delay-ow", true},
		{"numerical", "bw-residual", "bw-residual:cur", true},
		{"numerical", "bw-available:cur", "bw-available", true},
		{"numerical", "bw-available", "bw-available:median", false},
		{"numerical", "tput", "tput:cur", false},
		{"numerical", "tput:p50", "tput:median", false},
		{"numerical", "routingcost", "routingcost:median", false},
		{"numerical", "priv:x", "priv:x:median", false},
	} {
		a, b := alto.CostType{Mode: c.mode, Metric: c.a, Description: "one"}, alto.CostType{Mode: c.mode, Metric: c.b}
		if a.Same(b) != c.want || b.Same(a) != c.want || a.Same(alto.CostType{Mode: "priv:other", Metric: c.a}) {
			t.Errorf("%v and %v: %t", a, b, a.Same(b))
		}
	}
}

func TestUnitAndKnown(t *testing.T) {
	for _, c := range []struct {
		mode, metric string
		unit         string
		known        bool
	}{
		{"numerical", "routingcost", "", true},
		{"ordinal", "routingcost", "", true},
		{"numerical", "hopcount", "hops", true},
		{"ordinal", "hopcount", "", true},
		{"numerical", "delay-ow", "µs", true},
		{"numerical", "delay-rt:p99.9", "µs", true},
		{"numerical", "delay-variation:stddev", "µs", true},
		{"numerical", "delay-variation:stdvar", "(µs)²", true},
		{"numerical", "lossrate:mean", "%", true},
		{"numerical", "tput", "byte/s", true},
		{"numerical", "tput:cur", "byte/s", true},
		{"numerical", "bw-residual:min", "byte/s", true},
		{"numerical", "bw-available:max", "byte/s", true},
		{"ordinal", "bw-available:median", "", true},
		{"array", "ane-path", "", true},

		{"numerical", "ane-path", "", false},
		{"array", "routingcost", "", false},
		{"array", "delay-ow", "", false},
		{"numerical", "delay-ow:", "µs", false},
		{"numerical", "delay-ow:p101", "µs", false},
		{"numerical", "delay-ow:p", "µs", false},
		{"numerical", "delay-ow:average", "µs", false},
		{"numerical", "delay-ow:p99:x", "µs", false},
		{"numerical", "routingcost:mean", "", false},
		{"numerical", "Delay-OW", "", false},
		{"numerical", "priv:delay-ow", "", false},
		{"numerical", "", "", false},
		{"priv:x", "delay-ow", "", false},
		{"", "delay-ow", "", false},
		{"", "", "", false},
	} {
		costType := alto.CostType{Mode: c.mode, Metric: c.metric}
		if got := costType.Unit(); got != c.unit {
			t.Errorf("%v: unit %q, want %q", costType, got, c.unit)
		}
		if got := costType.Known(); got != c.known {
			t.Errorf("%v: known %t", costType, got)
		}
	}
}
