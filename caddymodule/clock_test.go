// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// TestPanicsAreTold: once for each change of the families that are in one.
func TestPanicsAreTold(t *testing.T) {
	t.Cleanup(func() { lastPanics.of = nil })
	var log bytes.Buffer
	a := &App{router: edgesOnly(t, "fra", "par"), logger: slog.New(slog.NewTextHandler(&log, nil))}
	for _, c := range []struct {
		ipv4, ipv6 altoroute.Health
		want       []string // in lines about a pool each
	}{
		{altoroute.Up, altoroute.Up, nil},
		{altoroute.Down, altoroute.Up, []string{"level=ERROR", "families=ipv4 ", "ipv4_up=0", "ipv6_up=2 ipv6_edges=2"}},
		{altoroute.Down, altoroute.Down, []string{"level=ERROR", `families="ipv4, ipv6"`}},
		{altoroute.Up, altoroute.Up, []string{"level=INFO", "believed again"}},
	} {
		is := altoroute.Condition{IPv4: c.ipv4, IPv6: c.ipv6}
		a.router.Learn(map[string]altoroute.Condition{"fra": is, "par": is}, now0)
		log.Reset()
		a.tellPanics()
		got := log.String()
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: the log says\n%s, want %q", is, got, want)
			}
		}
		if lines := strings.Count(got, "\n"); (len(c.want) == 0) != (lines == 0) || lines > 2 {
			t.Errorf("%+v: the log says\n%s", is, got)
		}
		log.Reset()
		if a.tellPanics(); log.Len() > 0 {
			t.Errorf("%+v: the log says again\n%s", is, log.String())
		}
	}
}

// A panic is told once, also where the configuration is loaded again meanwhile, and
// its end is.
func TestPanicIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	load := func() *App {
		return &App{router: edgesOnly(t, "fra", "par"), logger: slog.New(slog.NewTextHandler(&log, nil))}
	}
	is := func(a *App, health altoroute.Health) {
		a.router.Learn(map[string]altoroute.Condition{"fra": {IPv4: health, IPv6: health}, "par": {IPv4: health, IPv6: health}}, time.Now())
		a.tick(time.Now())
	}
	t.Cleanup(func() { lastPanics.of = nil })
	first, second := load(), load()
	is(first, altoroute.Down)
	is(first, altoroute.Down)
	is(second, altoroute.Down)
	if n := strings.Count(log.String(), "pool=all"); n != 1 {
		t.Errorf("it is told %d times: %s", n, &log)
	}
	is(second, altoroute.Up)
	is(load(), altoroute.Up)
	if n := strings.Count(log.String(), "believed again\" pool=all"); n != 1 {
		t.Errorf("its end is told %d times: %s", n, &log)
	}
}
