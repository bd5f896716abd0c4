// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/health"
	"github.com/altoroute/caddy-alto/geo"
)

// expand replaces global placeholders such as {env.NAME}. Ours are unknown to
// the replacer and stay.
func (a *App) expand(repl *caddy.Replacer) {
	one := func(s *string) { *s = repl.ReplaceKnown(*s, "") }
	all := func(ss []string) {
		for i := range ss {
			one(&ss[i])
		}
	}
	class := func(c *Class) {
		if c != nil {
			all(c.Hosts)
			all(c.Paths)
		}
	}
	for _, s := range a.Sources {
		all(s.Files)
		all(s.Servers)
		all(s.Only)
		one(&s.NetworkMap)
		one(&s.CA)
		one(&s.Spool)
		if c := s.Auth; c != nil {
			for _, member := range []*string{&c.Username, &c.Password, &c.Token, &c.Certificate, &c.Key} {
				one(member)
			}
		}
	}
	for _, e := range a.Edges {
		one(&e.URL)
		all(e.PIDs)
		all(e.Addresses)
		one(&e.HealthPath)
		class(e.Serves)
	}
	for _, p := range a.Pools {
		if p != nil {
			for i := range p.Pins {
				one(&p.Pins[i].Clients)
			}
			one(&p.URL)
			one(&p.OnNone)
			class(p.Serves)
		}
	}
	if a.Geo != nil {
		all(a.Geo.Databases)
	}
	if h := a.Health; h != nil {
		one(&h.Path)
		one(&h.Host)
		one(&h.Body)
	}
	one(&a.DefaultPID)
	one(&a.CDNID)
}

// checkNulls refuses what only JSON can hold: an entry that is null.
func (a *App) checkNulls() error {
	switch {
	case slices.Contains(a.Sources, nil):
		return errors.New("sources: null is not a source")
	case slices.Contains(a.Edges, nil):
		return errors.New("edges: null is not an edge")
	}
	return nil
}

// A config is a configuration in the words of those who do what it says.
type config struct {
	router  altoroute.Config
	geo     geo.Config               // zero where there is none
	targets map[string]health.Target // how each edge is checked, see App.targets
}

// config translates the configuration without looking at anything outside it.
func (a *App) config() (cfg config, err error) {
	if cfg.router, err = a.routerConfig(); err != nil {
		return cfg, err
	}
	if a.Geo != nil {
		if cfg.geo, err = a.Geo.config(a.Sources); err != nil {
			return cfg, err
		}
	}
	if err := a.Health.check(); err != nil {
		return cfg, err
	}
	cfg.targets, err = a.targets()
	return cfg, err
}

func (a *App) routerConfig() (cfg altoroute.Config, err error) {
	for _, s := range a.Sources {
		made, err := s.config()
		if err != nil {
			return cfg, err
		}
		cfg.Sources = append(cfg.Sources, made)
	}
	if err := checkSpools(a.Sources); err != nil {
		return cfg, err
	}
	for _, e := range a.Edges {
		made, err := e.config()
		if err != nil {
			return cfg, err
		}
		cfg.Edges = append(cfg.Edges, made)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Pools)) {
		made, err := a.Pools[name].config(name)
		if err != nil {
			return cfg, err
		}
		cfg.Pools = append(cfg.Pools, made)
	}
	if a.Geo == nil {
		if err := needsNoPlace(&cfg); err != nil {
			return cfg, err
		}
	}
	if a.DefaultPID != "" {
		if cfg.Default, err = altoroute.ParseSourcePID(a.DefaultPID); err != nil {
			return cfg, fmt.Errorf("default_pid: %w", err)
		}
	}
	cfg.CDNID = a.CDNID
	cfg.Ramp, cfg.Routers = a.Health.ramp(), a.Routers
	return cfg, nil
}

// needsNoPlace refuses what goes by the place of clients, where there is nothing that
// knows it: it would never apply.
func needsNoPlace(cfg *altoroute.Config) error {
	const remedy = "needs to know where clients are: add geo with a database"
	for _, e := range cfg.Edges {
		if len(e.Serves.Countries) > 0 {
			return fmt.Errorf("edge %s: serves country %s", e.Name, remedy)
		}
	}
	for _, p := range cfg.Pools {
		if len(p.Serves.Countries) > 0 {
			return fmt.Errorf("pool %s: serves country %s", p.Name, remedy)
		}
		for _, pin := range p.Pins {
			if !pin.Prefix.IsValid() {
				return fmt.Errorf("pool %s: pin %s %s", p.Name, pin.Clients(), remedy)
			}
		}
	}
	return nil
}

