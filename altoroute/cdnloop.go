// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// cacheFills knows the requests by which this CDN's own edges fetch what they
// lack. Redirecting one of them would send an edge to an edge: a ring.
type cacheFills struct {
	addrs map[netip.Addr][]int32 // the edges at an address
	ids   map[string][]int32     // the edges of a name, which is in lower case; none of this CDN's
}

func newCacheFills(cdnID string, edges []edge, pools []*pool) cacheFills {
	cdnID = cmp.Or(cdnID, DefaultCDNID)
	f := cacheFills{
		addrs: make(map[netip.Addr][]int32),
		ids:   map[string][]int32{strings.ToLower(cdnID): nil},
	}
	for i := range edges {
		e := int32(i)
		for _, a := range edges[i].Addrs {
			f.addrs[a] = append(f.addrs[a], e)
		}
		f.addHost(edges[i].URL, e) //nolint:gosec // G602: i is within
	}
	for _, p := range pools {
		for _, e := range p.edges {
			f.addHost(p.bases[e], e) // where the pool's clients are sent
		}
	}
	return f
}

// addHost adds a host to the names of an edge: a cdn-id is a pseudonym, or a host with an
// optional port (RFC 8586 §2), an IPv6 address in brackets.
func (f *cacheFills) addHost(u *url.URL, edge int32) {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":"+u.Port())
	for _, id := range []string{host, host + ":" + port} {
		if !slices.Contains(f.ids[id], edge) {
			f.ids[id] = append(f.ids[id], edge)
		}
	}
}

// cdnIDGrammar is what can stand in CDN-Loop as a name (RFC 8586 §2): a token
// (RFC 9110 §5.6.2), or a host with an optional port.
var cdnIDGrammar = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~:\\[\\]-]+$")

// CheckCDNID checks Config.CDNID: another name could never be recognized.
func CheckCDNID(id string) error {
	if !cdnIDGrammar.MatchString(id) {
		return fmt.Errorf("%q is not a name for CDN-Loop (RFC 8586 §2): write a word, or a host with an optional port", id)
	}
	return nil
}

// has reports whether a request is a cache fill: it comes from an edge's
// address, or its CDN-Loop header (RFC 8586) names this CDN or an edge's host.
// Other CDNs may well stand between us and a client.
func (f *cacheFills) has(client netip.Addr, cdnLoop []string) bool {
	return len(f.addrs) > 0 && len(f.addrs[client]) > 0 || f.hops(cdnLoop, nil) > 0
}

// been returns the edges that a cache fill has been at, none of them for certain, and
// how often it has been here or at one of them.
func (f *cacheFills) been(client netip.Addr, cdnLoop []string) (edges []int32, hops int) {
	edges = slices.Clone(f.addrs[client])
	hops = f.hops(cdnLoop, func(named []int32) { edges = append(edges, named...) })
	return edges, hops
}

// hops returns how often a CDN-Loop header names this CDN or one of its edges, and calls
// a function, unless it is nil, with the edges that have the name.
func (f *cacheFills) hops(cdnLoop []string, named func([]int32)) (n int) {
	for _, header := range cdnLoop {
		for header != "" {
			var info string
			info, header = cutElement(header)
			id, _, _ := strings.Cut(info, ";")
			if edges, ok := f.ids[strings.ToLower(strings.Trim(id, " \t"))]; ok {
				if n++; named != nil {
					named(edges)
				}
			}
		}
	}
	return n
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
