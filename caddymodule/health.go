// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/health"
)

// defaultRamp is how long an edge takes to get its content back.
const defaultRamp = 30 * time.Second

func (h *Health) ramp() time.Duration {
	switch {
	case h == nil:
		return 0
	case h.Ramp == 0:
		return defaultRamp
	}
	return max(time.Duration(h.Ramp), 0)
}

// target returns how an edge is checked.
func (h *Health) target(e *Edge, base *url.URL) (health.Target, error) {
	t := health.Target{
		Host: h.Host, Body: h.Body, LoadHeader: h.LoadHeader, Down: h.Down, Up: h.Up,
		Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout),
	}
	var err error
	if h.Status != "" {
		if t.Status, err = health.ParseStatusRange(h.Status); err != nil {
			return t, fmt.Errorf("health: status: %w", err)
		}
	}
	path := h.Path
	if e.HealthPath != "" {
		path = e.HealthPath
	}
	if path != "" && !strings.HasPrefix(path, "/") {
		return t, fmt.Errorf("health: path %q: begin it with a slash", path)
	}
	t.URL = strings.TrimSuffix(base.String(), "/") + path
	switch family, _ := altoroute.ParseFamily(e.Family); family {
	case altoroute.IPv4:
		t.Family = health.IPv4
	case altoroute.IPv6:
		t.Family = health.IPv6
	case altoroute.AnyFamily:
	}
	if t, err = t.Canonical(); err != nil {
		return t, fmt.Errorf("health: %w", err)
	}
	return t, nil
}

// checks are the checks of this configuration's edges.
type checks struct {
	prober  *pooledProber
	watcher *health.Watcher
	targets map[string]health.Target // by edge
	was     map[string]altoroute.Condition
}

// targets returns how each edge is checked. It looks at nothing outside the
// configuration.
func (a *App) targets() (map[string]health.Target, error) {
	targets := make(map[string]health.Target)
	for _, e := range a.Edges {
		if a.Health == nil && e.HealthPath != "" {
			return nil, fmt.Errorf("edge %s: health %s: edges are checked only with a block health", e.Name, e.HealthPath)
		}
		if a.Health == nil || e.Unchecked {
			continue
		}
		base, err := altoroute.ParseEdgeURL(e.URL)
		if err != nil {
			return nil, err
		}
		if targets[e.Name], err = a.Health.target(e, base); err != nil {
			return nil, fmt.Errorf("edge %s: %w", e.Name, err)
		}
	}
	return targets, nil
}

// attachChecks takes over what is known of the edges. Nothing is asked before
// the configuration is in force.
func (a *App) attachChecks(targets map[string]health.Target) (*checks, error) {
	prober, err := acquireProber()
	if err != nil {
		return nil, err
	}
	c := &checks{prober: prober, targets: targets}
	var all []health.Target
	for _, t := range targets {
		all = append(all, t)
	}
	if c.watcher, err = c.prober.Watch(all, func() { a.learn(c) }); err != nil {
		_ = release(probers, prober.key)
		return nil, err
	}
	a.learn(c)
	return c, nil
}

// learn tells the router what has changed of the edges.
func (a *App) learn(c *checks) {
	now := make(map[string]altoroute.Condition, len(c.targets))
	news := make(map[string]altoroute.Condition)
	if c.was == nil {
		// What an earlier configuration knew of edges that are not checked now
		// would stay for ever.
		for _, e := range a.Edges {
			news[e.Name] = altoroute.Condition{}
		}
	}
	for name, t := range c.targets {
		is := conditionOf(c.prober.Status(t))
		if now[name] = is; c.was == nil || c.was[name] != is {
			news[name] = is
		}
	}
	if c.was = now; len(news) > 0 {
		a.router.Learn(news, time.Now())
	}
}

// conditionOf translates what checks say. Of an edge with addresses in one
// family only, that family's state is all there is to know.
func conditionOf(s health.Status, watched bool) altoroute.Condition {
	if !watched {
		return altoroute.Condition{}
	}
	v4, v6 := s.State(health.IPv4), s.State(health.IPv6)
	if v4 == health.Absent {
		v4 = v6
	}
	if v6 == health.Absent {
		v6 = v4
	}
	report := s.Report()
	return altoroute.Condition{
		IPv4: healthOf(v4), IPv6: healthOf(v6),
		Capacity: report.Capacity, HasCapacity: report.HasCapacity, Load: report.Load, HasLoad: report.HasLoad,
	}
}

func healthOf(s health.State) altoroute.Health {
	switch s {
	case health.Up:
		return altoroute.Up
	case health.Down:
		return altoroute.Down
	case health.Absent, health.Unknown:
	}
	return altoroute.Unknown
}
