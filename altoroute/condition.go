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
	// Capacity in requests per second, as the edge reports it; 0 where it does
	// not.
	Capacity float64
	// Load is the share of its capacity that the edge says is in use: 1 is
	// full. NaN or 0 where it does not say.
	Load float64
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
	// Unguided turns guidance off: the pool's content is spread over its edges
	// by content key alone.
	Unguided bool
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
	// known.
	capacity float64
	noting   bool // the drain notes what the edge is asked for
	ramping  bool // it came back a moment ago
	calm     bool // nothing speaks against it for anybody
}

const fullyOpen = math.MaxUint64

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

// conditions is what a Router knows of its edges and was told of them by hand,
// by edge. It changes under the Router's mutex; plans get edgeStates of it.
type conditions struct {
	now      time.Time // of the last Tick, or of the last change
	learned  []Condition
	settings []Setting
	pools    []PoolSetting
	pins     []*pins // by pool: of its setting and of its configuration
	told     []toldLoad
	loads    []float64   // averaged as rates are; 0 where nobody says
	back     []time.Time // since when an edge that was down is up again; zero when long ago
	drains   []*drain
	ticked   time.Time
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
	return conditions{
		learned: make([]Condition, edges), settings: make([]Setting, edges), pools: make([]PoolSetting, pools), pins: make([]*pins, pools),
		told: make([]toldLoad, edges), loads: make([]float64, edges), back: make([]time.Time, edges), drains: make([]*drain, edges),
	}
}

// learn takes over what checks say of an edge. That they do not know, as when a
// configuration has changed how they are made, is no news.
func (c *conditions) learn(e int, is Condition, now time.Time) {
	was := c.learned[e]
	if is.IPv4 == Unknown && was.IPv4 != Unchecked {
		is.IPv4 = was.IPv4
	}
	if is.IPv6 == Unknown && was.IPv6 != Unchecked {
		is.IPv6 = was.IPv6
	}
	if cameBack := was.IPv4 == Down && is.IPv4 != Down || was.IPv6 == Down && is.IPv6 != Down; cameBack {
		c.back[e] = now
	}
	c.learned[e] = is
}

// set takes over what an operator says of an edge.
func (c *conditions) set(e int, s Setting) {
	if s.Since.After(c.now) {
		s.Since = c.now // the clock was set back
	}
	was := c.settings[e]
	switch {
	case s.Mode != Drain:
		c.drains[e] = nil
	case was.Mode != Drain || !was.Since.Equal(s.Since):
		c.drains[e] = newDrain(s)
	case was.Over != s.Over:
		c.drains[e] = &drain{since: s.Since, over: s.Over, seen: c.drains[e].seen}
	}
	c.settings[e] = s
}

// state returns the state of an edge at this moment. The capacity is what the
// configuration says, in requests per second; 0 where it says nothing.
func (c *conditions) state(e int, ramp time.Duration, capacity float64) edgeState {
	is, set := c.learned[e], c.settings[e]
	s := edgeState{health: [2]Health{is.IPv4, is.IPv6}, mode: set.Mode, drain: c.drains[e], open: fullyOpen}
	open := 1.0
	if since := c.now.Sub(c.back[e]); !c.back[e].IsZero() && since < ramp {
		// It begins with something: without any content it would show nothing.
		open = max(since.Seconds()/ramp.Seconds(), minOpen)
		s.ramping = true
	}
	if s.drain != nil {
		s.noting = s.drain.notes(c.now)
		open = min(open, s.drain.left(c.now))
	}
	s.open = openTo(open)
	// What it has at present, before what it once was said to have.
	if s.capacity = cmp.Or(set.Capacity, is.Capacity, capacity, math.Inf(1)); open < 1 && !math.IsInf(s.capacity, 1) {
		// It comes and goes by its capacity then, not by content.
		s.capacity *= open
		if open > 0 {
			s.open = fullyOpen
		}
	}
	s.calm = (s.mode == Auto && is.IPv4 != Down && is.IPv6 != Down || s.mode == ForcedUp) && s.open == fullyOpen
	return s
}

// minOpen is the share of its content that an edge begins with.
const minOpen = 0.05

// load returns the share of its capacity that is in use of an edge: as it was told,
// else as the edge says; 0 where nobody says.
func (c *conditions) load(e int) float64 {
	if told := c.told[e]; told.load > 0 && c.now.Sub(told.at) < loadLife {
		return told.load
	}
	return c.learned[e].Load
}

// averageLoads lets the averages follow the loads. What an edge gets is averaged,
// and only with a load of the same time it says what the edge can do.
func (c *conditions) averageLoads(elapsed time.Duration) {
	weight := 1 - math.Exp(-elapsed.Seconds()/memory.Seconds())
	for e := range c.loads {
		switch is := c.load(e); {
		case !(is > 0): // NaN is not
			c.loads[e] = 0
		case c.loads[e] == 0:
			c.loads[e] = is
		default:
			c.loads[e] += weight * (is - c.loads[e])
		}
	}
}

// moving reports whether the state of some edge changes by time alone.
func (c *conditions) moving(ramp time.Duration) bool {
	for e, d := range c.drains {
		if d != nil && d.left(c.now) > 0 || !c.back[e].IsZero() && c.now.Sub(c.back[e]) < ramp {
			return true
		}
	}
	return false
}

// inherit takes over what was learned of an edge by an earlier Router.
func (c *conditions) inherit(e int, before *conditions, was int) {
	c.learned[e], c.back[e] = before.learned[was], before.back[was]
	c.settings[e], c.drains[e] = before.settings[was], before.drains[was]
	c.told[e], c.loads[e] = before.told[was], before.loads[was]
}
