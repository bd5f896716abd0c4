// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddy.RegisterModule(new(CostSelection))
}

// CostSelection has `reverse_proxy` pick, among its own upstreams, by the choice
// by which the handler `altoroute` would redirect the client. An upstream
// belongs to the edge at whose host and port it is dialed, or at one of whose
// addresses and that port. The upstream of the best edge is taken that is
// available, as far as the health checks and limits of `reverse_proxy` tell;
// after the edges' come the upstreams that belong to no edge of the pool, such
// as an origin, in their order. An edge that may not serve the request, because
// it is drained for example, is not asked.
//
// With `lb_retries` or `lb_try_duration`, an edge that could not be reached
// comes after all other upstreams for the rest of the request.
//
// A cache fill gets edges too, but none that it has been at, as its CDN-Loop
// header (RFC 8586) and its address tell.
//
// The placeholders and the object of the access log are those of the handler
// `altoroute`, for the upstream taken last that belongs to an edge.
type CostSelection struct {
	// The pool to choose from. It may be left out where there is only one.
	Pool string `json:"pool,omitempty"`

	*proxied
	dials map[*altoroute.Edge][]string
	known map[string]bool // those of all edges
}

// CaddyModule returns the Caddy module information.
func (*CostSelection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies.alto_cost", New: func() caddy.Module { return new(CostSelection) }}
}

// Provision finds the app, the pool and where its edges are dialed.
func (s *CostSelection) Provision(ctx caddy.Context) error {
	var err error
	if s.proxied, err = newProxied(ctx, "lb_policy alto_cost", s.Pool); err != nil {
		return err
	}
	s.dials, s.known = make(map[*altoroute.Edge][]string), make(map[string]bool)
	for _, e := range s.edges {
		at := dialOf(s.urls[e])
		dials := []string{at}
		_, port, _ := net.SplitHostPort(at)
		for _, a := range e.Addrs {
			dials = append(dials, net.JoinHostPort(a.String(), port))
		}
		for _, dial := range dials {
			s.known[dial] = true
		}
		s.dials[e] = dials
	}
	return nil
}

// Select returns the upstream to be tried, nil where none is available.
func (s *CostSelection) Select(pool reverseproxy.UpstreamPool, r *http.Request, _ http.ResponseWriter) *reverseproxy.Upstream {
	for _, t := range triesOf(r) {
		if t.of.pool == s.pool && len(t.upstreams) > 0 && slices.Contains(pool, t.upstreams[0]) {
			return selectOffered(t, pool, r)
		}
	}
	t := triesOf(r)[s.proxied]
	if t != nil {
		if t.tried != nil {
			t.fail(t.tried)
		}
	} else {
		var d altoroute.Decision
		var err error
		if t, d, err = s.begin(r); err != nil {
			return nil
		}
		tell(&d, r)
		if d.Edge != nil {
			if u := s.of(d.Edge, pool); u != nil {
				t.tried = d.Edge
				return u
			}
		}
	}
	return s.next(t, pool, r)
}

// next goes through the edges that were not tried in vain, then through the
// upstreams of no edge, then through the other edges.
func (s *CostSelection) next(t *tries, pool reverseproxy.UpstreamPool, r *http.Request) *reverseproxy.Upstream {
	t.tried = nil
	available := make(map[string]*reverseproxy.Upstream) // the first that is dialed there
	for _, u := range slices.Backward(pool) {
		if u.Available() {
			available[dialed(u)] = u
		}
	}
	take := func(inVain bool) *reverseproxy.Upstream {
		d, err := s.router.RelayFirst(t.query, func(e *altoroute.Edge) bool {
			return slices.Contains(t.query.Failed, e.Name) == inVain &&
				slices.ContainsFunc(s.dials[e], func(dial string) bool { return available[dial] != nil })
		})
		if err != nil || d.Edge == nil {
			return nil
		}
		t.tried = d.Edge
		tell(&d, r)
		return s.of(d.Edge, pool)
	}
	if u := take(false); u != nil {
		return u
	}
	for _, u := range pool {
		if !s.known[dialed(u)] && u.Available() {
			return u
		}
	}
	return take(true)
}

// of returns the first upstream of an edge that is available, or nil.
func (s *CostSelection) of(e *altoroute.Edge, pool reverseproxy.UpstreamPool) *reverseproxy.Upstream {
	for _, u := range pool {
		if slices.Contains(s.dials[e], dialed(u)) && u.Available() {
			return u
		}
	}
	return nil
}

// selectOffered takes the first upstream that is available of those that an
// upstream source of ours has put into order for this try.
func selectOffered(t *tries, pool reverseproxy.UpstreamPool, r *http.Request) *reverseproxy.Upstream {
	for _, u := range pool {
		if !u.Available() {
			continue
		}
		if i := slices.Index(t.upstreams, u); i >= 0 {
			tell(&t.decisions[i], r)
		}
		return u
	}
	return nil
}

// dialed returns where an upstream is dialed, as dialOf writes it.
func dialed(u *reverseproxy.Upstream) string {
	return strings.ToLower(strings.TrimPrefix(u.Dial, "tcp/"))
}

// UnmarshalCaddyfile reads the selection policy:
//
//	lb_policy alto_cost [<pool>]
func (s *CostSelection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return poolArg(d, &s.Pool)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*CostSelection)(nil)
	_ caddyfile.Unmarshaler = (*CostSelection)(nil)
	_ reverseproxy.Selector = (*CostSelection)(nil)
)
