// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// Config is what a Router is told once. What it learns (maps, places) comes
// later, through Update and SetLocator.
type Config struct {
	// Sources in order of preference: of two prefixes of equal length the
	// earlier source's decides.
	Sources []Source
	// Edges in any order; the order has no influence on any decision.
	Edges []Edge
	// Pools in any order. None means one pool, named DefaultName, of all edges.
	Pools []Pool
	// Default is the PID of clients that nothing else places. Zero is none.
	Default SourcePID
	// CDNID is the name by which this CDN's own requests are known in CDN-Loop
	// (RFC 8586). Empty means DefaultCDNID.
	CDNID string
}

// A Source is one provider's guidance. Costs are compared within a source
// only, never across.
type Source struct {
	Name string
	// Only is the space that the source may speak for: it is asked about
	// clients inside and ignored about others. Edges are placed by the whole
	// map. Empty is everywhere.
	Only []netip.Prefix
}

// Names that stand where the configuration gives none.
const (
	DefaultName  = "default" // a source, or the pool, without a name
	DefaultCDNID = "altoroute"
)

// A Router decides. It is safe for concurrent use: questions read one
// immutable plan, updates build a new one and swap it.
type Router struct {
	sources []source
	edges   []edge
	pools   []*pool
	byName  map[string]*pool
	def     SourcePID
	fills   cacheFills

	mu   sync.Mutex // held while a plan is built; never by a question
	plan atomic.Pointer[plan]
}

type source struct {
	Source
	only *bart.Lite // nil is everywhere
}

type edge struct {
	Edge
	seed   uint64
	weight uint64
}

// pool is a Pool made ready: its edges by index, in the order of their names.
type pool struct {
	Pool
	index int
	edges []int32
	bases []*url.URL // by the index of the edge; nil for edges of other pools
}

// New checks the configuration as a whole and returns a Router that has no
// guidance yet, which is not an error: it spreads all content over all edges.
// Errors name the source, edge or pool.
func New(cfg Config) (*Router, error) {
	r := &Router{byName: make(map[string]*pool)}
	if err := r.setSources(cfg.Sources); err != nil {
		return nil, err
	}
	if err := r.setEdges(cfg.Edges); err != nil {
		return nil, err
	}
	if err := r.setPools(cfg.Pools); err != nil {
		return nil, err
	}
	if !cfg.Default.IsZero() {
		def, err := r.Resolve(cfg.Default)
		if err != nil {
			return nil, fmt.Errorf("default PID: %w", err)
		}
		r.def = def
	}
	if cfg.CDNID != "" {
		if err := CheckCDNID(cfg.CDNID); err != nil {
			return nil, fmt.Errorf("cdn_id: %w", err)
		}
	}
	r.fills = newCacheFills(cfg.CDNID, r.edges, r.pools)
	r.plan.Store(&plan{router: r, guidance: make([]*guidance, len(r.sources))})
	return r, nil
}

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
		r.edges = append(r.edges, edge{Edge: e, seed: seed(e.Name), weight: uint64(max(e.Weight, 1))})
	}
	return nil
}

