// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/url"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/health"
)

// health reads the block by which edges are checked.
func (p *parser) health() error {
	if err := p.once("health"); err != nil {
		return err
	}
	if p.NextArg() {
		return p.ArgErr()
	}
	h := new(Health)
	p.app.Health = h
	wrap := p.at()
	if err := p.block("health", func() error { return p.healthOption(h) }); err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return wrap(err)
	}
	if hasPlaceholder(h.Path + h.Host + h.Body) {
		return nil
	}
	if _, err := h.target(new(Edge), &url.URL{Scheme: "https", Host: "edge.example.net"}); err != nil {
		return wrap(err)
	}
	return nil
}

// check checks what is not for package health to tell.
func (h *Health) check() error {
	if h != nil && h.LoadHeader != "" && !headerName.MatchString(h.LoadHeader) {
		return fmt.Errorf("health: load_header %q is not the name of a header: write for example X-Load", h.LoadHeader)
	}
	return nil
}

func (p *parser) healthOption(h *Health) error {
	switch p.Val() {
	case "path":
		return p.single(&h.Path)
	case "host":
		return p.single(&h.Host)
	case "status":
		return p.single(&h.Status)
	case "body":
		return p.single(&h.Body)
	case "interval":
		return p.positive(&h.Interval, fmt.Sprintf("a duration from %s to %s", health.MinInterval, health.MaxInterval))
	case "timeout":
		return p.positive(&h.Timeout, "a duration such as 2s, no longer than the interval")
	case "down":
		return p.number(&h.Down, "how many checks must fail, 1 or more")
	case "up":
		return p.number(&h.Up, "how many checks must succeed, 1 or more")
	case "load_header":
		return p.single(&h.LoadHeader)
	case "ramp":
		if err := p.duration(&h.Ramp); err != nil {
			return err
		}
		if h.Ramp < 0 {
			return p.Errf("ramp %s: write a duration such as 30s, or 0s", time.Duration(h.Ramp))
		}
		if h.Ramp == 0 {
			h.Ramp = -1 // what is not set is the default
		}
		return nil
	}
	return p.unrecognized()
}
