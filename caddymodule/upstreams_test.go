// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// proxies is what the proxies under test choose from. From cc-de the order is
// near, mid, far; the parent comes after them.
const proxies = `
	maps {{dir}}/net.json {{dir}}/cost.json
	edge near http://near.cdn.example.net cc-de {
		addr 203.0.113.10 2001:db8:a::10
	}
	edge mid http://MID.cdn.example.net:8080/ cc-fr
	edge far http://[2001:db8:f::1] lonely {
		addr 2001:db8:f::1
	}
	edge parent http://parent.cdn.example.net rest
	edge tls https://tls.cdn.example.net cc-de
	edge deep http://deep.cdn.example.net/base cc-de
	edge six http://six.cdn.example.net cc-de {
		family ipv6
	}
	pool video {
		edges near mid far
		parent parent
	}
	pool named {
		edges near mid
		url http://{edge}.video.example.net:81
	}
	pool secure {
		edges tls
	}
	pool mixed {
		edges near tls
	}
	pool deep {
		edges near deep
	}
	pool six {
		edges six
	}
`

func (s *stage) upstreams(pool string) *Upstreams {
	s.t.Helper()
	u := &Upstreams{Pool: pool}
	must(s.t, u.Provision(s.ctx))
	return u
}

// offered returns what an upstream source offers, as reverse_proxy asks for it
// at the first try and, when the try before went to an address, at a later one.
func offered(t testing.TB, u *Upstreams, r *http.Request, repl *caddy.Replacer, failed string) string {
	t.Helper()
	if failed != "" {
		repl.Set("http.reverse_proxy.upstream.hostport", failed)
	}
	upstreams, err := u.GetUpstreams(r)
	if err != nil {
		return err.Error()
	}
	var dials []string
	for _, upstream := range upstreams {
		if upstream.Host != nil {
			t.Error("an upstream is not new")
		}
		upstream.Host = new(reverseproxy.Host)
		dials = append(dials, upstream.Dial)
	}
	return strings.Join(dials, " ")
}

const (
	nearDial   = "near.cdn.example.net:80"
	midDial    = "mid.cdn.example.net:8080"
	farDial    = "[2001:db8:f::1]:80"
	parentDial = "parent.cdn.example.net:80"
)

func TestUpstreams(t *testing.T) {
	s := newStage(t, proxies)
	for _, test := range []struct {
		name, pool string
		visit      visit
		want       string
		told       string // edge and reason
	}{
		{"near", "video", visit{}, nearDial + " " + midDial + " " + farDial + " " + parentDial, "near cheapest"},
		{"near the other", "video", visit{client: "203.0.113.200"}, midDial + " " + nearDial + " " + farDial + " " + parentDial, "mid cheapest"},
		{"the pool's URL", "named", visit{line: "GET /a?b"}, "near.video.example.net:81 mid.video.example.net:81", "near cheapest"},
		{"https", "secure", visit{}, "tls.cdn.example.net:443", "tls cheapest"},
		{"https to https", "secure", visit{tls: true}, "tls.cdn.example.net:443", "tls cheapest"},
		{"https to http", "named", visit{tls: true}, "near.video.example.net:81 mid.video.example.net:81", "near cheapest"},
		{"no edge", "six", visit{}, "no edge of pool six may serve this client", " no_edge"},
		{"an edge", "six", visit{client: "2001:db8:a::1"}, "six.cdn.example.net:80", "six cheapest"},
		{"fill by address", "video", visit{client: "203.0.113.10"}, midDial + " " + farDial + " " + parentDial, "mid next_cheapest"},
		{"fill by host", "video", visit{header: []string{"CDN-Loop: mid.cdn.example.net:8080"}}, nearDial + " " + farDial + " " + parentDial, "near cheapest"},
		{"fill by this CDN's id", "named", visit{header: []string{"CDN-Loop: altoroute"}}, "near.video.example.net:81 mid.video.example.net:81", "near cheapest"},
		{"ring", "named", visit{header: []string{"CDN-Loop: near.video.example.net, mid.video.example.net"}}, "no edge of pool named may serve this client", " cache_fill"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, repl := test.visit.request(t)
			if got := offered(t, s.upstreams(test.pool), r, repl, ""); got != test.want {
				t.Errorf("offered %s, want %s", got, test.want)
			}
			if told := repl.ReplaceAll("{http.altoroute.edge} {http.altoroute.reason}", ""); told != test.told {
				t.Errorf("told %q, want %q", told, test.told)
			}
		})
	}
}

