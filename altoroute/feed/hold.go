// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// Held is a set that is not let in yet.
type Held struct {
	Maps *altoroute.Maps
	// Since is when a set was first held of those that were held without a break.
	Since time.Time
	// Until is when it is let in by itself; zero is never.
	Until time.Time
	// Reasons tell what it would change too much.
	Reasons []string
	// Shift is what it would move of recent requests, of the watcher where that is
	// most.
	Shift altoroute.Shift
}

// What a set that the source has is to a Feed.
type standing int

const (
	isNew standing = iota
	isAside
	isHeld
	isIncoming
	isBase
)

// standingOf returns what a set is to the Feed, where rows of costs are wanted. f.mu must
// be held.
func (f *Feed) standingOf(made *set, rows []string) standing {
	unjudged := cmp.Or(f.before.incoming, f.before.held) != nil // by this Feed
	switch {
	case made.matches(f.aside): // also where rows are wanted that it lacks
		return isAside
	case f.held.same(made, rows) && !unjudged:
		return isHeld
	case f.incoming.same(made, rows):
		return isIncoming
	case f.base.same(made, rows):
		return isBase
	}
	return isNew
}

// admit lets a set in that was just put together, or holds it.
func (f *Feed) admit(made *set, now time.Time) {
	rows := f.rows(made.maps.Network)
	f.mu.Lock()
	was, newest, ramp := f.standingOf(made, rows), f.newest(), f.rampBefore(made, now)
	f.mu.Unlock()
	var reasons []string
	var shift altoroute.Shift
	if was == isNew && newest != nil && !f.cfg.Guard.Off && ramp.Over == 0 {
		reasons, shift = f.judge(newest, made)
	}
	var events []Event
	defer func() { f.notify(events) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recovered(now)
	switch is := f.standingOf(made, rows); {
	case is == isAside:
		f.unhold("the source has what was put aside")
		f.aside = made.describe(f.aside.Since, nil) // as it is asked for by these rows
	case is == isHeld:
	case is == isIncoming:
		f.unhold("the source has what is coming in")
	case is == isBase:
		f.unhold("the source has what is in force")
		f.dropIncoming() // it thought better of it
		f.base.confirm(made)
		if f.at == 0 { // one that stands in may lag behind what was put aside
			f.aside = nil
		}
	case was != isNew: // until something was done by hand just now: the next look tells
	case len(reasons) > 0:
		events = f.hold(made, reasons, shift, now)
	default:
		f.unhold("a later set is in order")
		events = f.letIn(made, ramp, now)
	}
	f.before.incoming, f.before.held = nil, nil
}

// rampBefore returns the ramp by which a set was coming in before this Feed was; zero is
// that it was not. Where its time has passed and nothing of it is in force, it begins
// anew. f.mu must be held.
func (f *Feed) rampBefore(made *set, now time.Time) altoroute.Ramp {
	x := f.before.incoming
	switch {
	case !made.matches(x):
		return altoroute.Ramp{}
	case now.Before(x.Since.Add(x.Over)):
		return altoroute.Ramp{Since: x.Since, Over: x.Over}
	}
	return altoroute.Ramp{Since: now, Over: x.Over}
}

// remembered returns the reasons for which a set of the same content was held before.
func (f *Feed) remembered(made *set) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil && made.matchesContent(f.held.sums, f.held.filter) {
		return f.status.Held.Reasons
	}
	if x := f.before.held; made.matches(x) {
		return x.Reasons
	}
	return nil
}

// newest returns the set that is in force, or coming in.
func (f *Feed) newest() *set { return cmp.Or(f.incoming, f.base) }

// hold keeps a set from being in force.
func (f *Feed) hold(made *set, reasons []string, shift altoroute.Shift, now time.Time) []Event {
	held := &Held{Maps: made.maps, Since: now, Reasons: reasons, Shift: shift}
	least := now
	wait := f.holdFor()
	switch {
	case made.matches(f.before.held):
		held.Since = f.before.held.Since
	case f.held != nil:
		// Maps that change all the time are not held for ever, but somebody must have
		// the time to look at the last of them.
		held.Since, least = f.status.Held.Since, f.status.Held.Until
		if !made.matchesContent(f.held.sums, f.held.filter) {
			least = earlier(now.Add(wait/4), held.Since.Add(2*wait))
		}
	}
	held.Until = f.until(held.Since, least)
	f.held, f.status.Held = made, held
	f.status.Holds++
	tag, why := made.maps.Network.Tag(), strings.Join(reasons, "; ")
	until := "let in by hand"
	if !held.Until.IsZero() {
		until = held.Until.Format(time.RFC3339)
	}
	attrs := []any{slog.String("source", f.cfg.Name), slog.String("tag", tag.Tag), slog.String("reasons", why), slog.String("until", until)}
	if made.matches(f.before.held) { // it was told before a restart
		f.cfg.Logger.Info("maps are still held", attrs...)
		return nil
	}
	f.cfg.Logger.Warn("maps held, the last good ones stay in force", attrs...)
	return []Event{{Kind: MapHeld, Source: f.cfg.Name, Tag: tag, Reason: why}}
}

// holdFor returns how long a set is held; less than zero is for ever.
func (f *Feed) holdFor() time.Duration { return cmp.Or(f.cfg.Guard.Hold, DefaultHold) }

