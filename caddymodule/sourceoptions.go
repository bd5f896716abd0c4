// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
)

func (p *parser) source() error {
	s, err := p.sourceArgs()
	if err != nil {
		return err
	}
	wrap, name := p.at(), "source "+s.name()
	if s.Name == "" && p.has(name) {
		return p.Errf("a source without a name is called %s, and there is one already: give each a name", s.name())
	}
	if err := p.once(name); err != nil {
		return err
	}
	if err := p.block(name, func() error { return p.sourceOption(s) }); err != nil {
		return err
	}
	p.app.Sources = append(p.app.Sources, s)
	if s.hasPlaceholder() {
		return nil
	}
	if _, err := s.config(); err != nil {
		return wrap(err)
	}
	return nil
}

// hasPlaceholder reports whether some of what is checked is known only when the
// configuration is loaded.
func (s *Source) hasPlaceholder() bool {
	values := slices.Concat(s.Servers, s.Only, []string{s.NetworkMap})
	if c := s.Auth; c != nil {
		values = append(values, c.Username, c.Password, c.Token, c.Certificate, c.Key)
	}
	return slices.ContainsFunc(values, hasPlaceholder)
}

// sourceArgs reads `maps [<source>] <files...>` or `server [<source>] <urls...>`.
func (p *parser) sourceArgs() (*Source, error) {
	s, kind := new(Source), p.Val()
	isPlace, right := isMaps, "is not a file of maps: its name must end in .json or .json.gz"
	if kind == "server" {
		isPlace, right = isDirectory, "is not the URL of a directory: write https://host/path"
	}
	args := p.RemainingArgs()
	for _, arg := range args {
		if kind == "maps" && strings.Contains(arg, "://") {
			return nil, p.Errf("%q is a URL: write server and the URL of an ALTO server's directory", withoutSecrets(arg))
		}
	}
	if len(args) > 0 && !isPlace(args[0]) {
		if altoroute.CheckName(args[0]) != nil {
			return nil, p.Errf("%q is not the name of a source, and %s", withoutSecrets(args[0]), right)
		}
		s.Name, args = args[0], args[1:]
	}
	for _, arg := range args {
		if !isPlace(arg) {
			return nil, p.Errf("%q %s", withoutSecrets(arg), right)
		}
	}
	if len(args) == 0 {
		return nil, p.ArgErr()
	}
	if kind == "server" {
		s.Servers = args
	} else {
		s.Files = args
	}
	return s, nil
}

func isMaps(arg string) bool {
	return strings.HasSuffix(arg, ".json") || strings.HasSuffix(arg, ".json.gz")
}

func isDirectory(arg string) bool { return strings.Contains(arg, "://") || hasPlaceholder(arg) }

func (p *parser) sourceOption(s *Source) error {
	switch p.Val() {
	case "only":
		return p.list(&s.Only, func(arg string) error {
			_, err := parseOnly(arg)
			return err
		})
	case "network_map":
		return p.single(&s.NetworkMap)
	case "cost":
		return p.cost(s)
	case "refresh":
		return p.refresh(s)
	case "expire":
		if err := p.duration(&s.Expire); err != nil {
			return err
		}
		return p.wrapped(s.checkRefresh())
	case "guard":
		return p.guard(s)
	case "auth":
		return p.auth(s)
	case "ca":
		return p.single(&s.CA)
	case "spool":
		return p.single(&s.Spool)
	}
	return p.unrecognized()
}

func (p *parser) cost(s *Source) error {
	if err := p.once("cost"); err != nil {
		return err
	}
	args := p.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return p.ArgErr()
	}
	s.Cost = &CostType{Metric: args[0]}
	if len(args) == 2 {
		s.Cost.Mode = args[1]
	}
	return nil
}

// refresh reads `refresh <interval>`, or `refresh <least> <most>`.
func (p *parser) refresh(s *Source) error {
	if err := p.once("refresh"); err != nil {
		return err
	}
	args := p.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return p.ArgErr()
	}
	to := []*caddy.Duration{&s.Refresh}
	if len(args) == 2 {
		to = []*caddy.Duration{&s.MinRefresh, &s.MaxRefresh}
	}
	for i, arg := range args {
		d, err := caddy.ParseDuration(arg)
		if err != nil || d == 0 {
			return p.Errf("refresh %q: write a duration such as 30s", arg)
		}
		*to[i] = caddy.Duration(d)
	}
	return p.wrapped(s.checkRefresh())
}

// guard reads `guard off`, `guard moved <share> [<hold>]`, `guard lost <share>`,
// `guard hold <duration>|forever` or `guard ramp <duration>`.
func (p *parser) guard(s *Source) error {
	if s.Guard == nil {
		s.Guard = new(Guard)
	}
	args := p.RemainingArgs()
	if len(args) == 1 && args[0] == "off" {
		s.Guard.Off = true
		return p.once("guard off")
	}
	if len(args) < 2 || len(args) > 3 || len(args) == 3 && args[0] != "moved" {
		return p.Errf("guard: write off, moved <share> [<hold>], lost <share>, hold <duration>|forever, or ramp <duration>")
	}
	if err := p.once("guard " + args[0]); err != nil {
		return err
	}
	switch args[0] {
	case "moved", "lost":
		share, ok := part(args[1])
		if !ok {
			return p.Errf("guard %s %q: write a percentage such as 20%%", args[0], args[1])
		}
		if args[0] == "lost" {
			s.Guard.Lost = share
			return nil
		}
		if s.Guard.Moved = share; len(args) == 3 {
			if err := p.once("guard hold"); err != nil {
				return err
			}
			return p.guardTime(&s.Guard.Hold, "hold", args[2])
		}
		return nil
	case "hold":
		return p.guardTime(&s.Guard.Hold, "hold", args[1])
	case "ramp":
		return p.guardTime(&s.Guard.Ramp, "ramp", args[1])
	}
	return p.Errf("guard %q: there are off, moved, lost, hold and ramp", args[0])
}

// guardTime reads a duration of a guard: 0 is stored as less than that, as 0 stands for
// the default. To hold for no time makes no sense, so that `hold 0s` is to hold for ever;
// who wants no guard writes `guard off`.
func (p *parser) guardTime(to *caddy.Duration, name, text string) error {
	right := "a duration such as 10m, or 0s for at once"
	if name == "hold" {
		right = "a duration such as 1h, or forever for only by hand"
		if text == "forever" {
			text = "0s"
		}
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d < 0 {
		return p.Errf("guard %s %q: write %s", name, text, right)
	}
	if *to = caddy.Duration(d); d == 0 {
		*to = -1
	}
	return nil
}

// auth reads `auth bearer <token>`, `auth basic|digest <user> <password>` or
// `auth cert <certificate> <key>`; the last may come with one of the others.
func (p *parser) auth(s *Source) error {
	if s.Auth == nil {
		s.Auth = new(Auth)
	}
	args := p.RemainingArgs()
	what := ""
	if len(args) > 0 {
		what = args[0]
	}
	switch {
	case what == "cert" && len(args) == 3:
		s.Auth.Certificate, s.Auth.Key = args[1], args[2]
		return p.once("auth cert")
	case what == "bearer" && len(args) == 2:
		s.Auth.Scheme, s.Auth.Token = what, args[1]
	case (what == "basic" || what == "digest") && len(args) == 3:
		s.Auth.Scheme, s.Auth.Username, s.Auth.Password = what, args[1], args[2]
	default: // without what it holds: that may be a secret
		return p.Errf("auth: write bearer <token>, basic <user> <password>, digest <user> <password> or cert <certificate> <key>")
	}
	return p.once("auth")
}
