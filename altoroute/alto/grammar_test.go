// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

func TestGrammars(t *testing.T) {
	names := func(check func(string) error) []grammarCase {
		return []grammarCase{
			{check, "PID1", ""},
			{check, "a", ""},
			{check, "AZaz09-:@_", ""},
			{check, strings.Repeat("x", 64), ""},
			{check, strings.Repeat("x", 65), "has 65 bytes, at most 64"},
			{check, "", `"" is not a`},
			{check, "a.b", `"." is reserved`},
			{check, "a b", `contains " " (U+0020)`},
			{check, "a/b", `contains "/"`},
			{check, "cc-ö", `contains "\u00f6" (U+00F6)`},
			{check, "a\x00", `contains "\x00"`},
			{check, "a\xff", `contains "\xff"`},
			{check, "\u212a", "only letters"}, // the Kelvin sign is no ASCII letter
		}
	}
	cases := append(names(alto.CheckPIDName), names(alto.CheckResourceID)...)
	cases = append(cases, []grammarCase{
		{alto.CheckTag, "!", ""},
		{alto.CheckTag, `~"\.`, ""},
		{alto.CheckTag, strings.Repeat("~", 64), ""},
		{alto.CheckTag, strings.Repeat("~", 65), "at most 64"},
		{alto.CheckTag, "", "is empty"},
		{alto.CheckTag, "a b", "U+0020"},
		{alto.CheckTag, "a\x7f", "U+007F"},
		{alto.CheckTag, "é", "U+00E9"},

		{alto.CheckCostMode, "numerical", ""},
		{alto.CheckCostMode, "ordinal", ""},
		{alto.CheckCostMode, "array", ""},
		{alto.CheckCostMode, "priv:mine", ""},
		{alto.CheckCostMode, strings.Repeat("m", 32), ""},
		{alto.CheckCostMode, strings.Repeat("m", 33), "at most 32"},
		{alto.CheckCostMode, "", "is empty"},
		{alto.CheckCostMode, "priv:", "must follow"},
		{alto.CheckCostMode, "a@b", `contains "@"`},
		{alto.CheckCostMode, "a.b", `contains "."`},

		{alto.CheckCostMetric, "routingcost", ""},
		{alto.CheckCostMetric, "bw-available", ""},
		{alto.CheckCostMetric, "tput:median", ""},
		{alto.CheckCostMetric, "delay-ow:p99", ""},
		{alto.CheckCostMetric, "delay-ow:p99.9", ""},
		{alto.CheckCostMetric, "delay-ow:p0", ""},
		{alto.CheckCostMetric, "delay-ow:p100.00", ""},
		{alto.CheckCostMetric, "delay-ow:peak", ""},
		{alto.CheckCostMetric, "priv:x", ""},
		{alto.CheckCostMetric, "priv:x:p50", ""},
		{alto.CheckCostMetric, strings.Repeat("m", 32), ""},
		{alto.CheckCostMetric, strings.Repeat("m", 33), "at most 32"},
		{alto.CheckCostMetric, "", "is empty"},
		{alto.CheckCostMetric, "priv:", "must follow"},
		{alto.CheckCostMetric, "tput:", "an operator"},
		{alto.CheckCostMetric, ":median", "a metric"},
		{alto.CheckCostMetric, "routing.cost", `"." is reserved`},
		{alto.CheckCostMetric, "p99.9", `"." is reserved`},
		{alto.CheckCostMetric, "a.b:p99.9", `"." is reserved`},
		{alto.CheckCostMetric, "delay-ow:p100.1", "from p0 to p100"},
		{alto.CheckCostMetric, "delay-ow:p101", "from p0 to p100"},
		{alto.CheckCostMetric, "delay-ow:p9.9.9", "not a number"},
		{alto.CheckCostMetric, "delay-ow:p.5", "not a number"},
		{alto.CheckCostMetric, "delay-ow:p99.", "not a number"},
		{alto.CheckCostMetric, "delay-ow:p1e1.0", `"." is reserved`},
		{alto.CheckCostMetric, "a b", `contains " "`},
		{alto.CheckCostMetric, "a@b", `contains "@"`},
	}...)
	for _, c := range cases {
		checkError(t, c.s, c.check(c.s), c.err)
	}
}

type grammarCase struct {
	check func(string) error
	s     string
	err   string // a part of the error; empty for none
}

// checkError compares an error with a part of its text, empty for no error.
func checkError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("%.200q: accepted, want an error with %q", what, want)
	case err != nil && want == "":
		t.Errorf("%.200q: %v", what, err)
	case err != nil && !strings.Contains(err.Error(), want):
		t.Errorf("%.200q: error %q is without %q", what, err, want)
	case err != nil && (strings.ContainsAny(err.Error(), "\n\r\x00") || len(err.Error()) > 1000):
		t.Errorf("%.200q: error %.2000q is not one short line", what, err)
	}
}

func TestCostType(t *testing.T) {
	for _, c := range []struct {
		mode, metric    string
		ordinal, higher bool
	}{
		{"numerical", "routingcost", false, false},
		{"ordinal", "routingcost", true, false},
		{"array", "ane-path", true, false},
		{"", "", true, false},
		{"numerical", "tput", false, true},
		{"numerical", "tput:p10", false, true},
		{"numerical", "bw-residual", false, true},
		{"numerical", "bw-available:cur", false, true},
		{"numerical", "tput:stddev", false, false}, // spread
		{"priv:x", "tput", true, true},
		{"ordinal", "tput", true, false}, // a rank
		{"numerical", "tputs", false, false},
		{"numerical", "priv:tput", false, false},
		{"numerical", "delay-ow:tput", false, false},
	} {
		costType := alto.CostType{Mode: c.mode, Metric: c.metric}
		if costType.Ordinal() != c.ordinal || costType.HigherIsBetter() != c.higher {
			t.Errorf("%+v: Ordinal %t, HigherIsBetter %t", costType, costType.Ordinal(), costType.HigherIsBetter())
		}
	}
}
