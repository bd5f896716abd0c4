// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// A clock calls a function once a second, but for no more than a tenth of the time
// where that takes long: to plan for thousands of edges with limits may.
type clock struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startClock(tick func(time.Time)) *clock {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clock{cancel: cancel}
	c.done.Go(func() {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
				began := time.Now()
				tick(began)
				took := time.Since(began)
				timer.Reset(max(time.Second-took, 9*took))
			}
		}
	})
	return c
}

// stop ends the clock and waits for it. It may be called again, and of none.
func (c *clock) stop() {
	if c != nil {
		c.cancel()
		c.done.Wait()
	}
}

// tick is what an app does once a second.
func (a *App) tick(now time.Time) {
	a.router.Tick(now)
	unguided.tick(a.router)
	a.tellPanics()
	a.tellDemotions()
}

// tellPanics logs for which clients the health of a pool's edges is not believed, and
// when that changes.
func (a *App) tellPanics() {
	panics := make(map[string]string)
	for _, pool := range a.router.Pools() {
		is := a.router.PoolCondition(pool)
		of := strings.Join(panicOf(&is), ", ")
		if panics[pool] = of; of == a.panics[pool] {
			continue
		}
		up := []any{
			slog.String("pool", pool), slog.String("families", of),
			slog.Int("ipv4_up", is.IPv4.Up), slog.Int("ipv4_edges", is.IPv4.Fit), slog.Int("ipv6_up", is.IPv6.Up), slog.Int("ipv6_edges", is.IPv6.Fit),
		}
		if of == "" {
			a.logger.Info("health is believed again", up...)
		} else {
			a.logger.Error("too few edges are up for health to be believed: edges that are up come first, then the others by cost", up...)
		}
	}
	a.panics = panics
}

// panicOf returns the families for whose clients health is not believed.
func panicOf(is *altoroute.PoolCondition) (families []string) {
	if is.IPv4.Panic {
		families = append(families, "ipv4")
	}
	if is.IPv6.Panic {
		families = append(families, "ipv6")
	}
	return families
}

// tellDemotions logs which edges clients have come to be kept from, each once.
func (a *App) tellDemotions() {
	is := make(map[string]bool)
	for _, d := range a.router.Demoted() {
		key := d.Edge + " " + d.PID.String()
		if is[key] = true; !a.demoted[key] {
			a.logger.Warn("clients of a PID tell that they cannot reach an edge: it comes last for them",
				slog.String("edge", d.Edge), slog.String("pid", d.PID.String()), slog.Time("until", d.Until))
		}
	}
	a.demoted = is
}

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
