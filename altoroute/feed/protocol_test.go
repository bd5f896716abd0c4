// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestFilteredCostMap: few rows are asked for by name, many with all others.
func TestFilteredCostMap(t *testing.T) {
	g := guidance("1", 1)
	for i := range 20 {
		g.NetworkMaps[0].PIDs[fmt.Sprint("more", i)] = nil
	}
	g.Filtered = []altotest.FilteredCostMap{{ID: "some", Maps: g.CostMaps}}
	server := altotest.Start(t)
	server.Publish(g)
	s := follow(t, server, Config{})
	s.wants("1 num1", Fresh, "")
	path := altotest.FilteredPath("some")
	asked := func() []string {
		t.Helper()
		requests := server.Requests(path)
		if len(requests) == 0 {
			t.Fatal("it was not asked")
		}
		last := requests[len(requests)-1]
		var body struct {
			CostType struct {
				Mode   string `json:"cost-mode"`
				Metric string `json:"cost-metric"`
			} `json:"cost-type"`
			PIDs struct{ Srcs, Dsts []string }
		}
		if err := json.Unmarshal(last.Body, &body); err != nil {
			t.Fatalf("%v in %s", err, last.Body)
		}
		if last.Method != http.MethodPost || body.CostType.Mode != "numerical" || body.CostType.Metric != "routingcost" || len(body.PIDs.Dsts) != 0 {
			t.Errorf("%s %s", last.Method, last.Body)
		}
		return body.PIDs.Srcs
	}
	if got := asked(); !slices.Equal(got, []string{"a"}) || server.Count(costPath).Requests != 0 {
		t.Errorf("asked for %v, and %d times for all", got, server.Count(costPath).Requests)
	}
	if err := s.more("b"); err != nil {
		t.Fatal(err)
	}
	s.wants("1 num1", Fresh, "")
	if got := asked(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("asked for %v", got)
	}
	rows := []string{"c"}
	for i := range 20 {
		rows = append(rows, fmt.Sprint("more", i))
	}
	if err := s.more(rows...); err != nil {
		t.Fatal(err)
	}
	before := server.Count(path).Requests
	s.wants("1 num1", Fresh, "")
	if server.Count(costPath).Requests != 1 || server.Count(path).Requests != before {
		t.Error("most of the rows are not fetched with all others")
	}
	// Without a whole one there is no choice.
	g.CostMaps = nil
	server.Publish(g)
	s.wants("1 num1", Fresh, "")
	if got := asked(); len(got) != len(rows)+2 {
		t.Errorf("asked for %d rows", len(got))
	}
}

// TestCredentialsGoToTheServerAlone, whatever its directory names.
func TestCredentialsGoToTheServerAlone(t *testing.T) {
	server, other := altotest.Start(t), altotest.Start(t)
	g := guidance("1", 1)
	other.Publish(g)
	g.NetworkMaps[0].Path = other.URL + netPath
	server.Publish(g)
	server.Authenticate("", altotest.Bearer{Token: "s3cret"})
	cfg := Config{}
	cfg.Client.Credentials = &alto.Credentials{Scheme: alto.AuthBearer, Token: "s3cret", For: []*url.URL{server.Directory()}}
	s := follow(t, server, cfg)
	s.wants("1 num1", Fresh, "")
	for _, r := range other.Requests(netPath) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to another host")
		}
	}
	if len(other.Requests(netPath)) == 0 {
		t.Error("the other host was not asked")
	}
	wrong := Config{}
	wrong.Client.Credentials = &alto.Credentials{Scheme: alto.AuthBearer, Token: "wr0ng", For: []*url.URL{server.Directory()}}
	f := follow(t, server, wrong)
	f.wants("none", None, "401")
	if f.log.count("wr0ng")+f.log.count("s3cret") > 0 {
		t.Error("a token is in the log")
	}
}
