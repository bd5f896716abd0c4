// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

func (r *Router) setSources(sources []Source) error {
	for _, s := range sources {
		if err := CheckName(s.Name); err != nil {
			return fmt.Errorf("source: %w", err)
		}
		if slices.ContainsFunc(r.sources, func(o source) bool { return o.Name == s.Name }) {
			return fmt.Errorf("source %s is defined twice", s.Name)
		}
		made := source{Source: s}
		for _, p := range s.Only {
			if !p.IsValid() {
				return fmt.Errorf("source %s: only: not a prefix", s.Name)
			}
			if made.only == nil {
				made.only = new(bart.Lite)
			}
			made.only.Insert(p)
		}
		r.sources = append(r.sources, made)
	}
	return nil
}

func (r *Router) setEdges(edges []Edge) error {
	if len(edges) == 0 {
		return errors.New("there are no edges: clients have nowhere to go")
	}
	edges = slices.Clone(edges)
	slices.SortFunc(edges, func(a, b Edge) int { return strings.Compare(a.Name, b.Name) })
	for i, e := range edges {
		e.PIDs = slices.Clone(e.PIDs)
		for j, p := range e.PIDs {
			resolved, err := r.Resolve(p)
			if err != nil {
				return fmt.Errorf("edge %s: %w", e.Name, err)
			}
			e.PIDs[j] = resolved
		}
		if err := e.Validate(); err != nil {
			return err
		}
		if i > 0 && edges[i-1].Name == e.Name {
			return fmt.Errorf("edge %s is defined twice", e.Name)
		}
		r.edges = append(r.edges, edge{Edge: e, seed: seed(e.Name), weight: uint64(max(e.Weight, 1)), limited: e.Serves.limits()})
	}
	return nil
}

func (r *Router) setPools(pools []Pool) error {
	if len(pools) == 0 {
		pools = []Pool{{Name: DefaultName}}
	}
	for _, p := range pools {
		if err := p.Validate(); err != nil {
			return err
		}
		if _, ok := r.byName[p.Name]; ok {
			return fmt.Errorf("pool %s is defined twice", p.Name)
		}
		made := &pool{Pool: p, index: len(r.pools), limited: p.Serves.limits(), panicShare: cmp.Or(p.Panic, DefaultPanic)}
		if err := r.setTiers(made); err != nil {
			return err
		}
		if err := r.setBases(made); err != nil {
			return err
		}
		if err := r.checkPins(made); err != nil {
			return err
		}
		r.setClasses(made)
		r.pools = append(r.pools, made)
		r.byName[p.Name] = made
	}
	return nil
}

// setTiers finds the edges of a pool: its own, then those of its parents.
func (r *Router) setTiers(p *pool) error {
	first := p.Edges
	if len(first) == 0 {
		for _, e := range r.edges {
			if !slices.ContainsFunc(p.Parents, func(names []string) bool { return slices.Contains(names, e.Name) }) {
				first = append(first, e.Name)
			}
		}
	}
	if len(first) == 0 {
		return fmt.Errorf("pool %s has no edge of its own: all are its parents'", p.Name)
	}
	for _, names := range append([][]string{first}, p.Parents...) {
		var edges []int32
		for _, name := range names {
			e, ok := r.edge(name)
			if !ok {
				return fmt.Errorf("pool %s: %w %s", p.Name, ErrNoSuchEdge, name)
			}
			edges = append(edges, e)
		}
		slices.Sort(edges)
		p.tiers = append(p.tiers, r.tier(edges))
		p.edges = append(p.edges, edges...)
	}
	slices.Sort(p.edges)
	return nil
}

// tier returns the tier of these edges, a new one if there is none.
func (r *Router) tier(edges []int32) *tier {
	for _, t := range r.tiers {
		if slices.Equal(t.edges, edges) {
			return t
		}
	}
	t := &tier{index: len(r.tiers), edges: edges}
	r.tiers = append(r.tiers, t)
	return t
}

// checkPins checks that the edges of a pool's pins are its own.
func (r *Router) checkPins(p *pool) error {
	for _, pin := range p.Pins {
		if e, ok := r.edge(pin.Edge); !ok || !slices.Contains(p.edges, e) {
			return fmt.Errorf("pool %s: pin %s: the pool has no edge %s", p.Name, pin.Clients(), pin.Edge)
		}
	}
	return nil
}

// setClasses finds the classes of a pool's edges.
func (r *Router) setClasses(p *pool) {
	p.classOf = make([]kind, len(r.edges))
	for _, e := range p.edges {
		if !r.edges[e].limited {
			continue
		}
		i := slices.IndexFunc(p.classes, func(c *Class) bool { return reflect.DeepEqual(*c, r.edges[e].Serves) })
		if i < 0 {
			i = len(p.classes)
			p.classes = append(p.classes, &r.edges[e].Serves)
		}
		p.classOf[e] = classBit(i)
	}
}

// setBases finds where the clients of each edge of a pool are sent.
func (r *Router) setBases(p *pool) error {
	p.bases = make([]*url.URL, len(r.edges))
	for _, e := range p.edges {
		p.bases[e] = r.edges[e].URL
		if p.URL == "" {
			continue
		}
		base, err := ParsePoolURL(p.URL, r.edges[e].Name)
		if err != nil {
			return fmt.Errorf("pool %s, edge %s: %w", p.Name, r.edges[e].Name, err)
		}
		p.bases[e] = base
		if len(p.edges) > 1 && !strings.Contains(p.URL, "{edge}") {
			return fmt.Errorf("pool %s: URL %q is the same for all its edges: put {edge} where the edge's name belongs", p.Name, p.URL)
		}
	}
	return nil
}

// edge returns the index of an edge by name.
func (r *Router) edge(name string) (int32, bool) {
	i, ok := slices.BinarySearchFunc(r.edges, name, func(e edge, name string) int { return strings.Compare(e.Name, name) })
	return int32(i), ok //nolint:gosec // far fewer edges
}
