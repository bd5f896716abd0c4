// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/altoroute/caddy-alto/altoroute"
)

// proxied is a pool whose edges are asked by reverse_proxy, so that no client
// is sent there.
type proxied struct {
	pool      string
	router    *altoroute.Router
	overrides *overridden
	edges     []*altoroute.Edge
	urls      map[*altoroute.Edge]*url.URL
	plain     bool // some edge is asked by http
	count     *poolCounter
}

func newProxied(ctx caddy.Context, who, pool string) (*proxied, error) {
	app, err := configuredApp(ctx, "reverse_proxy's "+who)
	if err != nil {
		return nil, err
	}
	p := &proxied{router: app.router, overrides: app.overrides}
	if p.pool, err = p.router.PoolName(pool); err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	shared := app.sitePools[p.pool]
	p.edges, p.urls, p.count = p.router.Edges(p.pool), shared.urls(), shared.count
	for _, at := range p.urls {
		p.plain = p.plain || at.Scheme == "http"
	}
	return p, nil
}

// tries is what is known of a request from one try of reverse_proxy to the
// next.
type tries struct {
	of *proxied
	// query is the first try's: reverse_proxy changes the host and the headers
	// before each. The edges that were tried in vain are noted in it.
	query altoroute.Query
	// tried is the edge of the selection policy's try before, nil where it was
	// none.
	tried *altoroute.Edge
	// What the upstream source offered in the try before, side by side.
	decisions []altoroute.Decision
	upstreams []*reverseproxy.Upstream
}

// triesVar is the request's variable that holds its tries, each proxied's own.
const triesVar = "altoroute.tries"

func triesOf(r *http.Request) map[*proxied]*tries {
	all, _ := caddyhttp.GetVar(r.Context(), triesVar).(map[*proxied]*tries)
	return all
}

// begin returns the tries of a request that reverse_proxy has just got. It is
// counted now: however often it is tried, it is one.
func (p *proxied) begin(r *http.Request) (*tries, altoroute.Decision, error) {
	p.overrides.await()
	t := &tries{of: p, query: query(p.pool, r)}
	// The client's https ends here. Asking an edge by http leads no client
	// away from https; it is the operator's choice.
	t.query.HTTPS = t.query.HTTPS && !p.plain
	all := triesOf(r)
	d, err := p.first(t.query, all)
	if err != nil {
		return nil, d, err
	}
	if all == nil {
		all = make(map[*proxied]*tries)
		caddyhttp.SetVar(r.Context(), triesVar, all)
	}
	all[p] = t
	return t, d, nil
}

// first decides for a request, and counts it unless the pool has been asked for it
// already, as by an upstream source that has found no edge.
func (p *proxied) first(q altoroute.Query, before map[*proxied]*tries) (altoroute.Decision, error) {
	for of := range before {
		if of.pool != p.pool {
			continue
		}
		return p.router.RelayFirst(q, nil)
	}
	d, err := p.router.Route(q)
	if err == nil {
		p.count.add(&d)
	}
	return d, err
}

// rank returns at most as many edges as asked for. Those that
// were tried in vain come last.
func (t *tries) rank(most int) ([]altoroute.Decision, error) {
	ranked, err := t.of.router.Relay(t.query, most)
	slices.SortStableFunc(ranked, func(a, b altoroute.Decision) int {
		switch fa, fb := t.failed(&a), t.failed(&b); {
		case fa && !fb:
			return 1
		case fb && !fa:
			return -1
		}
		return 0
	})
	return ranked, err
}

func (t *tries) failed(d *altoroute.Decision) bool {
	return slices.Contains(t.query.Failed, d.Edge.Name)
}

// fail notes that an edge has been tried in vain. When all have, they are tried
// once more, in their order.
func (t *tries) fail(e *altoroute.Edge) {
	if slices.Contains(t.query.Failed, e.Name) {
		t.query.Failed = nil
	}
	t.query.Failed = append(t.query.Failed, e.Name)
}

// tell makes a decision known to the rest of the request.
func tell(d *altoroute.Decision, r *http.Request) {
	(&account{Decision: *d, location: d.Location(r.URL)}).publish(r)
}

// dialOf returns the address at which reverse_proxy finds an edge.
func dialOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
