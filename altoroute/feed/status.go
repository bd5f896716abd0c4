// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// Status is what a feed stands on, at one moment.
type Status struct {
	// Kind is "files" or "server".
	Kind string
	// Maps is the set in force, nil as long as there is none.
	Maps *altoroute.Maps
	// Since is when that set came in force.
	Since time.Time
	// LastContact is when the source was last found to be in order.
	LastContact time.Time
	// Err is what the last look found wrong; nil when all was well.
	Err error
	// Attempted is true once a first look has ended, well or not.
	Attempted bool
	// Checks counts looks, Updates counts sets that came in force, Refusals
	// counts faults by reason, each as long as it lasts once.
	Checks, Updates uint64
	Refusals        map[Refusal]uint64
	// Resources are the documents looked at.
	Resources []ResourceStatus
}

// ResourceStatus is what is known of one document.
type ResourceStatus struct {
	// Name is a path or a URL, without credentials.
	Name string
	// ResourceID is the id in the server's directory; empty for files.
	ResourceID string
	MediaType  string
	// Bytes, ReadAt and Duration are of the last reading, decompressed.
	Bytes    int64
	ReadAt   time.Time
	Duration time.Duration
	// Reads counts how often the content was read; finding it unchanged is not
	// reading.
	Reads uint64
}

func (d *document) describe() ResourceStatus {
	s := d.status
	s.Name, s.MediaType = d.name, d.mediaType
	return s
}

// States of a source.
const (
	Fresh = "fresh" // the set in force is what the source has
	Stale = "stale" // the set in force is the last good one
	None  = "none"  // there is none
)

// State returns Fresh, Stale or None.
func (s *Status) State() string {
	switch {
	case s.Maps == nil:
		return None
	case s.Err != nil:
		return Stale
	}
	return Fresh
}

// Status returns the feed's status.
func (f *Feed) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Refusals = maps.Clone(s.Refusals)
	return s
}

// Refusal is a class of reasons for which new maps are not taken.
type Refusal string

// The reasons for refusals.
const (
	Unavailable Refusal = "unavailable"      // not there, not readable, not in time
	Invalid     Refusal = "invalid"          // not a document as the RFC has it
	Duplicate   Refusal = "duplicate_prefix" // one prefix in two PIDs
	Empty       Refusal = "empty"            // nothing in it
	Mismatch    Refusal = "version_mismatch" // the cost map is of another version
)

// Refusals are all reasons.
var Refusals = [...]Refusal{Unavailable, Invalid, Duplicate, Empty, Mismatch} //nolint:gochecknoglobals // a table

// An Error says which document was refused and why.
type Error struct {
	// Document is its path or URL, without credentials.
	Document string
	Reason   Refusal
	Err      error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Document, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func refusalOf(err error) Refusal {
	var fault *Error
	var duplicate *altoroute.DuplicatePrefixError
	switch {
	case errors.As(err, &fault):
		return fault.Reason
	case errors.As(err, &duplicate):
		return Duplicate
	case errors.Is(err, altoroute.ErrEmptyMap):
		return Empty
	}
	return Invalid
}
