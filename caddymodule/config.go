// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "github.com/caddyserver/caddy/v2"

// Edge is a place that serves content.
type Edge struct {
	// Unique among the edges. Content is spread by name, so that renaming an
	// edge moves its content.
	Name string `json:"name"`

	// Where clients are sent, for example `https://fra.cdn.example.net`. A path
	// is put in front of the request's.
	URL string `json:"url"`

	// Where the edge is, as `pid`, or `source/pid` where there are several
	// sources; at most one for each source.
	PIDs []string `json:"pids,omitempty"`

	// The edge's own addresses, for example `203.0.113.10`. Sources without a
	// PID above place the edge by the first one that their map covers. Requests
	// from these addresses are cache fills and are not redirected.
	Addresses []string `json:"addresses,omitempty"`

	// The edge's share of the content among edges of one cost band, 1 to
	// 65536. Default: 1.
	Weight int `json:"weight,omitempty"`

	// `ipv4` or `ipv6` for an edge that serves clients of one family only.
	// Default: both.
	Family string `json:"family,omitempty"`

	// How many requests per second it can serve. What is beyond that goes to the
	// next cheapest edges. What the edge reports of itself comes before it.
	// Default: no limit.
	Capacity float64 `json:"capacity,omitempty"`

	// The requests that it is for. Default: all.
	Serves *Class `json:"serves,omitempty"`

	// What the operator has decided of it: `drain` (it gives up its content and
	// then gets none), `disable` (it gets none) or `up` (it is up whatever checks
	// say). Default: as checks say. What is set by the admin API or by
	// `caddy altoroute edge` comes before it.
	Mode string `json:"mode,omitempty"`

	// How long a drain takes, new content leaving first. Default: no time.
	DrainOver caddy.Duration `json:"drain_over,omitempty"`

	// The path by which it is checked, instead of that of `health`.
	HealthPath string `json:"health_path,omitempty"`

	// True for an edge that is not to be checked. Default: false.
	Unchecked bool `json:"unchecked,omitempty"`
}

// Class says which requests an edge or a pool is for. A request must fit each
// list that is not empty.
type Class struct {
	// Names, or `*.example.net` for all below one, without a port.
	Hosts []string `json:"hosts,omitempty"`
	// Paths, or beginnings of paths that end in `*`: `/live/*`.
	Paths []string `json:"paths,omitempty"`
	// `http` or `https`, by which the client came.
	Schemes []string `json:"schemes,omitempty"`
	// Two-letter codes of countries, as the databases of `geo` place clients.
	Countries []string `json:"countries,omitempty"`
}

// Health says how edges are checked: each by a GET of its own URL with a path
// behind it, in IPv4 and IPv6 apart, by a new connection each time.
//
// An answer may report what the edge can do, as `application/json`:
// `{"load": 0.73, "capacity": 8000}`, the share of its capacity in use and
// requests per second; or as plain text, the load alone; or in a header.
type Health struct {
	// What is asked for, behind the edge's URL. Default: `/`.
	Path string `json:"path,omitempty"`

	// The name of the host that is asked for. Default: that of the edge's URL.
	Host string `json:"host,omitempty"`

	// What the answer's status must be: one such as `204`, a class such as `2xx`
	// or a range such as `200-399`. Default: `2xx`. Redirects are not followed.
	Status string `json:"status,omitempty"`

	// Text that the answer must hold in its first 64 KiB. Default: any.
	Body string `json:"body,omitempty"`

	// The time between two checks, give or take a tenth. Default: `5s`.
	Interval caddy.Duration `json:"interval,omitempty"`

	// How long a check may take. Default: `2s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many checks in a row must fail until an edge is down. Default: 5.
	Down int `json:"down,omitempty"`

	// How many must succeed until it is up again. Default: 2.
	Up int `json:"up,omitempty"`

	// The response header that reports load: `0.73`, or
	// `load=0.73, capacity=8000`. Default: none.
	LoadHeader string `json:"load_header,omitempty"`

	// How long an edge that was down takes to get its content back. Default:
	// `30s`; negative is no time.
	Ramp caddy.Duration `json:"ramp,omitempty"`
}

// Pool is a set of edges with a policy.
type Pool struct {
	// The names of the edges. Default: all but those of `parents`.
	Edges []string `json:"edges,omitempty"`

	// Groups of edges, each of which is asked for only where no edge of the
	// groups before may serve: parents, then an origin.
	Parents [][]string `json:"parents,omitempty"`

	// Clients that go to one edge whatever the costs say, as long as it may
	// serve.
	Pins []Pin `json:"pins,omitempty"`

	// True turns guidance off: all content is spread over the edges by content
	// key alone. Default: false.
	GuidanceOff bool `json:"guidance_off,omitempty"`

	// The share of the edges below which too few are up for health to be
	// believed: 0.5 is one half. Edges that are up still come first, then the
	// others. Default: 0.5; negative is never, also where all are down.
	Panic float64 `json:"panic,omitempty"`

	// The requests that the pool is for. Others find no edge in it. Default: all.
	Serves *Class `json:"serves,omitempty"`

	// A URL for all edges of the pool instead of their own, with `{edge}` for
	// the name: `https://{edge}.video.example.net`.
	URL string `json:"url,omitempty"`

	// How much dearer than the cheapest an edge may be to count as its equal,
	// as a share: 0.1 is ten per cent. Has no meaning for ordinal costs.
	// Default: 0, equal costs only.
	Tolerance float64 `json:"tolerance,omitempty"`

	// What makes two requests ask for the same content. Default: the path.
	Key *ContentKey `json:"key,omitempty"`

	// What to answer when no edge may serve: a status, `next` for the next
	// handler, or a URL to redirect to, the request's path and query behind it.
	// Default: `503`, with Retry-After.
	OnNone string `json:"on_none,omitempty"`
}

// Pin sends clients to an edge, whatever the costs say.
type Pin struct {
	// A prefix or address, an AS number (`AS64500`) or a country (`DE`). The
	// longest prefix comes before the AS number, and that before the country.
	Clients string `json:"clients"`
	// An edge of the pool.
	Edge string `json:"edge"`
}

// ContentKey says which parts of a request name the content. Requests of one
// key go to one edge of a cost band, so that it is cached once.
type ContentKey struct {
	// Query parameters whose values belong to the key, next to the path.
	Query []string `json:"query,omitempty"`

	// A regular expression whose groups, or whose whole match where it has
	// none, are what counts of the path: `^/(vod/[^/]+)/` makes all segments of
	// a video one key. A path that it does not match counts whole.
	Pattern string `json:"pattern,omitempty"`
}

// Geo places clients by MaxMind databases.
type Geo struct {
	// Country, City and ASN databases. They may be replaced while in use: a
	// good new file is picked up within seconds, a broken one is refused and
	// the old one stays.
	Databases []string `json:"databases,omitempty"`

	// Which place stands for which PID. Of those that match, an `asn` rule
	// comes before a `country` and that before a `continent`.
	Rules []GeoRule `json:"rules,omitempty"`

	// How many clients are remembered. Default: 65536.
	CacheSize int `json:"cache_size,omitempty"`
}

// GeoRule maps a place to a PID.
type GeoRule struct {
	// `asn`, `country` or `continent`.
	Kind string `json:"kind"`
	// An AS number, a two-letter code, or `*` for any that is known.
	Match string `json:"match"`
	// The PID, in which `{asn}`, `{country}` and `{continent}` stand for the
	// place's own, in lower case: `cc-{country}`.
	PID string `json:"pid"`
}
