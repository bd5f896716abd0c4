// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Status is what a feed stands on, at one moment.
type Status struct {
	// Kind is "files" or "server".
	Kind string
	// Origin is the first file, or the directory of the server that is in use.
	Origin string
	// Maps is the set in force, nil as long as there is none, or when it is too old.
	Maps *altoroute.Maps
	// Incoming is the set that comes in force by Ramp; nil is none.
	Incoming *altoroute.Maps
	Ramp     altoroute.Ramp
	// Held is the set that is not let in yet; nil is none.
	Held *Held
	// Aside is the version that does not come in force because it was put aside by
	// hand; zero is none.
	Aside altoroute.VersionTag
	// Since is when the newest set, in force or coming in, was let in.
	Since time.Time
	// LastContact is when the source was last found to be in order.
	LastContact time.Time
	// Next is when it is looked at next.
	Next time.Time
	// Spooled is true as long as the set in force is the spool's and the source has
	// not confirmed or replaced it.
	Spooled bool
	// Expired is true when the last contact is too long ago for the set to be used.
	Expired bool
	// Err is what the last look found wrong; nil when all was well.
	Err error
	// Server is the place of the server in use, from 1 in order of preference; of files
	// it is 1. PassedOver is what is wrong with those before it; nil where there are none.
	Server     int
	PassedOver error
	// SpoolErr is why the set in force is not in the spool, or what in it cannot be used;
	// nil when it is there, or there is no spool.
	SpoolErr error
	// Skipped tells what is left out of the directories of the server in use, or else not
	// in order there: of many the first, and how many more there are. Offered are the
	// cost types that there are for the network map besides those in use.
	Skipped, Offered []string
	// Attempted is true once a first look has ended, well or not.
	Attempted bool
	// Checks counts looks, Updates counts sets that came in force, Holds those that
	// were held, Refusals counts faults by reason, each as long as it lasts once.
	Checks, Updates, Holds uint64
	Refusals               map[Refusal]uint64
	// Resources are the documents looked at.
	Resources []ResourceStatus
}

// expires returns when the set is too old to be used; zero is never.
func (s *Status) expires(after time.Duration) time.Time {
	if after <= 0 || s.LastContact.IsZero() {
		return time.Time{}
	}
	return s.LastContact.Add(after)
}

// ResourceStatus is what is known of one document.
type ResourceStatus struct {
	// Name is a path or a URL, without credentials.
	Name string
	// ResourceID is the id in the server's directory; empty for files.
	ResourceID string
	MediaType  string
	// Tag is the version of a network map, or the one that a cost map depends on.
	Tag altoroute.VersionTag
	// HTTP is the status of the last answer; 0 where there was none.
	HTTP int
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
	if d.server != nil {
		s.HTTP = d.server.status
	}
	return s
}

// States of a source.
const (
	Fresh = "fresh" // the set in force is what the source has
	Stale = "stale" // the set in force may be an earlier one
	None  = "none"  // there is none
)

// State returns Fresh, Stale or None. It is Fresh where the last look found all in order
// and what it found is in force, or comes in by a ramp. It is Stale from the first look
// that fails on, however young the maps are; as long as the set is the spool's and the
// source has not confirmed it; and while what the source has is held or was put aside. The
// event MapStale comes later, for who is to be woken up.
func (s *Status) State() string {
	switch {
	case s.Maps == nil:
		return None
	case s.Err != nil || s.Spooled || s.Held != nil || s.Aside != (altoroute.VersionTag{}):
		return Stale
	}
	return Fresh
}

// Status returns the feed's status.
func (f *Feed) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	s := f.status
	s.Refusals = maps.Clone(s.Refusals)
	if f.base != nil && !s.Expired {
		s.Maps = f.base.maps
	}
	if f.incoming != nil && !s.Expired {
		s.Incoming = f.incoming.maps
	}
	if f.aside != nil {
		s.Aside = altoroute.VersionTag(f.aside.VersionTag)
	}
	return s
}

// EventKind is what has happened to a source's maps.
type EventKind string

// What can happen.
const (
	MapUpdated EventKind = "updated" // new ones are in force, or come in by a ramp
	MapHeld    EventKind = "held"    // new ones are held
	// MapStale is that the source has not been in order for longer than Config.Refresh, so
	// that those in force may not be what it has; or that they are too old to be used. It
	// comes once for either.
	MapStale EventKind = "stale"
)

// An Event is something that has happened to a source's maps.
type Event struct {
	Kind   EventKind
	Source string
	// Tag is the version of the network map: of the new maps, or of those that are
	// stale.
	Tag altoroute.VersionTag
	// Reason is empty for what is in order.
	Reason string
}

func (f *Feed) notify(events []Event) {
	for _, e := range events {
		if f.cfg.Notify != nil {
			f.cfg.Notify(e)
		}
	}
}

// Refusal is a class of reasons for which new maps are not taken.
type Refusal string

// The reasons for refusals.
const (
	Unavailable Refusal = "unavailable"      // not there, not readable, not in time
	Untrusted   Refusal = "tls"              // the server, or the client to it, by certificate
	NoSuccess   Refusal = "http_status"      // an answer that is no success
	OtherType   Refusal = "media_type"       // an answer of another type, as HTML
	TooLarge    Refusal = "too_large"        // larger than the limit
	Invalid     Refusal = "invalid"          // not a document as the RFC has it
	Duplicate   Refusal = "duplicate_prefix" // one prefix in two PIDs
	Empty       Refusal = "empty"            // nothing in it
	Mismatch    Refusal = "version_mismatch" // the cost map is of another version
	Outdated    Refusal = "outdated"         // a server that stands in lags behind
)

// Refusals are all reasons.
var Refusals = [...]Refusal{Unavailable, Untrusted, NoSuccess, OtherType, TooLarge, Invalid, Duplicate, Empty, Mismatch, Outdated} //nolint:gochecknoglobals // a table

// ofContent reports whether there was content to refuse.
func (r Refusal) ofContent() bool {
	return r != Unavailable && r != Untrusted && r != NoSuccess && r != OtherType && r != TooLarge
}

// noAnswer returns the class of why there is no content.
func noAnswer(err error) Refusal {
	if _, ok := errors.AsType[*alto.StatusError](err); ok {
		return NoSuccess
	}
	if _, ok := errors.AsType[*alto.KindError](err); ok {
		return OtherType
	}
	if errors.Is(err, alto.ErrTooLarge) {
		return TooLarge
	}
	_, distrusts := errors.AsType[*tls.CertificateVerificationError](err)
	if _, noTLS := errors.AsType[tls.RecordHeaderError](err); distrusts || isAlert(err) || noTLS {
		return Untrusted
	}
	return Unavailable
}

// isAlert reports whether an error is what the other side of TLS has found wrong, a client
// certificate above all.
func isAlert(err error) bool {
	network, _ := errors.AsType[*net.OpError](err)
	return network != nil && network.Op == "remote error" // as package tls has it
}

// advise names the option that may help, where a server and the client do not trust each
// other.
func advise(err error) error {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	status, _ := errors.AsType[*alto.StatusError](err)
	switch {
	case unknown:
		return fmt.Errorf("%w: see ca", err)
	case isAlert(err):
		return fmt.Errorf("%w: see auth cert", err)
	case status != nil && status.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w: see auth", err)
	}
	return err
}

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
