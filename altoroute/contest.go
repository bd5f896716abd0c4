// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"net/netip"
	"slices"
)

// contest is the choice among the edges of a pool: who is eligible, whose cost
// is within the band of the least, whose bid for the content key wins.
type contest struct {
	plan   *plan
	pool   *pool
	query  Query
	at     spot         // where the client is
	place  *Place       // of the client, nil where it is not known or nobody asks
	pinned int32        // the edge to which the client is pinned, -1 for none
	key    uint64       // of the content
	kind   kind         // of the request, its classes only where somebody measures
	bidKey uint64       // the same, or that of a part of the clients where it is hot
	seen   *[]candidate // nil on the request path

	overlooked fault     // and all that are less severe
	falls      int32     // the winner by cost alone
	winner     int32     // -1 as long as nobody was eligible
	division   *division // of what falls to the winner by cost, nil where it is whole
	bid        bid
	cost       float64
	reason     Reason
}

// A fault is what speaks against an edge. They are in the order of their
// severity: a contest that nobody may win is held again with the least severe
// ones overlooked.
type fault uint8

const (
	noFault fault = iota

	// Others are better.
	unknownTo // it drains, and the content is new to it
	givenUp   // it drains, and has given the content up
	notBack   // it came back a moment ago, and does not have the content yet
	shut      // it says that it can serve nothing

	// The client cannot reach it.
	demoted   // many clients in its PID say so
	unreached // it says so itself

	// Checks say so.
	isDown

	// It must not serve this request, whatever happens.
	toHTTP
	otherFamily
	takenOut
	notOfPool
	notOfEdge
)

// How far a contest may go in overlooking faults.
const (
	nothingOverlooked = noFault
	passingOverlooked = shut
	reportsOverlooked = unreached
	healthOverlooked  = isDown
)

// A candidate is what passed through a contest.
type candidate struct {
	edge   int32
	tier   int32
	pid    pidIndex
	cost   float64
	bid    bid
	fault  fault
	inBand bool // the edge took part in the bidding
}

// run holds the contest, first among the edges that nothing speaks against,
// tier by tier. An edge that is a little worse is better than none.
func (c *contest) run() {
	for _, c.overlooked = range [...]fault{nothingOverlooked, passingOverlooked, reportsOverlooked, healthOverlooked} {
		if c.overlooked == healthOverlooked && c.pool.panicShare < 0 {
			return
		}
		c.round()
		if c.winner < 0 {
			continue
		}
		if c.overlooked == healthOverlooked {
			c.reason = Panic
		}
		return
	}
}

// round holds the contest once.
func (c *contest) round() {
	if c.seen != nil {
		*c.seen = (*c.seen)[:0]
	}
	if c.pinned >= 0 && c.fault(c.pinned) <= c.overlooked {
		c.win(c.pinned)
	}
	for i, t := range c.pool.tiers {
		if c.winner >= 0 && c.seen == nil {
			return
		}
		c.tier(int32(i), t)
	}
}

// overflow gives the content to another edge where the winner has not the
// capacity for all that falls to it, and this is not within its share. Of an
// edge that may not serve this request, the part goes to the next one's.
func (c *contest) overflow(d *division) {
	if d == nil {
		return
	}
	c.division = d
	first := d.at(divisionDraw(c.bidKey))
	for i := range d.parts {
		e := d.parts[(first+i)%len(d.parts)].edge
		if e == c.winner {
			return
		}
		// An edge with a limit comes back by its capacity here, not by content.
		switch fault := c.fault(e); {
		case fault == noFault, fault == notBack, fault == isDown && c.plan.pools[c.pool.index].inPanic(c.query.Client):
			c.winner, c.cost, c.reason = e, c.at.cost(e), Overflow
			if fault == isDown {
				c.reason = Panic
			}
			return
		}
	}
}

// win gives the contest to a pinned edge.
func (c *contest) win(e int32) {
	c.winner, c.cost, c.reason = e, c.at.cost(e), Pinned
}

// tier holds the contest among the edges of one tier.
func (c *contest) tier(i int32, t *tier) {
	at := &c.at
	open := c.winner < 0
	if at.how != Unplaced && at.guidance.rankings[t.index].defined(at.pid) {
		c.guided(i, at.guidance.rankings[t.index], open)
	} else {
		c.byKeyOnly(i, t, open)
	}
	if open && i > 0 && c.winner >= 0 {
		c.reason = ParentGroup
	}
}

// guided holds the contest among the groups in the order of their cost.
func (c *contest) guided(tier int32, r *ranking, open bool) {
	order := r.of(c.at.pid)
	limit := math.NaN()
	for _, i := range order {
		g := &r.groups[i]
		cost := g.cost(c.at.pid)
		if c.winner >= 0 && r.info.better(limit, cost) {
			if open = false; c.seen == nil {
				break
			}
		}
		first := c.winner < 0
		for _, e := range g.edges {
			c.enter(tier, e, g.pid, cost, open)
		}
		if first && c.winner >= 0 {
			limit = r.info.limit(cost, c.pool.Tolerance)
		}
	}
	if c.winner >= 0 && c.reason == "" {
		c.reason = c.reasonOf(r, r.groups[order[0]].cost(c.at.pid))
	}
}

