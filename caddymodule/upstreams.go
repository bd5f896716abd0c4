// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddy.RegisterModule(new(Upstreams))
}

// Upstreams has `reverse_proxy` ask the edges of a pool itself instead of
// sending clients there: those that may serve the request, at most 16, the one
// first to which the handler `altoroute` would redirect the client, then the one
// that would be next without it, and so on. It belongs with the selection policy
// `first`, and another must be named outright: without any, `reverse_proxy`
// would pick one at random. With `lb_retries` or `lb_try_duration`, an edge that
// could not be reached comes after all others for the rest of the request.
//
// Edges are dialed at host and port of their URLs, or of the pool's. These must
// all be http or all https and have no path. For https the transport needs TLS,
// `transport http { tls }`; it then asks for the edge's own host. For http, the
// edge is asked for the client's host unless `header_up Host
// {upstream_hostport}` is set, and serves clients that came by https too: it is
// not they who speak to it.
//
// Where no edge may serve, the static upstreams of `reverse_proxy` are used, for
// example an origin; without any the answer is 503.
//
// A cache fill, which the handler `altoroute` would pass on, gets edges too:
// this is how an edge asks its parents. It gets none that it has been at, as
// its CDN-Loop header (RFC 8586) and its address tell, and none at all when it
// goes round in a ring. Edges should therefore name themselves in CDN-Loop, by
// the host of their URL.
//
// The placeholders and the object of the access log are those of the handler
// `altoroute`, for the first edge offered at the last try.
type Upstreams struct {
	// The pool to choose from. It may be left out where there is only one.
	Pool string `json:"pool,omitempty"`

	*proxied
}

// mostOffered is how many edges reverse_proxy gets at a time: more are of no
// use, because each try has them ranked anew, and cost every request time.
const mostOffered = 16

// CaddyModule returns the Caddy module information.
func (*Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.altoroute", New: func() caddy.Module { return new(Upstreams) }}
}

// Provision finds the app and the pool, and checks that reverse_proxy can ask
// its edges.
func (u *Upstreams) Provision(ctx caddy.Context) error {
	var err error
	if u.proxied, err = newProxied(ctx, "dynamic altoroute", u.Pool); err != nil {
		return err
	}
	first := u.edges[0]
	for _, e := range u.edges {
		switch at := u.urls[e]; {
		case at.Path != "" && at.Path != "/":
			return fmt.Errorf("dynamic altoroute: pool %s, edge %s: URL %s has a path, which reverse_proxy cannot put in front: use an edge without, and rewrite", u.pool, e.Name, at)
		case at.Scheme != u.urls[first].Scheme:
			return fmt.Errorf("dynamic altoroute: pool %s has both %s and %s: reverse_proxy asks all by http or all by https, so use a pool for each", u.pool, u.urls[first], at)
		}
	}
	for _, parent := range slices.Backward(ctx.Modules()) { // the innermost: proxies may nest
		if proxy, ok := parent.(*reverseproxy.Handler); ok {
			return u.checkProxy(proxy)
		}
	}
	return nil
}

// checkProxy checks what reverse_proxy would do with the edges. It has its
// transport already and its own defaults not yet.
func (u *Upstreams) checkProxy(proxy *reverseproxy.Handler) error {
	if proxy.LoadBalancing == nil || proxy.LoadBalancing.SelectionPolicy == nil {
		return errors.New("dynamic altoroute: reverse_proxy would pick edges at random: write lb_policy first")
	}
	secure := false
	if proxy.Transport != nil {
		transport, ok := proxy.Transport.(reverseproxy.TLSTransport)
		if !ok {
			return nil // the operator's own, of which nothing is known
		}
		secure = transport.TLSEnabled()
	}
	switch {
	case !secure && !u.plain:
		return fmt.Errorf("dynamic altoroute: the edges of pool %s are asked by https: write transport http { tls }", u.pool)
	case secure && u.plain:
		return fmt.Errorf("dynamic altoroute: the edges of pool %s are asked by http, and the transport has tls: remove it, or give them https URLs", u.pool)
	}
	return nil
}

// GetUpstreams returns the edges for a request, the best first. reverse_proxy
// asks before each try.
func (u *Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	t := triesOf(r)[u.proxied]
	if t == nil {
		var d altoroute.Decision
		var err error
		if t, d, err = u.begin(r); err != nil {
			return nil, err
		}
		tell(&d, r) // as long as there is no better one
	} else {
		t.failOffered(r)
	}
	var err error
	if t.decisions, err = t.rank(mostOffered); err != nil {
		return nil, err
	}
	if len(t.decisions) == 0 {
		return nil, fmt.Errorf("no edge of pool %s may serve this client", u.pool)
	}
	tell(&t.decisions[0], r)
	// New ones each time: reverse_proxy writes into them.
	t.upstreams = make([]*reverseproxy.Upstream, len(t.decisions))
	for i := range t.decisions {
		t.upstreams[i] = &reverseproxy.Upstream{Dial: dialOf(u.urls[t.decisions[i].Edge])}
	}
	return t.upstreams, nil
}

// failOffered notes that the try before was in vain. Which of the upstreams the
// policy took, only the placeholder tells. This is not left to ResetCache, which
// reverse_proxy does not call for a source that is one of several.
func (t *tries) failOffered(r *http.Request) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	at, _ := repl.GetString("http.reverse_proxy.upstream.hostport")
	for i, upstream := range t.upstreams {
		if upstream.Dial == at {
			t.fail(t.decisions[i].Edge)
		}
	}
}

// UnmarshalCaddyfile reads the upstream source:
//
//	dynamic altoroute [<pool>]
func (u *Upstreams) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return poolArg(d, &u.Pool)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Upstreams)(nil)
	_ caddyfile.Unmarshaler       = (*Upstreams)(nil)
	_ reverseproxy.UpstreamSource = (*Upstreams)(nil)
)
