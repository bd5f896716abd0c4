// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// filtered is guidance whose cost map is offered whole, filtered, and filtered
// with constraints together with another of its network map.
func filtered() altotest.Guidance {
	g := guidance("1")
	whole := &g.CostMaps[0]
	whole.Costs = map[string]map[string]float64{"a": {"a": 0, "b": 2.5}, "b": {"a": 4}}
	ranks := *whole
	ranks.ID, ranks.Type = "ranks", ordinalCost
	ranks.Costs = map[string]map[string]float64{"a": {"b": 7}}
	g.Filtered = []altotest.FilteredCostMap{
		{ID: "part", Path: altotest.CostMapPath("cost"), Maps: []altotest.CostMap{*whole}},
		{ID: "parts", Maps: []altotest.CostMap{*whole, ranks}, Constraints: true},
	}
	return g
}

func request(rest string) string {
	return `{"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}` + rest + "}"
}

func TestFilteredListing(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(filtered())
	client := browser(t)
	d := directoryAt(t, client, s.Directory())
	whole, part, parts := d.Resources["cost"], d.Resources["part"], d.Resources["parts"]
	if whole.Accepts != "" || part.Accepts != alto.MediaTypeCostMapFilter || part.URI.String() != whole.URI.String() || part.Capabilities.CostConstraints {
		t.Errorf("one URI for both: %+v and %+v", whole, part)
	}
	if parts.URI.Path != altotest.FilteredPath("parts") || !parts.Capabilities.CostConstraints ||
		len(parts.Capabilities.CostTypeNames) != 2 || !slices.Equal(parts.Uses, []string{"net"}) || parts.MediaType != alto.MediaTypeCostMap {
		t.Errorf("two cost types: %+v", parts)
	}
	if got := get(t, client, whole.URI.String()); got.status != http.StatusOK {
		t.Errorf("GET of the URI with both: %+v", got)
	}
	if got := get(t, client, parts.URI.String()); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "POST" {
		t.Errorf("GET of a filtered map: %+v", got)
	}
	if got := send(t, client, http.MethodPut, whole.URI.String(), "", nil); got.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: %+v", got)
	}
	if got := post(t, client, s.Directory().String(), request("")); got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST of a directory: %+v", got)
	}
}

