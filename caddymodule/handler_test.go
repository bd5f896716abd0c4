// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// world is what the handlers under test choose from.
const world = `
	maps {{dir}}/net.json {{dir}}/cost.json
	geo {{dir}}/geo.mmdb {
		country * cc-{country}
	}
	default_pid cc-fr
	edge fra https://fra.cdn.example.net cc-de
	edge par https://par.cdn.example.net:8443/cdn/ cc-fr {
		addr 198.51.100.77 2001:db8:b::77
	}
	edge old http://old.cdn.example.net cc-nl
	edge six https://six.cdn.example.net idle {
		family ipv6
	}
	pool video {
		edges fra par
	}
	pool named {
		edges fra par
		url https://{edge}.video.example.net/v
	}
	pool near {
		edges fra par
		tolerance 1000%
	}
	pool six {
		edges six
	}
	pool old {
		edges old
	}
	pool next {
		edges old
		on_none next
	}
	pool gone {
		edges old
		on_none 410
	}
	pool late {
		edges old
		on_none 503
	}
	pool fallback {
		edges old
		on_none https://fallback.example.net/files
	}
	pool unsafe {
		edges six
		on_none http://fallback.example.net
	}
`

// stage is a provisioned app without servers, and so without goroutines.
type stage struct {
	t   testing.TB
	ctx caddy.Context
	app *App
}

func newStage(t testing.TB, ours string) *stage {
	t.Helper()
	return newStageOf(t, newFolder(t).config(quiet, ours, ""))
}

func newStageOf(t testing.TB, config []byte) *stage {
	t.Helper()
	var cfg caddy.Config
	must(t, caddy.StrictUnmarshalJSON(config, &cfg))
	ctx, err := caddy.ProvisionContext(&cfg)
	must(t, err)
	value, err := ctx.App("altoroute")
	must(t, err)
	app, _ := value.(*App)
	t.Cleanup(func() { must(t, app.Cleanup()) })
	return &stage{t: t, ctx: ctx, app: app}
}

// handler returns a provisioned handler by its directive.
func (s *stage) handler(directive string) *Handler {
	s.t.Helper()
	h := new(Handler)
	must(s.t, h.UnmarshalCaddyfile(caddyfile.NewTestDispenser(directive)))
	must(s.t, h.Provision(s.ctx))
	must(s.t, h.Validate())
	return h
}

// A visit is a request as it reaches the handler.
type visit struct {
	line   string   // method and target; GET / if empty
	header []string // in lines
	client string   // Caddy's client_ip; 203.0.113.9, which is in cc-de, if empty
	nobody bool     // there is no client_ip
	tls    bool     // by https
	by     bool     // by a trusted proxy
}

// An outcome is what became of a visit.
type outcome struct {
	status int // 0 when the next handler had it
	header http.Header
	repl   *caddy.Replacer
	asked  *http.Request
}

func (v visit) request(t testing.TB) (*http.Request, *caddy.Replacer) {
	t.Helper()
	line := v.line
	if line == "" {
		line = "GET /"
	}
	raw := line + " HTTP/1.1\r\nHost: cdn.example.net\r\n" + strings.Join(append(v.header, "\r\n"), "\r\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	must(t, err)
	if v.tls {
		r.TLS = new(tls.ConnectionState)
	}
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, httptest.NewRecorder(), new(caddyhttp.Server))
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	vars[caddyhttp.TrustedProxyVarKey] = v.by
	switch {
	case v.nobody:
		delete(vars, caddyhttp.ClientIPVarKey)
	case v.client == "":
		vars[caddyhttp.ClientIPVarKey] = "203.0.113.9"
	default:
		vars[caddyhttp.ClientIPVarKey] = v.client
	}
	return r, repl
}

