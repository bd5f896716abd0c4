// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/url"
	"strings"
	"sync"

	"github.com/altoroute/caddy-alto/altoroute"
)

// sitePool is what all sites that use a pool share. What takes time for each edge is
// made when a site first needs it.
type sitePool struct {
	count *poolCounter
	// urls are where clients are sent, or where edges are dialed.
	urls func() map[*altoroute.Edge]*url.URL
	// names are the edges' by what clients may call them: the name, and the host of the
	// URL to which they are sent, with its port if it has one.
	names func() map[string]string
}

func newSitePool(r *altoroute.Router, pool string) *sitePool {
	p := &sitePool{count: &poolCounter{pool: pool}}
	p.urls = sync.OnceValue(func() map[*altoroute.Edge]*url.URL {
		urls := make(map[*altoroute.Edge]*url.URL)
		for _, e := range r.Edges(pool) {
			urls[e] = r.EdgeURL(pool, e)
		}
		return urls
	})
	p.names = sync.OnceValue(func() map[string]string {
		names := make(map[string]string)
		edges := r.Edges(pool)
		for _, e := range edges {
			names[strings.ToLower(r.EdgeURL(pool, e).Host)] = e.Name
		}
		for _, e := range edges {
			names[strings.ToLower(e.Name)] = e.Name
		}
		return names
	})
	return p
}
