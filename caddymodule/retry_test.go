// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"
)

// TestWhoTestifies: a request for a part is no report, nor is one that is not a
// GET, one of a page of another site, or one whose address is not proven. What a
// report does is the router's to decide.
func TestWhoTestifies(t *testing.T) {
	s := newStage(t, world)
	h := s.handler("altoroute video {\n retry query failed\n}")
	for _, v := range []visit{
		{line: "GET /a?failed=fra", header: []string{"Range: bytes=0-1"}},
		{line: "POST /a?failed=fra"},
		{line: "HEAD /a?failed=fra"},
		{line: "GET /a"},
		{line: "GET /a?failed=fra", header: []string{"Sec-Fetch-Site: cross-site"}},
		{line: "GET /a?failed=fra", header: []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}},
	} {
		_ = v.see(t, h)
	}
	early, _ := visit{line: "GET /a?failed=fra"}.request(t)
	early.TLS = new(tls.ConnectionState) // 0-RTT
	must(t, h.ServeHTTP(httptest.NewRecorder(), early, nil))
	if n := s.app.router.Trials(); n > 0 {
		t.Errorf("%d trials", n)
	}
	_ = visit{line: "GET /a?failed=fra"}.see(t, h)
	if n := s.app.router.Trials(); n != 1 {
		t.Errorf("%d trials", n)
	}
	player := newStage(t, world)
	h = player.handler("altoroute video {\n retry query failed\n cors https://player.example\n}")
	_ = visit{line: "GET /a?failed=fra", header: []string{"Sec-Fetch-Site: cross-site", "Origin: https://player.example"}}.see(t, h)
	if n := player.app.router.Trials(); n != 1 {
		t.Errorf("%d trials by the operator's own player", n)
	}
}