// see has handlers answer a visit, each being the next of the one before.
func (v visit) see(t testing.TB, handlers ...*Handler) outcome {
	t.Helper()
	r, repl := v.request(t)
	w := httptest.NewRecorder()
	passed := false
	var chain caddyhttp.Handler = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		passed = true
		return nil
	})
	for _, h := range slices.Backward(handlers) {
		next := chain
		chain = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return h.ServeHTTP(w, r, next) })
	}
	err := chain.ServeHTTP(w, r)
	o := outcome{status: w.Code, header: w.Header(), repl: repl, asked: r}
	var refusal caddyhttp.HandlerError
	switch {
	case errors.As(err, &refusal):
		o.status = refusal.StatusCode
	case err != nil:
		t.Fatal(err)
	case passed:
		o.status = 0
	}
	if w.Body.Len() > 0 {
		t.Errorf("the handler wrote a body: %q", w.Body)
	}
	return o
}

// The tests of one answer each. A status of 0 is the next handler's.
func TestHandler(t *testing.T) {
	s := newStage(t, world)
	tests := []struct {
		name      string
		directive string // altoroute video if empty
		visit     visit
		status    int
		location  string
		header    map[string]string // further ones; empty is absent
	}{
		{name: "GET", visit: visit{line: "GET /a.mp4"}, status: 302, location: "https://fra.cdn.example.net/a.mp4", header: map[string]string{"Cache-Control": "private, no-store", "Vary": "", "Access-Control-Allow-Origin": "", "Content-Type": "", "Retry-After": ""}},
		{name: "HEAD", visit: visit{line: "HEAD /a.mp4"}, status: 302, location: "https://fra.cdn.example.net/a.mp4"},
		{name: "POST", visit: visit{line: "POST /a"}, status: 307, location: "https://fra.cdn.example.net/a"},
		{name: "PUT", visit: visit{line: "PUT /a"}, status: 307, location: "https://fra.cdn.example.net/a"},
		{name: "DELETE", visit: visit{line: "DELETE /a"}, status: 307, location: "https://fra.cdn.example.net/a"},
		{name: "unknown method", visit: visit{line: "get /a"}, status: 307, location: "https://fra.cdn.example.net/a"},
		{name: "OPTIONS", visit: visit{line: "OPTIONS /a"}},
		{name: "OPTIONS of the server", visit: visit{line: "OPTIONS *"}},
		{name: "CONNECT", visit: visit{line: "CONNECT evil.example:443"}},
		{name: "status for GET", directive: "altoroute video {\nstatus 303\n}", status: 303, location: "https://fra.cdn.example.net/"},
		{name: "status is not for POST", directive: "altoroute video {\nstatus 303\n}", visit: visit{line: "POST /"}, status: 307, location: "https://fra.cdn.example.net/"},
		{name: "ttl", directive: "altoroute video {\nttl 1m\n}", status: 302, location: "https://fra.cdn.example.net/", header: map[string]string{"Cache-Control": "private, max-age=60"}},
		{name: "Range survives", visit: visit{line: "GET /a.mp4?t=1", header: []string{"Range: bytes=0-99"}}, status: 302, location: "https://fra.cdn.example.net/a.mp4?t=1"},
		{name: "URL of the pool", directive: "altoroute named", visit: visit{line: "GET /a?b"}, status: 302, location: "https://fra.video.example.net/v/a?b"},

		{name: "the other PID", visit: visit{line: "GET /a", client: "203.0.113.200"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/a"},
		{name: "IPv6", visit: visit{client: "2001:db8:b::1"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},
		{name: "IPv4-mapped", visit: visit{client: "::ffff:203.0.113.200"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},
		{name: "zone", visit: visit{client: "2001:db8:b::1%eth0"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},
		{name: "by place", visit: visit{client: "2001:db8:c::1"}, status: 302, location: "https://fra.cdn.example.net/"},
		{name: "by default", visit: visit{client: "2001:db8:dead::1"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},
		{name: "unix socket", visit: visit{client: "@"}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},
		{name: "no address", visit: visit{nobody: true}, status: 302, location: "https://par.cdn.example.net:8443/cdn/"},

		{name: "fill by address", visit: visit{client: "198.51.100.77"}},
		{name: "fill by mapped address", visit: visit{client: "::ffff:198.51.100.77"}},
		{name: "fill by IPv6 address", visit: visit{client: "2001:db8:b::77"}},
		{name: "fill by this CDN's id", visit: visit{header: []string{`CDN-Loop: other, AltoRoute;v="1, 2"`}}},
		{name: "fill by an edge's host", visit: visit{header: []string{"CDN-Loop: other", "CDN-Loop: par.cdn.example.net:8443"}}},
		{name: "another CDN is no fill", visit: visit{header: []string{`CDN-Loop: other; by="a, altoroute"`}}, status: 302, location: "https://fra.cdn.example.net/"},

		{name: "no edge", directive: "altoroute old", visit: visit{tls: true}, status: 503, header: map[string]string{"Retry-After": retryAfter, "Location": ""}},
		{name: "no edge, 503 said", directive: "altoroute late", visit: visit{tls: true}, status: 503, header: map[string]string{"Retry-After": retryAfter, "Cache-Control": "private, no-store"}},
		{name: "no edge, another status", directive: "altoroute gone", visit: visit{tls: true}, status: 410, header: map[string]string{"Retry-After": "", "Cache-Control": "private, no-store"}},
		{name: "no edge, next", directive: "altoroute next", visit: visit{tls: true}},
		{name: "no edge, fallback", directive: "altoroute fallback", visit: visit{line: "GET /a?b", tls: true}, status: 302, location: "https://fallback.example.net/files/a?b", header: map[string]string{"Cache-Control": "private, no-store"}},
		{name: "no edge, fallback for POST", directive: "altoroute fallback", visit: visit{line: "POST /a", tls: true}, status: 307, location: "https://fallback.example.net/files/a"},
		{name: "no edge for the family", directive: "altoroute six", status: 503},
		{name: "an edge for the family", directive: "altoroute six", visit: visit{client: "2001:db8:a::1"}, status: 302, location: "https://six.cdn.example.net/"},
		{name: "http fallback", directive: "altoroute unsafe", status: 302, location: "http://fallback.example.net/"},
		{name: "no http fallback for https", directive: "altoroute unsafe", visit: visit{tls: true}, status: 503, header: map[string]string{"Retry-After": retryAfter, "Location": ""}},

		{name: "http edge", directive: "altoroute next", status: 302, location: "http://old.cdn.example.net/"},
		{name: "proxy says https", directive: "altoroute next", visit: visit{by: true, header: []string{"X-Forwarded-Proto: https"}}},
		{name: "proxies say https", directive: "altoroute next", visit: visit{by: true, header: []string{"X-Forwarded-Proto: http, HTTPS"}}},
		{name: "proxy says https by RFC 7239", directive: "altoroute next", visit: visit{by: true, header: []string{`Forwarded: for=192.0.2.1, for=192.0.2.2;Proto="https"`}}},
		{name: "proxy says http", directive: "altoroute next", visit: visit{by: true, header: []string{"X-Forwarded-Proto: http", "Forwarded: proto=http"}}, status: 302, location: "http://old.cdn.example.net/"},
		{name: "liar says https", directive: "altoroute next", visit: visit{header: []string{"X-Forwarded-Proto: https", "Forwarded: proto=https"}}, status: 302, location: "http://old.cdn.example.net/"},
		{name: "proxy cannot take https away", directive: "altoroute next", visit: visit{by: true, tls: true, header: []string{"X-Forwarded-Proto: http"}}},

		{name: "any origin", directive: "altoroute video {\ncors *\n}", status: 302, location: "https://fra.cdn.example.net/", header: map[string]string{"Access-Control-Allow-Origin": "*", "Vary": ""}},
		{name: "an origin of the list", directive: "altoroute video {\ncors https://a.example https://b.example\n}", visit: visit{header: []string{"Origin: https://b.example"}}, status: 302, location: "https://fra.cdn.example.net/", header: map[string]string{"Access-Control-Allow-Origin": "https://b.example", "Vary": "Origin"}},
		{name: "an origin not of the list", directive: "altoroute video {\ncors https://a.example\n}", visit: visit{header: []string{"Origin: https://evil.example"}}, status: 302, location: "https://fra.cdn.example.net/", header: map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{name: "no origin", directive: "altoroute video {\ncors https://a.example\n}", status: 302, location: "https://fra.cdn.example.net/", header: map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},

		{name: "two slashes", visit: visit{line: "GET //evil.example/x"}, status: 302, location: "https://fra.cdn.example.net//evil.example/x"},
		{name: "user information", visit: visit{line: "GET /@evil.example"}, status: 302, location: "https://fra.cdn.example.net/@evil.example"},
		{name: "colon", visit: visit{line: "GET /:80@evil.example"}, status: 302, location: "https://fra.cdn.example.net/:80@evil.example"},
		{name: "CRLF", visit: visit{line: "GET /%0d%0aSet-Cookie:%20a=b?%0d%0aX:y"}, status: 302, location: "https://fra.cdn.example.net/%0d%0aSet-Cookie:%20a=b?%0d%0aX:y", header: map[string]string{"Set-Cookie": "", "X": ""}},
		{name: "encoded slashes", visit: visit{line: "GET /a%2Fb%2f..%2f%2Fevil.example"}, status: 302, location: "https://fra.cdn.example.net/a%2Fb%2f..%2f%2Fevil.example"},
		{name: "backslashes", visit: visit{line: `GET /\evil.example/%5Cx`}, status: 302, location: "https://fra.cdn.example.net/%5Cevil.example/%5Cx"},
		{name: "absolute-form", visit: visit{line: "GET http://evil.example/x?y"}, status: 302, location: "https://fra.cdn.example.net/x?y"},
		{name: "absolute-form with a user", visit: visit{line: "GET http://user:secret@evil.example/x"}, status: 302, location: "https://fra.cdn.example.net/x"},
		{name: "dots", visit: visit{line: "GET /../../x"}, status: 302, location: "https://fra.cdn.example.net/../../x"},
		{name: "query is kept", visit: visit{line: "GET /?a=%2F&&b=+&c=ä;d=%zz&=?//@"}, status: 302, location: "https://fra.cdn.example.net/?a=%2F&&b=+&c=%C3%A4;d=%zz&=?//@"},
		{name: "empty query", visit: visit{line: "GET /?"}, status: 302, location: "https://fra.cdn.example.net/?"},
		{name: "placeholders stay words", visit: visit{line: "GET /{env.HOME}?{http.altoroute.edge}"}, status: 302, location: "https://fra.cdn.example.net/%7Benv.HOME%7D?{http.altoroute.edge}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			directive := test.directive
			if directive == "" {
				directive = "altoroute video"
			}
			got := test.visit.see(t, s.handler(directive))
			if got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
			if at := got.header.Get("Location"); at != test.location {
				t.Errorf("Location %q, want %q", at, test.location)
			}
			for name, want := range test.header {
				if value := strings.Join(got.header.Values(name), " | "); value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
		})
	}
}

// A CORS header or a Vary that an earlier handler has set is not taken away.
func TestVaryIsAdded(t *testing.T) {
	h := newStage(t, world).handler("altoroute video {\ncors https://a.example\n}")
	r, _ := visit{}.request(t)
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Accept")
	must(t, h.ServeHTTP(w, r, nil))
	if vary := strings.Join(w.Header().Values("Vary"), ", "); vary != "Accept, Origin" {
		t.Errorf("Vary: %s", vary)
	}
}

func TestHandlerProvision(t *testing.T) {
	s := newStage(t, world)
	for _, test := range []struct {
		handler Handler
		words   []string
	}{
		{Handler{}, []string{"altoroute", "fallback, gone, late"}},
		{Handler{Pool: "music"}, []string{"altoroute", `"music"`, "fallback, gone, late"}},
		{Handler{Pool: "video", Status: 301}, []string{"status 301", "302, 303 or 307"}},
		{Handler{Pool: "video", TTL: 1}, []string{"ttl 1ns", "1s"}},
		{Handler{Pool: "video", TTL: -1}, []string{"ttl -1ns", "1s"}},
		{Handler{Pool: "video", CORS: []string{"https://a.example/"}}, []string{"cors", "https://a.example/", "https://player.example.net"}},
		{Handler{Pool: "video", CORS: []string{"*"}}, nil},
	} {
		err := test.handler.Provision(s.ctx)
		if err == nil {
			err = test.handler.Validate()
		}
		wants(t, err, test.words...)
	}
	// Without the app, no empty one is made.
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	must(t, err)
	wants(t, new(Handler).Provision(ctx), "needs the global option altoroute")
}
