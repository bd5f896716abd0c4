// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// A server serves what it is given, until it is told to misbehave.
func Example() {
	server := altotest.New()
	server.Publish(altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{{ID: "net", Tag: "1", PIDs: map[string][]string{"cc-de": {"192.0.2.0/24"}}}},
	})
	ask := func() {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, altotest.NetworkMapPath("net"), nil))
		fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	}
	ask()
	server.Misbehave(altotest.NetworkMapPath("net"), altotest.HTML())
	ask()
	// Output:
	// 200 application/alto-networkmap+json
	// 200 text/html; charset=utf-8
}

// A part of a cost map is asked for by POST.
func ExampleFilteredCostMap() {
	costs := altotest.CostMap{
		DependsOn: alto.VersionTag{ResourceID: "net", Tag: "1"},
		Type:      alto.CostType{Mode: "numerical", Metric: "routingcost"},
		Costs:     map[string]map[string]float64{"cc-de": {"cc-de": 1, "cc-fr": 2}, "cc-fr": {"cc-de": 2}},
	}
	server := altotest.New()
	server.Publish(altotest.Guidance{Filtered: []altotest.FilteredCostMap{{ID: "part", Maps: []altotest.CostMap{costs}}}})

	request := httptest.NewRequest(http.MethodPost, altotest.FilteredPath("part"), strings.NewReader(`{
		"cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"},
		"pids": {"srcs": ["cc-de"], "dsts": ["cc-fr"]}
	}`))
	request.Header.Set("Content-Type", alto.MediaTypeCostMapFilter)
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// 200 {"cost-map":{"cc-de":{"cc-fr":2}},"meta":{"cost-type":{"cost-metric":"routingcost","cost-mode":"numerical"},"dependent-vtags":[{"resource-id":"net","tag":"1"}]}}
}

// Reading finds most of what is wrong with a network map. The rest is for its
// user to find.
func ExampleFaults() {
	server := altotest.New()
	server.Publish(altotest.Guidance{
		NetworkMaps: []altotest.NetworkMap{{ID: "net", Tag: "1", PIDs: map[string][]string{"cc-de": {"192.0.2.0/24"}}}},
	})
	path := altotest.NetworkMapPath("net")
	for _, fault := range altotest.Faults() {
		if !fault.On(alto.MediaTypeNetworkMap) || !fault.Content {
			continue
		}
		server.Misbehave(path, fault.Behavior)
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if _, err := alto.ReadNetworkMap(answer.Body, newSink()); err == nil {
			fmt.Println(fault.Name)
		}
	}
	// Output:
	// another map
	// no PIDs
	// prefix in two PIDs
}
