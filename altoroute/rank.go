// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
	"slices"
)

// Rank returns the edges in the order in which a client would get them: the
// decision that Route takes, then the one that it would take if that edge were
// not there, and so on, all on one plan. No edge is in it twice, and none that
// may not serve the request. It has at most as many decisions as asked for, 0
// meaning all, and none where Route has no edge to name. The time that it takes
// grows with the square of their number, so that who needs only a few should
// ask for a few.
//
// Nothing is counted: that somebody goes to an edge is only for Route to note.
// The error wraps ErrNoSuchPool.
func (r *Router) Rank(q Query, most int) ([]Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return nil, err
	}
	return r.plan.Load().rank((*plan).decide, pool, q, most, nil), nil
}

// Relay ranks like Rank for whoever asks the edges itself, so that no client is
// sent anywhere. A cache fill is not turned away then: an edge may well fetch
// from its parents like this. It gets no edge that it has been at, as far as its
// CDN-Loop header (RFC 8586) and the client's address tell, and none at all once
// it has been at maxHops edges: it goes round in a ring. The error wraps
// ErrNoSuchPool.
func (r *Router) Relay(q Query, most int) ([]Decision, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return nil, err
	}
	p := r.plan.Load()
	q.Client = plain(q.Client)
	if !r.fills.has(q.Client, q.CDNLoop) {
		return p.rank((*plan).choose, pool, q, most, nil), nil
	}
	if r.fills.hops(q.CDNLoop) >= maxHops {
		return nil, nil
	}
	var been []int32
	for _, e := range pool.edges {
		if r.cameFrom(pool, e, &q) {
			been = append(been, e)
		}
	}
	return p.rank((*plan).choose, pool, q, most, been), nil
}

// RelayFirst returns the first of Relay, or a Decision that says that there is
// none.
func (r *Router) RelayFirst(q Query) (Decision, error) {
	ranked, err := r.Relay(q, 1)
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

// rank ranks the edges but those that have already been taken, by a way to
// decide.
func (p *plan) rank(decide func(*plan, *pool, *Query, *[]candidate) Decision, pool *pool, q Query, most int, taken []int32) []Decision {
	if most <= 0 || most > len(pool.edges) {
		most = len(pool.edges)
	}
	// Who has been taken is as one that the operator has taken out.
	rest := *p
	if most > 1 || len(taken) > 0 {
		rest.states = slices.Clone(p.states)
	}
	for _, e := range taken {
		rest.states[e] = edgeState{mode: Disabled}
	}
	var ranked []Decision
	for {
		d := decide(&rest, pool, &q, nil)
		if d.edge < 0 {
			return ranked
		}
		if ranked = append(ranked, d); len(ranked) == most {
			return ranked
		}
		rest.states[d.edge] = edgeState{mode: Disabled}
	}
}

// cameFrom reports whether a cache fill has been at an edge of a pool.
func (r *Router) cameFrom(pool *pool, e int32, q *Query) bool {
	edge := &r.edges[e]
	f := cacheFills{addrs: make(map[netip.Addr]bool), ids: make(map[string]bool)}
	for _, a := range edge.Addrs {
		f.addrs[a] = true
	}
	f.addHost(edge.URL)
	f.addHost(pool.bases[e])
	return f.has(q.Client, q.CDNLoop)
}

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
