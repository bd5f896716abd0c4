// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"slices"
	"time"
)

// A Ramp is how new guidance takes over from the guidance in force: the share
// of the content for which it decides grows evenly from 0 at Since to all of it
// when Over is past.
type Ramp struct {
	// Since is when it begins. Zero is now.
	Since time.Time
	// Over is how long it takes. Zero, or less, is no time.
	Over time.Duration
}

// share returns the share of the content that has moved.
func (r Ramp) share(now time.Time) float64 {
	if r.Over <= 0 {
		return 1
	}
	return min(max(now.Sub(r.Since).Seconds()/r.Over.Seconds(), 0), 1)
}

// Introduce has a source's new guidance take over by degrees. Which content has
// moved goes by a draw of its key, so that content moves once and in the same
// order on every Router, and what has moved stays moved; Tick moves more. A
// decision is made by one set of maps, the old or the new one, and says by
// which. When all content has moved, the new maps are in force as after Update.
//
// It is Update where there is nothing to go by degrees: the source has no
// guidance in force, or is to have none (nil maps), or the ramp is over.
//
// There are never more than two sets. Update ends a ramp and puts its own maps
// in force. A second Introduce replaces what comes in: the maps in force stay,
// and how much has moved goes by the new Ramp alone. With the Since of the one
// before, which Incoming tells, the newest maps go on where those left off; with
// a later one, what had moved is back with the maps in force at once. The share
// of one and the same maps never falls.
func (r *Router) Introduce(source string, m *Maps, ramp Ramp, now time.Time) error {
	at, err := r.check(source, m)
	if err != nil {
		return err
	}
	g := newGuidance(r, at, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.plan.Load()
	if m == nil || next.guidance[at] == nil {
		next.put(at, g)
	} else {
		next.introduce(at, g, ramp, 0, now)
	}
	r.plan.Store(&next)
	return nil
}

// Incoming is guidance that takes over by degrees. The zero value is none.
type Incoming struct {
	Maps *Maps
	Ramp Ramp
	// Share is the part of the content for which it decides at present, from 0
	// to 1.
	Share float64
}

// Incoming returns what is coming in for a source by Introduce.
func (r *Router) Incoming(source string) Incoming {
	p, at := r.plan.Load(), r.source(source)
	if at < 0 {
		return Incoming{}
	}
	g := p.incoming(at)
	if g == nil {
		return Incoming{}
	}
	return Incoming{g.maps, p.ramps[at].Ramp, p.ramps[at].share}
}

// ramping is a ramp and how far it has come.
type ramping struct {
	Ramp
	share float64
}

// A stage is the guidance, by source, for content whose draw is below a limit
// and not below that of the stage before.
type stage struct {
	below    uint64
	guidance []*guidance
}

// introduce has new guidance come in beside what a source has in force, with at
// least a share of the content, in a plan that nobody has yet.
func (p *plan) introduce(at int, g *guidance, ramp Ramp, share float64, now time.Time) {
	if ramp.Since.IsZero() {
		ramp.Since = now
	}
	share = max(share, ramp.share(now))
	if in := p.incoming(at); in != nil && in.maps == g.maps {
		share = max(share, p.ramps[at].share)
	}
	if share >= 1 {
		p.put(at, g)
		return
	}
	p.ramps = slices.Clone(p.ramps)
	p.ramps[at] = ramping{ramp, share}
	p.put(p.router.incomingSlot(at), g)
}

// advanced returns a plan with all ramps as far as they are now. Where nothing
// comes in, that is the plan itself.
func (p *plan) advanced(now time.Time) *plan {
	if p.stages == nil {
		return p
	}
	next := *p
	next.ramps = slices.Clone(p.ramps)
	for at := range next.ramps {
		g, ramp := next.incoming(at), &next.ramps[at]
		if g == nil {
			continue
		}
		// A clock that is set back takes nothing back.
		if ramp.share = max(ramp.share, ramp.Ramp.share(now)); ramp.share >= 1 {
			next.put(at, g)
		}
	}
	next.stage()
	return &next
}

// stage makes the stages of a plan. All sources have the same draws, so that
// there is one stage for each that has something coming in, not for each
// combination of them.
func (p *plan) stage() {
	var coming []int
	for at := range p.router.sources {
		if p.incoming(at) != nil {
			coming = append(coming, at)
		}
	}
	slices.SortStableFunc(coming, func(a, b int) int { return cmp.Compare(p.ramps[a].share, p.ramps[b].share) })
	p.stages = nil
	for i, at := range coming {
		s := stage{openTo(p.ramps[at].share), slices.Clone(p.inForce())}
		for _, at := range coming[i:] {
			s.guidance[at] = p.incoming(at)
		}
		p.stages = append(p.stages, s)
	}
}

// guiding returns the guidance, by source, that decides for a content key.
func (p *plan) guiding(key uint64) []*guidance {
	if p.stages != nil {
		d := rampDraw(key)
		for i := range p.stages {
			if d < p.stages[i].below {
				return p.stages[i].guidance
			}
		}
	}
	return p.inForce()
}

// rampDraw returns the place of a key in the order in which content moves. The
// key is that of the content also where it is hot, as a hot key may become so.
func rampDraw(key uint64) uint64 { return draw(key, rampSalt) }

// rampSalt makes these draws independent of those for edges and divisions.
const rampSalt = 0xbf58476d1ce4e5b9
