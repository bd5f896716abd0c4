// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

const filterBody = `{"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}}`

// A recorder answers with a cost map and remembers what was asked.
type recorder struct {
	asked  []string // method, path, content type and body of each request
	header http.Header
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.asked = append(r.asked, fmt.Sprintf("%s %s [%s] %s", req.Method, req.URL.Path, req.Header.Get("Content-Type"), body))
	r.header = req.Header
	if status, to, ok := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "-"); ok {
		code := http.StatusNotFound
		_, _ = fmt.Sscan(status, &code)
		w.Header().Set("Location", "/"+to)
		w.WriteHeader(code)
		return
	}
	answer(alto.MediaTypeCostMap, 200, rfcCostMap)(w, req)
}

// A redirect decides whether the parameters go on (RFC 9110 §15.4).
func TestPostRedirects(t *testing.T) {
	post := func(path string) string {
		return "POST " + path + " [application/alto-costmapfilter+json] " + filterBody
	}
	get := func(path string) string { return "GET " + path + " [] " }
	for path, want := range map[string][]string{
		"/found":             {post("/found")},
		"/301-found":         {post("/301-found"), get("/found")},
		"/302-found":         {post("/302-found"), get("/found")},
		"/303-found":         {post("/303-found"), get("/found")},
		"/307-found":         {post("/307-found"), post("/found")},
		"/308-found":         {post("/308-found"), post("/found")},
		"/307-303-found":     {post("/307-303-found"), post("/303-found"), get("/found")},
		"/303-307-found":     {post("/303-307-found"), get("/307-found"), get("/found")},
		"/307-307-308-found": {post("/307-307-308-found"), post("/307-308-found"), post("/308-found"), post("/found")},
	} {
		var server recorder
		for range 2 { // the second time from the start again
			server.asked = nil
			body, err := post1(t, &server, path, alto.Validators{})
			if err != nil || body != rfcCostMap {
				t.Errorf("%s: %v", path, err)
			}
			if !slices.Equal(server.asked, want) {
				t.Errorf("%s: asked\n%q, want\n%q", path, server.asked, want)
			}
		}
	}
	var server recorder
	_, err := post1(t, &server, "/307-307-307-307-307-307-found", alto.Validators{})
	checkError(t, "six redirects", err, "more than 5 redirects")
}

// post1 sends filterBody to a handler and reads the answer.
func post1(t *testing.T, handler http.Handler, path string, v alto.Validators) (string, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	res, err := (&alto.Client{}).Post(t.Context(), mustURL(server.URL+path), []byte(filterBody), alto.MediaTypeCostMapFilter, alto.MediaTypeCostMap, v)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.NotModified {
		return "not modified " + res.Validators.ETag, nil
	}
	data, err := io.ReadAll(res.Body)
	return string(data), err
}

func TestPost(t *testing.T) {
	var server recorder
	if _, err := post1(t, &server, "/x", alto.Validators{ETag: `"1"`, LastModified: "then"}); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Accept":            {"application/alto-costmap+json,application/alto-error+json"},
		"Content-Type":      {"application/alto-costmapfilter+json"},
		"Content-Length":    {fmt.Sprint(len(filterBody))},
		"If-None-Match":     {`"1"`},
		"If-Modified-Since": {"then"},
	}
	for name := range want {
		if server.header.Get(name) != want.Get(name) {
			t.Errorf("%s: %q, want %q", name, server.header.Get(name), want.Get(name))
		}
	}
	if _, err := post1(t, answer(alto.MediaTypeError, 400, errorDocument), "/x", alto.Validators{}); err == nil ||
		!strings.HasPrefix(err.Error(), "POST http://127.0.0.1:") || !strings.Contains(err.Error(), "E_INVALID_FIELD_VALUE with status 400") {
		t.Error(err)
	}
}

// To POST, "not modified" may be 412; to who did not ask it is an error.
func TestPostNotModified(t *testing.T) {
	held := alto.Validators{ETag: `"1"`}
	for _, c := range []struct {
		status int
		known  alto.Validators
		err    string
	}{
		{304, held, ""},
		{412, held, ""},
		{304, alto.Validators{}, "status 304"},
		{412, alto.Validators{}, "status 412"},
		{412, alto.Validators{LastModified: "then"}, "status 412"}, // counts for GET only, RFC 9110 §13.1.3
	} {
		got, err := post1(t, answer("", c.status, ""), "/x", c.known)
		checkError(t, fmt.Sprint(c.status), err, c.err)
		if err == nil && got != `not modified "1"` {
			t.Errorf("%d: %q", c.status, got)
		}
	}
	_, _, err := get(t, &alto.Client{}, held, answer("", 412, ""))
	checkError(t, "GET", err, "status 412")
}

// A connection that the server closed while it was idle is no error.
func TestPostIdle(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
		if _, sent := r.Header["Idempotency-Key"]; sent {
			t.Error("the header was sent")
		}
		if len(asked) == 2 {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
			return
		}
		answer(alto.MediaTypeCostMap, 200, rfcCostMap)(w, r)
	}))
	defer server.Close()
	client := &alto.Client{HTTP: server.Client()}
	for range 2 {
		res, err := client.Post(t.Context(), mustURL(server.URL), []byte(filterBody), alto.MediaTypeCostMapFilter, alto.MediaTypeCostMap, alto.Validators{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if !slices.Equal(asked, []string{filterBody, filterBody, filterBody}) {
		t.Errorf("asked %q", asked)
	}
}

func TestCostMapFilter(t *testing.T) {
	routing := alto.CostType{Mode: "numerical", Metric: "routingcost", Description: "never sent"}
	for _, c := range []struct {
		filter alto.CostMapFilter
		want   string
		err    string
	}{
		{alto.CostMapFilter{CostType: routing}, filterBody, ""},
		{alto.CostMapFilter{routing, []string{}, []string{}}, filterBody, ""},
		{alto.CostMapFilter{routing, []string{"b", "a", "b"}, nil}, strings.TrimSuffix(filterBody, "}") + `,"pids":{"srcs":["a","b"],"dsts":[]}}`, ""},
		{alto.CostMapFilter{routing, nil, []string{"a", "a:@-_"}}, strings.TrimSuffix(filterBody, "}") + `,"pids":{"srcs":[],"dsts":["a","a:@-_"]}}`, ""},
		{alto.CostMapFilter{CostType: alto.CostType{Metric: "x"}}, "", `cost-type/cost-mode: "" is not a cost mode`},
		{alto.CostMapFilter{CostType: alto.CostType{Mode: "x", Metric: "a b"}}, "", `cost-type/cost-metric: "a b" is not a cost metric`},
		{alto.CostMapFilter{routing, []string{"a.b"}, nil}, "", `pids/srcs: "a.b" is not a PID name`},
		{alto.CostMapFilter{routing, nil, []string{"<&>"}}, "", `pids/dsts: "<&>" is not a PID name`},
	} {
		before := slices.Clone(c.filter.Sources)
		got, err := c.filter.Body()
		checkError(t, fmt.Sprint(c.filter), err, c.err)
		if string(got) != c.want || !slices.Equal(before, c.filter.Sources) {
			t.Errorf("%+v: %s", c.filter, got)
		}
	}
}
