// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "github.com/caddyserver/caddy/v2"

// Source is one provider's guidance: a network map and the cost maps that
// depend on it, from files or from an ALTO server.
type Source struct {
	// The name by which PIDs refer to it, as in `own/cc-de`. Default: `default`.
	Name string `json:"name,omitempty"`

	// ALTO documents, plain or gzipped: the network map first, then its cost
	// maps, of which the first ranks unless `cost` says otherwise. Relative
	// paths start at the working directory. A change on disk is noticed within
	// `refresh`. Replace files by renaming new ones over them.
	Files []string `json:"files,omitempty"`

	// The URL of an ALTO server's directory (RFC 7285 §9). One at present.
	Servers []string `json:"servers,omitempty"`

	// The address space that this source may speak for. Of clients outside it
	// is not asked; edges are placed by its whole map. Default: everywhere.
	Only []string `json:"only,omitempty"`

	// The resource id of the network map to use of a server. Default: the
	// directory's default network map.
	NetworkMap string `json:"network_map,omitempty"`

	// The cost type that ranks. Default: that of the first of `files`, or
	// `routingcost` of a server, numerical before ordinal.
	Cost *CostType `json:"cost,omitempty"`

	// How often to look for changes. Default: `2s` for files, `5m` for servers.
	Refresh caddy.Duration `json:"refresh,omitempty"`
}

// CostType picks a cost map by what it measures.
type CostType struct {
	// The cost metric, for example `routingcost` (RFC 7285 §6.1.1).
	Metric string `json:"metric"`
	// The cost mode: `numerical` or `ordinal` (RFC 7285 §6.1.2). Default: either.
	Mode string `json:"mode,omitempty"`
}

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
}

// Pool is a set of edges with a policy.
type Pool struct {
	// The names of the edges. Default: all.
	Edges []string `json:"edges,omitempty"`

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
