// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
)

func (p *parser) edge() error {
	args := p.RemainingArgs()
	if len(args) < 2 {
		return p.ArgErr()
	}
	e := &Edge{Name: args[0], URL: args[1], PIDs: args[2:]}
	wrap, name := p.at(), "edge "+e.Name
	if err := p.once(name); err != nil {
		return err
	}
	for _, pid := range e.PIDs {
		if err := p.pid(pid); err != nil {
			return p.WrapErr(err)
		}
	}
	if err := p.block(name, func() error { return p.edgeOption(e) }); err != nil {
		return err
	}
	p.app.Edges = append(p.app.Edges, e)
	if slices.ContainsFunc(slices.Concat([]string{e.URL}, e.PIDs, e.Addresses), hasPlaceholder) {
		return nil
	}
	if _, err := e.config(); err != nil {
		return wrap(err)
	}
	return nil
}

func (p *parser) edgeOption(e *Edge) error {
	switch p.Val() {
	case "pid":
		return p.list(&e.PIDs, p.pid)
	case "addr":
		return p.list(&e.Addresses, func(arg string) error {
			_, err := netip.ParseAddr(arg)
			if err != nil {
				return fmt.Errorf("%q is not an IP address", arg)
			}
			return nil
		})
	case "weight":
		var text string
		if err := p.single(&text); err != nil {
			return err
		}
		weight, err := strconv.Atoi(text)
		if err != nil || weight < 1 || weight > altoroute.MaxWeight {
			return p.Errf("weight %q: write a number from 1 to %d", text, altoroute.MaxWeight)
		}
		e.Weight = weight
		return nil
	case "capacity":
		return p.rate(&e.Capacity)
	case "serves":
		return p.serves(&e.Serves)
	case "mode":
		return p.mode(e)
	case "health":
		var text string
		if err := p.single(&text); err != nil {
			return err
		}
		if e.Unchecked = text == "off"; !e.Unchecked {
			e.HealthPath = text
		}
		return nil
	case "family":
		if err := p.single(&e.Family); err != nil {
			return err
		}
		_, err := altoroute.ParseFamily(e.Family)
		return p.wrapped(err)
	}
	return p.unrecognized()
}

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
		number, percent := strings.CutSuffix(text, "%")
		value, err := strconv.ParseFloat(number, 64)
		if err != nil || !percent {
			return p.Errf("tolerance %q: write a percentage such as 10%%", text)
		}
		pool.Tolerance = value / 100
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

// serves reads `serves host|path|scheme|country <values...>`.
func (p *parser) serves(to **Class) error {
	if *to == nil {
		*to = new(Class)
	}
	c := *to
	if !p.NextArg() {
		return p.ArgErr()
	}
	lists := map[string]*[]string{"host": &c.Hosts, "path": &c.Paths, "scheme": &c.Schemes, "country": &c.Countries}
	list, ok := lists[p.Val()]
	if !ok {
		return p.Errf("serves %q: write host, path, scheme or country", p.Val())
	}
	if err := p.list(list, nil); err != nil {
		return err
	}
	class := c.config()
	return p.wrapped(class.Validate())
}

// mode reads `mode drain [<duration>]`, `mode disable` or `mode up`.
func (p *parser) mode(e *Edge) error {
	if err := p.once("mode"); err != nil {
		return err
	}
	args := p.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return p.ArgErr()
	}
	if _, err := altoroute.ParseMode(args[0]); err != nil {
		return p.Errf("mode: %v", err)
	}
	e.Mode = args[0]
	if len(args) == 2 {
		if e.Mode != altoroute.Drain.String() {
			return p.Errf("mode %s %q: only a drain takes time", args[0], args[1])
		}
		over, err := caddy.ParseDuration(args[1])
		if err != nil || over < 0 {
			return p.Errf("mode drain %q: write a duration such as 10m", args[1])
		}
		e.DrainOver = caddy.Duration(over)
	}
	return nil
}

// rate reads a number of requests per second, as `8000/s`.
func (p *parser) rate(to *float64) error {
	var text string
	if err := p.single(&text); err != nil {
		return err
	}
	number, ok := strings.CutSuffix(text, "/s")
	value, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(value > 0 && value <= altoroute.MaxCapacity) {
		return p.Errf("capacity %q: write requests per second, such as 8000/s", text)
	}
	*to = value
	return nil
}

// number reads a whole number from 1 on.
func (p *parser) number(to *int, what string) error {
	name, text := p.Val(), ""
	if err := p.single(&text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 1 {
		return p.Errf("%s %q: write %s, 1 or more", name, text, what)
	}
	*to = value
	return nil
}

// guidance reads `guidance on|off`.
func (p *parser) guidance(pool *Pool) error {
	var text string
	if err := p.single(&text); err != nil {
		return err
	}
	if text != "on" && text != "off" {
		return p.Errf("guidance %q: write on or off", text)
	}
	pool.Unguided = text == "off"
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
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || !(value > 0 && value <= 100) {
		return p.Errf("panic %q: write a percentage such as 50%%, or off", text)
	}
	pool.Panic = value / 100
	return nil
}

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
	if hasPlaceholder(h.Path + h.Host + h.Body) {
		return nil
	}
	if _, err := h.target(new(Edge), &url.URL{Scheme: "https", Host: "edge.example.net"}); err != nil {
		return wrap(err)
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
		return p.positive(&h.Interval)
	case "timeout":
		return p.positive(&h.Timeout)
	case "down":
		return p.number(&h.Down, "how many checks must fail")
	case "up":
		return p.number(&h.Up, "how many checks must succeed")
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
