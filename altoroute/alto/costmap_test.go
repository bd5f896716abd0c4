// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// costMap keeps a whole cost map, or the rows of only.
type costMap struct {
	only  string // empty means all
	row   string
	rows  []string
	costs map[[2]string]float64
}

func (m *costMap) Row(src string) bool {
	if m.costs == nil {
		m.costs = make(map[[2]string]float64)
	}
	m.row = src
	m.rows = append(m.rows, src)
	return m.only == "" || m.only == src
}

func (m *costMap) Cost(dst string, cost float64) { m.costs[[2]string{m.row, dst}] = cost }

// costs makes a document of a cost mode and the body of a cost map.
func costs(mode, body string) string {
	return `{"meta":` + costMeta(mode) + `,"cost-map":` + body + `}`
}

// costsFirst is costs with the body before the mode.
func costsFirst(mode, body string) string {
	return `{"cost-map":` + body + `,"meta":` + costMeta(mode) + `}`
}

func costMeta(mode string) string {
	return `{"dependent-vtags":[{"resource-id":"m","tag":"1"}],"cost-type":{"cost-mode":"` + mode + `","cost-metric":"routingcost"}}`
}

func TestReadCostMapRFC(t *testing.T) {
	var got costMap
	info, err := alto.ReadCostMap(strings.NewReader(rfcCostMap), &got)
	if err != nil {
		t.Fatal(err)
	}
	wantInfo := alto.CostMapInfo{
		DependentVersionTag: alto.VersionTag{
			ResourceID: "my-default-network-map", Tag: "3ee2cb7e8d63d9fab71b9b34cbf764436315542e",
		},
		CostType: alto.CostType{Mode: "numerical", Metric: "routingcost"},
		Pairs:    8,
	}
	if info != wantInfo {
		t.Errorf("info %+v", info)
	}
	want := map[[2]string]float64{
		{"PID1", "PID1"}: 1, {"PID1", "PID2"}: 5, {"PID1", "PID3"}: 10,
		{"PID2", "PID1"}: 5, {"PID2", "PID2"}: 1, {"PID2", "PID3"}: 15,
		{"PID3", "PID1"}: 20, {"PID3", "PID2"}: 15,
	}
	if !maps.Equal(got.costs, want) {
		t.Errorf("costs %v", got.costs)
	}

	some := costMap{only: "PID3"}
	info, err = alto.ReadCostMap(strings.NewReader(rfcCostMap), &some)
	if err != nil || info != wantInfo || len(some.rows) != 3 || len(some.costs) != 2 || some.costs[[2]string{"PID3", "PID1"}] != 20 {
		t.Errorf("one row of three: %+v, %v", some, err)
	}
}