// reasonOf tells the winner from the edges that would have been cheaper.
func (c *contest) reasonOf(r *ranking, least float64) Reason {
	switch {
	case math.IsNaN(c.cost):
		return UndefinedCost
	case !r.info.better(least, c.cost):
		return Cheapest
	case r.info.better(r.info.limit(least, c.pool.Tolerance), c.cost):
		return NextCheapest
	}
	return WithinTolerance
}

// byKeyOnly holds the contest where no cost is defined: first among the edges in
// the first PID found, else among all of the tier.
func (c *contest) byKeyOnly(tier int32, t *tier, open bool) {
	for _, part := range [...]struct {
		near   bool
		reason Reason
	}{{true, SamePID}, {false, c.reasonWithoutCost()}} {
		for _, e := range t.edges {
			if c.at.near(e) == part.near {
				c.enter(tier, e, c.at.edgePID(e), math.NaN(), open)
			}
		}
		if c.winner < 0 {
			continue
		}
		if open = false; c.reason == "" {
			c.reason = part.reason
		}
		if c.seen == nil {
			return
		}
	}
}

// reasonWithoutCost tells why no cost decides among edges that are not near.
func (c *contest) reasonWithoutCost() Reason {
	switch {
	case c.at.how != Unplaced:
		return UndefinedCost
	case c.plan.pools[c.pool.index].guidanceOff:
		return GuidanceOff
	}
	return NoGuidance
}

// enter lets an edge bid if it is eligible and the band is still open.
func (c *contest) enter(tier, e int32, pid pidIndex, cost float64, open bool) {
	if !open && c.seen == nil {
		return
	}
	edge := &c.plan.router.edges[e]
	fault := c.fault(e)
	eligible := fault <= c.overlooked
	b := bid{draw: draw(c.bidKey, edge.seed), weight: edge.weight}
	if c.seen != nil {
		*c.seen = append(*c.seen, candidate{edge: e, tier: tier, pid: pid, cost: cost, bid: b, fault: fault, inBand: open && eligible})
	}
	if !open || !eligible {
		return
	}
	c.take(e, b, cost)
}

// take has a bid win if it is the best so far. Of two equal bids the one whose
// name comes first wins: indices go by name.
func (c *contest) take(e int32, b bid, cost float64) {
	if c.winner < 0 || b.beats(c.bid) || !c.bid.beats(b) && e < c.winner {
		c.winner, c.bid, c.cost = e, b, cost
	}
}

// fault returns the worst of what speaks against an edge.
func (c *contest) fault(e int32) fault {
	edge, state, q := &c.plan.router.edges[e], &c.plan.states[e], &c.query
	switch {
	case c.plan.isTaken(e):
		return takenOut
	case c.pool.bases[e] == nil: // what was divided or pinned before may name it
		return notOfPool
	case q.HTTPS && c.pool.bases[e].Scheme == "http":
		return toHTTP
	case edge.Family != AnyFamily && !edge.Family.serves(q.Client):
		return otherFamily
	case c.pool.limited && c.pool.Serves.misfit(q, c.place) != "":
		return notOfPool
	case edge.limited && edge.Serves.misfit(q, c.place) != "":
		return notOfEdge
	case len(q.Failed) > 0 && slices.Contains(q.Failed, edge.Name):
		return max(unreached, state.fault(q.Client, c.key, edge.seed))
	case c.plan.demoted != nil && state.mode != ForcedUp && c.demoted(e):
		return max(demoted, state.fault(q.Client, c.key, edge.seed))
	case state.calm:
		return noFault
	}
	return state.fault(q.Client, c.key, edge.seed)
}

// demoted reports whether clients in the client's PID say that they cannot reach
// the edge.
func (c *contest) demoted(e int32) bool {
	if c.at.guidance == nil {
		return false
	}
	_, ok := c.plan.demoted[c.at.key(e, anyKind)]
	return ok
}

// fault returns what of the edge's condition speaks against it.
func (s *edgeState) fault(client netip.Addr, key, seed uint64) fault {
	switch {
	case s.gone():
		return takenOut
	case s.down(client):
		return isDown
	case s.shut():
		return shut
	case s.drain != nil && !s.noting && !s.drain.knows(key):
		return unknownTo
	case s.open == fullyOpen || draw(key^openSalt, seed) <= s.open:
		return noFault
	case s.drain != nil:
		return givenUp
	}
	return notBack
}

// openSalt makes the draws that open an edge by degrees independent of those
// by which it wins content.
const openSalt = 0x9e3779b97f4a7c15

// decision sums the contest up.
func (c *contest) decision() Decision {
	at := &c.at
	d := Decision{
		Pool: c.pool.Name, Reason: NoEdge, Cost: math.NaN(), How: at.how, Place: c.place,
		client: c.query.Client, key: c.key, kind: c.kind, pool: c.pool.index, falls: c.falls, edge: c.winner, slot: -1, division: c.division,
	}
	if at.guidance != nil {
		d.slot, d.pid = int32(at.guidance.slot), at.pid //nolint:gosec // a handful
		d.Maps = at.guidance.maps
		d.Source = at.guidance.source.Name
		d.PID = d.Maps.Network.names[at.pid]
		if at.byPrefix {
			d.Prefix, _ = c.query.Client.Prefix(at.bits)
		}
	}
	if c.winner >= 0 {
		d.Edge = &c.plan.router.edges[c.winner].Edge
		d.base = c.pool.bases[c.winner]
		d.Cost, d.Reason = c.cost, c.reason
	}
	return d
}
