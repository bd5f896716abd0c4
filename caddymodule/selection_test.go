// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/altoroute/caddy-alto/altoroute"
)

func (s *stage) selection(pool string) *CostSelection {
	s.t.Helper()
	p := &CostSelection{Pool: pool}
	must(s.t, p.Provision(s.ctx))
	return p
}

// static returns upstreams at these addresses; one with a ! at its end takes no
// request.
func static(dials ...string) (pool reverseproxy.UpstreamPool) {
	for _, dial := range dials {
		full := strings.HasSuffix(dial, "!")
		u := &reverseproxy.Upstream{Dial: strings.TrimSuffix(dial, "!"), Host: new(reverseproxy.Host)}
		if full {
			// Only reverse_proxy itself can say so.
			u.MaxRequests = 1
			under := reflect.ValueOf(u.Host).Elem().FieldByName("numRequests").Addr()
			(*atomic.Int64)(under.UnsafePointer()).Store(1)
		}
		pool = append(pool, u)
	}
	return pool
}

func selected(u *reverseproxy.Upstream) string {
	if u == nil {
		return ""
	}
	return u.Dial
}

const originDial = "origin.example.net:80"

func TestSelection(t *testing.T) {
	s := newStage(t, proxies)
	for _, test := range []struct {
		name, pool string
		upstreams  []string
		visit      visit
		want       string
		told       string
	}{
		{"the cheapest", "video", []string{midDial, nearDial}, visit{}, nearDial, "near"},
		{"the cheapest for another", "video", []string{nearDial, midDial}, visit{client: "203.0.113.200"}, midDial, "mid"},
		{"written otherwise", "video", []string{"tcp/MID.cdn.example.net:8080", "tcp/Near.cdn.example.net:80"}, visit{}, "tcp/Near.cdn.example.net:80", "near"},
		{"by address", "video", []string{midDial, "203.0.113.10:80"}, visit{}, "203.0.113.10:80", "near"},
		{"by IPv6 address", "video", []string{midDial, "[2001:db8:a::10]:80"}, visit{}, "[2001:db8:a::10]:80", "near"},
		{"by another port", "video", []string{midDial, "203.0.113.10:81"}, visit{}, midDial, "mid"},
		{"the pool's URL", "named", []string{"mid.video.example.net:81", "near.video.example.net:81"}, visit{}, "near.video.example.net:81", "near"},
		{"http for https", "video", []string{midDial, nearDial}, visit{tls: true}, nearDial, "near"},
		{"not available", "video", []string{midDial, nearDial + "!"}, visit{}, midDial, "mid"},
		{"its other address is", "video", []string{midDial, nearDial + "!", "203.0.113.10:80"}, visit{}, "203.0.113.10:80", "near"},
		{"not an upstream", "video", []string{farDial, midDial}, visit{}, midDial, "mid"},
		{"the parent", "video", []string{parentDial, midDial + "!", nearDial + "!"}, visit{}, parentDial, "parent"},
		{"of no edge", "video", []string{originDial, nearDial}, visit{}, nearDial, "near"},
		{"of no edge only", "video", []string{"192.0.2.1:80!", originDial}, visit{}, originDial, "near"},
		{"of no edge as the last", "video", []string{originDial, midDial + "!", nearDial + "!"}, visit{}, originDial, "near"},
		{"none is available", "video", []string{nearDial + "!", originDial + "!"}, visit{}, "", "near"},
		{"none at all", "video", nil, visit{}, "", "near"},
		{"may not serve", "six", []string{"six.cdn.example.net:80"}, visit{}, "", ""},
		{"may not serve, but another", "six", []string{"six.cdn.example.net:80", originDial}, visit{}, originDial, ""},
		{"mixed", "mixed", []string{"tls.cdn.example.net:443"}, visit{tls: true}, "tls.cdn.example.net:443", "tls"},
		{"fill by address", "video", []string{nearDial, midDial}, visit{client: "203.0.113.10"}, midDial, "mid"},
		{"fill by host", "video", []string{nearDial, midDial}, visit{header: []string{"CDN-Loop: near.cdn.example.net"}}, midDial, "mid"},
		{"ring", "video", []string{nearDial, originDial}, visit{header: []string{"CDN-Loop: near.cdn.example.net"}}, originDial, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, repl := test.visit.request(t)
			if got := selected(s.selection(test.pool).Select(static(test.upstreams...), r, nil)); got != test.want {
				t.Errorf("selected %q, want %q", got, test.want)
			}
			if told := repl.ReplaceAll("{http.altoroute.edge}", ""); told != test.told {
				t.Errorf("told %q, want %q", told, test.told)
			}
		})
	}
}

