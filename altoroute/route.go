// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"net/netip"
	"net/url"
)

// A Query is what a request tells of itself.
type Query struct {
	// Pool is the name of a pool. It may be empty where there is only one.
	Pool string
	// Client is the client's address. The zero Addr is a client without one,
	// such as a unix socket, which no prefix covers.
	Client netip.Addr
	// Path (decoded) and RawQuery of the request's URL are what the content
	// key is made from.
	Path, RawQuery string
	// HTTPS says that the client came by https. It is then never sent to http.
	HTTPS bool
	// CDNLoop holds the values of the CDN-Loop header (RFC 8586).
	CDNLoop []string
}

// A Decision says where a client is sent and why. It holds views of the plan,
// which are not to be changed.
type Decision struct {
	// Pool is the name of the pool.
	Pool string
	// Edge is the edge chosen; nil when there is none (see Reason).
	Edge *Edge
	// Reason says why this edge, or why none.
	Reason Reason
	// Cost is from the edge's PID to the client's; NaN when undefined.
	Cost float64

	// How the client was placed.
	How Placement
	// Source and PID are where the client was placed. With Unplaced they are
	// the first PID found, or empty.
	Source, PID string
	// Prefix is by which Source placed the client in PID, as far as a prefix
	// did; else it is the zero Prefix.
	Prefix netip.Prefix
	// Place is what the Locator knew, when it was asked and answered.
	Place *Place
	// Maps is the source's guidance that decided; nil where Source is empty.
	Maps *Maps

	base *url.URL
}

// Placement is the rung of the ladder that placed a client.
type Placement uint8

// The rungs, in the order in which they are tried. The first whose PID has a
// defined cost from some edge of the pool decides.
const (
	ByPrefix   Placement = iota // the longest matching prefix of a source
	ByGeo                       // a place known to the Locator
	ByCatchAll                  // 0.0.0.0/0 or ::/0
	ByDefault                   // Config.Default
	Unplaced                    // no rung has a cost
)

// Placements are all placements, by their value.
var Placements = [...]string{"prefix", "geo", "catch_all", "default", "none"} //nolint:gochecknoglobals // a table

// String returns the placement's name in logs, metrics and explanations.
func (p Placement) String() string { return Placements[p] }

// Reason says in a word why a decision is what it is.
type Reason string

// The reasons.
const (
	Cheapest        Reason = "cheapest"         // the least cost in the pool
	WithinTolerance Reason = "within_tolerance" // a little dearer, which the pool's tolerance allows
	NextCheapest    Reason = "next_cheapest"    // the least cost among the edges that are eligible
	UndefinedCost   Reason = "undefined_cost"   // no eligible edge has a defined cost
	SamePID         Reason = "same_pid"         // no guidance, but the edge is in the client's PID
	NoGuidance      Reason = "no_guidance"      // no guidance: by content key only
	NoEdge          Reason = "no_edge"          // no edge is eligible
	CacheFill       Reason = "cache_fill"       // the request comes from an edge: not to be redirected
)

// Route decides for one request. It reads one plan, waits for nothing and
// allocates nothing, except where the pool's content key has a Pattern or the
// Locator has not met the client. The error is ErrNoSuchPool.
func (r *Router) Route(q Query) (Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return Decision{}, err
	}
	return r.plan.Load().decide(pool, &q, nil), nil
}

// decide is the one decision. Explain sees each candidate pass by.
func (p *plan) decide(pool *pool, q *Query, see func(candidate)) Decision {
	q.Client = q.Client.Unmap().WithZone("")
	if p.router.fills.has(q.Client, q.CDNLoop) {
		return Decision{Pool: pool.Name, Reason: CacheFill, How: Unplaced, Cost: math.NaN()}
	}
	at := p.place(pool, q.Client)
	c := contest{pool: pool, edges: p.router.edges, client: q.Client, https: q.HTTPS, see: see, winner: -1}
	c.key = pool.Key.Sum(q.Path, q.RawQuery)
	if at.how == Unplaced {
		c.unguided(at)
	} else {
		c.guided(at)
	}
	return c.decision(at)
}

