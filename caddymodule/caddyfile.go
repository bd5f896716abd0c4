// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute"
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

// UnmarshalCaddyfile reads the global option, in which a server has the options
// of maps as well:
//
//	altoroute {
//		maps [<source>] <network map> <cost maps...> {
//			only    <prefixes...>
//			cost    <metric> [<mode>]
//			refresh <duration>
//			expire  <duration>
//			guard   moved|lost <percent> [<hold>]
//			guard   hold <duration>|forever
//			guard   ramp <duration>
//			guard   off
//			spool   <folder>|off
//		}
//		server [<source>] <directory urls...> {
//			refresh     <at least> <at most>
//			network_map <resource id>
//			auth        basic|digest <user> <password>
//			auth        bearer <token>
//			auth        cert <file> <key file>
//			ca          <file>
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
//			capacity <requests>/s
//			serves host|path|scheme|country <values...>
//			mode drain [<duration>]|disable|up
//			health <path>|off
//		}
//		health {
//			path <path>
//			host <name>
//			status <code>|<class>|<range>
//			body <text>
//			interval <duration>
//			timeout <duration>
//			down <checks>
//			up <checks>
//			load_header <name>
//			ramp <duration>
//		}
//		routers <number>
//		pool <name> {
//			edges <names...>
//			parent <names...>
//			pin <prefix>|AS<number>|<country> <edge>
//			serves host|path|scheme|country <values...>
//			guidance on|off
//			panic <percent>|off
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
	p := newParser(d, a)
	if err := p.block("", p.option); err != nil {
		return err
	}
	return p.finish()
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	here := *h.Dispenser
	here.Next()
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	// The global option has been read: say now, at this line, what is amiss.
	option, ok := h.Option("altoroute").(httpcaddyfile.App)
	if !ok {
		return nil, here.Err("the directive altoroute needs the global option altoroute, which says what there is to choose from")
	}
	var app struct {
		Pools map[string]json.RawMessage `json:"pools"`
	}
	if err := json.Unmarshal(option.Value, &app); err != nil {
		return nil, err
	}
	pools := slices.Sorted(maps.Keys(app.Pools))
	if len(pools) == 0 {
		pools = []string{altoroute.DefaultName}
	}
	switch {
	case handler.Pool == "" && len(pools) > 1:
		return nil, here.Errf("there are several pools: name one of %s", strings.Join(pools, ", "))
	case handler.Pool != "" && !slices.Contains(pools, handler.Pool):
		return nil, here.Errf("there is no pool %s: the pools are %s", handler.Pool, strings.Join(pools, ", "))
	}
	return handler, nil
}

// UnmarshalCaddyfile reads the directive:
//
//	altoroute [<matcher>] [<pool>] {
//		status 302|303|307
//		ttl <duration>
//		cors <origins...>|*
//		alternates [<number>]
//		list
//		retry query|header <name>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		h.Pool = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	p := newParser(d, nil)
	return p.block("", func() error {
		if err := p.handlerOption(h); err != nil {
			return err
		}
		return p.wrapped(h.checkSet())
	})
}

// checkSet checks what has been set so far.
func (h *Handler) checkSet() error {
	check := *h
	if check.Status == 0 {
		check.Status = http.StatusFound
	}
	return check.Validate()
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
