// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Health is what checks say of an edge.
type Health uint8

// What checks may say. Only Down speaks against an edge: what is not known yet
// is no reason to take a whole CDN out at every start.
const (
	Unchecked Health = iota // there are no checks
	Unknown                 // checked, but no verdict yet
	Up
	Down
)

// A Condition is what is known of an edge at present, beside the maps. It is
// learned, never configured. The zero value is that of an edge that nobody
// checks.
type Condition struct {
	// IPv4 and IPv6 are the health as clients of each family meet it. Of an
	// edge with addresses in one family only, both say the same.
	IPv4, IPv6 Health
	// Capacity in requests per second, as the edge reports it. An edge that
	// reports 0 gets nothing while another may serve. HasCapacity tells that from
	// no report; more than 0 is one anyhow.
	Capacity    float64
	HasCapacity bool
	// Load is the share of its capacity that the edge says is in use: 1 is full.
	// HasLoad tells an idle edge from one that does not say; more than 0 is said
	// anyhow.
	Load    float64
	HasLoad bool
}

// plain returns the condition with nothing left to be inferred.
func (c Condition) plain() Condition {
	c.HasCapacity = c.HasCapacity || c.Capacity > 0
	c.HasLoad = c.HasLoad || c.Load > 0
	return c
}

// Mode is what an operator has decided of an edge.
type Mode uint8

// The modes.
const (
	Auto     Mode = iota // as its health is
	Drain                // gives up its content, then is as Disabled
	Disabled             // gets nothing
	ForcedUp             // is up whatever checks say
)

var modeNames = [...]string{"auto", "drain", "disable", "up"} //nolint:gochecknoglobals // a table

// String returns the mode as it is written.
func (m Mode) String() string { return modeNames[m] }

// ParseMode reads "auto", "drain", "disable" or "up".
func ParseMode(s string) (Mode, error) {
	if i := slices.Index(modeNames[:], s); i >= 0 {
		return Mode(i), nil //nolint:gosec // four of them
	}
	return 0, fmt.Errorf("%q is not a mode: write auto, drain, disable or up", s)
}

// A Setting is what an operator has set of an edge by hand. The zero value is
// nothing.
type Setting struct {
	Mode Mode
	// Since is when Mode was set: a drain goes by it.
	Since time.Time
	// Over is how long a drain takes; 0 is at once.
	Over time.Duration
	// Capacity in requests per second stands in for the configured and the
	// reported one. 0 leaves them.
	Capacity float64
}

// A PoolSetting is what an operator has set of a pool by hand. The zero value
// is nothing.
type PoolSetting struct {
	// GuidanceOff turns guidance off: the pool's content is spread over its edges
	// by content key alone.
	GuidanceOff bool
	// Pins come before the pool's own.
	Pins []Pin
}

// edgeState is what a plan knows of an edge's condition. It never changes; the
// plan after it may have another.
type edgeState struct {
	health [2]Health // IPv4, IPv6
	mode   Mode
	drain  *drain
	// open is the share of the content that an edge takes which comes back or
	// drains, as the greatest draw that passes.
	open uint64
	// capacity in requests per second, this router's part; +Inf where none is
	// known. While it comes or goes, a share of it.
	capacity float64
	byLoad   bool // it is what a load says, not what was configured or told
	noting   bool // the drain notes what the edge is asked for
	ramping  bool // it came back a moment ago
	calm     bool // nothing speaks against it for anybody
}

const fullyOpen = math.MaxUint64

// share returns the share of the content that the edge takes, from 0 to 1.
func (s *edgeState) share() float64 { return float64(s.open) / fullyOpen }

// openTo returns the greatest draw that passes of a share from 0 to 1.
func openTo(share float64) uint64 {
	if share >= 1 {
		return fullyOpen
	}
	return uint64(max(share, 0) * (1 << 63) * 2)
}

