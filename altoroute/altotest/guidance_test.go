// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var ordinalCost = alto.CostType{Mode: "ordinal", Metric: "routingcost"}

// A nested directory uses the root's network map, calls other cost types by the
// same names, and leads back.
func TestNestedDirectories(t *testing.T) {
	g := guidance("1")
	inner := g.CostMaps[0]
	inner.ID, inner.Type = "inner-cost", ordinalCost
	inner.Costs = map[string]map[string]float64{"a": {"b": 2}}
	deep := altotest.Directory{ID: "deep", Path: "/far/away/dir", Guidance: altotest.Guidance{
		NetworkMaps: []altotest.NetworkMap{{ID: "deep-net", Tag: "1", Path: "/deep-net"}},
		Directories: []altotest.Directory{{ID: "back", Path: altotest.DirectoryPath}},
	}}
	g.CostTypes = map[string]alto.CostType{"routing": routingCost, "unused": {Mode: "numerical", Metric: "hopcount"}}
	g.Directories = []altotest.Directory{
		{ID: "custom", Guidance: altotest.Guidance{
			CostMaps:    []altotest.CostMap{inner},
			CostTypes:   map[string]alto.CostType{"routing": ordinalCost},
			Directories: []altotest.Directory{deep},
		}},
		{ID: "empty"},
		{ID: "elsewhere", Path: "http://alto.example/directory"},
	}
	s := altotest.Start(t)
	s.Publish(g)
	client := browser(t)

	root := directoryAt(t, client, s.Directory())
	if root.CostTypes["routing"] != routingCost || len(root.CostTypes) != 2 || root.Resources["cost"].Capabilities.CostTypeNames[0] != "routing" {
		t.Errorf("cost types of the root: %v, of the map: %v", root.CostTypes, root.Resources["cost"].Capabilities)
	}
	if got := root.Resources["elsewhere"].URI.String(); got != "http://alto.example/directory" {
		t.Errorf("the directory elsewhere is %s", got)
	}
	custom := directoryAt(t, client, root.Resources["custom"].URI)
	costs := custom.Resources["inner-cost"]
	if custom.CostTypes["routing"] != ordinalCost || !slices.Equal(costs.Uses, []string{"net"}) || custom.DefaultNetworkMap != "" {
		t.Errorf("nested directory: %+v", custom)
	}
	read, info := costsOf(t, get(t, client, costs.URI.String()).body)
	if !maps.Equal(read, map[string]float64{"a b": 2}) || info.CostType != ordinalCost {
		t.Errorf("cost map of the nested directory: %v %+v", read, info)
	}
	far := directoryAt(t, client, custom.Resources["deep"].URI)
	if got, want := far.Resources["deep-net"].URI.String(), s.URL+"/deep-net"; got != want || get(t, client, got).status != http.StatusOK {
		t.Errorf("network map at %s, want %s", got, want)
	}
	if got, want := far.Resources["back"].URI.String(), s.Directory().String(); got != want {
		t.Errorf("the way back leads to %s, want %s", got, want)
	}
	if n := len(directoryAt(t, client, root.Resources["empty"].URI).Resources); n != 0 {
		t.Errorf("the empty directory lists %d resources", n)
	}
}

// Two directories that list each other are no circle in the values.
func TestDirectoriesInACircle(t *testing.T) {
	g := guidance("1")
	g.Directories = []altotest.Directory{
		{ID: "x", Guidance: altotest.Guidance{Directories: []altotest.Directory{{ID: "to-y", Path: altotest.NestedPath("y")}}}},
		{ID: "y", Guidance: altotest.Guidance{Directories: []altotest.Directory{{ID: "to-x", Path: altotest.NestedPath("x")}}}},
	}
	s := altotest.Start(t)
	s.Publish(g)
	client := browser(t)
	at := directoryAt(t, client, s.Directory()).Resources["x"].URI
	for range 4 {
		next := directoryAt(t, client, at).Resources
		to := next["to-x"].URI
		if to == nil {
			to = next["to-y"].URI
		}
		if to == nil || to.Path == at.Path {
			t.Fatalf("%s leads to %v", at, next)
		}
		at = to
	}
}

// What is listed need not be what is served.
func TestListing(t *testing.T) {
	g := guidance("1")
	g.NetworkMaps[0].Path = "/moved"
	g.CostMaps[0].Uses = []string{}
	g.CostTypes = map[string]alto.CostType{"numerical-routingcost": ordinalCost} // the name that the map's would have
	g.Others = []alto.Resource{{
		ID: "props", URI: &url.URL{Path: "endpoints"}, MediaType: "application/alto-endpointprop+json",
		Accepts:      "application/alto-endpointpropparams+json",
		Capabilities: alto.Capabilities{PropTypes: []string{"net.pid"}, CostConstraints: true, MaxCostTypes: 3},
	}}
	s := altotest.Start(t)
	s.Publish(g)
	client := browser(t)
	d := directoryAt(t, client, s.Directory())
	if got := d.Resources["net"].URI.Path; got != "/moved" || get(t, client, s.URL+got).status != http.StatusOK ||
		get(t, client, s.URL+altotest.NetworkMapPath("net")).status != http.StatusNotFound {
		t.Errorf("the network map is at %s", got)
	}
	cost := d.Resources["cost"]
	if len(cost.Uses) != 0 || d.CostTypes[cost.Capabilities.CostTypeNames[0]] != routingCost || len(d.CostTypes) != 2 {
		t.Errorf("cost map %+v, cost types %v", cost, d.CostTypes)
	}
	if props := d.Resources["props"]; props.Accepts != g.Others[0].Accepts || props.Capabilities.MaxCostTypes != 3 ||
		!props.Capabilities.CostConstraints || !slices.Equal(props.Capabilities.PropTypes, []string{"net.pid"}) {
		t.Errorf("other resource: %+v", props)
	}
}

// What is on another server is listed here, and not served.
func TestElsewhere(t *testing.T) {
	other := started(t)
	g := guidance("1")
	g.NetworkMaps[0].Path = other.URL + altotest.NetworkMapPath("net")
	g.CostMaps[0].Path = other.URL + altotest.CostMapPath("cost")
	g.Filtered = []altotest.FilteredCostMap{{ID: "part", Path: other.URL + "/part", Maps: g.CostMaps}}
	s := altotest.Start(t)
	s.Publish(g)
	client := browser(t)
	d := directoryAt(t, client, s.Directory())
	if got := get(t, client, d.Resources["net"].URI.String()); got.status != http.StatusOK {
		t.Errorf("the other server's network map: %+v", got)
	}
	if got := get(t, client, s.URL+altotest.NetworkMapPath("net")); got.status != http.StatusNotFound {
		t.Errorf("the network map is here too: %+v", got)
	}
	if got := d.Resources["part"].URI.String(); got != other.URL+"/part" {
		t.Errorf("the filtered map is at %s", got)
	}
}