func (e *Edge) config() (altoroute.Edge, error) {
	made := altoroute.Edge{Name: e.Name, Weight: e.Weight, Capacity: e.Capacity, Serves: e.Serves.config()}
	fail := func(err error) (altoroute.Edge, error) {
		return made, fmt.Errorf("edge %s: %w", e.Name, err)
	}
	var err error
	if made.URL, err = altoroute.ParseEdgeURL(e.URL); err != nil {
		return fail(err)
	}
	for _, s := range e.PIDs {
		p, err := altoroute.ParseSourcePID(s)
		if err != nil {
			return fail(err)
		}
		made.PIDs = append(made.PIDs, p)
	}
	for _, s := range e.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fail(fmt.Errorf("%q is not an IP address", s))
		}
		made.Addrs = append(made.Addrs, a.Unmap())
	}
	if made.Family, err = altoroute.ParseFamily(e.Family); err != nil {
		return fail(err)
	}
	switch mode, err := altoroute.ParseMode(cmp.Or(e.Mode, "auto")); {
	case err != nil:
		return fail(fmt.Errorf("mode: %w", err))
	case e.DrainOver < 0 || e.DrainOver > 0 && mode != altoroute.Drain:
		return fail(errors.New("drain_over is for the mode drain, and not negative"))
	}
	err = made.Validate()
	return made, err
}

func (c *Class) config() altoroute.Class {
	if c == nil {
		return altoroute.Class{}
	}
	made := altoroute.Class{Hosts: c.Hosts, Paths: c.Paths, Schemes: c.Schemes}
	for _, country := range c.Countries {
		made.Countries = append(made.Countries, strings.ToUpper(country))
	}
	return made
}

func (p *Pool) config(name string) (altoroute.Pool, error) {
	made := altoroute.Pool{Name: name}
	if p == nil {
		return made, nil
	}
	made.Edges, made.URL, made.Tolerance = p.Edges, p.URL, p.Tolerance
	made.Parents, made.Panic, made.GuidanceOff, made.Serves = p.Parents, p.Panic, p.GuidanceOff, p.Serves.config()
	for _, pin := range p.Pins {
		parsed, err := altoroute.ParsePin(pin.Clients, pin.Edge)
		if err != nil {
			return made, fmt.Errorf("pool %s: %w", name, err)
		}
		made.Pins = append(made.Pins, parsed)
	}
	if p.Key != nil {
		made.Key.Query = p.Key.Query
		if p.Key.Pattern != "" {
			re, err := regexp.Compile(p.Key.Pattern)
			if err != nil {
				return made, fmt.Errorf("pool %s: key: %w", name, err)
			}
			made.Key.Pattern = re
		}
	}
	if _, err := p.lastResort(); err != nil {
		return made, fmt.Errorf("pool %s: %w", name, err)
	}
	err := made.Validate()
	return made, err
}

// A lastResort is Pool.OnNone understood. A fallback that would lead from https
// to http gives way to the status.
type lastResort struct {
	status   int
	next     bool
	fallback *url.URL
}

func (p *Pool) lastResort() (lastResort, error) {
	made := lastResort{status: http.StatusServiceUnavailable}
	if p == nil || p.OnNone == "" {
		return made, nil
	}
	if p.OnNone == "next" {
		made.next = true
		return made, nil
	}
	var err error
	if strings.Contains(p.OnNone, "://") {
		if made.fallback, err = altoroute.ParseEdgeURL(p.OnNone); err != nil {
			return made, fmt.Errorf("on_none: %w", err)
		}
		return made, nil
	}
	if made.status, err = strconv.Atoi(p.OnNone); err != nil || made.status < 400 || made.status > 599 {
		return made, fmt.Errorf("on_none %q: write next, a status from 400 to 599, or a URL", p.OnNone)
	}
	return made, nil
}

// config translates what geo needs to know, bare PIDs being of the only source there
// is. It looks at nothing outside the configuration.
func (g *Geo) config(sources []*Source) (geo.Config, error) {
	cfg := geo.Config{Files: g.Databases, CacheSize: g.CacheSize}
	if len(g.Databases) == 0 {
		return cfg, errors.New("geo: name a database")
	}
	if g.CacheSize < 0 {
		return cfg, fmt.Errorf("geo: cache_size %d is out of range: write 1 or more", g.CacheSize)
	}
	for _, r := range g.Rules {
		pid, err := altoroute.ParseSourcePID(r.PID)
		if err != nil {
			return cfg, fmt.Errorf("geo: %s %s: %w", r.Kind, r.Match, err)
		}
		if pid.Source == "" && len(sources) == 1 {
			pid.Source = sources[0].Name
		}
		if !slices.ContainsFunc(sources, func(s *Source) bool { return s.Name == pid.Source }) {
			return cfg, fmt.Errorf("geo: %s %s: PID %s names no source that there is", r.Kind, r.Match, pid)
		}
		rule := geo.Rule{Kind: geo.Kind(r.Kind), Match: r.Match, PID: pid}
		if err := rule.Validate(); err != nil {
			return cfg, err
		}
		cfg.Rules = append(cfg.Rules, rule)
	}
	return cfg, nil
}

// unknownPIDs returns an error for each rule that names outright a PID that
// the network map of its source does not have.
func (g *Geo) unknownPIDs(source string, m *altoroute.NetworkMap) []error {
	var errs []error
	for _, r := range g.Rules {
		pid, err := altoroute.ParseSourcePID(r.PID)
		if err != nil || pid.Source != "" && pid.Source != source || strings.Contains(pid.PID, "{") {
			continue
		}
		if !m.Has(pid.PID) {
			errs = append(errs, fmt.Errorf("geo: %s %s: source %s has no PID %q in network map %s", r.Kind, r.Match, source, pid.PID, m.Tag()))
		}
	}
	return errs
}