func TestReadCostMapCosts(t *testing.T) {
	for _, c := range []struct {
		mode, cost string
		want       float64
		err        string
	}{
		{"numerical", "0", 0, ""},
		{"numerical", "-5.5", -5.5, ""},
		{"numerical", "1e300", 1e300, ""},
		{"numerical", "1e-999", 0, ""},
		{"numerical", "123456789012345678901234567890", 123456789012345678901234567890, ""},
		{"numerical", "1e999", 0, "cost-map/a/b: the cost 1e999 is too large"},
		{"numerical", "-1e999", 0, "too large"},
		{"numerical", strings.Repeat("9", 400), 0, "too large"},
		{"numerical", `"5"`, 0, `cost-map/a/b: the cost is the string "5", not a number`},
		{"numerical", `"NaN"`, 0, `the string "NaN"`},
		{"numerical", "NaN", 0, "no valid JSON"},
		{"numerical", "null", 0, "cost-map/a/b: the cost is null, not a number"},
		{"numerical", "true", 0, "the cost is a boolean"},
		{"numerical", "{}", 0, "cost-map/a/b: the cost is an object"},
		{"numerical", "[1]", 0, "cost-map/a/b: the cost is an array"},
		{"numerical", "", 0, "cost-map/a"},
		{"numerical", "01", 0, "no valid JSON"},
		{"ordinal", "0", 0, ""},
		{"ordinal", "-0", 0, ""},
		{"ordinal", "3.0", 3, ""},
		{"ordinal", "1e3", 1000, ""},
		{"ordinal", "-1", 0, `cost-map/a/b: the cost -1 is not a non-negative integer, as mode "ordinal" demands`},
		{"ordinal", "1.5", 0, "is not a non-negative integer"},
		{"ordinal", `"1"`, 0, "the string"},
		{"priv:x", "-1.5", -1.5, ""},
		{"array", "[1,2]", 0, "the cost is an array"},
	} {
		for name, document := range map[string]string{
			"meta first": costs(c.mode, `{"z":{},"a":{"b":`+c.cost+`}}`),
			"body first": costsFirst(c.mode, `{"z":{},"a":{"b":`+c.cost+`}}`),
		} {
			for _, only := range []string{"", "z"} { // a row that is not wanted is checked too
				got := costMap{only: only}
				info, err := alto.ReadCostMap(strings.NewReader(document), &got)
				checkError(t, name+" "+c.mode+" "+c.cost, err, c.err)
				if cost := got.costs[[2]string{"a", "b"}]; err == nil && (info.Pairs != 1 || only == "" && cost != c.want) {
					t.Errorf("%s, mode %s: %s is read as %g", name, c.mode, c.cost, cost)
				}
			}
		}
	}
}

// TestReadCostMapNegative reads a negative cost of measured metrics and of others.
func TestReadCostMapNegative(t *testing.T) {
	for metric, want := range map[string]string{
		"routingcost": "", "priv:x": "", "delay-owl": "",
		"delay-ow":   "cost-map/a/b: the cost -1 is negative, which no metric of RFC 9439 can be",
		"tput:p10":   "is negative",
		"lossrate":   "is negative",
		"hopcount:x": "is negative",
	} {
		for _, document := range []string{costs("numerical", `{"a":{"b":-1}}`), costsFirst("numerical", `{"a":{"b":-1}}`)} {
			_, err := alto.ReadCostMap(strings.NewReader(strings.Replace(document, "routingcost", metric, 1)), new(costMap))
			checkError(t, metric, err, want)
		}
	}
}

