// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// Ramp is how long an edge that was down takes to get all its content back.
	// Zero is no time.
	Ramp time.Duration
	// Routers is how many routers share the edges: each plans with its part of
	// their capacities. Zero is one.
	Routers int
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
	tiers   []*tier // of all pools
	def     SourcePID
	fills   cacheFills
	ramp    time.Duration
	routers float64

	ticking    sync.Mutex    // held by Tick
	mu         sync.Mutex    // held while a plan is built; never by a question
	conditions conditions    // guarded by mu
	spreadTook time.Duration // the last division; guarded by mu
	spreads    int           // how often changes have made a division; guarded by mu
	plan       atomic.Pointer[plan]

	sample sample
}

type source struct {
	Source
	only *bart.Lite // nil is everywhere
}

type edge struct {
	Edge
	seed    uint64
	weight  uint64
	limited bool // Serves is not everything
}

// pool is a Pool made ready: its edges by index, in the order of their names.
type pool struct {
	Pool
	index      int
	edges      []int32 // of all tiers
	tiers      []*tier
	bases      []*url.URL // by the index of the edge; nil for edges of other pools
	limited    bool       // Serves is not everything
	classes    []*Class   // of edges that do not serve everything
	classOf    []kind     // by the index of the edge, 0 where it serves everything
	panicShare float64
}

// A tier is the edges of a pool that come into question together: those of the
// pool, then each group of its parents. Pools with the same edges share it.
type tier struct {
	index int // among all tiers of all pools
	edges []int32
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
	if cfg.Ramp < 0 {
		return nil, fmt.Errorf("ramp %s is negative", cfg.Ramp)
	}
	if cfg.Routers < 0 {
		return nil, fmt.Errorf("routers %d: write how many share the edges, 1 or more", cfg.Routers)
	}
	r.ramp, r.routers = cfg.Ramp, float64(max(cfg.Routers, 1))
	r.conditions = newConditions(len(r.edges), len(r.pools))
	for _, p := range r.pools {
		r.setPool(&r.conditions, p, PoolSetting{})
	}
	first := &plan{router: r, guidance: make([]*guidance, 2*len(r.sources)), ramps: make([]ramping, len(r.sources))}
	r.condition(first, nil)
	r.plan.Store(first)
	return r, nil
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
	i, ok := r.edge(e.Name)
	if !ok {
		return nil
	}
	return p.bases[i]
}

// AllEdges returns the edges of all pools, by name, sorted.
func (r *Router) AllEdges() []*Edge {
	edges := make([]*Edge, len(r.edges))
	for i := range r.edges {
		edges[i] = &r.edges[i].Edge
	}
	return edges
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

// Errors are wrapped around these where a name is not configured.
var (
	ErrNoSuchSource = errors.New("no such source")
	ErrNoSuchEdge   = errors.New("there is no edge")
	ErrNoSuchPool   = errors.New("no pool")
)

// Update puts a source's new guidance in force: it builds the plan beside the
// one in use and swaps it in. Nil maps take the source's guidance away. What was
// coming in by Introduce is dropped. On an error the plan stays as it was.
func (r *Router) Update(source string, m *Maps) error {
	return r.Introduce(source, m, Ramp{}, time.Time{})
}

// check checks a set of maps, or nil, and returns the index of the source.
func (r *Router) check(source string, m *Maps) (at int, err error) {
	if at = r.source(source); at < 0 {
		return at, fmt.Errorf("%w: %q", ErrNoSuchSource, source)
	}
	if m == nil {
		return at, nil
	}
	if m.Network == nil || len(m.Costs) == 0 {
		return at, fmt.Errorf("source %s: a set of maps needs a network map and a cost map", source)
	}
	for _, c := range m.Costs {
		if !c.Of(m.Network) {
			return at, fmt.Errorf("source %s: a cost map was built for another network map", source)
		}
	}
	return at, nil
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

// Maps returns the guidance in force for a source, or nil. What comes in by
// Introduce is not in force before all content has it.
func (r *Router) Maps(source string) *Maps {
	if at := r.source(source); at >= 0 {
		if g := r.plan.Load().guidance[at]; g != nil {
			return g.maps
		}
	}
	return nil
}

// Beyond returns how many prefixes of a source's guidance in force are ignored because
// they are wholly outside of the space that it may speak for.
func (r *Router) Beyond(source string) int {
	if at := r.source(source); at >= 0 {
		if g := r.plan.Load().guidance[at]; g != nil {
			return g.beyond
		}
	}
	return 0
}

// Guided reports whether a pool has guidance: some edge of it has a defined
// cost to some PID. The name is as in Query.Pool.
func (r *Router) Guided(name string) bool {
	p, err := r.pool(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(r.plan.Load().inForce(), func(g *guidance) bool {
		return g != nil && slices.ContainsFunc(p.tiers, func(t *tier) bool { return g.rankings[t.index].guides() })
	})
}
