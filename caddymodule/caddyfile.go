// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/geo"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("altoroute", parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective("altoroute", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("altoroute", httpcaddyfile.Before, "reverse_proxy")
}

func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option altoroute may occur only once: put everything into one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "altoroute", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option:
//
//	altoroute {
//		maps [<source>] <network map> <cost map...> {
//			only <prefixes...>
//			cost <metric> [<mode>]
//			refresh <duration>
//		}
//		server [<source>] <directory url> {
//			only <prefixes...>
//			network_map <resource id>
//			cost <metric> [<mode>]
//			refresh <duration>
//		}
//		geo <databases...> {
//			asn <number>|* <pid>
//			country <code>|* <pid>
//			continent <code>|* <pid>
//			cache <clients>
//		}
//		default_pid <pid>
//		cdn_id <name>
//		edge <name> <url> [<pids...>] {
//			pid <pids...>
//			addr <addresses...>
//			weight <number>
//			family ipv4|ipv6
//		}
//		pool <name> {
//			edges <names...>
//			url <url with {edge}>
//			tolerance <percent>
//			key query <names...>
//			key pattern <regexp>
//			on_none next|<status>|<url>
//		}
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	p := parser{Dispenser: d, app: a, seen: make(map[string]bool)}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := p.option(); err != nil {
			return err
		}
	}
	return p.finish()
}

// parser reads the global option. What can only be told at the end, such as a
// reference to what comes later, is checked then, at the line it stands on.
type parser struct {
	*caddyfile.Dispenser
	app   *App
	seen  map[string]bool
	later []func() error
}

func (p *parser) option() error {
	switch p.Val() {
	case "maps", "server":
		return p.source()
	case "geo":
		return p.geo()
	case "default_pid":
		if err := p.single(&p.app.DefaultPID); err != nil {
			return err
		}
		return p.pidLater(p.app.DefaultPID)
	case "cdn_id":
		return p.single(&p.app.CDNID)
	case "edge":
		return p.edge()
	case "pool":
		return p.pool()
	}
	return p.Errf("unrecognized subdirective %q", p.Val())
}

// once refuses a second of what there may be one of.
func (p *parser) once(what string) error {
	if p.seen[what] {
		return p.Errf("%s is already specified", what)
	}
	p.seen[what] = true
	return nil
}

// single reads the one argument of a subdirective that may occur once.
func (p *parser) single(to *string) error {
	name := p.Val()
	if *to != "" {
		return p.Errf("%s is already specified", name)
	}
	args := p.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return p.ArgErr()
	}
	*to = args[0]
	return nil
}

// list reads one or more arguments behind those at hand.
func (p *parser) list(to *[]string) error {
	args := p.RemainingArgs()
	if len(args) == 0 {
		return p.ArgErr()
	}
	*to = append(*to, args...)
	return nil
}

// at returns a function that gives errors the present line later on.
func (p *parser) at() func(error) error {
	here := *p.Dispenser
	return here.WrapErr
}

// hasPlaceholder reports whether a value is known only when the configuration
// is loaded.
func hasPlaceholder(s string) bool { return strings.Contains(s, "{") }

func (p *parser) source() error {
	s, kind := new(Source), p.Val()
	args := p.RemainingArgs()
	isPlace := func(arg string) bool {
		if kind == "server" {
			return strings.Contains(arg, "://") || hasPlaceholder(arg)
		}
		return strings.HasSuffix(arg, ".json") || strings.HasSuffix(arg, ".json.gz")
	}
	if len(args) > 0 && !isPlace(args[0]) {
		s.Name, args = args[0], args[1:]
	}
	for _, arg := range args {
		if !isPlace(arg) {
			if kind == "server" {
				return p.Errf("%q is not the URL of a directory: write https://host/path", arg)
			}
			return p.Errf("%q is not a file of maps: its name must end in .json or .json.gz", arg)
		}
	}
	if len(args) == 0 {
		return p.ArgErr()
	}
	if kind == "server" {
		s.Servers = args
	} else {
		s.Files = args
	}
	wrap := p.at()
	if err := p.once("source " + nameOf(s)); err != nil {
		return err
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.sourceOption(s); err != nil {
			return err
		}
	}
	p.app.Sources = append(p.app.Sources, s)
	if slices.ContainsFunc(append(slices.Clone(s.Servers), s.Only...), hasPlaceholder) {
		return nil
	}
	check := *s
	if _, err := check.config(); err != nil {
		return wrap(err)
	}
	return nil
}

