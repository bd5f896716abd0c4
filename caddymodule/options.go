// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/geo"
)

// option reads an option of the global block.
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
		return p.wrapped(p.pid(p.app.DefaultPID))
	case "cdn_id":
		if err := p.single(&p.app.CDNID); err != nil || hasPlaceholder(p.app.CDNID) {
			return err
		}
		return p.wrapped(altoroute.CheckCDNID(p.app.CDNID))
	case "edge":
		return p.edge()
	case "pool":
		return p.pool()
	case "health":
		return p.health()
	case "routers":
		return p.number(&p.app.Routers, "how many routers share the edges, 1 or more")
	}
	return p.unrecognized()
}

func (p *parser) geo() error {
	if err := p.once("geo"); err != nil {
		return err
	}
	p.app.Geo = new(Geo)
	if err := p.list(&p.app.Geo.Databases, nil); err != nil {
		return err
	}
	return p.block("geo", func() error {
		switch p.Val() {
		case string(geo.ASN), string(geo.Country), string(geo.Continent):
			return p.geoRule()
		case "cache":
			return p.number(&p.app.Geo.CacheSize, "how many clients to remember, 1 or more")
		}
		return p.unrecognized()
	})
}

func (p *parser) geoRule() error {
	kind := p.Val()
	args := p.RemainingArgs()
	if len(args) != 2 {
		return p.ArgErr()
	}
	rule := GeoRule{Kind: kind, Match: args[0], PID: args[1]}
	if err := p.once(kind + " " + strings.ToLower(rule.Match)); err != nil {
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
	p.sourceLater(pid)
	return nil
}

// handlerOption reads an option of the directive.
func (p *parser) handlerOption(h *Handler) error {
	switch p.Val() {
	case "status":
		return p.number(&h.Status, "302, 303 or 307")
	case "ttl":
		return p.duration(&h.TTL)
	case "cors":
		return p.list(&h.CORS, nil)
	case "alternates":
		if p.CountRemainingArgs() > 0 {
			return p.number(&h.Alternates, fmt.Sprintf("how many other edges an answer names, 1 to %d", maxAlternates))
		}
		h.Alternates = defaultAlternates
		return p.once("alternates")
	case "list":
		if p.NextArg() {
			return p.ArgErr()
		}
		h.List = true
		return p.once("list")
	case "retry":
		return p.retry(h)
	}
	return p.unrecognized()
}

// pid checks a PID and has its source looked for, unless it is known only when
// the configuration is loaded.
func (p *parser) pid(s string) error {
	if hasPlaceholder(s) {
		return nil
	}
	pid, err := altoroute.ParseSourcePID(s)
	if err != nil {
		return err
	}
	p.sourceLater(pid)
	return nil
}

// sourceLater has a PID's source looked for when all sources are known.
func (p *parser) sourceLater(pid altoroute.SourcePID) {
	wrap := p.at()
	p.later = append(p.later, func() error {
		switch {
		case pid.Source != "" && !p.has("source "+pid.Source):
			return wrap(fmt.Errorf("PID %s: there is no source %s", pid, pid.Source))
		case pid.Source == "" && len(p.app.Sources) == 0:
			return wrap(fmt.Errorf("PID %s: there is no source: write maps or server", pid))
		case pid.Source == "" && len(p.app.Sources) > 1:
			return wrap(fmt.Errorf("PID %s names no source: with %d sources write source/%s", pid, len(p.app.Sources), pid.PID))
		}
		return nil
	})
}

// finish checks what could not be told before.
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

// retry reads `retry query <name>` or `retry header <name>`.
func (p *parser) retry(h *Handler) error {
	if err := p.once("retry"); err != nil {
		return err
	}
	args := p.RemainingArgs()
	if len(args) != 2 {
		return p.ArgErr()
	}
	switch args[0] {
	case "query":
		h.Retry = &Retry{Query: args[1]}
	case "header":
		h.Retry = &Retry{Header: args[1]}
	default:
		return p.Errf("retry %q: write query or header", args[0])
	}
	return nil
}
