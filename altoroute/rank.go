// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
)

// Rank returns the edges in the order in which a client would get them: the
// decision that Route takes, then the one that it would take if that edge were
// not there, and so on, all on one plan. No edge is in it twice, and none that
// may not serve the request, nor one that checks say is down except as the
// first. It has at most as many decisions as asked for, 0 meaning all, and none
// where Route has no edge to name. The time that it takes grows with the square
// of their number, so that who needs only a few should ask for a few.
//
// Nothing is counted: that somebody goes to an edge is only for Route to note.
// The error wraps ErrNoSuchPool.
func (r *Router) Rank(q Query, most int) ([]Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return nil, err
	}
	return r.plan.Load().rank(clients, pool, q, most), nil
}

// Relay ranks like Rank for whoever asks the edges itself, so that no client is
// sent anywhere. Edges that checks say are down come last. A cache fill is not
// turned away then: an edge may well fetch from its parents like this. It gets
// no edge that it has been at, as far as its CDN-Loop header (RFC 8586) and the
// client's address tell, and none at all once it has been at maxHops edges: it
// goes round in a ring. The error wraps ErrNoSuchPool.
func (r *Router) Relay(q Query, most int) ([]Decision, error) { return r.relay(q, most, nil) }

func (r *Router) relay(q Query, most int, among func(*Edge) bool) ([]Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return nil, err
	}
	p := *r.plan.Load()
	q.Client = plain(q.Client)
	been, hops := r.fills.been(q.Client, q.CDNLoop)
	if hops >= maxHops {
		return nil, nil
	}
	for _, e := range been {
		p.take(e)
	}
	for _, e := range pool.edges {
		if among != nil && !among(&r.edges[e].Edge) {
			p.take(e)
		}
	}
	return p.rank(proxy, pool, q, most), nil
}

// RelayFirst returns the first of Relay, as if there were no other edges than those
// among which it is to be, or a Decision that says that there is none. Nil is among all.
func (r *Router) RelayFirst(q Query, among func(*Edge) bool) (Decision, error) {
	ranked, err := r.relay(q, 1, among)
	if err != nil {
		return Decision{}, err
	}
	if len(ranked) == 0 {
		pool, _ := r.pool(q.Pool) // Relay has found it
		return pool.undecided(NoEdge), nil
	}
	return ranked[0], nil
}

// maxHops is more edges than ever stand one behind the other.
const maxHops = 8

// audience is whom a rank is for.
type audience uint8

const (
	clients audience = iota
	proxy
)

// rank ranks the edges but those that have already been taken.
func (p *plan) rank(to audience, pool *pool, q Query, most int) []Decision {
	if most <= 0 || most > len(pool.edges) {
		most = len(pool.edges)
	}
	decide := (*plan).decide
	if to == proxy {
		decide = (*plan).choose
	}
	rest := *p
	var ranked []Decision
	for {
		d := decide(&rest, pool, &q, nil)
		late := to == clients && d.Reason == Panic && len(ranked) > 0
		if d.edge < 0 || late && !d.overflowed() { // none that is up comes after it
			return ranked
		}
		if !late {
			ranked = append(ranked, d)
		}
		if len(ranked) == most {
			return ranked
		}
		rest.take(d.edge)
	}
}

// take takes an edge out of a plan that nobody else has.
func (p *plan) take(e int32) {
	if p.taken == nil {
		p.taken = make([]uint64, len(p.states)/64+1)
	}
	p.taken[e/64] |= 1 << (e % 64)
}

// isTaken reports whether an edge has been taken out.
func (p *plan) isTaken(e int32) bool { return len(p.taken) > 0 && p.taken[e/64]&(1<<(e%64)) != 0 }

// Locate returns the PID in which a pool sees a client, the zero SourcePID where it
// sees it in none. Where the pool is not named and there are several, they look
// together: the first rung counts whose PID has a defined cost from some edge of
// any. That guidance is turned off moves nobody, and guidance that comes in by
// Introduce does not count before it is in force. The error wraps ErrNoSuchPool.
func (r *Router) Locate(name string, client netip.Addr) (SourcePID, error) {
	all := &pool{}
	if name == "" {
		for _, p := range r.pools {
			all.tiers = append(all.tiers, p.tiers...)
		}
	} else {
		var err error
		if all, err = r.pool(name); err != nil {
			return SourcePID{}, err
		}
	}
	p := r.plan.Load()
	at := p.place(p.inForce(), all, plain(client))
	if at.guidance == nil {
		return SourcePID{}, nil
	}
	return SourcePID{at.guidance.source.Name, at.guidance.maps.Network.names[at.pid]}, nil
}
