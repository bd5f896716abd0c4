// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"sync"

	"github.com/altoroute/caddy-alto/altoroute"
)

// unguided counts the seconds in which pools had no guidance, through all
// configurations.
var unguided = &unguidedTime{of: make(map[string]float64)} //nolint:gochecknoglobals // as the other counters

type unguidedTime struct {
	mu sync.Mutex
	of map[string]float64 // by pool
}

// tick counts a second.
func (u *unguidedTime) tick(r *altoroute.Router) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, pool := range r.Pools() {
		if !r.Guided(pool) {
			u.of[pool]++
		}
	}
}

func (u *unguidedTime) seconds(pool string) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of[pool]
}