// An edge that could not be reached comes last for the rest of the request,
// whatever the policy took it for, and no longer.
func TestUpstreamsRetry(t *testing.T) {
	s := newStage(t, proxies)
	u := s.upstreams("video")
	r, repl := visit{}.request(t)
	for i, test := range []struct{ failed, want string }{
		{"", nearDial + " " + midDial + " " + farDial + " " + parentDial},
		{nearDial, midDial + " " + farDial + " " + parentDial + " " + nearDial},
		{farDial, midDial + " " + parentDial + " " + nearDial + " " + farDial},
		{midDial, parentDial + " " + nearDial + " " + midDial + " " + farDial},
		{"192.0.2.1:80", parentDial + " " + nearDial + " " + midDial + " " + farDial}, // of another source
		{parentDial, nearDial + " " + midDial + " " + farDial + " " + parentDial},
		{nearDial, midDial + " " + farDial + " " + parentDial + " " + nearDial}, // all once more
	} {
		r.Host, r.Header = "near.cdn.example.net", nil // as the try before has left it
		if got := offered(t, u, r, repl, test.failed); got != test.want {
			t.Errorf("try %d: offered %s, want %s", i, got, test.want)
		}
		best, _, _ := strings.Cut(test.want, ".")
		if told := repl.ReplaceAll("{http.altoroute.edge}", ""); told != strings.TrimPrefix(best, "[2001:db8:f::1]:80") {
			t.Errorf("try %d: told %s", i, told)
		}
	}
	// The next proxy of the same request begins anew, and so does the next request.
	if got := offered(t, s.upstreams("video"), r, repl, ""); !strings.HasPrefix(got, nearDial) {
		t.Errorf("another proxy: offered %s", got)
	}
	r, repl = visit{}.request(t)
	if got := offered(t, u, r, repl, ""); !strings.HasPrefix(got, nearDial) {
		t.Errorf("another request: offered %s", got)
	}
}

// A request counts once, however often it is tried.
func TestUpstreamsCount(t *testing.T) {
	s := newStage(t, strings.Replace(proxies, "edge mid", "edge cap http://cap.cdn.example.net cc-de {\ncapacity 1000/s\n}\npool counted {\nedges cap\n}\nedge mid", 1))
	u := s.upstreams("counted")
	count := func() float64 {
		v, _ := value(t, s.ctx.GetMetricsRegistry(), "caddy_altoroute_decisions_total", "pool", "counted", "edge", "cap", "placement", "prefix")
		return v
	}
	before := count()
	r, repl := visit{}.request(t)
	for _, failed := range []string{"", "cap.cdn.example.net:80", "cap.cdn.example.net:80"} {
		offered(t, u, r, repl, failed)
	}
	if n := count() - before; n != 1 {
		t.Errorf("three tries count as %v decisions", n)
	}
}

func TestUpstreamsProvision(t *testing.T) {
	s := newStage(t, proxies)
	for pool, words := range map[string][]string{
		"video":  nil,
		"secure": nil,
		"":       {"dynamic altoroute", "deep, mixed"},
		"music":  {"dynamic altoroute", `"music"`, "deep, mixed"},
		"mixed":  {"dynamic altoroute", "pool mixed", "http://near.cdn.example.net", "https://tls.cdn.example.net", "a pool for each"},
		"deep":   {"dynamic altoroute", "pool deep", "edge deep", "http://deep.cdn.example.net/base", "has a path"},
	} {
		wants(t, (&Upstreams{Pool: pool}).Provision(s.ctx), words...)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	must(t, err)
	wants(t, new(Upstreams).Provision(ctx), "reverse_proxy's dynamic altoroute needs the global option altoroute")
}

// What reverse_proxy would do with the edges is checked too.
func TestUpstreamsProvisionOfProxy(t *testing.T) {
	f := newFolder(t)
	for options, words := range map[string][]string{
		"dynamic altoroute video\nlb_policy first":                                     nil,
		"dynamic altoroute video\nlb_policy alto_cost video":                           nil,
		"dynamic altoroute video\nlb_policy random":                                    nil,
		"dynamic altoroute secure\nlb_policy first\ntransport http {\ntls\n}":          nil,
		"dynamic altoroute video":                                                      {"pick edges at random", "lb_policy first"},
		"dynamic altoroute video\nlb_retries 2":                                        {"pick edges at random", "lb_policy first"},
		"dynamic altoroute secure\nlb_policy first":                                    {"pool secure", "by https", "transport http { tls }"},
		"dynamic altoroute secure\nlb_policy first\ntransport http {\nversions 1.1\n}": {"pool secure", "by https", "transport http { tls }"},
		"dynamic altoroute video\nlb_policy first\ntransport http {\ntls\n}":           {"pool video", "by http", "has tls"},
		"to 192.0.2.1:80\nlb_policy alto_cost music":                                   {"lb_policy alto_cost", `"music"`},
	} {
		site := "http://127.0.0.1:0 {\nreverse_proxy {\n" + options + "\n}\n}\n"
		if err := validate(t, f.config(quiet, proxies, site)); err != nil || len(words) > 0 {
			wants(t, err, words...)
		}
	}
}

// servers starts edges that answer with their names, and returns the options
// that make them known and the function that stops one.
func servers(t *testing.T, pids map[string]string) (ours string, stop func(name string)) {
	t.Helper()
	running := make(map[string]*httptest.Server)
	var b strings.Builder
	b.WriteString("maps {{dir}}/net.json {{dir}}/cost.json\n")
	for name, pid := range pids {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, name, " ", r.URL) }))
		t.Cleanup(s.Close)
		running[name] = s
		fmt.Fprintf(&b, "edge %s %s %s\n", name, s.URL, pid)
	}
	return b.String(), func(name string) { running[name].Close() }
}

