// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// With no handler behind, Caddy would answer what we pass on with an empty 200,
// which an edge would keep as the content.
func TestNothingBehind(t *testing.T) {
	s := newStage(t, world)
	nothing := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		caddyhttp.SetVar(r.Context(), "unhandled", true) // as Caddy's own last handler does
		return nil
	})
	for name, test := range map[string]struct {
		directive string
		visit     visit
		passes    bool
	}{
		"cache fill":   {"altoroute video", visit{header: []string{"CDN-Loop: altoroute"}}, false},
		"on_none next": {"altoroute next", visit{tls: true}, false},
		"OPTIONS":      {"altoroute video", visit{line: "OPTIONS /"}, true}, // an empty answer is one to OPTIONS
	} {
		r, _ := test.visit.request(t)
		w := httptest.NewRecorder()
		err := s.handler(test.directive).ServeHTTP(w, r, nothing)
		var refused caddyhttp.HandlerError
		if got := errors.As(err, &refused); got == test.passes {
			t.Errorf("%s: %v", name, err)
		} else if got && (refused.StatusCode != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "") {
			t.Errorf("%s: %d with %v", name, refused.StatusCode, w.Header())
		}
	}
}

// Where the client is sent is told, also where it is the fallback.
func TestFallbackIsTold(t *testing.T) {
	s := newStage(t, world)
	o := visit{line: "GET /a?b", tls: true}.see(t, s.handler("altoroute fallback"))
	if got, _ := o.repl.GetString("http.altoroute.edge.url"); got != "https://fallback.example.net/files/a?b" || got != o.header.Get("Location") {
		t.Errorf("told %q, sent to %q", got, o.header.Get("Location"))
	}
}

// A server chooses its URLs. None may spoil the metrics of all.
func TestServerCannotSpoilMetrics(t *testing.T) {
	var directory bytes.Buffer
	must(t, altotest.WriteDirectory(&directory, &alto.Directory{
		DefaultNetworkMap: "net",
		CostTypes:         map[string]alto.CostType{"routing": numerical},
		Resources: map[string]alto.Resource{
			"net":  {URI: new(url.URL), MediaType: alto.MediaTypeNetworkMap},
			"cost": {URI: new(url.URL), MediaType: alto.MediaTypeCostMap, Uses: []string{"net"}, Capabilities: alto.Capabilities{CostTypeNames: []string{"routing"}}},
		},
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, body := alto.MediaTypeDirectory, directory.Bytes()
		switch accept := r.Header.Get("Accept"); {
		case r.URL.RawQuery == "":
			w.Header()["Location"] = []string{"/directory?\xff"}
			w.WriteHeader(http.StatusFound)
			return
		case strings.Contains(accept, alto.MediaTypeNetworkMap):
			kind, body = alto.MediaTypeNetworkMap, networkDocument(network("1"))
		case strings.Contains(accept, alto.MediaTypeCostMap):
			kind, body = alto.MediaTypeCostMap, costDocument(costs("1"))
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	c := start(t, newFolder(t), "server "+server.URL+"/directory"+edges, "")
	eventually(t, "the server has answered", func() bool { return c.source("default").State == "fresh" })
	if code, _, body := c.ask("GET", "/metrics"); code != http.StatusOK || !strings.Contains(body, `document="net"`) {
		t.Errorf("/metrics: %d %.500s", code, body)
	}
}

// A configuration may be rejected only when it is started, by another app. What
// is shared must not speak into its log from then on.
func TestLogAfterARejectedStart(t *testing.T) {
	c := start(t, newFolder(t), smallest, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	options := strings.ReplaceAll(loud, "caddy.log", "rejected.log")
	site := "http://" + taken.Addr().String() + " {\naltoroute\n}\n" // which Caddy cannot listen on
	// Apps start in random order.
	for range 8 {
		if err := c.run(options, smallest, site); err == nil {
			t.Fatal("a taken address was accepted")
		}
	}
	must(t, os.WriteFile(c.file("net.json"), []byte("{"), 0o600))
	eventually(t, "the fault is in the log of the configuration in force", func() bool {
		return len(c.logged("maps refused, the last good ones stay in force")) > 0
	})
}
