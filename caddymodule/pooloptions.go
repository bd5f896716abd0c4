// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute"
)

func (p *parser) pool() error {
	args := p.RemainingArgs()
	if len(args) != 1 {
		return p.ArgErr()
	}
	name := args[0]
	if err := p.once("pool " + name); err != nil {
		return err
	}
	pool := new(Pool)
	if _, err := pool.config(name); err != nil {
		return p.WrapErr(err)
	}
	err := p.block("pool "+name, func() error {
		if err := p.poolOption(name, pool); err != nil {
			return err
		}
		return p.wrapped(pool.checkSet(name))
	})
	if err != nil {
		return err
	}
	if p.app.Pools == nil {
		p.app.Pools = make(map[string]*Pool)
	}
	p.app.Pools[name] = pool
	return nil
}

// checkSet checks what has been set so far and holds no placeholders.
func (p *Pool) checkSet(name string) error {
	check := *p
	if hasPlaceholder(strings.ReplaceAll(p.URL, "{edge}", "")) {
		check.URL = ""
	}
	if hasPlaceholder(p.OnNone) {
		check.OnNone = ""
	}
	if p.Serves.hasPlaceholder() {
		check.Serves = nil
	}
	check.Pins = slices.DeleteFunc(slices.Clone(p.Pins), func(pin Pin) bool { return hasPlaceholder(pin.Clients) })
	_, err := check.config(name)
	return err
}

func (p *parser) poolOption(name string, pool *Pool) error {
	switch p.Val() {
	case "edges":
		return p.edgesOf(name, &pool.Edges)
	case "parent":
		var group []string
		if err := p.edgesOf(name, &group); err != nil {
			return err
		}
		pool.Parents = append(pool.Parents, group)
		return nil
	case "pin":
		return p.pin(name, pool)
	case "serves":
		return p.serves(&pool.Serves)
	case "guidance":
		return p.guidance(pool)
	case "panic":
		return p.panics(pool)
	case "url":
		return p.single(&pool.URL)
	case "tolerance":
		var text string
		if err := p.single(&text); err != nil {
			return err
		}
		var ok bool
		if pool.Tolerance, ok = percentage(text); !ok {
			return p.Errf("tolerance %q: write a percentage such as 10%%", text)
		}
		return nil
	case "key":
		return p.key(pool)
	case "on_none":
		return p.single(&pool.OnNone)
	}
	return p.unrecognized()
}

func (p *parser) key(pool *Pool) error {
	if pool.Key == nil {
		pool.Key = new(ContentKey)
	}
	if !p.NextArg() {
		return p.ArgErr()
	}
	switch p.Val() {
	case "query":
		return p.list(&pool.Key.Query, nil)
	case "pattern":
		return p.single(&pool.Key.Pattern)
	}
	return p.Errf("key %q: write query or pattern", p.Val())
}

// edgesOf reads names of edges and has them looked for when all are known.
func (p *parser) edgesOf(pool string, to *[]string) error {
	return p.list(to, func(edge string) error {
		p.edgeLater(pool, edge)
		return nil
	})
}

func (p *parser) edgeLater(pool, edge string) {
	wrap := p.at()
	p.later = append(p.later, func() error {
		if !p.has("edge " + edge) {
			return wrap(fmt.Errorf("pool %s: there is no edge %s", pool, edge))
		}
		return nil
	})
}

// pin reads `pin <clients> <edge>`.
func (p *parser) pin(name string, pool *Pool) error {
	args := p.RemainingArgs()
	if len(args) != 2 {
		return p.ArgErr()
	}
	if !hasPlaceholder(args[0]) {
		if _, err := altoroute.ParsePin(args[0], args[1]); err != nil {
			return p.WrapErr(err)
		}
	}
	pool.Pins = append(pool.Pins, Pin{Clients: args[0], Edge: args[1]})
	p.edgeLater(name, args[1])
	return nil
}

// guidance reads `guidance on|off`.
func (p *parser) guidance(pool *Pool) error {
	var text string
	if err := p.single(&text); err != nil {
		return err
	}
	if text != "on" && text != guidanceOff {
		return p.Errf("guidance %q: write on or off", text)
	}
	pool.GuidanceOff = text == guidanceOff
	return nil
}

// panics reads `panic <percent>|off`.
func (p *parser) panics(pool *Pool) error {
	var text string
	if err := p.single(&text); err != nil {
		return err
	}
	if text == "off" {
		pool.Panic = -1
		return nil
	}
	var ok bool
	if pool.Panic, ok = part(text); !ok {
		return p.Errf("panic %q: write a percentage such as 50%%, or off", text)
	}
	return nil
}
