// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
	"net/url"
	"strings"
)

// ParseClient reads a client's address as a server knows it. It drops the zone
// and unmaps IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), which no prefix of a map
// covers. What is not an address, such as the name of a unix socket, gives the
// zero Addr: a client without an address, not an error.
func ParseClient(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr)
}

// plain returns an address as the prefixes of maps have it: unmapped, without a
// zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Location returns the URL that the client is redirected to: the edge's (or
// the pool's), with the path and query of the request's URL behind it, as they
// were escaped. It is empty when no edge was chosen.
func (d *Decision) Location(request *url.URL) string {
	if d.base == nil {
		return ""
	}
	return Location(d.base, request)
}

// Location puts a request's path and query behind a base URL as ParseEdgeURL
// accepts it. The host is the base's whatever the request holds, because the
// result is composed of fields and never parsed again.
func Location(base, request *url.URL) string {
	to := url.URL{
		Scheme:     base.Scheme,
		Host:       base.Host,
		Path:       request.Path,
		RawPath:    request.EscapedPath(),
		RawQuery:   escapeQuery(request.RawQuery),
		ForceQuery: request.ForceQuery,
	}
	if to.Path == "" || to.Path[0] != '/' { // absolute-form without a path, or rewritten
		to.Path, to.RawPath = "/"+to.Path, "/"+to.RawPath
	}
	if prefix := strings.TrimSuffix(base.Path, "/"); prefix != "" {
		to.Path = prefix + to.Path
		to.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + to.RawPath
	}
	return to.String()
}

// escapeQuery escapes what a request line may hold but a URL in a header must
// not: a '#' would begin a fragment, a '\' is a slash to some. Everything else
// stays as the client wrote it, also what RFC 3986 §3.4 does not have but
// clients send ("{|}").
func escapeQuery(query string) string {
	first := strings.IndexFunc(query, mustEscape)
	if first < 0 {
		return query
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(query) + 8)
	b.WriteString(query[:first])
	for i := first; i < len(query); i++ {
		if c := query[i]; mustEscape(rune(c)) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEscape(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"#<>\`, r)
}