// contest is the choice among the edges of a pool: who is eligible, whose cost
// is within the band of the least, whose bid for the content key wins.
type contest struct {
	pool   *pool
	edges  []edge
	client netip.Addr
	https  bool
	key    uint64
	see    func(candidate) // nil on the request path

	winner int32 // -1 as long as nobody was eligible
	bid    bid
	cost   float64
	reason Reason
}

// A candidate is what passed through a contest.
type candidate struct {
	edge   int32
	pid    pidIndex
	cost   float64
	bid    bid
	fault  string // why the edge is not eligible; empty when it is
	inBand bool   // the edge took part in the bidding
}

// guided holds the contest among the groups in the order of their cost.
func (c *contest) guided(at spot) {
	r := at.guidance.rankings[c.pool.index]
	order := r.of(at.pid)
	limit, open := math.NaN(), true
	for _, i := range order {
		g := &r.groups[i]
		cost := g.cost(at.pid)
		if c.winner >= 0 && r.info.better(limit, cost) {
			if open = false; c.see == nil {
				break
			}
		}
		first := c.winner < 0
		for _, e := range g.edges {
			c.enter(e, g.pid, cost, open)
		}
		if first && c.winner >= 0 {
			limit = r.info.limit(cost, c.pool.Tolerance)
		}
	}
	if c.winner < 0 {
		return
	}
	least := r.groups[order[0]].cost(at.pid)
	switch {
	case math.IsNaN(c.cost):
		c.reason = UndefinedCost
	case !r.info.better(least, c.cost):
		c.reason = Cheapest
	case r.info.better(r.info.limit(least, c.pool.Tolerance), c.cost):
		c.reason = NextCheapest
	default:
		c.reason = WithinTolerance
	}
}

// unguided holds the contest where no rung has a cost: first among the edges
// in the first PID found, else among all.
func (c *contest) unguided(at spot) {
	elsewhere := func(int32) bool { return true }
	if at.guidance != nil {
		pids := at.guidance.pids
		elsewhere = func(e int32) bool { return pids[e] != at.pid }
		for _, e := range c.pool.edges {
			if !elsewhere(e) {
				c.enter(e, pids[e], math.NaN(), true)
			}
		}
	}
	c.reason = SamePID
	open := c.winner < 0
	if open {
		c.reason = NoGuidance
	} else if c.see == nil {
		return
	}
	for _, e := range c.pool.edges {
		if elsewhere(e) {
			pid := noPID
			if at.guidance != nil {
				pid = at.guidance.pids[e]
			}
			c.enter(e, pid, math.NaN(), open)
		}
	}
}

// enter lets an edge bid if it is eligible and the band is still open.
func (c *contest) enter(e int32, pid pidIndex, cost float64, open bool) {
	edge := &c.edges[e]
	fault := c.fault(e)
	if !open && c.see == nil {
		return
	}
	b := bid{draw: draw(c.key, edge.seed), weight: edge.weight}
	if c.see != nil {
		c.see(candidate{edge: e, pid: pid, cost: cost, bid: b, fault: fault, inBand: open && fault == ""})
	}
	if !open || fault != "" {
		return
	}
	// Of two equal bids the one whose name comes first wins: indices go by name.
	if c.winner < 0 || b.beats(c.bid) || !c.bid.beats(b) && e < c.winner {
		c.winner, c.bid, c.cost = e, b, cost
	}
}

// fault returns why an edge may not serve the request; empty when it may.
func (c *contest) fault(e int32) string {
	switch {
	case c.https && c.pool.bases[e].Scheme == "http":
		return "the client came by https and must not be sent to http"
	case !c.edges[e].Family.serves(c.client):
		return "the edge serves the other address family"
	}
	return ""
}

// decision sums the contest up.
func (c *contest) decision(at spot) Decision {
	d := Decision{Pool: c.pool.Name, Reason: NoEdge, Cost: math.NaN(), How: at.how, Place: at.place}
	if at.guidance != nil {
		d.Maps = at.guidance.maps
		d.Source = at.guidance.source.Name
		d.PID = d.Maps.Network.names[at.pid]
		if at.byPrefix {
			d.Prefix, _ = c.client.Prefix(at.bits)
		}
	}
	if c.winner >= 0 {
		d.Edge = &c.edges[c.winner].Edge
		d.base = c.pool.bases[c.winner]
		d.Cost, d.Reason = c.cost, c.reason
	}
	return d
}