func (r *Router) setPools(pools []Pool) error {
	if len(pools) == 0 {
		pools = []Pool{{Name: DefaultName}}
	}
	for i, p := range pools {
		if err := p.Validate(); err != nil {
			return err
		}
		if _, ok := r.byName[p.Name]; ok {
			return fmt.Errorf("pool %s is defined twice", p.Name)
		}
		made := &pool{Pool: p, index: i, bases: make([]*url.URL, len(r.edges))}
		for _, name := range p.Edges {
			e, ok := slices.BinarySearchFunc(r.edges, name, func(e edge, name string) int { return strings.Compare(e.Name, name) })
			if !ok {
				return fmt.Errorf("pool %s: there is no edge %s", p.Name, name)
			}
			made.edges = append(made.edges, int32(e)) //nolint:gosec // far fewer edges
		}
		slices.Sort(made.edges)
		if len(p.Edges) == 0 {
			for e := range r.edges {
				made.edges = append(made.edges, int32(e))
			}
		}
		for _, e := range made.edges {
			made.bases[e] = r.edges[e].URL
			if p.URL != "" {
				base, err := ParsePoolURL(p.URL, r.edges[e].Name)
				if err != nil {
					return fmt.Errorf("pool %s, edge %s: %w", p.Name, r.edges[e].Name, err)
				}
				made.bases[e] = base
				if len(made.edges) > 1 && !strings.Contains(p.URL, "{edge}") {
					return fmt.Errorf("pool %s: URL %q is the same for all its edges: put {edge} where the edge's name belongs", p.Name, p.URL)
				}
			}
		}
		r.pools = append(r.pools, made)
		r.byName[p.Name] = made
	}
	return nil
}

// Resolve gives a bare PID the name of the only source there is. It fails when
// the source is not configured, or not named where there are several.
func (r *Router) Resolve(p SourcePID) (SourcePID, error) {
	if p.Source == "" {
		if len(r.sources) != 1 {
			return p, fmt.Errorf("PID %s names no source: with %d sources write source/%s", p, len(r.sources), p.PID)
		}
		p.Source = r.sources[0].Name
	}
	if r.source(p.Source) < 0 {
		return p, fmt.Errorf("PID %s: %w", p, ErrNoSuchSource)
	}
	return p, nil
}

func (r *Router) source(name string) int {
	return slices.IndexFunc(r.sources, func(s source) bool { return s.Name == name })
}

// Pools returns the names of the pools, sorted.
func (r *Router) Pools() []string { return slices.Sorted(maps.Keys(r.byName)) }

// pool returns a pool by name; with no name, the only one.
func (r *Router) pool(name string) (*pool, error) {
	if p, ok := r.byName[name]; ok {
		return p, nil
	}
	if name == "" && len(r.pools) == 1 {
		return r.pools[0], nil
	}
	if name == "" {
		return nil, fmt.Errorf("%w is named; the pools are %s", ErrNoSuchPool, strings.Join(r.Pools(), ", "))
	}
	return nil, fmt.Errorf("%w %q; the pools are %s", ErrNoSuchPool, name, strings.Join(r.Pools(), ", "))
}

// PoolName returns the name of the pool that Route would use: the one named, or
// the only one where the name is empty. The error wraps ErrNoSuchPool.
func (r *Router) PoolName(name string) (string, error) {
	p, err := r.pool(name)
	if err != nil {
		return "", err
	}
	return p.Name, nil
}

// EdgeURL returns where a pool sends the clients of an edge: the pool's URL, or
// the edge's own. It is nil for an edge or a pool that there is not.
func (r *Router) EdgeURL(pool string, e *Edge) *url.URL {
	p, err := r.pool(pool)
	if err != nil {
		return nil
	}
	for i := range r.edges {
		if &r.edges[i].Edge == e {
			return p.bases[i]
		}
	}
	return nil
}

// Edges returns the edges of a pool, by name, sorted. They are the ones that
// Decision.Edge points to.
func (r *Router) Edges(pool string) []*Edge {
	p, err := r.pool(pool)
	if err != nil {
		return nil
	}
	edges := make([]*Edge, len(p.edges))
	for i, e := range p.edges {
		edges[i] = &r.edges[e].Edge
	}
	return edges
}

// PID returns the PID in which a source's guidance in force places an edge, or
// "" where it does not.
func (r *Router) PID(e *Edge, source string) string {
	m := r.Maps(source)
	if m == nil {
		return ""
	}
	if pid := e.locate(source, m.Network); pid != noPID {
		return m.Network.names[pid]
	}
	return ""
}

// ErrNoSuchPool is returned for the name of a pool that is not configured.
var ErrNoSuchPool = errors.New("no pool")

