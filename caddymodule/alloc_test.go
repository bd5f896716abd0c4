// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// answer prepares a request as Caddy does and has a handler answer it; with
// none it only prepares.
func answer(tb testing.TB, r *http.Request, h caddyhttp.MiddlewareHandler) {
	tb.Helper()
	w := &discard{header: make(http.Header, 8)}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "203.0.113.9")
	if h == nil {
		return
	}
	if err := h.ServeHTTP(w, r, nil); err != nil || w.status != http.StatusFound {
		tb.Fatalf("status %d, %v", w.status, err)
	}
}

// discard is a response writer that costs nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// redir is Caddy's own redirect, with the headers that ours has.
func redir() caddyhttp.MiddlewareHandler {
	return &caddyhttp.StaticResponse{
		StatusCode: "302",
		Headers: http.Header{
			"Location":      {"https://fra.cdn.example.net{http.request.uri}"},
			"Cache-Control": {"private, no-store"},
		},
	}
}

// What a redirect of ours allocates beyond Caddy's is what makes the decision
// known: the account, its placeholders, its field in the access log.
func TestAllocations(t *testing.T) {
	const more = 3
	r, _ := visit{line: "GET /vod/a.mp4?t=1"}.request(t)
	count := func(h caddyhttp.MiddlewareHandler) float64 {
		return testing.AllocsPerRun(1000, func() { answer(t, r, h) })
	}
	base := count(nil)
	ours, theirs := count(newStage(t, world).handler("altoroute video"))-base, count(redir())-base
	t.Logf("%v allocations, Caddy's redir has %v", ours, theirs)
	if ours > theirs+more {
		t.Errorf("%v allocations, Caddy's redir has %v: want at most %d more", ours, theirs, more)
	}
}

// BenchmarkServeHTTP compares a routed request with Caddy's redir of the same
// kind, and both with what Caddy does to prepare a request.
func BenchmarkServeHTTP(b *testing.B) {
	for _, bench := range []struct {
		name    string
		handler caddyhttp.MiddlewareHandler
	}{
		{"prepare", nil},
		{"redir", redir()},
		{"altoroute", newStage(b, world).handler("altoroute video")},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r, _ := visit{line: "GET /vod/a.mp4?t=1"}.request(b)
			b.ReportAllocs()
			for b.Loop() {
				answer(b, r, bench.handler)
			}
		})
	}
}