// The answer has the pairs that are asked for and no others (RFC 7285
// §11.3.2.6).
func TestFilteredAnswers(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(filtered())
	client := browser(t)
	all := map[string]float64{"a a": 0, "a b": 2.5, "b a": 4}
	for in, want := range map[string]map[string]float64{
		request(""):                                                                           all,
		request(`,"x":1`):                                                                     all,
		request(`,"pids":{"srcs":[],"dsts":[]}`):                                              all,
		request(`,"pids":{"srcs":["a"],"dsts":[]}`):                                           {"a a": 0, "a b": 2.5},
		request(`,"pids":{"srcs":[],"dsts":["a"]}`):                                           {"a a": 0, "b a": 4},
		request(`,"pids":{"srcs":["b"],"dsts":["b"]}`):                                        {},
		request(`,"pids":{"srcs":["z"],"dsts":[]}`):                                           {}, // a PID that there is not, and so none
		request(`,"pids":{"srcs":["a","a","z"],"dsts":["b"]}`):                                {"a b": 2.5},
		request(`,"constraints":[]`):                                                          all,
		request(`,"constraints":["gt 0","le 2.5"]`):                                           {"a b": 2.5},
		request(`,"constraints":["ge 2.5"]`):                                                  {"a b": 2.5, "b a": 4},
		request(`,"constraints":["lt  2.5"]`):                                                 {"a a": 0},
		request(`,"constraints":["eq 4"],"pids":{"srcs":["a"],"dsts":[]}`):                    {},
		`{"cost-type":{"cost-mode":"ordinal","cost-metric":"routingcost","description":"?"}}`: {"a b": 7},
	} {
		got := post(t, client, s.URL+altotest.FilteredPath("parts"), in)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != alto.MediaTypeCostMap {
			t.Errorf("%s: %+v", in, got)
			continue
		}
		costs, info := costsOf(t, got.body)
		if !maps.Equal(costs, want) || info.DependentVersionTag != (alto.VersionTag{ResourceID: "net", Tag: "1"}) ||
			info.CostType.Mode == "ordinal" != strings.Contains(in, "ordinal") {
			t.Errorf("%s: %v of %+v, want %v", in, costs, info, want)
		}
	}
	for i, r := range s.Requests(altotest.FilteredPath("parts")) {
		if r.Method != http.MethodPost || !strings.HasPrefix(string(r.Body), `{"cost-type"`) || r.Header.Get("Content-Type") != alto.MediaTypeCostMapFilter {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}

// Each fault of a request has its error document (RFC 7285 §8.5.2).
func TestFilteredErrors(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(filtered())
	client := browser(t)
	pids := func(srcs string) string { return request(`,"pids":{"srcs":` + srcs + `,"dsts":[]}`) }
	for _, test := range []struct{ path, in, code, field, value string }{
		{"parts", ``, "E_SYNTAX", "", ""},
		{"parts", `{"cost-type":`, "E_SYNTAX", "", ""},
		{"parts", `[]`, "E_SYNTAX", "", ""},
		{"parts", `null`, "E_SYNTAX", "", ""},
		{"parts", request("") + "{}", "E_SYNTAX", "", ""},
		{"parts", request(`,"x":1,"x":2`), "E_SYNTAX", "", ""},
		{"parts", request(`,"x":"` + "\xff" + `"`), "E_SYNTAX", "", ""},
		{"parts", `{}`, "E_MISSING_FIELD", "cost-type", ""},
		{"parts", `{"cost-type":{"cost-metric":"routingcost"}}`, "E_MISSING_FIELD", "cost-type/cost-mode", ""},
		{"parts", `{"cost-type":{"cost-mode":"numerical"}}`, "E_MISSING_FIELD", "cost-type/cost-metric", ""},
		{"parts", request(`,"pids":{"dsts":[]}`), "E_MISSING_FIELD", "pids/srcs", ""},
		{"parts", request(`,"pids":{"srcs":[]}`), "E_MISSING_FIELD", "pids/dsts", ""},
		{"parts", `{"cost-type":"numerical"}`, "E_INVALID_FIELD_TYPE", "cost-type", ""},
		{"parts", `{"cost-type":null}`, "E_INVALID_FIELD_TYPE", "cost-type", ""},
		{"parts", `{"cost-type":{"cost-mode":1,"cost-metric":"routingcost"}}`, "E_INVALID_FIELD_TYPE", "cost-type/cost-mode", ""},
		{"parts", `{"cost-type":{"cost-mode":null,"cost-metric":"routingcost"}}`, "E_INVALID_FIELD_TYPE", "cost-type/cost-mode", ""},
		{"parts", request(`,"pids":[]`), "E_INVALID_FIELD_TYPE", "pids", ""},
		{"parts", pids(`"a"`), "E_INVALID_FIELD_TYPE", "pids/srcs", ""},
		{"parts", pids(`null`), "E_INVALID_FIELD_TYPE", "pids/srcs", ""},
		{"parts", request(`,"constraints":"gt 0"`), "E_INVALID_FIELD_TYPE", "constraints", ""},
		// An element of the wrong type is a wrong value.
		{"parts", pids(`["a",1]`), "E_INVALID_FIELD_VALUE", "pids/srcs", "1"},
		{"parts", pids(`["no name"]`), "E_INVALID_FIELD_VALUE", "pids/srcs", "no name"},
		{"parts", `{"cost-type":{"cost-mode":"foo","cost-metric":"routingcost"}}`, "E_INVALID_FIELD_VALUE", "cost-type/cost-mode", "foo"},
		{"parts", `{"cost-type":{"cost-mode":"ordinal","cost-metric":"foo"}}`, "E_INVALID_FIELD_VALUE", "cost-type/cost-metric", "foo"},
		{"parts", request(`,"constraints":["ne 1"]`), "E_INVALID_FIELD_VALUE", "constraints", "ne 1"},
		{"parts", request(`,"constraints":["gt"]`), "E_INVALID_FIELD_VALUE", "constraints", "gt"},
		{"parts", request(`,"constraints":["gt 1 2"]`), "E_INVALID_FIELD_VALUE", "constraints", "gt 1 2"},
		{"part", request(`,"constraints":[]`), "E_INVALID_FIELD_VALUE", "constraints", "[]"},
	} {
		path := map[string]string{"part": altotest.CostMapPath("cost"), "parts": altotest.FilteredPath("parts")}[test.path]
		got := post(t, client, s.URL+path, test.in)
		if got.status != http.StatusBadRequest || got.header.Get("Content-Type") != alto.MediaTypeError {
			t.Errorf("%s: %+v", test.in, got)
			continue
		}
		fault, err := alto.ReadError(strings.NewReader(got.body))
		if err != nil || fault.Code != test.code || fault.Field != test.field || fault.Value != test.value ||
			fault.Code == "E_SYNTAX" != (fault.SyntaxError != "") {
			t.Errorf("%s: %+v, %v", test.in, fault, err)
		}
	}
	target := s.URL + altotest.FilteredPath("parts")
	for _, contentType := range []string{"", "application/json"} {
		got := send(t, client, http.MethodPost, target, request(""), map[string]string{"Content-Type": contentType})
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: %+v", contentType, got)
		}
	}
	if got := post(t, client, target, request(strings.Repeat(" ", 2<<20))); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large request: %+v", got)
	}
}

// A filtered map misbehaves like any other, with 303 after POST besides (RFC
// 7285 §8.3.3).
func TestFilteredMisbehaves(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(filtered())
	client := browser(t)
	path := altotest.FilteredPath("parts")
	s.Misbehave(path, altotest.StringCosts())
	in := request(`,"pids":{"srcs":["a"],"dsts":["b"]}`)
	if got := post(t, client, s.URL+path, in); !strings.Contains(got.body, `"b":"2.5"`) || strings.Contains(got.body, `"a":"0"`) {
		t.Errorf("strings: %+v", got)
	}
	s.Misbehave(path, altotest.SeeOther())
	client.CheckRedirect = nil
	for _, dst := range []string{"a", "b"} {
		got := post(t, client, s.URL+path, request(fmt.Sprintf(`,"pids":{"srcs":["a"],"dsts":[%q]}`, dst)))
		if costs, _ := costsOf(t, got.body); len(costs) != 1 || !maps.Equal(costs, map[string]float64{"a " + dst: costs["a "+dst]}) {
			t.Errorf("after 303: %+v", got)
		}
		last := s.Requests(path)[len(s.Requests(path))-1]
		if last.Method != http.MethodGet || len(last.Body) > 0 || !strings.Contains(last.Target, "?answer=") {
			t.Errorf("redirected to %+v", last)
		}
	}
}
