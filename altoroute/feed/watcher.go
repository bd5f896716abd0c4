// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// A Watcher is who uses a source's maps. Its methods are called one at a time, and
// may not call Watch or stop.
type Watcher interface {
	// Rows says which rows of costs are needed of a cost map of the network map;
	// others are not kept in memory.
	Rows(network *altoroute.NetworkMap) []string
	// Shift tells what maps would change that are not in force.
	Shift(m *altoroute.Maps) altoroute.Shift
	// Apply puts maps in force: nil that there are none. With a ramp that is not
	// zero they come in force by degrees, and those before them stay until then.
	Apply(m *altoroute.Maps, ramp altoroute.Ramp)
}

// For returns the Watcher that puts a source's maps in force for a Router. The Router
// must have the source.
func For(r *altoroute.Router, source string) Watcher { return &routerWatcher{r, source} }

type routerWatcher struct {
	router *altoroute.Router
	source string
}

func (w *routerWatcher) Rows(m *altoroute.NetworkMap) []string { return w.router.Rows(w.source, m) }

func (w *routerWatcher) Shift(m *altoroute.Maps) altoroute.Shift {
	s, _ := w.router.Shift(w.source, m) // a set of this package is whole
	return s
}

func (w *routerWatcher) Apply(m *altoroute.Maps, ramp altoroute.Ramp) {
	_ = w.router.Introduce(w.source, m, ramp, time.Now()) // as above
}
