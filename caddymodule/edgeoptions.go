// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/netip"
	"slices"

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
	if slices.ContainsFunc(slices.Concat([]string{e.URL}, e.PIDs, e.Addresses), hasPlaceholder) || e.Serves.hasPlaceholder() {
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
		return p.number(&e.Weight, fmt.Sprintf("a number from 1 to %d", altoroute.MaxWeight))
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
	if c.hasPlaceholder() {
		return nil
	}
	class := c.config()
	return p.wrapped(class.Validate())
}

// hasPlaceholder reports whether some of what is checked is known only when the
// configuration is loaded.
func (c *Class) hasPlaceholder() bool {
	return c != nil && slices.ContainsFunc(slices.Concat(c.Hosts, c.Paths), hasPlaceholder)
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
