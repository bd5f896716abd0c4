// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/altoroute/caddy-alto/altoroute"
)

// parser reads the options in our blocks. What can only be told at the end,
// such as a reference to what comes later, is checked then, at the line it
// stands on.
type parser struct {
	*caddyfile.Dispenser
	app   *App
	in    string          // the block being read, "" for the outermost
	seen  map[string]bool // what there may be one of, by block
	later []func() error
}

func newParser(d *caddyfile.Dispenser, app *App) *parser {
	return &parser{Dispenser: d, app: app, seen: make(map[string]bool)}
}

// block reads the options of a block, if there is one.
func (p *parser) block(name string, option func() error) error {
	outer := p.in
	p.in = name
	defer func() { p.in = outer }()
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := option(); err != nil {
			return err
		}
	}
	return nil
}

// once refuses a second of what there may be one of in a block.
func (p *parser) once(what string) error {
	key := p.in + "/" + what
	if p.seen[key] {
		return p.Errf("%s is already specified", what)
	}
	p.seen[key] = true
	return nil
}

// has reports whether the outermost block has what there may be one of.
func (p *parser) has(what string) bool { return p.seen["/"+what] }

// single reads the one argument of an option that may occur once in its block.
func (p *parser) single(to *string) error {
	if err := p.once(p.Val()); err != nil {
		return err
	}
	args := p.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return p.ArgErr()
	}
	*to = args[0]
	return nil
}

// list reads one or more arguments and adds them to those at hand. Each is
// checked, unless it is known only when the configuration is loaded.
func (p *parser) list(to *[]string, check func(string) error) error {
	args := p.RemainingArgs()
	if len(args) == 0 {
		return p.ArgErr()
	}
	for _, arg := range args {
		if check != nil && !hasPlaceholder(arg) {
			if err := check(arg); err != nil {
				return p.WrapErr(err)
			}
		}
	}
	*to = append(*to, args...)
	return nil
}

// duration reads the one argument of an option as a duration.
func (p *parser) duration(to *caddy.Duration) error {
	name, text := p.Val(), ""
	if err := p.single(&text); err != nil {
		return err
	}
	d, err := caddy.ParseDuration(text)
	if err != nil {
		return p.Errf("%s %q: write a duration such as 30s", name, text)
	}
	*to = caddy.Duration(d)
	return nil
}

// positive reads the one argument of an option as a duration that is not 0.
func (p *parser) positive(to *caddy.Duration, right string) error {
	name, text := p.Val(), ""
	if err := p.single(&text); err != nil {
		return err
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return p.Errf("%s %q: write %s", name, text, right)
	}
	*to = caddy.Duration(d)
	return nil
}

// number reads the one argument of an option as a whole number from 1 on.
func (p *parser) number(to *int, right string) error {
	name, text := p.Val(), ""
	if err := p.single(&text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 1 {
		return p.Errf("%s %q: write %s", name, text, right)
	}
	*to = value
	return nil
}

// rate reads the one argument of an option as requests per second: `8000/s`.
func (p *parser) rate(to *float64) error {
	name, text := p.Val(), ""
	if err := p.single(&text); err != nil {
		return err
	}
	number, ok := strings.CutSuffix(text, "/s")
	value, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(value > 0 && value <= altoroute.MaxCapacity) {
		return p.Errf("%s %q: write requests per second, such as 8000/s, up to %d/s", name, text, int64(altoroute.MaxCapacity))
	}
	*to = value
	return nil
}

// percentage reads `20%` as 0.2.
func percentage(text string) (share float64, ok bool) {
	number, ok := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	return value / 100, ok && err == nil
}

// part reads a percentage from more than 0 to 100.
func part(text string) (share float64, ok bool) {
	share, ok = percentage(text)
	return share, ok && share > 0 && share <= 1
}

// at returns a function that gives errors the present line later on.
func (p *parser) at() func(error) error {
	here := *p.Dispenser
	return here.WrapErr
}

// wrapped gives an error, if it is one, the present line.
func (p *parser) wrapped(err error) error {
	if err == nil {
		return nil
	}
	return p.WrapErr(err)
}

func (p *parser) unrecognized() error {
	return p.Errf("unrecognized subdirective %q", p.Val())
}

// poolArg reads the name of a module and, if there is one, that of a pool.
func poolArg(d *caddyfile.Dispenser, to *string) error {
	d.Next()
	if d.NextArg() {
		*to = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unrecognized subdirective %q", d.Val())
	}
	return nil
}

// hasPlaceholder reports whether a value is known only when the configuration
// is loaded.
func hasPlaceholder(s string) bool { return strings.Contains(s, "{") }