func nameOf(s *Source) string {
	if s.Name == "" {
		return altoroute.DefaultName
	}
	return s.Name
}

func (p *parser) sourceOption(s *Source) error {
	switch p.Val() {
	case "only":
		return p.list(&s.Only)
	case "network_map":
		return p.single(&s.NetworkMap)
	case "cost":
		args := p.RemainingArgs()
		if s.Cost != nil {
			return p.Err("cost is already specified")
		}
		if len(args) < 1 || len(args) > 2 {
			return p.ArgErr()
		}
		s.Cost = &CostType{Metric: args[0]}
		if len(args) == 2 {
			s.Cost.Mode = args[1]
		}
		return nil
	case "refresh":
		var text string
		if err := p.single(&text); err != nil {
			return err
		}
		refresh, err := caddy.ParseDuration(text)
		if err != nil {
			return p.Errf("refresh: %v", err)
		}
		if s.Refresh != 0 {
			return p.Err("refresh is already specified")
		}
		s.Refresh = caddy.Duration(refresh)
		return nil
	}
	return p.Errf("unrecognized subdirective %q", p.Val())
}

func (p *parser) geo() error {
	if err := p.once("geo"); err != nil {
		return err
	}
	p.app.Geo = new(Geo)
	if err := p.list(&p.app.Geo.Databases); err != nil {
		return err
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		switch kind := p.Val(); kind {
		case string(geo.ASN), string(geo.Country), string(geo.Continent):
			args := p.RemainingArgs()
			if len(args) != 2 {
				return p.ArgErr()
			}
			rule := GeoRule{Kind: kind, Match: args[0], PID: args[1]}
			if err := p.once("geo " + kind + " " + strings.ToLower(rule.Match)); err != nil {
				return err
			}
			pid, err := altoroute.ParseSourcePID(rule.PID)
			if err == nil {
				err = geo.Rule{Kind: geo.Kind(kind), Match: rule.Match, PID: pid}.Validate()
			}
			if err != nil {
				return p.WrapErr(err)
			}
			p.app.Geo.Rules = append(p.app.Geo.Rules, rule)
			if err := p.pidLater(rule.PID); err != nil {
				return err
			}
		case "cache":
			var text string
			if err := p.single(&text); err != nil {
				return err
			}
			size, err := strconv.Atoi(text)
			if err != nil || size < 1 {
				return p.Errf("cache %q: write how many clients to remember, 1 or more", text)
			}
			p.app.Geo.CacheSize = size
		default:
			return p.Errf("unrecognized subdirective %q", kind)
		}
	}
	return nil
}

func (p *parser) edge() error {
	args := p.RemainingArgs()
	if len(args) < 2 {
		return p.ArgErr()
	}
	e := &Edge{Name: args[0], URL: args[1], PIDs: args[2:]}
	wrap := p.at()
	if err := p.once("edge " + e.Name); err != nil {
		return err
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.edgeOption(e); err != nil {
			return err
		}
	}
	p.app.Edges = append(p.app.Edges, e)
	if slices.ContainsFunc(append(append([]string{e.URL}, e.PIDs...), e.Addresses...), hasPlaceholder) {
		return nil
	}
	if _, err := e.config(); err != nil {
		return wrap(err)
	}
	for _, pid := range e.PIDs {
		if err := p.pidLater(pid); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) edgeOption(e *Edge) error {
	switch p.Val() {
	case "pid":
		return p.list(&e.PIDs)
	case "addr":
		return p.list(&e.Addresses)
	case "weight":
		var text string
		if e.Weight != 0 {
			return p.Err("weight is already specified")
		}
		if err := p.single(&text); err != nil {
			return err
		}
		weight, err := strconv.Atoi(text)
		if err != nil || weight < 1 || weight > altoroute.MaxWeight {
			return p.Errf("weight %q: write a number from 1 to %d", text, altoroute.MaxWeight)
		}
		e.Weight = weight
		return nil
	case "family":
		return p.single(&e.Family)
	}
	return p.Errf("unrecognized subdirective %q", p.Val())
}

func (p *parser) pool() error {
	var name string
	if err := p.single(&name); err != nil {
		return err
	}
	if err := p.once("pool " + name); err != nil {
		return err
	}
	wrap := p.at()
	pool := new(Pool)
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.poolOption(name, pool); err != nil {
			return err
		}
	}
	if p.app.Pools == nil {
		p.app.Pools = make(map[string]*Pool)
	}
	p.app.Pools[name] = pool
	check := *pool
	if hasPlaceholder(strings.ReplaceAll(pool.URL, "{edge}", "")) {
		check.URL = ""
	}
	if hasPlaceholder(pool.OnNone) {
		check.OnNone = ""
	}
	if _, err := check.config(name); err != nil {
		return wrap(err)
	}
	return nil
}

