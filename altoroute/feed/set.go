// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A set is maps that belong together, and what they were made of.
type set struct {
	maps *altoroute.Maps
	docs []*document // the network map, then its cost maps; other things may have been read of them since
	sums []spool.Sum // of their content
	// filter is the sum of what costs were asked for by; 0 is that all were.
	filter spool.Sum
	// first is where it was in the order of the spool's sets before it was put back; 0 is
	// that it was not.
	first uint64

	spooled []spool.Document // of docs
}

// same reports whether another set is of the same content, and this one has the rows
// of costs that are needed.
func (s *set) same(other *set, rows []string) bool {
	return s != nil && other != nil && slices.Equal(s.sums, other.sums) && keepsRows(s.maps, rows)
}

// confirm takes over the documents of a set of the same content: those of the origin in
// use.
func (s *set) confirm(made *set) {
	for i, d := range made.docs {
		if d.content == (spool.Content{}) { // files, which are not copied again
			d.content = s.spooled[i].Content
			made.spooled[i].Content = d.content
		}
	}
	s.docs, s.spooled, s.filter = made.docs, made.spooled, made.filter
}

// matches reports whether a set is what was not in force. Where other costs were asked
// for, their content cannot tell, and it is taken for the same.
func (s *set) matches(x *spool.NotInForce) bool {
	return x != nil && s.matchesContent(x.Sums, x.Filter)
}

func (s *set) matchesContent(sums []spool.Sum, filter spool.Sum) bool {
	return slices.Equal(s.sums, sums) || s.filter != filter && s.sums[0] == sums[0]
}

// describe tells the spool of a set that is not in force.
func (s *set) describe(since time.Time, reasons []string) *spool.NotInForce {
	return &spool.NotInForce{VersionTag: alto.VersionTag(s.maps.Network.Tag()), Sums: s.sums, Filter: s.filter, Since: since, Reasons: reasons}
}

// handOver returns a set for another Feed, without the documents of this one.
func (s *set) handOver() *set {
	if s == nil {
		return nil
	}
	return &set{maps: s.maps, sums: s.sums, filter: s.filter, first: s.first, spooled: slices.Clone(s.spooled)}
}

// storable returns the documents of a set for the spool, or none: those of files are not
// copied before they are in force.
func (s *set) storable() []spool.Document {
	if slices.ContainsFunc(s.spooled, func(d spool.Document) bool { return d.Content == spool.Content{} }) {
		return nil
	}
	return s.spooled
}
