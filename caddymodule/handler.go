// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler redirects each request to the content edge that serves its client at
// the least cost to the network, as the app `altoroute` knows it.
//
// GET and HEAD are answered with 302, other methods with 307, which keeps method
// and body. OPTIONS, CONNECT and cache fills (requests that come from an edge)
// go to the next handler; where there is none, a cache fill gets 503. A client
// that came by https, to Caddy or to a trusted proxy that says so, is never sent
// to http.
//
// After the decision these placeholders are available, for example to
// `log_append`, to headers and to later handlers:
//
// Placeholder | Description
// ------------|---------------
// `{http.altoroute.pool}` | The pool
// `{http.altoroute.edge}` | The edge chosen
// `{http.altoroute.edge.url}` | Where the client is sent
// `{http.altoroute.source}` | The source that placed the client
// `{http.altoroute.pid}` | The client's PID
// `{http.altoroute.prefix}` | The prefix that matched the client
// `{http.altoroute.placement}` | How the client was placed: `prefix`, `geo`, `catch_all`, `default` or `none`
// `{http.altoroute.cost}` | The cost from the edge's PID to the client's; empty when undefined
// `{http.altoroute.tag}` | The version tag of the network map
// `{http.altoroute.reason}` | Why this edge: `cheapest`, `within_tolerance`, `next_cheapest`, `overflow`, `pinned`, `parent`, `panic`, `guidance_off`, `undefined_cost`, `same_pid`, `no_guidance`, `no_edge` or `cache_fill`
//
// The same facts are in the access log, in the object `altoroute`.
type Handler struct {
	// The pool to choose from. It may be left out where there is only one.
	Pool string `json:"pool,omitempty"`

	// The status for GET and HEAD: 302, 303 or 307. Default: 302.
	Status int `json:"status,omitempty"`

	// How long a client may keep the redirect, by `Cache-Control: private,
	// max-age`. Default: not at all (`private, no-store`).
	TTL caddy.Duration `json:"ttl,omitempty"`

	// Origins whose scripts may follow the redirect (CORS), for example
	// `https://player.example.net`, or `*` for all. Default: none.
	CORS []string `json:"cors,omitempty"`

	// How many other edges an answer names, so that a client finds a way out by
	// itself: in `Link` headers (RFC 6249), or as a Metalink document (RFC 5854)
	// where the request accepts `application/metalink4+xml`. Default: 0, none.
	Alternates int `json:"alternates,omitempty"`

	// Whether a request that accepts `application/json` is answered with the
	// ranked list of edges instead of a redirect. Default: false.
	List bool `json:"list,omitempty"`

	// How a client tells that it could not reach an edge, and gets the next one.
	// Default: not at all.
	Retry *Retry `json:"retry,omitempty"`

	router       *altoroute.Router
	overrides    *overridden
	lastResort   lastResort
	cacheControl string
	count        *poolCounter
	names        func() map[string]string // see sitePool
}

// retryAfter is the Retry-After of a 503, in seconds: edges and guidance come
// back within seconds or not soon.
const retryAfter = "5"

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.altoroute", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the app and the pool.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := configuredApp(ctx, "the handler altoroute")
	if err != nil {
		return err
	}
	h.router, h.overrides = app.router, app.overrides
	if h.Pool, err = h.router.PoolName(h.Pool); err != nil {
		return fmt.Errorf("altoroute: %w", err)
	}
	if h.lastResort, err = app.Pools[h.Pool].lastResort(); err != nil {
		return err
	}
	if h.Status == 0 {
		h.Status = http.StatusFound
	}
	h.cacheControl = notKept
	if h.TTL > 0 {
		h.cacheControl = "private, max-age=" + strconv.Itoa(int(time.Duration(h.TTL).Seconds()))
	}
	h.count, h.names = app.sitePools[h.Pool].count, app.sitePools[h.Pool].names
	return nil
}

// Validate checks the values that are not the app's.
func (h *Handler) Validate() error {
	switch h.Status {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
	default:
		return fmt.Errorf("altoroute: status %d: write 302, 303 or 307; a permanent redirect would pin clients to an edge for ever", h.Status)
	}
	if h.TTL < 0 || h.TTL > 0 && time.Duration(h.TTL) < time.Second {
		return fmt.Errorf("altoroute: ttl %s: write at least 1s", time.Duration(h.TTL))
	}
	if h.Alternates < 0 || h.Alternates > maxAlternates {
		return fmt.Errorf("altoroute: alternates %d: write 1 to %d", h.Alternates, maxAlternates)
	}
	if err := h.Retry.validate(); err != nil {
		return err
	}
	for _, origin := range h.CORS {
		if origin == "*" {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			return fmt.Errorf("altoroute: cors %q is not an origin: write for example https://player.example.net, or *", origin)
		}
	}
	return nil
}

