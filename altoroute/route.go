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
	// Host is the host of the request without a port. Only Class asks for it.
	Host string
	// CDNLoop holds the values of the CDN-Loop header (RFC 8586).
	CDNLoop []string
	// Failed names edges that the client says it could not reach. They come
	// after all others.
	Failed []string
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
	// Cost is from the edge's PID to the client's; NaN when undefined or, with a
	// pin or guidance turned off, not looked at.
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

	base   *url.URL
	client netip.Addr
	key    uint64   // of the content
	kind   kind     // of the request
	pool   int      // the index of Pool
	falls  int32    // the edge to which the content falls by cost alone
	edge   int32    // the index of Edge, -1 where there is none
	slot   int32    // of the guidance in the plan, -1 where there is none
	pid    pidIndex // of PID, with slot

	division *division // of what by cost alone falls to one edge, nil where that has all of it
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
	Overflow        Reason = "overflow"         // cheaper edges have not the capacity for all of the PID's content
	UndefinedCost   Reason = "undefined_cost"   // no eligible edge has a defined cost
	SamePID         Reason = "same_pid"         // no guidance, but the edge is in the client's PID
	NoGuidance      Reason = "no_guidance"      // no guidance: by content key only
	GuidanceOff     Reason = "guidance_off"     // the operator turned guidance off: by content key only
	Pinned          Reason = "pinned"           // the operator pinned the client to this edge
	ParentGroup     Reason = "parent"           // no edge of the groups before may serve
	Panic           Reason = "panic"            // every edge that may serve is down or full: health does not count
	NoEdge          Reason = "no_edge"          // no edge is eligible
	CacheFill       Reason = "cache_fill"       // the request comes from an edge: not to be redirected
)

// Route decides for one request. It reads one plan, waits for nothing and
// allocates nothing, except where the pool's content key has a Pattern or the
// Locator has not met the client. The error wraps ErrNoSuchPool.
func (r *Router) Route(q Query) (Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return Decision{}, err
	}
	p := r.plan.Load()
	d := p.decide(pool, &q, nil)
	if d.edge >= 0 {
		p.note(&d)
		r.sample.offer(pool, &q)
	}
	return d, nil
}

// note has the plan learn of a decision that is carried out.
func (p *plan) note(d *Decision) {
	if s := &p.states[d.edge]; s.noting {
		s.drain.note(d.key)
	}
	if m := p.pools[d.pool].meter; m != nil {
		m.count(d)
	}
	if p.trials != nil && d.slot >= 0 && d.client.IsValid() {
		if t := p.trials[d.reportKey()]; t != nil {
			t.sent.add(d.client)
		}
	}
}

// reportKey returns the key of what the PID's clients tell of the edge.
func (d *Decision) reportKey() loadKey { return loadKey{slot: d.slot, pid: d.pid}.at(d.edge) }

// decide is the one decision. Explain has the candidates listed.
func (p *plan) decide(pool *pool, q *Query, seen *[]candidate) Decision {
	q.Client = plain(q.Client)
	if p.router.fills.has(q.Client, q.CDNLoop) {
		return pool.undecided(CacheFill)
	}
	return p.choose(pool, q, seen)
}

// undecided returns a decision without an edge that nobody has looked for.
func (p *pool) undecided(why Reason) Decision {
	return Decision{Pool: p.Name, Reason: why, How: Unplaced, Cost: math.NaN(), pool: p.index, edge: -1, slot: -1}
}

// choose is the decision for who is no cache fill. The client's address must be
// plain.
func (p *plan) choose(pool *pool, q *Query, seen *[]candidate) Decision {
	c := contest{plan: p, pool: pool, query: *q, seen: seen, winner: -1}
	c.key = pool.Key.Sum(q.Path, q.RawQuery)
	c.bidKey = c.key
	settings := &p.pools[pool.index]
	at := spot{how: Unplaced}
	if !settings.guidanceOff {
		at = p.place(p.guiding(c.key), pool, q.Client)
	}
	c.at, c.place = at, at.place
	if settings.needsPlace && c.place == nil && p.locator != nil && q.Client.IsValid() {
		c.place = p.locator.Locate(q.Client)
	}
	c.pinned = settings.pins.edge(q.Client, c.place)
	if settings.hot[c.key] && q.Client.IsValid() {
		c.bidKey = scatter(c.key, q.Client)
	}
	c.kind = kindOf(q.Client, q.HTTPS)
	if settings.meter != nil {
		c.kind |= pool.outside(q, c.place)
	}
	c.run()
	c.falls = c.winner
	if settings.spreading != nil && c.winner >= 0 && c.reason != Pinned {
		c.overflow(settings.spreading[at.key(c.winner, c.kind)])
	}
	return c.decision()
}