// down reports whether checks say that a client cannot be served.
func (s *edgeState) down(client netip.Addr) bool {
	switch {
	case s.mode == ForcedUp:
		return false
	case client.Is4():
		return s.health[0] == Down
	case client.Is6():
		return s.health[1] == Down
	}
	return s.health[0] == Down && s.health[1] == Down
}

// gone reports whether the operator wants the edge to get nothing.
func (s *edgeState) gone() bool {
	return s.mode == Disabled || s.mode == Drain && s.open == 0
}

// shut reports whether the edge says that it can serve nothing.
func (s *edgeState) shut() bool { return s.capacity == 0 }

// States of an edge, as they are shown.
const (
	StateUp       = "up"        // nothing speaks against it
	StateUnknown  = "unknown"   // checked, but no verdict yet
	StateDown     = "down"      // checks say so
	StateRamping  = "ramping"   // it was down and gets its content back by degrees
	StateDraining = "draining"  // gives up its content by degrees
	StateDrained  = "drained"   // has given up all
	StateDisabled = "disabled"  // by the operator
	StateForcedUp = "forced_up" // by the operator, whatever checks say
)

// States are all of them.
var States = [...]string{ //nolint:gochecknoglobals // a table
	StateUp, StateUnknown, StateDown, StateRamping, StateDraining, StateDrained, StateDisabled, StateForcedUp,
}

// name returns the state in which a client meets the edge.
func (s *edgeState) name(client netip.Addr) string {
	health := s.health[0]
	if client.Is6() || !client.IsValid() && health == Down {
		health = s.health[1]
	}
	switch {
	case s.mode == Disabled:
		return StateDisabled
	case s.mode == Drain && s.open == 0:
		return StateDrained
	case s.mode == ForcedUp:
		return StateForcedUp
	case health == Down:
		return StateDown
	case s.mode == Drain:
		return StateDraining
	case health == Unknown:
		return StateUnknown
	case s.ramping:
		return StateRamping
	}
	return StateUp
}

// conditions is what a Router knows of its edges and was told by hand. It
// changes under the Router's mutex; plans get edgeStates of it.
type conditions struct {
	now    time.Time // of the last Tick, or of the last change
	ticked time.Time
	edges  []knownEdge
	pools  []knownPool
}

// A knownEdge is all that is known of an edge.
type knownEdge struct {
	learned Condition
	setting Setting
	told    toldLoad
	load    float64   // averaged as rates are; 0 where nobody says
	loaded  bool      // somebody says
	back    time.Time // since when it is up again after it was down; zero when long ago
	drain   *drain    // nil where it does not drain
	drained float64   // the share of its content that it has lost by that, which never falls
}

// A knownPool is all that is known of a pool.
type knownPool struct {
	setting PoolSetting
	pins    *pins // of the setting and of the configuration
}

// A toldLoad is what somebody else than the checks tells of an edge's load.
type toldLoad struct {
	load float64
	at   time.Time
}

// loadLife is for how long a load that was told counts: it is a measurement,
// and whoever tells it goes on telling it.
const loadLife = time.Minute

func newConditions(edges, pools int) conditions {
	return conditions{edges: make([]knownEdge, edges), pools: make([]knownPool, pools)}
}

// learn takes over what checks say of the edge. A result of Unknown, as after a
// change of how an edge is checked, does not replace what was known.
func (e *knownEdge) learn(is Condition, now time.Time) {
	was := e.learned
	if is.IPv4 == Unknown && is.IPv6 == Unknown {
		is.Capacity, is.HasCapacity, is.Load, is.HasLoad = was.Capacity, was.HasCapacity, was.Load, was.HasLoad
	}
	if is.IPv4 == Unknown && was.IPv4 != Unchecked {
		is.IPv4 = was.IPv4
	}
	if is.IPv6 == Unknown && was.IPv6 != Unchecked {
		is.IPv6 = was.IPv6
	}
	if cameBack := was.IPv4 == Down && is.IPv4 != Down || was.IPv6 == Down && is.IPv6 != Down; cameBack {
		e.back = now
	}
	e.learned = is.plain()
}

