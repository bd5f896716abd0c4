// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"log/slog"
	"slices"
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
	if !a.ticked.IsZero() {
		unguided.add(a.router, now.Sub(a.ticked))
	}
	a.ticked = now
	a.tellPanics()
	a.tellDemotions()
}

// tellPanics logs for which clients the health of a pool's edges is not believed, and
// when that changes.
func (a *App) tellPanics() {
	panics := make(map[string]string) // the families, by pool
	for _, pool := range a.router.Pools() {
		if is := a.router.PoolCondition(pool); is.Panic {
			panics[pool] = strings.Join(panicOf(&is), ", ")
		}
	}
	facts := func(pool string) []any {
		is := a.router.PoolCondition(pool)
		return []any{
			slog.String("pool", pool), slog.String("families", panics[pool]),
			slog.Int("ipv4_up", is.IPv4.Up), slog.Int("ipv4_edges", is.IPv4.Fit), slog.Int("ipv6_up", is.IPv6.Up), slog.Int("ipv6_edges", is.IPv6.Fit),
		}
	}
	changed, ended := lastPanics.become(panics)
	for _, pool := range changed {
		a.logger.Error("too few edges are up for health to be believed: edges that are up come first, then the others by cost", facts(pool)...)
	}
	for _, pool := range ended {
		if slices.Contains(a.router.Pools(), pool) {
			a.logger.Info("health is believed again", facts(pool)...)
		}
	}
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
	demoted, is := make(map[string]altoroute.Demotion), make(map[string]string)
	for _, d := range a.router.Demoted() {
		key := d.Edge + " " + d.PID.String()
		demoted[key], is[key] = d, ""
	}
	begun, _ := lastDemotions.become(is)
	for _, key := range begun {
		d := demoted[key]
		a.logger.Warn("clients of a PID tell that they cannot reach an edge: it comes last for them",
			slog.String("edge", d.Edge), slog.String("pid", d.PID.String()), slog.Time("until", d.Until))
	}
}

// What was so at the last tick, through all configurations: a reload is no news.
var lastPanics, lastDemotions told //nolint:gochecknoglobals // as the counters

// told is what the log was told of last, by what it is about.
type told struct {
	mu sync.Mutex
	of map[string]string
}

// become takes over what is so now, and returns, in order, about what there is
// something else to tell than before, and about what nothing any more.
func (t *told) become(is map[string]string) (changed, ended []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, fact := range is {
		if was, ok := t.of[key]; !ok || was != fact {
			changed = append(changed, key)
		}
	}
	for key := range t.of {
		if _, ok := is[key]; !ok {
			ended = append(ended, key)
		}
	}
	t.of = is
	slices.Sort(changed)
	slices.Sort(ended)
	return changed, ended
}

// unguided counts the seconds in which pools had no guidance, through all
// configurations.
var unguided = &unguidedTime{of: make(map[string]float64)} //nolint:gochecknoglobals // as the other counters

type unguidedTime struct {
	mu sync.Mutex
	of map[string]float64 // by pool
}

// add counts time that has passed.
func (u *unguidedTime) add(r *altoroute.Router, passed time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, pool := range r.Pools() {
		if !r.Guided(pool) {
			u.of[pool] += passed.Seconds()
		}
	}
}

func (u *unguidedTime) seconds(pool string) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of[pool]
}
