// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// byConfig stands for whoever wrote the configuration.
const byConfig = "config"

// edgeSetting is what is set of an edge, as it is stored and shown.
type edgeSetting struct {
	// Mode is `drain`, `disable` or `up`; empty for what checks say.
	Mode string `json:"mode,omitempty"`
	// Over is how long the drain takes, Since when it began.
	Over  span      `json:"over,omitzero"`
	Since time.Time `json:"since,omitzero"`
	// By and At are who set the mode, and when.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
	// Capacity in requests per second; 0 for what is configured or reported.
	Capacity   float64   `json:"capacity,omitempty"`
	CapacityBy string    `json:"capacity_by,omitempty"`
	CapacityAt time.Time `json:"capacity_at,omitzero"`
}

// poolSetting is what is set of a pool, as it is stored and shown.
type poolSetting struct {
	// Guidance is `off`, or empty for what is configured.
	Guidance string       `json:"guidance,omitempty"`
	By       string       `json:"by,omitempty"`
	At       time.Time    `json:"at,omitzero"`
	Pins     []pinSetting `json:"pins,omitempty"`
}

// pinSetting sends clients to an edge, as it is stored and shown.
type pinSetting struct {
	Clients string    `json:"clients"`
	Edge    string    `json:"edge"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

func (s *edgeSetting) isZero() bool { return s.Mode == "" && s.Capacity == 0 }

func (s *poolSetting) isZero() bool { return s.Guidance == "" && len(s.Pins) == 0 }

// setting translates what is set for the Router.
func (s *edgeSetting) setting() altoroute.Setting {
	made := altoroute.Setting{Since: s.Since, Over: time.Duration(s.Over), Capacity: s.Capacity}
	if s.Mode != "" {
		made.Mode, _ = altoroute.ParseMode(s.Mode) // was checked when it was set or read
	}
	return made
}

// setting translates what is set for the Router. Pins to edges that the pool
// does not have wait for one that has.
func (s *poolSetting) setting(edges []*altoroute.Edge) altoroute.PoolSetting {
	made := altoroute.PoolSetting{GuidanceOff: s.Guidance == guidanceOff}
	for _, p := range s.Pins {
		pin, err := altoroute.ParsePin(p.Clients, p.Edge)
		if err == nil && slices.ContainsFunc(edges, func(e *altoroute.Edge) bool { return e.Name == p.Edge }) {
			made.Pins = append(made.Pins, pin)
		}
	}
	return made
}

// pins returns the pins that work, and those that do not.
func (s *poolSetting) pins(pool string, works func(pool string, p pinSetting) bool) (live, dead []pinSetting) {
	if s == nil {
		return nil, nil
	}
	for _, p := range s.Pins {
		if works(pool, p) {
			live = append(live, p)
		} else {
			dead = append(dead, p)
		}
	}
	return live, dead
}

// span is a duration that is written as in `10m0s`.
type span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

// edgeChange is what an operator wants of an edge. What is nil stays as it is.
type edgeChange struct {
	mode     *altoroute.Mode
	over     *time.Duration
	capacity *float64
	load     *float64 // a measurement: it is passed on, not kept
	by       string
}

// hasNothing reports whether the edge has no content any more.
func (s edgeSetting) hasNothing(now time.Time) bool {
	return s.Mode == altoroute.Disabled.String() || s.Mode == altoroute.Drain.String() && !now.Before(s.Since.Add(time.Duration(s.Over)))
}

// with returns the setting after a change, where another one, which may be the
// configuration's, is in force. A drain that goes on already goes on from its
// beginning: to begin it anew would give the edge its content back.
func (s edgeSetting) with(c edgeChange, is edgeSetting, now time.Time) (edgeSetting, error) {
	if c.mode == nil && c.over == nil && c.capacity == nil && c.load == nil {
		return s, errors.New("there is nothing to set: give mode, over, capacity or load")
	}
	if c.over != nil && (c.mode == nil && s.Mode != altoroute.Drain.String() || c.mode != nil && *c.mode != altoroute.Drain) {
		return s, fmt.Errorf("over %s: only a drain takes time: give \"mode\": \"drain\" with it", *c.over)
	}
	hadNothing := s.hasNothing(now) || is.hasNothing(now)
	if c.mode != nil {
		over := s.Over
		s.Mode, s.Over, s.Since, s.By, s.At = "", 0, time.Time{}, "", time.Time{}
		if *c.mode != altoroute.Auto {
			s.Mode, s.By, s.At = c.mode.String(), c.by, now
		}
		if *c.mode == altoroute.Drain {
			if s.Over, s.Since = over, is.Since; is.Since.IsZero() {
				s.Since = now
			}
		}
	}
	if c.over != nil {
		s.Over, s.By, s.At = span(*c.over), c.by, now
	}
	if s.Mode == altoroute.Drain.String() && hadNothing {
		s.Over = 0 // nothing is given back, after a restart neither
	}
	if c.capacity != nil {
		if s.Capacity, s.CapacityBy, s.CapacityAt = *c.capacity, c.by, now; s.Capacity == 0 {
			s.CapacityBy, s.CapacityAt = "", time.Time{}
		}
	}
	return s, nil
}

// measures reports whether the change is only a measurement, which is made
// often.
func (c *edgeChange) measures() bool { return c.mode == nil && c.over == nil && c.capacity == nil }

func (c *edgeChange) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("by", c.by)}
	if c.mode != nil {
		attrs = append(attrs, slog.String("mode", c.mode.String()))
	}
	if c.over != nil {
		attrs = append(attrs, slog.Duration("over", *c.over))
	}
	if c.capacity != nil {
		attrs = append(attrs, slog.Float64("capacity", *c.capacity))
	}
	if c.load != nil {
		attrs = append(attrs, slog.Float64("load", *c.load))
	}
	return attrs
}

// poolChange is what an operator wants of a pool. What is nil stays as it is; a
// pin without an edge is one to remove.
type poolChange struct {
	guidance *bool
	pin      *altoroute.Pin
	by       string
}

// with returns the setting after a change.
func (s poolSetting) with(c poolChange, now time.Time) (poolSetting, error) {
	if c.guidance == nil && c.pin == nil {
		return s, errors.New("there is nothing to set: give guidance, or pin and edge")
	}
	if c.guidance != nil {
		if s.Guidance, s.By, s.At = guidanceOff, c.by, now; *c.guidance {
			s.Guidance, s.By, s.At = "", "", time.Time{}
		}
	}
	if c.pin == nil {
		return s, nil
	}
	clients := c.pin.Clients()
	at := slices.IndexFunc(s.Pins, func(p pinSetting) bool { return p.Clients == clients })
	s.Pins = slices.Clone(s.Pins)
	made := pinSetting{Clients: clients, Edge: c.pin.Edge, By: c.by, At: now}
	switch {
	case c.pin.Edge == "" && at < 0:
		return s, fmt.Errorf("pin %s: these clients are not pinned by hand", clients)
	case c.pin.Edge == "":
		s.Pins = slices.Delete(s.Pins, at, at+1)
	case at < 0:
		s.Pins = append(s.Pins, made)
	default:
		s.Pins[at] = made
	}
	return s, nil
}

func (c *poolChange) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("by", c.by)}
	if c.guidance != nil {
		attrs = append(attrs, slog.String("guidance", onOff(*c.guidance)))
	}
	if c.pin != nil {
		attrs = append(attrs, slog.String("pin", c.pin.Clients()), slog.String("to", c.pin.Edge))
	}
	return attrs
}

const guidanceOff = "off"

func onOff(on bool) string {
	if on {
		return "on"
	}
	return guidanceOff
}

// check checks what was read: by hand it could have become anything.
func (s *settings) check() error {
	for what, edges := range map[string]map[string]*edgeSetting{"edges": s.Edges, "config": s.Config} {
		for name, set := range edges {
			if err := cmp.Or(altoroute.CheckName(name), set.check()); err != nil {
				return fmt.Errorf("%s: %s: %w", what, name, err)
			}
		}
	}
	for name, set := range s.Pools {
		if err := cmp.Or(altoroute.CheckName(name), set.check()); err != nil {
			return fmt.Errorf("pools: %s: %w", name, err)
		}
	}
	return nil
}

func (s *edgeSetting) check() error {
	if s == nil {
		return errors.New("null is not a setting")
	}
	if s.Mode != "" {
		if mode, err := altoroute.ParseMode(s.Mode); err != nil || mode == altoroute.Auto {
			return fmt.Errorf("mode %q: it can be drain, disable or up", s.Mode)
		}
	}
	if s.Over < 0 {
		return fmt.Errorf("over %s: it cannot be negative", time.Duration(s.Over))
	}
	return checkCapacity(s.Capacity)
}

func checkCapacity(c float64) error {
	if !(c >= 0 && c <= altoroute.MaxCapacity) { // NaN is neither
		return fmt.Errorf("capacity %v is out of range: write requests per second up to %d", c, int64(altoroute.MaxCapacity))
	}
	return nil
}

func (s *poolSetting) check() error {
	if s == nil {
		return errors.New("null is not a setting")
	}
	if s.Guidance != "" && s.Guidance != guidanceOff {
		return fmt.Errorf("guidance %q: it can be off", s.Guidance)
	}
	for _, p := range s.Pins {
		if _, err := altoroute.ParsePin(p.Clients, p.Edge); err != nil {
			return err
		}
		if err := altoroute.CheckName(p.Edge); err != nil {
			return fmt.Errorf("pin %s: %w", p.Clients, err)
		}
	}
	return nil
}
