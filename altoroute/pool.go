// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// A Pool is a set of edges with a policy, used by any number of sites.
type Pool struct {
	// Name is unique among the pools.
	Name string
	// Edges are the names of the pool's edges. Empty means all edges but those
	// of Parents.
	Edges []string
	// Parents are groups of edges by name, each of which is asked for only
	// where no edge of the groups before may serve: parents, then an origin.
	Parents [][]string
	// URL, when set, is used in place of the edges' own URLs, with {edge}
	// standing for the edge's name: "https://{edge}.video.example.net".
	URL string
	// Tolerance widens the band of the cheapest edges, as a share of the least
	// cost: 0.1 treats edges that cost up to ten per cent more as equals. It
	// has no meaning for ordinal costs (RFC 7285 §6.1.2.2). Zero means that
	// only equal costs are equal.
	Tolerance float64
	// Key says what makes two requests ask for the same content. The zero
	// value is the path.
	Key ContentKey
	// Serves are the requests that the pool is for.
	Serves Class
	// Pins send some clients to an edge of the pool outright.
	Pins []Pin
	// GuidanceOff turns guidance off: all content is spread by content key.
	GuidanceOff bool
	// Panic is the share of the pool's edges, of those that nothing but their
	// health speaks against, below which too few are up for health to be
	// believed. It counts no longer then, though edges that are up come first.
	// Zero is DefaultPanic; negative is never, also where no edge is left.
	Panic float64
}

// DefaultPanic is one half: whoever sees most of a CDN down at once is more
// likely to be blind.
const DefaultPanic = 0.5

// ParsePoolURL reads a Pool's URL and checks it with the name of an edge in
// the place of {edge}.
func ParsePoolURL(s, edge string) (*url.URL, error) {
	s = strings.ReplaceAll(s, "{edge}", edge)
	if strings.ContainsAny(s, "{}") {
		return nil, fmt.Errorf("URL %q: {edge} is the only placeholder", s)
	}
	return ParseEdgeURL(s)
}

// A ContentKey says which parts of a request name the content. Requests of one
// key go to one edge of a cost band, so that it is cached once.
type ContentKey struct {
	// Query are names of query parameters whose values belong to the key, next
	// to the path.
	Query []string
	// Pattern picks what counts of the path: its groups, or the whole match
	// where it has none. A path that it does not match counts whole. With
	// `^/(vod/[^/]+)/` all segments of a video are one key. Nil is the path.
	Pattern *regexp.Regexp
}

// keySeparator stands between the parts of a key. No part can hold it
// unescaped without being a different request.
const keySeparator = "\x00"

// Sum returns the hash of the content key. The path is taken as decoded, so
// that two spellings of one path are one key. Only Pattern allocates.
func (k *ContentKey) Sum(path, rawQuery string) uint64 {
	if len(k.Query) == 0 && k.Pattern == nil {
		return xxhash.Sum64String(path)
	}
	var d xxhash.Digest
	d.Reset()
	k.writePath(&d, path)
	for _, name := range k.Query {
		_, _ = d.WriteString(keySeparator)
		for pair := range strings.SplitSeq(rawQuery, "&") {
			key, value, _ := strings.Cut(pair, "=")
			if unescape(key) == name {
				_, _ = d.WriteString(keySeparator)
				_, _ = d.WriteString(unescape(value))
			}
		}
	}
	return d.Sum64()
}

func (k *ContentKey) writePath(d *xxhash.Digest, path string) {
	var at []int
	if k.Pattern != nil {
		at = k.Pattern.FindStringSubmatchIndex(path)
	}
	switch {
	case at == nil:
		_, _ = d.WriteString(path)
	case len(at) == 2:
		_, _ = d.WriteString(path[at[0]:at[1]])
	default:
		for i := 2; i < len(at); i += 2 {
			if at[i] >= 0 {
				_, _ = d.WriteString(path[at[i]:at[i+1]])
			}
			_, _ = d.WriteString(keySeparator)
		}
	}
}

// unescape decodes one side of a query parameter. What does not decode is
// taken as it stands: it is only hashed.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// Validate checks the pool by itself; that its edges exist is for New. The
// error names the pool.
func (p *Pool) Validate() error {
	if err := CheckName(p.Name); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	seen := make(map[string]bool, len(p.Edges))
	for _, e := range slices.Concat(append([][]string{p.Edges}, p.Parents...)...) {
		if seen[e] {
			return fmt.Errorf("pool %s lists edge %s twice", p.Name, e)
		}
		seen[e] = true
	}
	if err := p.Serves.Validate(); err != nil {
		return fmt.Errorf("pool %s: %w", p.Name, err)
	}
	if !(p.Panic <= 1) {
		return fmt.Errorf("pool %s: panic %v is out of range: write 0%% to 100%%", p.Name, p.Panic)
	}
	if p.URL != "" {
		if _, err := ParsePoolURL(p.URL, "edge"); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
	}
	if !(p.Tolerance >= 0 && p.Tolerance <= 10) { // NaN is neither
		return fmt.Errorf("pool %s: tolerance %v is out of range: write 0%% to 1000%%", p.Name, p.Tolerance)
	}
	pinned := make(map[Pin]bool, len(p.Pins))
	for _, pin := range p.Pins {
		if err := pin.Validate(); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
		if pin.Edge = ""; pinned[pin] {
			return fmt.Errorf("pool %s: %s is pinned twice: remove one", p.Name, pin.Clients())
		}
		pinned[pin] = true
	}
	if slices.Contains(p.Key.Query, "") {
		return fmt.Errorf("pool %s: a query parameter of the key has no name", p.Name)
	}
	return nil
}
