// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	duplicateFra = "<https://fra.cdn.example.net/a?q=1>; rel=duplicate; pri=1"
	duplicatePar = "<https://par.cdn.example.net:8443/cdn/a?q=1>; rel=duplicate; pri=2; geo=fr"
)

// TestWayOut is about answers that tell of more than one edge, and requests
// that tell of edges that could not be reached. The client is in cc-de; par has
// an address that the map of places has in France.
func TestWayOut(t *testing.T) {
	s := newStage(t, strings.Replace(world, "addr 198.51.100.77 2001:db8:b::77", "addr 192.0.2.177", 1))
	tests := []struct {
		name      string
		directive string
		visit     visit
		location  string
		links     []string
	}{
		{"off", "altoroute video", visit{line: "GET /a?q=1"}, "https://fra.cdn.example.net/a?q=1", nil},
		{"alternates", "altoroute video {\n alternates\n}", visit{line: "GET /a?q=1"}, "https://fra.cdn.example.net/a?q=1", []string{duplicateFra, duplicatePar}},
		{"one alternate", "altoroute video {\n alternates 1\n}", visit{line: "GET /a?q=1"}, "https://fra.cdn.example.net/a?q=1", []string{duplicateFra, duplicatePar}},
		{"JSON as good as anything", "altoroute video {\n list\n}", visit{line: "GET /a?q=1", header: []string{"Accept: application/json, text/plain, */*"}}, "https://fra.cdn.example.net/a?q=1", nil},
		{"JSON after HTML", "altoroute video {\n list\n}", visit{line: "GET /a?q=1", header: []string{"Accept: text/html, application/json;q=0.5"}}, "https://fra.cdn.example.net/a?q=1", nil},
		{"HEAD", "altoroute video {\n alternates 5\n}", visit{line: "HEAD /a?q=1"}, "https://fra.cdn.example.net/a?q=1", []string{duplicateFra, duplicatePar}},
		{"POST is for one edge", "altoroute video {\n alternates\n}", visit{line: "POST /a?q=1"}, "https://fra.cdn.example.net/a?q=1", nil},
		{"not asked for a list", "altoroute video {\n list\n}", visit{line: "GET /a?q=1", header: []string{"Accept: text/html, */*;q=0.8"}}, "https://fra.cdn.example.net/a?q=1", nil},
		{"list refused", "altoroute video {\n list\n}", visit{line: "GET /a?q=1", header: []string{"Accept: application/json;q=0, */*"}}, "https://fra.cdn.example.net/a?q=1", nil},

		{"failed", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?failed=fra&q=1"}, "https://par.cdn.example.net:8443/cdn/a?q=1", nil},
		{"failed by host", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?q=1&failed=FRA.cdn.example.net"}, "https://par.cdn.example.net:8443/cdn/a?q=1", nil},
		{"failed by host and port", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?failed=par.cdn.example.net:8443"}, "https://fra.cdn.example.net/a", nil},
		{"all failed", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?failed=fra,par"}, "https://fra.cdn.example.net/a", nil},
		{"told twice", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?failed=fra&failed=par&failed"}, "https://fra.cdn.example.net/a", nil},
		{"no edge of ours", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?failed=old,evil.example&q=1"}, "https://fra.cdn.example.net/a?q=1", nil},
		{"another parameter", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?xfailed=fra&failedx=par"}, "https://fra.cdn.example.net/a?xfailed=fra&failedx=par", nil},
		{"escaped", "altoroute video {\n retry query failed\n}", visit{line: "GET /a?%66ailed=f%72a&b=%66"}, "https://par.cdn.example.net:8443/cdn/a?b=%66", nil},
		{"by header", "altoroute video {\n retry header X-Failed-Edge\n}", visit{line: "GET /a?failed=par", header: []string{"X-Failed-Edge: fra"}}, "https://par.cdn.example.net:8443/cdn/a?failed=par", nil},
		{"not asked for", "altoroute video", visit{line: "GET /a?failed=fra", header: []string{"X-Failed-Edge: fra"}}, "https://fra.cdn.example.net/a?failed=fra", nil},
		{
			"both", "altoroute video {\n alternates\n retry query failed\n}",
			visit{line: "GET /a?failed=fra&q=1"},
			"https://par.cdn.example.net:8443/cdn/a?q=1",
			[]string{"<https://par.cdn.example.net:8443/cdn/a?q=1>; rel=duplicate; pri=1; geo=fr", "<https://fra.cdn.example.net/a?q=1>; rel=duplicate; pri=2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.visit.see(t, s.handler(tt.directive))
			if got := o.header.Get("Location"); got != tt.location || !slices.Equal(o.header["Link"], tt.links) {
				t.Errorf("Location %s\nLink %q\nwant %s\n%q", got, o.header["Link"], tt.location, tt.links)
			}
			if told := strings.Contains(tt.directive, "alternates") || strings.Contains(tt.directive, "list"); told && !strings.HasPrefix(tt.visit.line, "POST") && o.header.Get("Vary") != "Accept" {
				t.Errorf("Vary %q", o.header["Vary"])
			}
		})
	}
}

// read answers a visit and returns the document.
func read(t *testing.T, h *Handler, v visit) *httptest.ResponseRecorder {
	t.Helper()
	r, _ := v.request(t)
	w := httptest.NewRecorder()
	must(t, h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the next handler was asked")
		return nil
	})))
	if w.Code != http.StatusOK || w.Header().Get("Location") != "" || w.Header().Get("Cache-Control") != "private, no-store" || w.Header().Get("Vary") != "Accept" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	return w
}

func TestMetalink(t *testing.T) {
	s := newStage(t, world)
	h := s.handler("altoroute video {\n alternates\n}")
	for line, name := range map[string]string{
		"GET /vod/film%20&%3Ca.mp4?q=1&r=2": "film &<a.mp4", "GET /": "index", "GET /a/": "a", "GET /a/..": "index", "GET /..%2f..%2fetc%2fpasswd": "passwd",
		`GET /..%5C..%5Cevil.bat`: "evil.bat", "GET /c:evil.bat": "evil.bat",
	} {
		w := read(t, h, visit{line: line, header: []string{"Accept: application/metalink4+xml, text/html;q=0.1"}})
		var doc metalink
		must(t, xml.Unmarshal(w.Body.Bytes(), &doc))
		if w.Header().Get("Content-Type") != metalinkType || doc.File.Name != name || len(doc.File.URLs) != 2 {
			t.Errorf("%s: %s", line, w.Body)
			continue
		}
		for i, u := range doc.File.URLs {
			if u.Priority != i+1 || !strings.HasPrefix(u.URL, []string{"https://fra.cdn.example.net/", "https://par.cdn.example.net:8443/cdn/"}[i]) {
				t.Errorf("%s: %+v", line, u)
			}
		}
	}
}

func TestList(t *testing.T) {
	s := newStage(t, world)
	w := read(t, s.handler("altoroute video {\n list\n}"), visit{line: "GET /a?q=1&r", header: []string{"Accept: application/json"}})
	want := `{"pool": "video", "edges": [
		{"edge": "fra", "url": "https://fra.cdn.example.net/a?q=1&r", "priority": 1},
		{"edge": "par", "url": "https://par.cdn.example.net:8443/cdn/a?q=1&r", "priority": 2}]}`
	var got, wanted any
	must(t, json.Unmarshal(w.Body.Bytes(), &got))
	must(t, json.Unmarshal([]byte(want), &wanted))
	if a, b := indented(t, got), indented(t, wanted); a != b || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v\n%s", w.Header(), a)
	}
}

func indented(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	must(t, err)
	return string(b)
}

// TestAnswersVary: what decides of an answer is named in it, and the last resort is
// not kept.
func TestAnswersVary(t *testing.T) {
	s := newStage(t, world)
	o := visit{line: "GET /a"}.see(t, s.handler("altoroute video {\n retry header X-Failed-Edge\n ttl 1m\n}"))
	if got := o.header["Vary"]; !slices.Contains(got, "X-Failed-Edge") {
		t.Errorf("Vary %q", got)
	}
	o = visit{line: "GET /a", tls: true}.see(t, s.handler("altoroute fallback {\n alternates\n ttl 1m\n}"))
	if o.header.Get("Cache-Control") != notKept || o.header.Get("Vary") != "Accept" || o.header.Get("Location") == "" {
		t.Errorf("the last resort: %v", o.header)
	}
}

// TestLongURLs: what a client asks for is not told back to it in many copies.
func TestLongURLs(t *testing.T) {
	s := newStage(t, world)
	o := visit{line: "GET /" + strings.Repeat("a", maxLink)}.see(t, s.handler("altoroute video {\n alternates\n}"))
	if o.header.Get("Location") == "" || len(o.header["Link"]) > 0 {
		t.Errorf("%d links", len(o.header["Link"]))
	}
	h := s.handler("altoroute video {\n retry query failed\n}")
	if names := h.failed(strings.Repeat("x,", 1000) + "fra"); names != nil {
		t.Errorf("%q were looked for beyond the limit", names)
	}
}

// TestAsManyAlternates: as many others are named as the operator wants, and a list has
// all.
func TestAsManyAlternates(t *testing.T) {
	edges := "maps {{dir}}/net.json {{dir}}/cost.json\n"
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		edges += "edge " + name + " https://" + name + ".cdn.example.net cc-de\n"
	}
	s := newStage(t, edges)
	for directive, want := range map[string]int{"alternates 1": 2, "alternates 4": 5, "alternates": 4, "alternates 20": 6} {
		if got := len((visit{line: "GET /a"}).see(t, s.handler("altoroute {\n "+directive+"\n}")).header["Link"]); got != want {
			t.Errorf("%s: %d links, want %d", directive, got, want)
		}
	}
	w := read(t, s.handler("altoroute {\n alternates 1\n list\n}"), visit{line: "GET /a", header: []string{"Accept: application/json"}})
	if n := strings.Count(w.Body.String(), `"edge"`); n != 6 {
		t.Errorf("the list has %d edges: %s", n, w.Body)
	}
}
