// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var routingCost = alto.CostType{Mode: "numerical", Metric: "routingcost"}

// guidance is two PIDs, "a" and "b", in one version.
func guidance(tag string) altotest.Guidance {
	network := altotest.NetworkMap{ID: "net", Tag: tag, PIDs: map[string][]string{
		"a": {"192.0.2.0/24", "2001:db8::/32"},
		"b": {"198.51.100.0/24"},
	}}
	return altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{network},
		CostMaps: []altotest.CostMap{{
			ID: "cost", DependsOn: network.Version(), Type: routingCost,
			Costs: map[string]map[string]float64{"a": {"a": 0, "b": 2.5}},
		}},
	}
}

// sink takes in either map.
type sink struct {
	prefixes map[string][]netip.Prefix
	pid      string
	costs    map[string]float64
}

func newSink() *sink {
	return &sink{prefixes: make(map[string][]netip.Prefix), costs: make(map[string]float64)}
}

func (s *sink) PID(name string) error         { s.pid, s.prefixes[name] = name, nil; return nil }
func (s *sink) Row(src string) bool           { s.pid = src; return true }
func (s *sink) Cost(dst string, cost float64) { s.costs[s.pid+" "+dst] = cost }
func (s *sink) Prefix(p netip.Prefix) error {
	s.prefixes[s.pid] = append(s.prefixes[s.pid], p)
	return nil
}

// What the server says is what package alto understands.
func TestDocuments(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(guidance("1"))
	var client alto.Client

	answer, err := client.Get(t.Context(), s.Directory(), alto.MediaTypeDirectory, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	directory, err := alto.ReadDirectory(answer.Body, answer.URL)
	if err != nil {
		t.Fatal(err)
	}
	costs := directory.Resources["cost"]
	if directory.DefaultNetworkMap != "net" || len(directory.Skipped) > 0 || !slices.Equal(costs.Uses, []string{"net"}) ||
		directory.CostTypes[costs.Capabilities.CostTypeNames[0]] != routingCost {
		t.Errorf("directory: %+v", directory)
	}

	read := newSink()
	answer, err = client.Get(t.Context(), directory.Resources["net"].URI, alto.MediaTypeNetworkMap, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	network, err := alto.ReadNetworkMap(answer.Body, read)
	if err != nil {
		t.Fatal(err)
	}
	if network.VersionTag != (alto.VersionTag{ResourceID: "net", Tag: "1"}) || len(read.prefixes["a"]) != 2 || len(read.prefixes["b"]) != 1 {
		t.Errorf("network map: %+v %v", network, read.prefixes)
	}

	answer, err = client.Get(t.Context(), costs.URI, alto.MediaTypeCostMap, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	info, err := alto.ReadCostMap(answer.Body, read)
	if err != nil {
		t.Fatal(err)
	}
	if info.DependentVersionTag != network.VersionTag || info.CostType != routingCost || !maps.Equal(read.costs, map[string]float64{"a a": 0, "a b": 2.5}) {
		t.Errorf("cost map: %+v %v", info, read.costs)
	}
}

func TestConditional(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(guidance("1"))
	u, client := s.Directory(), alto.Client{}
	u.Path = altotest.NetworkMapPath("net")
	get := func(v alto.Validators) *alto.Response {
		t.Helper()
		answer, err := client.Get(t.Context(), u, alto.MediaTypeNetworkMap, v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer
	}
	first := get(alto.Validators{})
	if first.NotModified || first.Validators.ETag == "" || first.Validators.LastModified == "" {
		t.Fatalf("first answer: %+v", first)
	}
	s.Publish(guidance("1")) // the same again
	byDate := alto.Validators{LastModified: first.Validators.LastModified}
	if !get(first.Validators).NotModified || !get(byDate).NotModified {
		t.Error("unchanged, but not 304")
	}
	s.Publish(guidance("2"))
	if get(first.Validators).NotModified || get(byDate).NotModified {
		t.Error("changed, but 304")
	}
	if got, want := s.Count(u.Path), (altotest.Count{Requests: 5, NotModified: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// Every misbehaviour is seen by the client as what it is meant to be.
func TestBehaviors(t *testing.T) {
	path := altotest.NetworkMapPath("net")
	released := make(chan struct{})
	close(released)
	for name, test := range map[string]struct {
		behavior altotest.Behavior
		want     string // in the error; empty for none
	}{
		"honest":          {nil, ""},
		"status":          {altotest.Status(http.StatusServiceUnavailable), "503"},
		"error":           {altotest.ErrorDocument(http.StatusBadRequest, "E_SYNTAX"), "E_SYNTAX with status 400"},
		"error 200":       {altotest.ErrorDocument(http.StatusOK, "E_SYNTAX"), "E_SYNTAX"},
		"HTML":            {altotest.HTML(), "text/html"},
		"content type":    {altotest.ContentType("application/json"), "application/json"},
		"other":           {altotest.Of(altotest.Guidance{}), "404"},
		"other version":   {altotest.Of(guidance("7")), ""},
		"no validators":   {altotest.WithoutValidators(), ""},
		"truncated":       {altotest.Truncated(40), "cut off after 40 bytes"},
		"cut":             {altotest.Cut(40), "unexpected EOF"},
		"stall":           {altotest.Stall(nil), "not complete after"},
		"stall a while":   {altotest.Stall(released), ""},
		"stall mid-body":  {altotest.StallAfter(40, nil), "not complete after"},
		"pause mid-body":  {altotest.StallAfter(40, released), ""},
		"endless":         {altotest.Endless(), "larger than the limit"},
		"redirect":        {altotest.Redirect(http.StatusFound, "../elsewhere"), "404"},
		"redirect loop":   {altotest.Redirect(http.StatusFound, path), "redirects"},
		"once, then good": {altotest.Times(0, altotest.HTML()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := altotest.Start(t)
			s.Publish(guidance("1"))
			s.Misbehave(path, test.behavior)
			client := alto.Client{MaxBody: 1 << 20}
			if strings.HasPrefix(test.want, "not complete") {
				client.Timeout = 50 * time.Millisecond
			}
			err := fetch(t.Context(), &client, s.Directory().ResolveReference(&url.URL{Path: path}))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func fetch(ctx context.Context, client *alto.Client, u *url.URL) error {
	answer, err := client.Get(ctx, u, alto.MediaTypeNetworkMap, alto.Validators{})
	if err != nil {
		return err
	}
	_, err = alto.ReadNetworkMap(answer.Body, newSink())
	return errors.Join(err, answer.Body.Close())
}
