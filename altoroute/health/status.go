// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"net/netip"
	"time"
)

// State is what is known of a target in one address family.
type State uint8

// The states. A target is Unknown until a first check has succeeded, or as many
// in a row have failed as make it Down: Unknown is neither up nor down.
const (
	// Absent is the state where there is nothing to check: the host has no
	// address of the family, or the target is not watched.
	Absent State = iota
	Unknown
	Up
	Down
)

// String returns "absent", "unknown", "up" or "down".
func (s State) String() string {
	return [...]string{"absent", "unknown", "up", "down"}[s]
}

// A Check is what is known of a target in one address family.
type Check struct {
	State State
	// Since is when it came to be in this state.
	Since time.Time
	// Last is when the latest check ended, and Duration how long it took. Both
	// are zero before the first has.
	Last     time.Time
	Duration time.Duration
	// Err says what was wrong at the latest check: what came, and what was
	// wanted. It is empty if all was well.
	Err string
	// Failures and Successes count the latest checks in a row that failed or
	// succeeded. One of them is zero.
	Failures, Successes int
	// Total and Failed count all checks, and those that failed.
	Total, Failed uint64
	// Withheld is true as long as it would be down if the prober did not suspect
	// itself.
	Withheld bool
	// Addr is the address that is checked, not valid while there is none.
	Addr netip.Addr
	// Report is of the last check that succeeded.
	Report Report
}

// Status is what is known of a target, at one moment.
type Status struct {
	// IPv4 and IPv6 are Absent as long as the host is not known to have an
	// address of that family, and where the target is limited to the other one.
	IPv4, IPv6 Check
	// Host is for as long as no address is known at all: then its checks are
	// look-ups. After that it is Absent.
	Host Check
	// LookupErr says why the latest look-up failed while the addresses known
	// before are in use. It is empty if all was well.
	LookupErr string
}

// State returns the state for clients of a family. For AnyFamily it is Up if
// the target is up in some family, Down if it is in all it has.
func (s *Status) State(f Family) State {
	switch {
	case s.Host.State != Absent:
		return s.Host.State
	case f == IPv4:
		return s.IPv4.State
	case f == IPv6:
		return s.IPv6.State
	case s.IPv4.State == Absent:
		return s.IPv6.State
	case s.IPv6.State == Absent:
		return s.IPv4.State
	case s.IPv4.State == Up || s.IPv6.State == Up:
		return Up
	case s.IPv4.State == Unknown || s.IPv6.State == Unknown:
		return Unknown
	}
	return Down
}

// Report returns the latest report of a family in which the target is up, the
// zero Report if there is none.
func (s *Status) Report() Report {
	var latest Check
	for _, c := range []*Check{&s.IPv4, &s.IPv6} {
		if c.State == Up && c.Report != (Report{}) && !c.Last.Before(latest.Last) {
			latest = *c
		}
	}
	return latest.Report
}
