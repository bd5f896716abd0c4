// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
	"strings"
)

// cacheFills knows the requests by which this CDN's own edges fetch what they
// lack. Redirecting one of them would send an edge to an edge: a ring.
type cacheFills struct {
	addrs map[netip.Addr]bool
	ids   map[string]bool // lower case
}

func newCacheFills(cdnID string, edges []edge) cacheFills {
	if cdnID == "" {
		cdnID = DefaultCDNID
	}
	f := cacheFills{
		addrs: make(map[netip.Addr]bool),
		ids:   map[string]bool{strings.ToLower(cdnID): true},
	}
	for i := range edges {
		e := &edges[i]
		for _, a := range e.Addrs {
			f.addrs[a] = true
		}
		// RFC 8586 §2: a cdn-id is a pseudonym or a host with an optional port.
		f.ids[strings.ToLower(e.URL.Host)] = true
		f.ids[strings.ToLower(e.URL.Hostname())] = true
	}
	return f
}

// has reports whether a request is a cache fill: it comes from an edge's
// address, or its CDN-Loop header (RFC 8586) names this CDN or an edge's host.
// Other CDNs may well stand between us and a client.
func (f *cacheFills) has(client netip.Addr, cdnLoop []string) bool {
	if len(f.addrs) > 0 && f.addrs[client] {
		return true
	}
	for _, header := range cdnLoop {
		for header != "" {
			var info string
			info, header = cutElement(header)
			id, _, _ := strings.Cut(info, ";")
			if f.ids[strings.ToLower(strings.Trim(id, " \t"))] {
				return true
			}
		}
	}
	return false
}

// cutElement splits a list at its first comma outside of a quoted string: the
// parameters of a cdn-info may be quoted (RFC 9110 §5.6.4).
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}