// Rows returns the PIDs of a source whose rows of costs the edges need, as
// placed by the given network map: what to read of a cost map. Sorted.
func (r *Router) Rows(source string, m *NetworkMap) []string {
	rows := make(map[string]bool)
	for i := range r.edges {
		if pid := r.edges[i].locate(source, m); pid != noPID {
			rows[m.names[pid]] = true
		}
	}
	return slices.Sorted(maps.Keys(rows))
}

// UnknownPIDs returns an error for each edge, and the default PID, that names
// a PID which this network map of its source does not define. It has no
// costs then. A PID without addresses is known.
func (r *Router) UnknownPIDs(source string, m *NetworkMap) []error {
	var errs []error
	check := func(who string, p SourcePID) {
		if p.Source == source && !m.Has(p.PID) {
			errs = append(errs, fmt.Errorf("%s: source %s has no PID %q in network map %s: name one that it has", who, source, p.PID, m.Tag()))
		}
	}
	for i := range r.edges {
		for _, p := range r.edges[i].PIDs {
			check("edge "+r.edges[i].Name, p)
		}
	}
	check("default_pid", r.def)
	return errs
}

// Unguided returns an error for each edge that is meant to lie in a source's
// network and has no cost there: its address is in no PID, or there is no cost
// from its PID. It ranks after all others. That a PID is unknown is for
// UnknownPIDs.
func (r *Router) Unguided(source string, m *Maps) []error {
	var errs []error
	costs := m.Costs[0]
	for i := range r.edges {
		e := &r.edges[i]
		switch pid := e.locate(source, m.Network); {
		case pid != noPID && !slices.ContainsFunc(costs.rows[pid], func(c float64) bool { return !math.IsNaN(c) }):
			errs = append(errs, fmt.Errorf("edge %s: the cost map of source %s has no cost from its PID %q", e.Name, source, m.Network.names[pid]))
		case pid == noPID && len(e.Addrs) > 0 && !slices.ContainsFunc(e.PIDs, func(p SourcePID) bool { return p.Source == source }):
			errs = append(errs, fmt.Errorf("edge %s: no prefix of source %s covers its address %s", e.Name, source, e.Addrs[0]))
		}
	}
	return errs
}

// Update puts a source's new guidance in force: it builds the plan beside the
// one in use and swaps it in. Nil maps take the source's guidance away. On an
// error the plan stays as it was.
func (r *Router) Update(source string, m *Maps) error {
	at := r.source(source)
	if at < 0 {
		return fmt.Errorf("%w: %q", ErrNoSuchSource, source)
	}
	if m != nil {
		if m.Network == nil || len(m.Costs) == 0 {
			return fmt.Errorf("source %s: a set of maps needs a network map and a cost map", source)
		}
		for _, c := range m.Costs {
			if !c.Of(m.Network) {
				return fmt.Errorf("source %s: a cost map was built for another network map", source)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.plan.Load()
	next := &plan{router: r, guidance: slices.Clone(old.guidance), locator: old.locator}
	next.guidance[at] = nil
	if m != nil {
		next.guidance[at] = newGuidance(r, &r.sources[at], m)
	}
	r.plan.Store(next)
	return nil
}

// SetLocator puts a Locator in force for clients that no prefix covers. Nil
// means none.
func (r *Router) SetLocator(l Locator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.plan.Load()
	next.locator = l
	r.plan.Store(&next)
}

// Maps returns the guidance in force for a source, or nil.
func (r *Router) Maps(source string) *Maps {
	if at := r.source(source); at >= 0 {
		if g := r.plan.Load().guidance[at]; g != nil {
			return g.maps
		}
	}
	return nil
}

// Guided reports whether a pool has guidance: some edge of it has a defined
// cost to some PID. The name is as in Query.Pool.
func (r *Router) Guided(name string) bool {
	p, err := r.pool(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(r.plan.Load().guidance, func(g *guidance) bool {
		return g != nil && g.rankings[p.index].guides()
	})
}