// answer has the site of a running Caddy answer a client of cc-de.
func (c *running) answer() string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://cdn.example.net/a?b", http.NoBody)
	must(c.t, err)
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	answer, err := do(c.sites, r)
	must(c.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(c.t, err)
	return fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("X-Edge"), " ", string(body))
}

// proxying is a site that asks the edges itself.
const proxying = `
http:// {
	bind unix/{{socket}}
	log
	header >X-Edge {http.altoroute.edge}
	reverse_proxy {{upstreams}} {
		{{options}}
	}
}
`

func (c *running) proxy(ours, upstreams, options string) {
	c.t.Helper()
	site := strings.NewReplacer("{{upstreams}}", upstreams, "{{options}}", options).Replace(proxying)
	must(c.t, c.run(loud, ours, site))
}

// reverse_proxy answers from the cheapest edge, and from the next when that is
// not there.
func TestUpstreamsEndToEnd(t *testing.T) {
	ours, stop := servers(t, map[string]string{"near": "cc-de", "far": "cc-fr"})
	c := start(t, newFolder(t), ours, "")
	c.proxy(ours, "", "dynamic altoroute\nlb_policy first\nlb_retries 1")
	if got := c.answer(); got != "200 near near /a?b" {
		t.Errorf("the nearest: %q", got)
	}
	stop("near")
	for range 3 {
		if got := c.answer(); got != "200 far far /a?b" {
			t.Errorf("the nearest is gone: %q", got)
		}
	}
	if lines := c.logged(`"edge":"far"`, `"reason":"next_cheapest"`, `"status":200`); len(lines) != 3 {
		t.Errorf("%d lines in the access log", len(lines))
	}
	if n := c.metric("decisions_total", "pool", "default", "edge", "near", "placement", "prefix"); n < 4 {
		t.Errorf("%v decisions", n)
	}
	// As one of several sources.
	c.proxy(ours, "", "dynamic multi {\naltoroute\n}\nlb_policy first\nlb_retries 1")
	if got := c.answer(); got != "200 far far /a?b" {
		t.Errorf("as one of several sources: %q", got)
	}
	stop("far")
	if got := c.answer(); !strings.HasPrefix(got, "502") {
		t.Errorf("all are gone: %q", got)
	}
	c.proxy(ours, "", "dynamic altoroute\nlb_policy alto_cost\nlb_retries 1")
	if got := c.answer(); !strings.HasPrefix(got, "502") {
		t.Errorf("all are gone, by the other policy: %q", got)
	}
}

// An edge of https is asked for its own host, one of http for the client's
// unless Caddy is told otherwise.
func TestUpstreamsHost(t *testing.T) {
	host := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Host, " ", r.TLS != nil) })
	plain, secure := httptest.NewServer(host), httptest.NewTLSServer(host)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	ours := fmt.Sprintf("maps {{dir}}/net.json {{dir}}/cost.json\nedge a %s cc-de\nedge b %s cc-de\npool plain {\nedges a\n}\npool secure {\nedges b\n}\n", plain.URL, secure.URL)
	c := start(t, newFolder(t), ours, "plain")
	for options, want := range map[string]string{
		"dynamic altoroute plain\nlb_policy first":                                                      "200 a cdn.example.net false",
		"dynamic altoroute plain\nlb_policy first\nheader_up Host {upstream_hostport}":                  "200 a " + strings.TrimPrefix(plain.URL, "http://") + " false",
		"dynamic altoroute secure\nlb_policy first\ntransport http {\ntls\ntls_insecure_skip_verify\n}": "200 b " + strings.TrimPrefix(secure.URL, "https://") + " true",
	} {
		c.proxy(ours, "", options)
		if got := c.answer(); got != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
}

// Where no edge may serve, the static upstreams do.
func TestUpstreamsFallBack(t *testing.T) {
	ours, _ := servers(t, map[string]string{"near": "cc-de\nfamily ipv6"})
	ours = strings.Replace(ours, "cc-de\nfamily ipv6", "cc-de {\nfamily ipv6\n}", 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "origin") }))
	t.Cleanup(origin.Close)
	c := start(t, newFolder(t), ours, "")
	c.proxy(ours, origin.URL, "dynamic altoroute\nlb_policy first")
	if got := c.answer(); got != "200  origin" {
		t.Errorf("answer %q", got)
	}
	c.proxy(ours, "", "dynamic altoroute\nlb_policy first")
	if got := c.answer(); !strings.HasPrefix(got, "503") {
		t.Errorf("answer %q", got)
	}
}