// until returns when a set that is held since a time is let in, not before another time;
// zero is never.
func (f *Feed) until(since, least time.Time) time.Time {
	if f.holdFor() < 0 {
		return time.Time{}
	}
	return later(since.Add(f.holdFor()), least)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unhold forgets the set that is held, for a reason.
func (f *Feed) unhold(why string) {
	if f.held == nil {
		return
	}
	f.cfg.Logger.Info("held maps are dropped", slog.String("source", f.cfg.Name),
		slog.String("tag", f.held.maps.Network.Tag().Tag), slog.String("reason", why))
	f.held, f.status.Held = nil, nil
}

// letIn puts a set in force, at once or by a ramp. While another one is coming in, it
// takes that one's place, as far as that has come. f.mu must be held.
func (f *Feed) letIn(s *set, ramp altoroute.Ramp, now time.Time) []Event {
	f.settle(now)
	f.leave(f.newest(), s)
	switch {
	case f.incoming != nil:
		f.incoming = s
	case f.base != nil && ramp.Over > 0:
		f.incoming, f.status.Ramp = s, ramp
	default:
		f.base = s
	}
	f.aside, f.before.incoming, f.before.held = nil, nil, nil
	f.status.Since = now
	f.status.Updates++
	m := s.maps
	f.cfg.Logger.Info("maps updated", slog.String("source", f.cfg.Name),
		slog.String("network_map", m.Network.Tag().ResourceID), slog.String("tag", m.Network.Tag().Tag),
		slog.Int("pids", m.Network.PIDs()), slog.Int("prefixes", m.Network.Prefixes()), slog.Duration("ramp", f.status.Ramp.Over))
	return []Event{{Kind: MapUpdated, Source: f.cfg.Name, Tag: m.Network.Tag()}}
}

// settled returns when the set is in force that is coming in; zero where none is.
func (f *Feed) settled() time.Time {
	if f.incoming == nil {
		return time.Time{}
	}
	return f.status.Ramp.Since.Add(f.status.Ramp.Over)
}

// settle puts a set in force whose ramp is over.
func (f *Feed) settle(now time.Time) {
	if f.incoming != nil && !now.Before(f.settled()) {
		f.base, f.incoming, f.status.Ramp = f.incoming, nil, altoroute.Ramp{}
	}
}

// endRamp has what is coming in go no further: it is in force for all content where it has
// come more than half the way, and for none otherwise.
func (f *Feed) endRamp(now time.Time) {
	if f.incoming != nil && 2*now.Sub(f.status.Ramp.Since) > f.status.Ramp.Over {
		f.base, f.incoming, f.status.Ramp = f.incoming, nil, altoroute.Ramp{}
	}
	f.dropIncoming()
}

// dropIncoming has what is coming in be in force for no content. f.mu must be held.
func (f *Feed) dropIncoming() {
	if f.incoming != nil {
		f.leave(f.incoming, f.base)
		f.incoming, f.status.Ramp = nil, altoroute.Ramp{}
	}
}

// pass does what happens by time alone: a set that was held long enough is let in, one
// that is too old is not used.
func (f *Feed) pass(now time.Time) {
	var events []Event
	defer func() { f.notify(events) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passed = now
	if until := f.heldUntil(); !until.IsZero() && !now.Before(until) {
		held := f.held
		f.held, f.status.Held = nil, nil
		ramp := cmp.Or(f.cfg.Guard.Ramp, DefaultRamp)
		f.endRamp(now) // it moves too much to go on with another one's
		events = f.letIn(held, altoroute.Ramp{Since: now, Over: max(ramp, 0)}, now)
	}
	expires := f.status.expires(f.cfg.Expire)
	expired := f.base != nil && !expires.IsZero() && !now.Before(expires)
	stale := f.staleFrom()
	switch {
	case expired && !f.status.Expired:
		why := f.tooOld(now)
		f.cfg.Logger.Error("maps are too old and not used any more", slog.String("source", f.cfg.Name), slog.String("reason", why))
		if f.stop != nil { // else Start tells
			events = append(events, f.stale(why))
		}
	case !expired && !stale.IsZero() && !now.Before(stale):
		f.isLost = true
		f.cfg.Logger.Error("maps are stale", slog.String("source", f.cfg.Name), slog.Time("last_contact", f.status.LastContact), slog.Any("error", f.status.Err))
		events = append(events, f.stale(f.status.Err.Error()))
	}
	f.status.Expired = expired
}

// staleFrom returns when it is to be told that the source is not in order; zero where it
// is, or that was told. f.mu must be held.
func (f *Feed) staleFrom() time.Time {
	if f.base == nil || f.status.Err == nil || f.isLost {
		return time.Time{}
	}
	return f.lost.Add(f.cfg.Refresh)
}

// stale is the event that the set in force is stale, for a reason.
func (f *Feed) stale(why string) Event {
	return Event{Kind: MapStale, Source: f.cfg.Name, Tag: f.base.maps.Network.Tag(), Reason: why}
}

func (f *Feed) tooOld(now time.Time) string {
	return fmt.Sprintf("the last contact was %s ago", now.Sub(f.status.LastContact).Round(time.Second))
}

// heldUntil returns when the set that is held is let in by itself; zero is never.
func (f *Feed) heldUntil() time.Time {
	if f.status.Held == nil {
		return time.Time{}
	}
	return f.status.Held.Until
}