// ServeHTTP decides and answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method == http.MethodOptions || r.Method == http.MethodConnect {
		return next.ServeHTTP(w, r)
	}
	if h.Retry != nil && h.Retry.Header != "" {
		w.Header().Add("Vary", h.Retry.Header)
	}
	h.overrides.await()
	q := query(h.Pool, r)
	told, to := h.Retry.take(r)
	q.Failed, q.RawQuery = h.failed(told), to.RawQuery
	d, err := h.router.Route(q)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	h.report(&q, r)
	h.count.add(&d)
	acc := &account{Decision: d, location: h.location(&d, r, to)}
	acc.publish(r)
	switch {
	case acc.location != "":
		return h.answer(w, r, acc, &q, to)
	case d.Reason == altoroute.CacheFill || h.lastResort.next:
		return h.pass(w, r, next)
	}
	return h.refuse(w, h.lastResort.status, "no edge of pool %s may serve this client")
}

// answer tells the client where to go: by a redirect, or by a list of all edges where
// it asks for one.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, acc *account, q *altoroute.Query, to *url.URL) error {
	header := w.Header()
	header.Set("Cache-Control", h.cacheControl)
	if acc.Edge == nil {
		header.Set("Cache-Control", notKept) // the last resort, for as long as there is no edge
	}
	if h.Alternates > 0 || h.List {
		header.Add("Vary", "Accept")
	}
	h.allowOrigin(header, r)
	if acc.Edge != nil && getsContent(r) {
		if h.List && prefers(r, "application/json") {
			return writeList(w, h.Pool, h.alternates(*q, to, maxAlternates+1))
		}
		if h.Alternates > 0 {
			all := h.alternates(*q, to, h.Alternates+1)
			if accepts(r, metalinkType) {
				return writeMetalink(w, to.Path, all)
			}
			link(header, all)
		}
	}
	header.Set("Location", acc.location)
	header["Content-Type"] = nil // no body, nothing to sniff
	if getsContent(r) {
		w.WriteHeader(h.Status)
	} else {
		w.WriteHeader(http.StatusTemporaryRedirect) // keeps method and body
	}
	return nil
}

func getsContent(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// location returns where the client is sent: to the edge, or to the fallback
// where there is none; empty where to nothing at all.
func (h *Handler) location(d *altoroute.Decision, r *http.Request, to *url.URL) string {
	fallback := h.lastResort.fallback
	if d.Reason != altoroute.NoEdge || fallback == nil || fallback.Scheme == "http" && cameByHTTPS(r) {
		return d.Location(to)
	}
	return altoroute.Location(fallback, to)
}

// pass hands the request to the next handler. Where there is none, Caddy would
// answer with an empty 200, which an edge would keep as the content.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := next.ServeHTTP(w, r); err != nil {
		return err
	}
	if unhandled, _ := caddyhttp.GetVar(r.Context(), "unhandled").(bool); unhandled {
		return h.refuse(w, http.StatusServiceUnavailable, "no handler behind altoroute answers what pool %s passes on")
	}
	return nil
}

// notKept has no cache keep an answer.
const notKept = "private, no-store"

// refuse answers with an error that names the pool. Some, such as 404, would be kept
// by caches unless told otherwise (RFC 9110 §15.1).
func (h *Handler) refuse(w http.ResponseWriter, status int, format string) error {
	w.Header().Set("Cache-Control", notKept)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	return caddyhttp.Error(status, fmt.Errorf(format, h.Pool))
}

// allowOrigin lets scripts of the configured origins follow the redirect.
func (h *Handler) allowOrigin(header http.Header, r *http.Request) {
	if len(h.CORS) == 0 {
		return
	}
	if slices.Contains(h.CORS, "*") {
		header.Set("Access-Control-Allow-Origin", "*")
		return
	}
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(h.CORS, origin) {
		header.Set("Access-Control-Allow-Origin", origin)
	}
}

// query tells what the decision needs to know of a request.
func query(pool string, r *http.Request) altoroute.Query {
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return altoroute.Query{
		Pool:     pool,
		Client:   altoroute.ParseClient(client),
		Path:     r.URL.Path,
		RawQuery: r.URL.RawQuery,
		Host:     hostOf(r),
		HTTPS:    cameByHTTPS(r),
		CDNLoop:  r.Header["Cdn-Loop"],
	}
}

// hostOf returns the host of a request without its port. An address in brackets
// keeps them; no class names one.
func hostOf(r *http.Request) string {
	i := strings.LastIndexByte(r.Host, ':')
	if i < 0 || strings.IndexByte(r.Host[i:], ']') >= 0 {
		return r.Host
	}
	return r.Host[:i]
}

// cameByHTTPS reports whether the client spoke https, to us or to a proxy that
// we trust to say so. When in doubt it did: nobody is harmed by staying secure.
func cameByHTTPS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); !trusted {
		return false
	}
	for _, proto := range r.Header["X-Forwarded-Proto"] {
		if strings.Contains(strings.ToLower(proto), "https") {
			return true
		}
	}
	for _, forwarded := range r.Header["Forwarded"] { // RFC 7239 §5.4
		if strings.Contains(strings.ToLower(strings.ReplaceAll(forwarded, `"`, "")), "proto=https") {
			return true
		}
	}
	return false
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
