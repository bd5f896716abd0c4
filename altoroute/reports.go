// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Clients may tell that they could not reach an edge. For the one that tells,
// another edge is chosen at once. For others in its PID the edge comes after
// all others only if
//
//   - at least minReporters networks of the PID (a /24, or a /48 of IPv6) tell
//     the same within reportWindow, each counted once however much it tells, and
//   - they are at least reporterShare of the networks of the PID that were sent
//     to the edge in the same time, and
//   - no more than a third of the pool's edges have that fate in the PID, or one of
//     two or three; the only edge of a pool never has.
//
// It lasts demotedFor and touches no other PID. So whoever wants to keep an edge
// from others must have addresses in a fifth of the networks that use it.
const (
	minReporters  = 5
	reporterShare = 0.2
	reportWindow  = 30 * time.Second
	demotedFor    = 2 * time.Minute
	// What is being watched, an edge and a PID each, is bounded: in all, in each PID,
	// and for each network that was the first to tell. So nobody can fill it.
	maxTrials        = 1024
	maxTrialsOfPID   = 64
	maxTrialsByFirst = 4
)

// A trial watches who is sent from a PID to an edge, and who tells that it
// could not be reached.
type trial struct {
	begun     time.Time
	first     netip.Prefix // the network that told first
	reporters networkCounter
	sent      networkCounter
}

// networkCounter counts different networks by the bits that their hashes set
// (linear counting, Whang et al., 1990): within 2 % up to some ten thousand.
type networkCounter [networkBits / 64]atomic.Uint64

const networkBits = 1 << 13

// networkOf returns the network that a client counts for: a /24 or a /48.
func networkOf(client netip.Addr) netip.Prefix {
	bits := 48
	if client.Is4() {
		bits = 24
	}
	network, _ := client.Prefix(bits)
	return network
}

func (c *networkCounter) add(client netip.Addr) {
	bit := scatter(0, client) % networkBits
	if word := &c[bit/64]; word.Load()&(1<<(bit%64)) == 0 {
		word.Or(1 << (bit % 64))
	}
}

func (c *networkCounter) count() float64 {
	zero := 0
	for i := range c {
		zero += bits.OnesCount64(^c[i].Load())
	}
	return -networkBits * math.Log(max(float64(zero), 1)/networkBits)
}

// Report counts that a client could not reach the edge named in Query.Failed. It
// counts only if the Router did send this client there: not a client without an
// address or a PID, nor one that names an edge at random. Of a client that names
// several, none counts: by naming all others it could have any edge be the one
// that it was sent to. The same client may tell it as often as it likes.
func (r *Router) Report(q Query, now time.Time) {
	pool, err := r.pool(q.Pool)
	if err != nil || len(q.Failed) != 1 || !q.Client.IsValid() {
		return
	}
	told := q.Failed[0]
	q.Failed = nil
	d := r.plan.Load().decide(pool, &q, nil)
	if d.Edge == nil || d.Edge.Name != told || d.slot < 0 {
		return
	}
	if t := r.trial(&d, now); t != nil {
		t.reporters.add(d.client)
		t.sent.add(d.client)
	}
}

// trial returns the trial of an edge and a PID, a new one if there is none. It
// returns nil where there are too many, or where somebody is building a plan:
// a request waits for nobody, and the next report will do as well.
func (r *Router) trial(d *Decision, now time.Time) *trial {
	key := d.reportKey()
	if t := r.plan.Load().trials[key]; t != nil {
		return t
	}
	if !r.mu.TryLock() {
		return nil
	}
	defer r.mu.Unlock()
	p := r.plan.Load()
	if g := p.guidance[d.slot]; g == nil || g.maps != d.Maps {
		return nil // new maps may have come in between
	}
	t, first := p.trials[key], networkOf(d.client)
	if t == nil {
		if p.watchesEnough(key, first) {
			return nil
		}
		t = &trial{begun: now, first: first}
		next := *p
		next.trials = maps.Clone(p.trials)
		if next.trials == nil {
			next.trials = make(map[loadKey]*trial)
		}
		next.trials[key] = t
		r.plan.Store(&next)
	}
	return t
}

// watchesEnough reports whether there is no room for another trial.
func (p *plan) watchesEnough(of loadKey, first netip.Prefix) bool {
	ofPID, byFirst := 0, 0
	for key, t := range p.trials {
		if key.slot == of.slot && key.pid == of.pid {
			ofPID++
		}
		if t.first == first {
			byFirst++
		}
	}
	return len(p.trials) >= maxTrials || ofPID >= maxTrialsOfPID || byFirst >= maxTrialsByFirst
}

// judge ends the trials whose time is over, and demotions.
func (r *Router) judge(p *plan, now time.Time) {
	if len(p.trials)+len(p.demoted) == 0 {
		return
	}
	trials, demoted := make(map[loadKey]*trial), make(map[loadKey]time.Time)
	for key, until := range p.demoted {
		if now.Before(until) {
			demoted[key] = until
		}
	}
	for key, t := range p.trials {
		switch reporters := t.reporters.count(); {
		case now.Sub(t.begun) < reportWindow:
			trials[key] = t
		case math.Round(reporters) >= minReporters && reporters >= reporterShare*t.sent.count() && r.maySpare(key, demoted):
			demoted[key] = now.Add(demotedFor)
		}
	}
	p.trials, p.demoted = trials, demoted
	if len(trials) == 0 {
		p.trials = nil
	}
	if len(demoted) == 0 {
		p.demoted = nil
	}
}

// maySpare reports whether a PID has enough edges to do without one more: in
// every pool that has it. Where it is the only one, it is asked all the same.
func (r *Router) maySpare(key loadKey, demoted map[loadKey]time.Time) (may bool) {
	for _, pool := range r.pools {
		if len(pool.edges) == 1 || !slices.Contains(pool.edges, key.edge) {
			continue
		}
		already := 0
		for _, e := range pool.edges {
			if _, ok := demoted[key.at(e)]; ok {
				already++
			}
		}
		if already >= max(len(pool.edges)/3, 1) {
			return false
		}
		may = true
	}
	return may
}

// Demoted returns the edges that clients of a PID tell they cannot reach, by
// source and PID: what Report and Tick have come to believe.
func (r *Router) Demoted() []Demotion {
	p := r.plan.Load()
	var all []Demotion
	for key, until := range p.demoted {
		if g := p.guidance[key.slot]; g != nil {
			all = append(all, Demotion{r.edges[key.edge].Name, SourcePID{g.source.Name, g.maps.Network.names[key.pid]}, until})
		}
	}
	slices.SortFunc(all, func(a, b Demotion) int {
		return cmp.Or(cmp.Compare(a.Edge, b.Edge), cmp.Compare(a.PID.String(), b.PID.String()), b.Until.Compare(a.Until))
	})
	// Guidance in force and what comes in after it may have the same.
	return slices.CompactFunc(all, func(a, b Demotion) bool { return a.Edge == b.Edge && a.PID == b.PID })
}

// A Demotion is an edge that comes after all others for clients in a PID.
type Demotion struct {
	Edge  string
	PID   SourcePID
	Until time.Time
}

// Trials returns how many edges and PIDs are being watched because a client
// told that it could not reach the edge.
func (r *Router) Trials() int { return len(r.plan.Load().trials) }
