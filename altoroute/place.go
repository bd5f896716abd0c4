// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"net/netip"
	"strings"
)

// A SourcePID names a PID of a source, written "own/cc-de". PIDs have meaning
// only within the network map that defines them (RFC 7285 §10.1), so two
// sources may use one name for different places.
type SourcePID struct {
	// Source is the name of a source. Empty means the only source there is.
	Source string
	// PID is a PID of that source's network map.
	PID string
}

// ParseSourcePID reads "source/pid", or a bare "pid", which leaves Source
// empty. Neither part is looked up.
func ParseSourcePID(s string) (SourcePID, error) {
	source, pid, qualified := strings.Cut(s, "/")
	if !qualified {
		source, pid = "", s
	}
	switch {
	case pid == "" || qualified && source == "":
		return SourcePID{}, fmt.Errorf("%q is not a PID: write pid, or source/pid", s)
	case strings.Contains(pid, "/"):
		return SourcePID{}, fmt.Errorf("%q is not a PID: it has more than one slash", s)
	}
	return SourcePID{Source: source, PID: pid}, nil
}

// String returns the form that ParseSourcePID reads.
func (p SourcePID) String() string {
	if p.Source == "" {
		return p.PID
	}
	return p.Source + "/" + p.PID
}

// IsZero reports whether p names nothing.
func (p SourcePID) IsZero() bool { return p == SourcePID{} }

// A Place is what a Locator knows of an address. It is immutable and shared
// between requests.
type Place struct {
	// PIDs are the PIDs that stand for the place, the most specific first.
	// Each is a rung of the placement ladder.
	PIDs []SourcePID
	// Country is an ISO 3166-1 alpha-2 code in upper case; empty when unknown.
	Country string
	// Continent is a two-letter code in upper case; empty when unknown.
	Continent string
	// ASN is an autonomous system number; 0 when unknown.
	ASN uint32
}

// A Locator places the clients that no prefix of a network map covers.
//
// Locate is called on the request path: it must be safe for concurrent use,
// must answer from memory, and must not fail. It returns nil where nothing is
// known. The answer for one address never changes during the Locator's life;
// new knowledge is a new Locator.
type Locator interface {
	Locate(addr netip.Addr) *Place
}