func (p *parser) poolOption(name string, pool *Pool) error {
	switch p.Val() {
	case "edges":
		wrap := p.at()
		if err := p.list(&pool.Edges); err != nil {
			return err
		}
		added := pool.Edges
		p.later = append(p.later, func() error {
			for _, e := range added {
				if !p.seen["edge "+e] {
					return wrap(fmt.Errorf("pool %s: there is no edge %s", name, e))
				}
			}
			return nil
		})
		return nil
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
	return p.Errf("unrecognized subdirective %q", p.Val())
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
		return p.list(&pool.Key.Query)
	case "pattern":
		return p.single(&pool.Key.Pattern)
	}
	return p.Errf("key %q: write query or pattern", p.Val())
}

// pidLater has a PID's source looked for when all sources are known.
func (p *parser) pidLater(s string) error {
	if hasPlaceholder(s) && !strings.Contains(s, "/") {
		return nil
	}
	pid, err := altoroute.ParseSourcePID(s)
	if err != nil {
		return p.WrapErr(err)
	}
	wrap := p.at()
	p.later = append(p.later, func() error {
		switch {
		case pid.Source != "" && !p.seen["source "+pid.Source]:
			return wrap(fmt.Errorf("PID %s: there is no source %s", pid, pid.Source))
		case pid.Source == "" && len(p.app.Sources) != 1:
			return wrap(fmt.Errorf("PID %s names no source: with %d sources write source/%s", pid, len(p.app.Sources), pid.PID))
		}
		return nil
	})
	return nil
}

func (p *parser) finish() error {
	for _, check := range p.later {
		if err := check(); err != nil {
			return err
		}
	}
	if len(p.app.Edges) == 0 {
		return p.Err("altoroute has no edge: clients have nowhere to go")
	}
	return nil
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	// The global option has been read: say now, at this line, what is amiss.
	option, ok := h.Option("altoroute").(httpcaddyfile.App)
	if !ok {
		return nil, h.Err("the directive altoroute needs the global option altoroute, which says what there is to choose from")
	}
	var app struct {
		Pools map[string]json.RawMessage `json:"pools"`
	}
	if err := json.Unmarshal(option.Value, &app); err != nil {
		return nil, err
	}
	if err := checkPoolName(handler.Pool, app.Pools); err != nil {
		return nil, h.WrapErr(err)
	}
	return handler, nil
}

func checkPoolName(name string, pools map[string]json.RawMessage) error {
	_, known := pools[name]
	switch {
	case known, len(pools) == 0 && (name == "" || name == altoroute.DefaultName), len(pools) == 1 && name == "":
		return nil
	case name == "":
		return errors.New("there are several pools: name one")
	}
	return fmt.Errorf("there is no pool %s", name)
}

// UnmarshalCaddyfile reads the directive:
//
//	altoroute [<matcher>] [<pool>] {
//		status 302|303|307
//		ttl <duration>
//		cors <origins...>|*
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		h.Pool = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	p := parser{Dispenser: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "status", "ttl":
			name, text := d.Val(), ""
			if err := p.single(&text); err != nil {
				return err
			}
			if name == "status" {
				status, err := strconv.Atoi(text)
				if err != nil || h.Status != 0 {
					return d.Errf("status %q: write 302, 303 or 307, once", text)
				}
				h.Status = status
				break
			}
			ttl, err := caddy.ParseDuration(text)
			if err != nil || h.TTL != 0 {
				return d.Errf("ttl %q: write a duration such as 30s, once", text)
			}
			h.TTL = caddy.Duration(ttl)
		case "cors":
			if err := p.list(&h.CORS); err != nil {
				return err
			}
		default:
			return d.Errf("unrecognized subdirective %q", d.Val())
		}
		if err := h.checkSet(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// checkSet checks what has been set so far.
func (h *Handler) checkSet() error {
	check := *h
	if check.Status == 0 {
		check.Status = 302
	}
	return check.Validate()
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
