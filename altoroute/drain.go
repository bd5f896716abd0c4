// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"sync/atomic"
	"time"
)

// A drain takes an edge's content away by degrees, new content first. For the
// first quarter of its time the edge serves as before, and what it is asked for
// is noted. Then it gets no content that was not noted, and a share of that
// which shrinks to nothing: films under way may end where they began.
//
// What is noted is this process's own. Two routers may differ for a while
// about what is new.
type drain struct {
	since time.Time
	over  time.Duration

	// A Bloom filter of content keys. It errs towards known content: that
	// leaves by degrees then, like the rest. Nil knows all.
	seen *[drainBits / 64]atomic.Uint64
}

const (
	drainBits   = 1 << 20 // 128 KiB; at 100,000 keys one in eighty is taken for known
	drainProbes = 4
	drainNoting = 4 // the part of the time, from its beginning, that notes
)

// newDrain returns a drain that is learned of at this moment. Of one that has gone on
// for longer, as before a restart, nobody here has noted what is known: all is.
func newDrain(s Setting, now time.Time) *drain {
	d := &drain{since: s.Since, over: s.Over}
	if now.Sub(s.Since) <= s.Over/drainNoting/2 {
		d.seen = new([drainBits / 64]atomic.Uint64)
	}
	return d
}

// notes reports whether it is still being noted what the edge is asked for.
func (d *drain) notes(now time.Time) bool { return now.Sub(d.since) < d.over/drainNoting }

// gone returns the share of the noted content that is no longer served.
func (d *drain) gone(now time.Time) float64 {
	passed, noting := now.Sub(d.since), d.over/drainNoting
	switch {
	case d.over <= 0 || passed >= d.over: // at once, also where the clock was set back
		return 1
	case passed < noting:
		return 0
	}
	return float64(passed-noting) / float64(d.over-noting)
}

// note marks content as known. It may be called by any number of requests.
func (d *drain) note(key uint64) {
	if d.seen == nil {
		return
	}
	for i := range uint64(drainProbes) {
		bit := probe(key, i)
		if word := &d.seen[bit/64]; word.Load()&(1<<(bit%64)) == 0 {
			word.Or(1 << (bit % 64))
		}
	}
}

func (d *drain) knows(key uint64) bool {
	if d.seen == nil {
		return true
	}
	for i := range uint64(drainProbes) {
		if bit := probe(key, i); d.seen[bit/64].Load()&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// probe makes several hashes of one (Kirsch and Mitzenmacher, 2006).
func probe(key, i uint64) uint64 { return (key + i*(key>>32|1)) % drainBits }