func TestReadCostMapRefuses(t *testing.T) {
	const (
		dependent = `"dependent-vtags":[{"resource-id":"m","tag":"1"}]`
		costType  = `"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}`
	)
	for _, c := range []struct{ document, err string }{
		{``, "the document is empty"},
		{`{}`, "cost-map is missing: the document is not a cost map"},
		{`{"cost-map":{}}`, "meta/dependent-vtags is missing"},
		{`{"cost-map":{},"meta":{` + dependent + `}}`, "meta/cost-type is missing"},
		{`{"cost-map":{},"meta":{` + costType + `}}`, "meta/dependent-vtags is missing"},
		{`{"cost-map":{},"meta":{` + costType + `,` + dependent + `}}`, ""},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":[]}}`, "meta/dependent-vtags: 0 elements instead of the one version tag"},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":[{"resource-id":"m","tag":"1"},{"resource-id":"m","tag":"1"}]}}`, "meta/dependent-vtags: 2 elements instead of the one"},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":{"resource-id":"m","tag":"1"}}}`, "meta/dependent-vtags: an object instead of an array"},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":["m"]}}`, "meta/dependent-vtags: a string instead of a version tag"},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":[{"resource-id":"m"}]}}`, "meta/dependent-vtags: tag is missing"},
		{`{"cost-map":{},"meta":{` + costType + `,"dependent-vtags":[{"resource-id":"m","tag":"1 2"}]}}`, `meta/dependent-vtags/tag: "1 2" is not a tag`},
		{`{"cost-map":{},"meta":{` + dependent + `,"vtag":{},` + costType + `}}`, "meta/vtag: resource-id is missing"},
		{`{"cost-map":{},"meta":{` + dependent + `,"cost-type":"routingcost"}}`, "meta/cost-type: a string instead of a cost type"},
		{`{"cost-map":{},"meta":{` + dependent + `,"cost-type":{}}}`, "meta/cost-type: cost-mode is missing"},
		{`{"cost-map":{},"meta":{` + dependent + `,"cost-type":{"cost-mode":"numerical"}}}`, "meta/cost-type: cost-metric is missing"},
		{`{"cost-map":{},"meta":{` + dependent + `,"cost-type":{"cost-mode":"a.b","cost-metric":"x"}}}`, `meta/cost-type/cost-mode: "a.b" is not a cost mode`},
		{`{"cost-map":{},"meta":{` + dependent + `,"cost-type":{"cost-mode":"a","cost-metric":"priv:"}}}`, `meta/cost-type/cost-metric: "priv:" is not a cost metric`},
		{costs("numerical", `[]`), "cost-map: an array instead of an object of PIDs"},
		{costs("numerical", `{"a":1}`), "cost-map/a: a number instead of an object of costs"},
		{costs("numerical", `{"a":null}`), "cost-map/a: null instead of an object of costs"},
		{costs("numerical", `{"a b":{}}`), `cost-map: "a b" is not a PID name`},
		{costs("numerical", `{"a":{"x.y":1}}`), `cost-map/a: "x.y" is not a PID name: "." is reserved`},
		{costs("numerical", `{"a":{"":1}}`), `cost-map/a: "" is not a PID name`},
		{costs("numerical", `{"a":{"b":1,"b":2}}`), `cost-map/a: the member "b" occurs twice`},
		{costs("numerical", `{"a":{"b":1,"\u0062":2}}`), `cost-map/a: the member "b" occurs twice`},
		{costs("numerical", `{"a":{"b":1},"a":{}}`), `cost-map: the member "a" occurs twice`},
		{strings.TrimRight(costs("numerical", `{"a":{"b":1`), "}"), "cost-map/a: the document is cut off"},
		{costs("numerical", `{"a":{"b"}`), "cost-map/a"},
		{costs("numerical", `{"a":{"b":1 "c":2}}`), "cost-map/a"},
		{costs("numerical", `{"a":{1:1}}`), "cost-map/a"},
		{costs("numerical", `{}`) + `null`, "data follow the end"},
		{costs("numerical", `{}`), ""},
	} {
		_, err := alto.ReadCostMap(strings.NewReader(c.document), new(costMap))
		checkError(t, c.document, err, c.err)
	}
}

// Names that need unescaping are the names they stand for.
func TestReadCostMapEscapedNames(t *testing.T) {
	var got costMap
	_, err := alto.ReadCostMap(strings.NewReader(costs("numerical", `{"\u0061":{"\u0062":1},"b":{"b":2,"\u0061":3}}`)), &got)
	want := map[[2]string]float64{{"a", "b"}: 1, {"b", "b"}: 2, {"b", "a"}: 3}
	if err != nil || !maps.Equal(got.costs, want) {
		t.Errorf("%v, %v", got.costs, err)
	}
}

// A map with more names than are remembered is read all the same.
func TestReadCostMapManyNames(t *testing.T) {
	var row strings.Builder
	for i := range 70_000 {
		fmt.Fprintf(&row, `,"n%d":%d`, i, i)
	}
	body := `{"a":{` + row.String()[1:] + `},"b":{` + row.String()[1:] + `}}`
	var got costMap
	info, err := alto.ReadCostMap(strings.NewReader(costs("numerical", body)), &got)
	if err != nil || info.Pairs != 140_000 || got.costs[[2]string{"b", "n69999"}] != 69_999 || got.costs[[2]string{"b", "n7"}] != 7 {
		t.Errorf("%+v, %v", info, err)
	}
}
