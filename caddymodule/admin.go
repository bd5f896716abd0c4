// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin answers, on Caddy's admin endpoint:
//
//   - `GET /altoroute/explain?client=ADDR[&pool=POOL][&uri=URI][&failed=EDGE]`:
//     the decision for a client, with every candidate and why it was or was not
//     chosen
//   - `GET /altoroute/status`: the sources, edges and databases in use
//   - `GET /altoroute/ready`: 200, or 503 as long as a pool waits for its first
//     guidance
//   - `POST /altoroute/edge`: sets an edge by hand, as in `{"edge": "fra",
//     "mode": "drain", "over": "10m", "capacity": 8000, "by": "alice"}`. `mode`
//     is `drain`, `disable`, `up`, or `auto` for what is configured; `over` is
//     how long a drain takes, no time unless given; `capacity` is in requests
//     per second, 0 for what is configured or reported; `load` is the share of
//     the capacity in use, for a minute
//   - `POST /altoroute/pool`: sets a pool by hand, as in `{"pool": "video",
//     "guidance": "off", "by": "alice"}` or `{"pool": "video", "pin":
//     "192.0.2.0/24", "edge": "par"}`. `guidance` is `off`, or `on` for what is
//     configured; `pin` is a prefix, an AS number or a country, and an empty
//     `edge` removes the pin
//   - `POST /altoroute/source`: acts on a source's maps, as in `{"source": "isp_a",
//     "do": "release", "by": "alice"}`. `do` is `look` for changes now, `release`
//     or `drop` of maps that are held, or `rollback` to the version before, or to
//     `version`
//
// What is absent of a change stays as it is. `by` is who wants it; unless given,
// the address that the request comes from. What is set by hand comes before what
// is configured, takes effect at once, and survives reloads and restarts: it is
// kept in the storage of Caddy, under `altoroute/operator` and the ID of the
// instance, which is in Caddy's data directory. A storage of files is read while the
// configuration is loaded; another one, to which validating must not speak, when it
// starts or with the first request, whichever comes first. One that does not answer is
// asked again and again, at most 30 seconds apart; until it does, what is configured
// counts, and the status says so.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.altoroute", New: func() caddy.Module { return new(Admin) }}
}

// Routes returns the endpoints. The app is looked up at each request: one kept
// from provisioning could be that of a configuration that was rejected.
func (Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/altoroute/explain", Handler: get(explain, "client", "pool", "uri", "failed")},
		{Pattern: "/altoroute/status", Handler: get(status)},
		{Pattern: "/altoroute/ready", Handler: get(ready)},
		{Pattern: "/altoroute/edge", Handler: post(setEdge)},
		{Pattern: "/altoroute/pool", Handler: post(setPool)},
		{Pattern: "/altoroute/source", Handler: post(actOnSource)},
	}
}

// get answers GET requests with what an endpoint returns, as JSON. There are no other
// parameters than the known ones.
func get(answer func(*App, url.Values) (status int, body any, err error), known ...string) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			return refuse(http.StatusMethodNotAllowed, errors.New("method not allowed"))
		}
		app := activeApp()
		if app == nil {
			return refuse(http.StatusNotFound, errNoApp)
		}
		params, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return refuse(http.StatusBadRequest, fmt.Errorf("the query: %w", err))
		}
		for _, name := range slices.Sorted(maps.Keys(params)) {
			if !slices.Contains(known, name) {
				return refuse(http.StatusBadRequest, fmt.Errorf("%q is not a parameter: there are %s", name, cmp.Or(strings.Join(known, ", "), "none")))
			}
		}
		code, body, err := answer(app, params)
		if err != nil {
			return refuse(code, err)
		}
		return answerJSON(w, code, body)
	})
}

var errNoApp = errors.New("the app altoroute is not configured")

func answerJSON(w http.ResponseWriter, code int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(body)
}

func refuse(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

func explain(app *App, params url.Values) (int, any, error) {
	client := altoroute.ParseClient(params.Get("client"))
	if !client.IsValid() {
		return http.StatusBadRequest, nil, fmt.Errorf("client=%q is not an IP address: write for example /altoroute/explain?client=203.0.113.9", params.Get("client"))
	}
	uri := params.Get("uri")
	if uri == "" {
		uri = "/"
	}
	request, err := url.ParseRequestURI(uri)
	if err != nil {
		return http.StatusBadRequest, nil, fmt.Errorf("uri=%q is not the path or URL of a request", uri)
	}
	failed := params["failed"]
	for _, name := range failed {
		if _, err := pickEdge("failed", &name, app.router.AllEdges()); err != nil {
			return http.StatusBadRequest, nil, err
		}
	}
	e, err := app.router.Explain(altoroute.Query{Pool: params.Get("pool"), Client: client, Failed: failed}, request)
	if err != nil {
		return http.StatusBadRequest, nil, fmt.Errorf("pool: %w", err)
	}
	return http.StatusOK, e, nil
}

// wasReady is true from the first time that the router was ready: a reload is
// no reason for whoever watches it to take it out.
var wasReady atomic.Bool //nolint:gochecknoglobals // outlives every configuration

func ready(app *App, _ url.Values) (int, any, error) {
	waiting := app.waitingFor()
	if len(waiting) == 0 {
		wasReady.Store(true)
	}
	body := struct {
		Ready   bool     `json:"ready"`
		Waiting []string `json:"waiting_for,omitempty"`
	}{wasReady.Load(), waiting}
	if !body.Ready {
		return http.StatusServiceUnavailable, body, nil
	}
	return http.StatusOK, body, nil
}

// Interface guards
var _ caddy.AdminRouter = Admin{}
