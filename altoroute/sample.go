// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A sample is some of the requests that were decided last, to try new guidance
// on. All are taken as long as there are few; else each with one and the same
// chance, so that there are at most about samplesPerSecond. A request that finds
// somebody else at it is not taken: it waits for nobody.
type sample struct {
	// mask has as many bits as times the chance is halved. A request is taken if
	// it draws none of them.
	mask atomic.Uint64

	mu     sync.Mutex // guards what follows
	ring   [sampleSize]sampled
	taken  int // of all time: the next one's place, modulo the size
	owned  int // the first of them whose strings may be parts of larger ones
	readAt time.Time
	asked  uint64 // how many requests those since readAt stand for
	spent  int    // how many were taken since readAt, or since the chance was halved
}

// sampled is what has an influence on a decision, but that which the client
// says of edges: guidance does not depend on it.
type sampled struct {
	pool                 *pool
	client               netip.Addr
	path, rawQuery, host string
	https                bool
}

const (
	sampleSize       = 4096
	samplesPerSecond = 100
	maxSampled       = 1 << 10 // the length of path, query and host of a request that is taken
)

// offer takes a request into the sample, by chance.
func (s *sample) offer(p *pool, q *Query) {
	if mask := s.mask.Load(); rand.Uint64()&mask == 0 { //nolint:gosec // chance, no secret
		s.take(mask, p, q)
	}
}

func (s *sample) take(mask uint64, p *pool, q *Query) {
	if len(q.Path)+len(q.RawQuery)+len(q.Host) > maxSampled || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.asked += mask + 1
	if s.spent++; s.spent > 2*samplesPerSecond {
		// Traffic has grown since the last Tick.
		s.spent = 0
		s.mask.Store(mask<<1 | 1)
	}
	s.put(sampled{p, q.Client, q.Path, q.RawQuery, q.Host, q.HTTPS})
}

func (s *sample) put(q sampled) {
	s.ring[s.taken%sampleSize] = q
	s.taken++
}

// adapt sets the chance by the traffic since the last time, and makes the
// strings the sample's own: until then a path may hold on to the whole header
// that it is a part of.
func (s *sample) adapt(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.owned = max(s.owned, s.taken-sampleSize); s.owned < s.taken; s.owned++ {
		q := &s.ring[s.owned%sampleSize]
		q.path, q.rawQuery, q.host = strings.Clone(q.path), strings.Clone(q.rawQuery), strings.Clone(q.host)
	}
	elapsed := now.Sub(s.readAt)
	if 0 <= elapsed && elapsed < time.Second/2 {
		return // too short to tell
	}
	if elapsed > 0 && !s.readAt.IsZero() {
		mask, rate := uint64(0), float64(s.asked)/elapsed.Seconds()
		for rate/float64(mask+1) > samplesPerSecond {
			mask = mask<<1 | 1
		}
		s.mask.Store(mask)
	}
	s.readAt, s.asked, s.spent = now, 0, 0
}

// all returns the requests, in no order.
func (s *sample) all() []sampled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ring[:min(s.taken, sampleSize)])
}
