// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Learn takes over what checks say of edges, by name; edges that the Router
// does not have are ignored. An edge that is no longer down gets its content
// back over Config.Ramp, counted from now.
func (r *Router) Learn(of map[string]Condition, now time.Time) {
	r.change(now, func(c *conditions) {
		for name, is := range of {
			if e, ok := r.edge(name); ok {
				c.edges[e].learn(is, now)
			}
		}
	})
}

// Set puts what an operator has set by hand in force for an edge. The zero
// Setting leaves the edge to its checks. The error wraps ErrNoSuchEdge.
func (r *Router) Set(edge string, s Setting, now time.Time) error {
	e, ok := r.edge(edge)
	if !ok {
		return fmt.Errorf("%w %s", ErrNoSuchEdge, edge)
	}
	r.change(now, func(c *conditions) { c.edges[e].set(s, now) })
	return nil
}

// ReportLoad takes over what somebody else than the checks tells of an edge's
// load, the share of its capacity that is in use. It counts for a minute, and
// before what the edge says itself. 0 takes it back. The error wraps ErrNoSuchEdge,
// or says that the load is none.
func (r *Router) ReportLoad(edge string, load float64, now time.Time) error {
	e, ok := r.edge(edge)
	if !ok {
		return fmt.Errorf("%w %s", ErrNoSuchEdge, edge)
	}
	if !(load >= 0) || math.IsInf(load, 1) { // NaN is neither
		return fmt.Errorf("load %v: write the share of the capacity that is in use, such as 0.73", load)
	}
	r.change(now, func(c *conditions) { c.edges[e].told = toldLoad{load, now} })
	return nil
}

// Load returns the share of its capacity that is in use of an edge, as it was
// told or as the edge says; false where nobody says.
func (r *Router) Load(e *Edge) (load float64, ok bool) {
	i, ok := r.edge(e.Name)
	if !ok {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conditions.edges[i].loadAt(r.conditions.now)
}

// SetPool puts what an operator has set by hand in force for a pool, named as in
// Query.Pool. Pins to edges that there are no more are ignored. The error wraps
// ErrNoSuchPool, or is that of a pin's Validate.
func (r *Router) SetPool(name string, s PoolSetting, now time.Time) error {
	p, err := r.pool(name)
	if err != nil {
		return err
	}
	for _, pin := range s.Pins {
		if err := pin.Validate(); err != nil {
			return err
		}
	}
	r.change(now, func(c *conditions) { r.setPool(c, p, s) })
	return nil
}

func (r *Router) setPool(c *conditions, p *pool, s PoolSetting) {
	c.pools[p.index] = knownPool{setting: s, pins: r.newPins(p, slices.Concat(s.Pins, p.Pins))}
}

// State returns the state in which a client meets an edge, one of StateUp and
// so on. The zero Addr is a client of any family.
func (r *Router) State(e *Edge, client netip.Addr) string {
	i, ok := r.edge(e.Name)
	if !ok {
		return ""
	}
	return r.plan.Load().states[i].name(client)
}

// Traffic returns how many requests per second an edge gets from this Router,
// averaged over some seconds, and this Router's part of its capacity. The rate
// is measured only where some edge of its pools has a limit; without one of its
// own, the capacity is +Inf.
func (r *Router) Traffic(e *Edge) (rate, capacity float64) {
	i, ok := r.edge(e.Name)
	if !ok {
		return 0, 0
	}
	r.mu.Lock() // rates are read and written under it
	defer r.mu.Unlock()
	p := r.plan.Load()
	rate, _ = p.traffic(int(i))
	return rate, p.states[i].capacity
}

// A PoolCondition says how many edges of a pool are up.
type PoolCondition struct {
	// Up are not down for everybody, of the Fit that only their health could speak
	// against.
	Up, Fit int
	// Panic is true while too few are up for health to be believed, for clients of
	// one family at least.
	Panic bool
	// IPv4 and IPv6 are how clients of each family meet the pool.
	IPv4, IPv6 FamilyCondition
	// GuidanceOff is true while guidance is turned off.
	GuidanceOff bool
	// Divided is how many loads, the content of a PID that falls to one edge,
	// are divided because that has not the capacity.
	Divided int
	// Hot is how much content goes to several edges because it is too much for
	// one.
	Hot int
}

// A FamilyCondition says how many edges of a pool are up for clients of one
// address family.
type FamilyCondition struct {
	// Up are not down, of the Fit that serve the family and that only their health
	// could speak against.
	Up, Fit int
	// Panic is true while too few are up for health to be believed.
	Panic bool
}

// PoolCondition returns the condition of a pool, named as in Query.Pool. Of a
// pool that there is not, it is zero.
func (r *Router) PoolCondition(name string) PoolCondition {
	p, err := r.pool(name)
	if err != nil {
		return PoolCondition{}
	}
	s := &r.plan.Load().pools[p.index]
	v4, v6 := s.families[0], s.families[1]
	return PoolCondition{
		Up: s.up, Fit: s.fit, Panic: v4.Panic || v6.Panic, IPv4: v4, IPv6: v6,
		GuidanceOff: s.guidanceOff, Divided: len(s.spreading), Hot: len(s.hot),
	}
}