// set takes over what an operator says of the edge. A drain gives back nothing: not to an
// edge that had nothing, nor what another one before it had taken.
func (e *knownEdge) set(s Setting, now time.Time) {
	if s.Since.After(now) {
		s.Since = now // the clock was set back
	}
	was := e.setting
	switch {
	case s.Mode == Disabled:
		e.drain, e.drained = nil, 1
	case s.Mode != Drain:
		e.drain, e.drained = nil, 0
	case was.Mode != Drain:
		e.drain = newDrain(s, now)
	default:
		e.drain = &drain{since: s.Since, over: s.Over, seen: e.drain.seen}
	}
	e.setting = s
}

// state returns the state of the edge at this moment. The capacity is what the
// configuration says, in requests per second; 0 where it says nothing.
func (e *knownEdge) state(now time.Time, ramp time.Duration, capacity float64) edgeState {
	is, set := e.learned, e.setting
	s := edgeState{health: [2]Health{is.IPv4, is.IPv6}, mode: set.Mode, drain: e.drain, open: fullyOpen}
	open := 1.0
	if e.ramps(now, ramp) {
		// It begins with something: without any content it would show nothing.
		open = max(now.Sub(e.back).Seconds()/ramp.Seconds(), minOpen)
		s.ramping = true
	}
	if s.drain != nil {
		s.noting = s.drain.notes(now)
		e.drained = max(e.drained, s.drain.gone(now))
		open = min(open, 1-e.drained)
	}
	s.open = openTo(open)
	// What it has at present, before what it once was said to have. What others have
	// too much of it takes in the same degree as its own content.
	if s.capacity = cmp.Or(set.Capacity, capacity, math.Inf(1)); set.Capacity == 0 && is.HasCapacity {
		s.capacity = is.Capacity
	}
	if !math.IsInf(s.capacity, 1) {
		s.capacity *= open
	}
	s.calm = (s.mode == Auto && is.IPv4 != Down && is.IPv6 != Down || s.mode == ForcedUp) && s.open == fullyOpen && !s.shut()
	return s
}

// minOpen is the share of its content that an edge begins with.
const minOpen = 0.05

// ramps reports whether the edge was down so lately that it does not have all of
// its content back.
func (e *knownEdge) ramps(now time.Time, ramp time.Duration) bool {
	return !e.back.IsZero() && now.Sub(e.back) < ramp
}

// loadAt returns the share of the edge's capacity that is in use: as it was told,
// else as the edge says; false where nobody says.
func (e *knownEdge) loadAt(now time.Time) (float64, bool) {
	if e.told.load > 0 && now.Sub(e.told.at) < loadLife {
		return e.told.load, true
	}
	return e.learned.Load, e.learned.HasLoad
}

// averageLoads lets the averages follow the loads. What an edge gets is averaged,
// and only with a load of the same time it says what the edge can do.
func (c *conditions) averageLoads(elapsed time.Duration) {
	weight := 1 - math.Exp(-max(elapsed, 0).Seconds()/memory.Seconds()) // a clock may be set back
	for i := range c.edges {
		e := &c.edges[i]
		is, ok := e.loadAt(c.now)
		switch is = min(is, believedMost); {
		case !ok:
			e.load = 0
		case !e.loaded:
			e.load = is
		default:
			e.load += weight * (is - e.load)
		}
		e.loaded = ok
	}
}

// believedMost is the load from which on more says nothing more: one odd report
// must not starve an edge for minutes.
const believedMost = 2

// moving reports whether the state of some edge changes by time alone.
func (c *conditions) moving(ramp time.Duration) bool {
	return slices.ContainsFunc(c.edges, func(e knownEdge) bool {
		return e.drain != nil && e.drained < 1 || e.ramps(c.now, ramp)
	})
}