// An edge that could not be reached comes after all other upstreams for the
// rest of the request.
func TestSelectionRetry(t *testing.T) {
	s := newStage(t, proxies)
	p := s.selection("video")
	upstreams := static(originDial, midDial, nearDial)
	r, _ := visit{}.request(t)
	for i, want := range []string{nearDial, midDial, originDial, originDial} {
		r.Host, r.Header = "near.cdn.example.net", nil
		if got := selected(p.Select(upstreams, r, nil)); got != want {
			t.Errorf("try %d: selected %s, want %s", i, got, want)
		}
	}
	upstreams = static(midDial, nearDial) // all fail, and get another chance
	r, _ = visit{}.request(t)
	for i, want := range []string{nearDial, midDial, nearDial, midDial, nearDial} {
		if got := selected(p.Select(upstreams, r, nil)); got != want {
			t.Errorf("without an origin, try %d: selected %s, want %s", i, got, want)
		}
	}
	// Another proxy of the same request begins anew.
	if got := selected(s.selection("video").Select(upstreams, r, nil)); got != nearDial {
		t.Errorf("another proxy: selected %s", got)
	}
}

// With an upstream source of ours it takes the first that is available of what
// that has put into order, and does not count the request again.
func TestSelectionOfOffered(t *testing.T) {
	s := newStage(t, proxies)
	u, p := s.upstreams("video"), s.selection("video")
	count := func() float64 {
		v, _ := value(t, s.ctx.GetMetricsRegistry(), "caddy_altoroute_decisions_total", "pool", "video", "edge", "near", "placement", "prefix")
		return v
	}
	before := count()
	r, repl := visit{}.request(t)
	pool, err := u.GetUpstreams(r)
	must(t, err)
	for _, upstream := range pool {
		upstream.Host = new(reverseproxy.Host)
	}
	if got := selected(p.Select(pool, r, nil)); got != nearDial {
		t.Errorf("selected %s", got)
	}
	repl.Set("http.reverse_proxy.upstream.hostport", nearDial)
	pool, err = u.GetUpstreams(r)
	must(t, err)
	for _, upstream := range pool {
		upstream.Host = new(reverseproxy.Host)
	}
	if got := selected(p.Select(pool, r, nil)); got != midDial {
		t.Errorf("selected %s after a failure", got)
	}
	if told := repl.ReplaceAll("{http.altoroute.edge}", ""); told != "mid" {
		t.Errorf("told %s", told)
	}
	if n := count() - before; n != 1 {
		t.Errorf("counted %v times", n)
	}
}

func TestSelectionProvision(t *testing.T) {
	s := newStage(t, proxies)
	for pool, words := range map[string][]string{
		"mixed": nil,
		"deep":  nil,
		"":      {"lb_policy alto_cost", "deep, mixed"},
		"music": {"lb_policy alto_cost", `"music"`, "deep, mixed"},
	} {
		wants(t, (&CostSelection{Pool: pool}).Provision(s.ctx), words...)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	must(t, err)
	wants(t, new(CostSelection).Provision(ctx), "reverse_proxy's lb_policy alto_cost needs the global option altoroute")
}

func TestSelectionEndToEnd(t *testing.T) {
	ours, stop := servers(t, map[string]string{"near": "cc-de", "far": "cc-fr"})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "origin") }))
	t.Cleanup(origin.Close)
	upstreams := origin.URL
	for field := range strings.FieldsSeq(ours) {
		if strings.HasPrefix(field, "http://") {
			upstreams += " " + field
		}
	}
	c := start(t, newFolder(t), ours, "")
	c.proxy(ours, upstreams, "lb_policy alto_cost\nlb_retries 2")
	for _, test := range []struct{ gone, want string }{
		{"", "200 near near /a?b"},
		{"near", "200 far far /a?b"},
		{"far", "200 far origin"}, // the last edge that was tried
	} {
		if test.gone != "" {
			stop(test.gone)
		}
		if got := c.answer(); got != test.want {
			t.Errorf("without %s: %q, want %q", test.gone, got, test.want)
		}
	}
}

// TestSelectionAmongMany: another try costs little, however many edges and upstreams
// there are.
func TestSelectionAmongMany(t *testing.T) {
	names, dials := make([]string, 5000), make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("e%04d", i)
		dials[i] = names[i] + ".example.net:443!"
	}
	dials[4321] = strings.TrimSuffix(dials[4321], "!")
	router := edgesOnly(t, names...)
	p := &proxied{pool: "all", router: router, edges: router.Edges("all")}
	s := &CostSelection{proxied: p, dials: make(map[*altoroute.Edge][]string), known: make(map[string]bool)}
	for _, e := range p.edges {
		s.dials[e] = []string{dialOf(e.URL)}
		s.known[dialOf(e.URL)] = true
	}
	tried := &tries{of: p, query: altoroute.Query{Pool: "all", Path: "/a"}}
	r := caddyhttp.PrepareRequest(httptest.NewRequest(http.MethodGet, "/a", nil), caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
	upstreams := static(dials...)
	began := time.Now()
	for range 10 {
		if got := selected(s.next(tried, upstreams, r)); got != "e4321.example.net:443" {
			t.Fatalf("selected %q", got)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ten tries took %s", took)
	}
}
