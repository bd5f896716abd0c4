// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"log/slog"
	"time"
)

// When most sites fail at once, the fault is more likely here than there. So
// when a target is about to be down and most sites that are up failed their
// latest check too, the prober suspects itself, and nothing becomes down until
// that is no longer so. Where no site is up, those that are still unknown are
// looked at instead, since a router may be cut off when it starts.
//
// That is told only then, not before: as long as nothing is about to be down,
// nothing is at stake, and a few checks may fail together by chance.
//
// Each family is suspected by itself, for a machine can lose one of them.
const (
	// suspicious is how many sites must fail at least.
	suspicious = 3
	// maxHeld bounds the benefit of the doubt: most sites may really be down, and
	// clients are sent to them meanwhile. It outlasts most faults of a router's
	// own, restarts of what is next to it and routes that settle. A router that
	// is cut off for longer finds all its edges down, which tells it nothing, and
	// is left to what it does then.
	maxHeld = 5 * time.Minute
	// confirmations is how many checks must fail after a suspicion until a target
	// is down that failed throughout it.
	confirmations = 2
)

// A suspicion is what speaks for a fault of our own in one family.
type suspicion struct {
	since time.Time // zero while there is none
	ended time.Time // the latest one
	sites [2]tally  // those that are unknown and up
}

// A tally counts those of which the latest check failed among all.
type tally struct{ failing, all int32 }

// fails reports whether a site counts as failing. A target of it that succeeds
// shows that the way there is clear.
func (t *tally) fails() bool { return t.all > 0 && t.failing == t.all }

// count adds a lane to what is known of its site, or takes it off before its
// state or its failures change.
func (p *Prober) count(l *lane, by int32) {
	if !l.active || l.State != Unknown && l.State != Up {
		return
	}
	site := &l.of.site.tally[l.family][l.State-Unknown]
	sites := &p.suspicion[l.family].sites[l.State-Unknown]
	sites.add(site, -1)
	site.all += by
	if l.Failures > 0 {
		site.failing += by
	}
	sites.add(site, +1)
}

func (t *tally) add(site *tally, by int32) {
	if site.all > 0 {
		t.all += by
	}
	if site.fails() {
		t.failing += by
	}
}

// witnesses returns the sites that are up or, where there are none, those that
// are still unknown.
func (s *suspicion) witnesses() tally {
	if up := s.sites[Up-Unknown]; up.all > 0 {
		return up
	}
	return s.sites[0]
}

func (s *suspicion) evidence(l *lane) []slog.Attr {
	t := s.witnesses()
	return []slog.Attr{
		slog.String("family", l.family.String()),
		slog.Int("sites_failing", int(t.failing)),
		slog.Int("sites", int(t.all)),
		slog.String("reason", l.Err),
	}
}

// mostFail reports whether there is reason to suspect ourselves.
func (s *suspicion) mostFail() bool {
	t := s.witnesses()
	return t.failing >= suspicious && 2*t.failing > t.all
}

// withheld reports whether a lane that failed too often is spared for now.
func (p *Prober) withheld(l *lane) bool {
	s := &p.suspicion[l.family]
	now := time.Now()
	if s.since.IsZero() {
		if !s.mostFail() {
			return false
		}
		s.since = now
		attrs := s.evidence(l)
		p.log(func(ctx context.Context, logger *slog.Logger) {
			logger.LogAttrs(ctx, slog.LevelWarn, "most targets fail at once, suspecting this router: no target goes down for now", attrs...)
		})
		p.noteChange(nil)
	}
	if l.held.IsZero() {
		l.held = now
	}
	l.Withheld = now.Sub(l.held) < maxHeld
	return l.Withheld
}

// reconsider ends a suspicion for which there is no reason left.
func (p *Prober) reconsider(f Family) {
	s := &p.suspicion[f]
	if s.since.IsZero() || s.mostFail() {
		return
	}
	now := time.Now()
	attrs := []slog.Attr{slog.String("family", f.String()), slog.Duration("lasted", now.Sub(s.since))}
	p.log(func(ctx context.Context, logger *slog.Logger) {
		logger.LogAttrs(ctx, slog.LevelInfo, "this router is no longer suspected: targets may go down again", attrs...)
	})
	s.since, s.ended = time.Time{}, now
	for _, subject := range p.subjects {
		l := &subject.lanes[f]
		// However often suspicions come and go, the bound holds.
		if l.held.IsZero() || now.Sub(l.held) < maxHeld {
			l.strikes = min(l.strikes, max(l.of.Down-confirmations, 0))
		}
		l.Withheld = false
	}
	p.noteChange(nil)
}
