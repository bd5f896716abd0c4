// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A Guard says what new maps may change. What changes more is held: it does not
// serve until it is let in, and the set before it stays in force. The first set of
// a source is not judged. The zero value has the defaults.
type Guard struct {
	// Off lets everything in.
	Off bool
	// Moved is the share of recent requests that may go to other edges than
	// before. Zero is DefaultMoved; 1 is all.
	Moved float64
	// Lost is the share of the prefixes, and of the PIDs, that may be lost. Zero is
	// DefaultLost; 1 is all.
	Lost float64
	// Hold is how long a set is held that nobody lets in by hand. Zero is
	// DefaultHold, less than zero that it is for ever.
	Hold time.Duration
	// Ramp is how long it takes a set that was held to come in force by degrees.
	// Zero is DefaultRamp, less than zero that it is at once.
	Ramp time.Duration
}

// The bounds of a Guard that sets none.
const (
	DefaultMoved = 0.2
	DefaultLost  = 0.2
	DefaultHold  = time.Hour
	DefaultRamp  = 10 * time.Minute
)

// leastSampled is how many recent requests there must be for their share to mean
// something.
const leastSampled = 50

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

// admit lets a set in that was just put together, or holds it.
func (f *Feed) admit(made *set, now time.Time) {
	rows := f.rows(made.maps.Network)
	f.mu.Lock()
	isHeld := f.held.same(made, rows) && len(f.before) == 0 // else it is judged by this Feed first
	newest, known := f.newest(), f.base.same(made, rows) || f.incoming.same(made, rows) || isHeld || made.is(f.aside)
	ramp := f.rampBefore(made, now)
	f.mu.Unlock()
	var reasons []string
	var shift altoroute.Shift
	if !known && newest != nil && !f.cfg.Guard.Off && ramp.Over == 0 {
		reasons, shift = f.judge(newest, made)
	}
	var events []Event
	defer func() { f.notify(events) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recovered(now)
	switch {
	case made.is(f.aside): // also where rows are wanted that it lacks
		f.unhold("the source has what was put aside")
		f.aside = made.describe(f.aside.Since, nil) // as it is asked for by these rows
	case isHeld && f.held.same(made, rows):
	case f.incoming.same(made, rows):
		f.unhold("the source has what is coming in")
	case f.base.same(made, rows):
		f.unhold("the source has what is in force")
		f.incoming, f.status.Ramp = nil, altoroute.Ramp{} // it thought better of it
		f.base.confirm(made)
		f.aside = nil
	case known: // until something was done by hand just now: the next look tells
	case len(reasons) > 0:
		events = f.hold(made, reasons, shift, now)
	default:
		f.unhold("a later set is in order")
		events = f.letIn(made, ramp, now)
	}
	f.before = nil
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

// is reports whether a set is what was not in force. Where other costs were asked for, their
// content cannot tell, and it is taken for the same.
func (s *set) is(x *spool.NotInForce) bool { return x != nil && s.matches(x.Sums, x.Filter) }

func (s *set) matches(sums []uint64, filter uint64) bool {
	return slices.Equal(s.sums, sums) || s.filter != filter && s.sums[0] == sums[0]
}

// describe tells the spool of a set that is not in force.
func (s *set) describe(since time.Time, reasons []string) *spool.NotInForce {
	return &spool.NotInForce{VersionTag: alto.VersionTag(s.maps.Network.Tag()), Sums: s.sums, Filter: s.filter, Since: since, Reasons: reasons}
}

// rampBefore returns the ramp by which a set was coming in before this Feed was; zero is
// that it was not. Where its time has passed and nothing of it is in force, it begins
// anew. f.mu must be held.
func (f *Feed) rampBefore(made *set, now time.Time) altoroute.Ramp {
	x := f.wasBefore(made, true)
	switch {
	case x == nil:
		return altoroute.Ramp{}
	case now.Before(x.Since.Add(x.Over)):
		return altoroute.Ramp{Since: x.Since, Over: x.Over}
	}
	return altoroute.Ramp{Since: now, Over: x.Over}
}

// heldBefore returns how a set was held before this Feed was; nil is that it was not.
// f.mu must be held.
func (f *Feed) heldBefore(made *set) *spool.NotInForce { return f.wasBefore(made, false) }

// wasBefore returns what is known of a set from before this Feed was, that was coming in,
// or that was held; nil is nothing. f.mu must be held.
func (f *Feed) wasBefore(made *set, coming bool) *spool.NotInForce {
	for i := range f.before {
		if x := &f.before[i]; x.Over > 0 == coming && made.is(x) {
			return x
		}
	}
	return nil
}

// remembered returns the reasons for which a set of the same content was held before.
func (f *Feed) remembered(made *set) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil && made.matches(f.held.sums, f.held.filter) {
		return f.status.Held.Reasons
	}
	if x := f.heldBefore(made); x != nil {
		return x.Reasons
	}
	return nil
}

// newest returns the set that is in force, or coming in.
func (f *Feed) newest() *set { return cmp.Or(f.incoming, f.base) }

// judge returns what a set would change too much. Where the configuration wants rows of
// costs that the set in force does not have, it has changed: what comes then is the new
// measure, unless it was held before. So is what cannot be told for want of requests.
func (f *Feed) judge(before, made *set) (reasons []string, worst altoroute.Shift) {
	had, has := before.maps.Network, made.maps.Network
	if slices.Equal(before.sums, made.sums) {
		return nil, worst // only with more rows
	}
	if !keepsRows(before.maps, f.rows(had)) {
		return f.remembered(made), worst
	}
	lost := cmp.Or(f.cfg.Guard.Lost, DefaultLost)
	if fewer := had.Prefixes() - has.Prefixes(); float64(fewer) > lost*float64(had.Prefixes()) {
		reasons = append(reasons, fmt.Sprintf("it has %d prefixes, %s fewer than the %d in force", has.Prefixes(), percent(fewer, had.Prefixes()), had.Prefixes()))
	}
	if gone := had.Lost(has); float64(gone) > lost*float64(had.PIDs()) {
		reasons = append(reasons, fmt.Sprintf("it lacks %d of the %d PIDs in force, %s", gone, had.PIDs(), percent(gone, had.PIDs())))
	}
	shifts := f.shifts(made)
	for i, shift := range shifts {
		for _, reason := range f.cfg.Guard.against(shift) {
			if !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
		}
		if i == 0 || cmp.Or(cmp.Compare(telling(shift), telling(worst)), cmp.Compare(len(shift.Uncosted), len(worst.Uncosted))) > 0 {
			worst = shift
		}
	}
	if len(reasons) == 0 && worst.Sampled < leastSampled {
		reasons = f.remembered(made)
	}
	return reasons, worst
}

// shifts returns what a set would move for each watcher.
func (f *Feed) shifts(made *set) []altoroute.Shift {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	shifts := make([]altoroute.Shift, 0, len(f.watchers))
	for _, w := range f.watchers {
		shifts = append(shifts, w.Shift(made.maps))
	}
	return shifts
}

// against returns what is too much of what a set would move for one watcher.
func (g *Guard) against(shift altoroute.Shift) (reasons []string) {
	if edges := shift.Uncosted; len(edges) > maxNamed {
		reasons = append(reasons, fmt.Sprintf("it leaves %d edges without any cost: %s and others", len(edges), strings.Join(edges[:maxNamed], ", ")))
	} else if len(edges) > 0 {
		reasons = append(reasons, "it leaves edges without any cost: "+strings.Join(edges, ", "))
	}
	if telling(shift) > cmp.Or(g.Moved, DefaultMoved) {
		reasons = append(reasons, fmt.Sprintf("it moves %d of %d recent requests, %s", shift.Moved, shift.Sampled, percent(shift.Moved, shift.Sampled)))
	}
	return reasons
}

// maxNamed is how many edges a reason names.
const maxNamed = 10

// telling returns the share of recent requests that would move, where they are enough
// to mean something.
func telling(shift altoroute.Shift) float64 {
	if shift.Sampled < leastSampled {
		return 0
	}
	return shift.Share()
}

func percent(part, whole int) string { return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole)) }

// hold keeps a set from being in force.
func (f *Feed) hold(made *set, reasons []string, shift altoroute.Shift, now time.Time) []Event {
	held := &Held{Maps: made.maps, Since: now, Reasons: reasons, Shift: shift}
	least := now
	wait := f.holdFor()
	switch before := f.heldBefore(made); {
	case before != nil:
		held.Since = before.Since
	case f.held != nil:
		// Maps that change all the time are not held for ever, but somebody must have
		// the time to look at the last of them.
		held.Since, least = f.status.Held.Since, f.status.Held.Until
		if !made.matches(f.held.sums, f.held.filter) {
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
	f.cfg.Logger.Warn("maps held, the last good ones stay in force", slog.String("source", f.cfg.Name),
		slog.String("tag", tag.Tag), slog.String("reasons", why), slog.String("until", until))
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
// takes that one's place, as far as that has come.
func (f *Feed) letIn(s *set, ramp altoroute.Ramp, now time.Time) []Event {
	f.settle(now)
	switch {
	case f.incoming != nil:
		f.incoming = s
	case f.base != nil && ramp.Over > 0:
		f.incoming, f.status.Ramp = s, ramp
	default:
		f.base = s
	}
	f.aside = nil
	f.overtake(s)
	f.status.Since = now
	f.status.Updates++
	m := s.maps
	f.cfg.Logger.Info("maps updated", slog.String("source", f.cfg.Name),
		slog.String("network_map", m.Network.Tag().ResourceID), slog.String("tag", m.Network.Tag().Tag),
		slog.Int("pids", m.Network.PIDs()), slog.Int("prefixes", m.Network.Prefixes()), slog.Duration("ramp", ramp.Over))
	return []Event{{Kind: MapUpdated, Source: f.cfg.Name, Tag: m.Network.Tag()}}
}

// overtake forgets how a set was before, of which something else is decided now.
func (f *Feed) overtake(s *set) {
	f.before = slices.DeleteFunc(f.before, func(x spool.NotInForce) bool { return s.is(&x) })
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
		events = f.letIn(held, altoroute.Ramp{Since: now, Over: max(ramp, 0)}, now)
	}
	expires := f.status.expires(f.cfg.Expire)
	expired := f.base != nil && !expires.IsZero() && !now.Before(expires)
	if expired && !f.status.Expired {
		why := fmt.Sprintf("the last contact was %s ago", now.Sub(f.status.LastContact).Round(time.Second))
		f.cfg.Logger.Error("maps are too old and not used any more", slog.String("source", f.cfg.Name), slog.String("reason", why))
		events = append(events, Event{Kind: MapStale, Source: f.cfg.Name, Tag: f.base.maps.Network.Tag(), Reason: why})
	}
	f.status.Expired = expired
}

// heldUntil returns when the set that is held is let in by itself; zero is never.
func (f *Feed) heldUntil() time.Time {
	if f.status.Held == nil {
		return time.Time{}
	}
	return f.status.Held.Until
}

// errNothingHeld is why nothing can be let in or dropped.
var errNothingHeld = errors.New("no maps are held")

// Release lets the set in that is held, at once.
func (f *Feed) Release() error {
	now := time.Now()
	f.mu.Lock()
	held := f.held
	if held == nil {
		f.mu.Unlock()
		return errNothingHeld
	}
	f.held, f.status.Held = nil, nil
	f.incoming, f.status.Ramp = nil, altoroute.Ramp{} // not in the place of one that comes in by degrees
	events := f.letIn(held, altoroute.Ramp{}, now)
	f.mu.Unlock()
	f.notify(events)
	f.publish()
	f.look() // has it stored
	return nil
}

// Drop puts the set aside that is held: it does not come in before the source has
// another one.
func (f *Feed) Drop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		return errNothingHeld
	}
	f.aside = f.held.describe(time.Now(), nil)
	f.overtake(f.held)
	f.unhold("by hand")
	f.look() // has it stored
	return nil
}

// Look has the source looked at now, whatever its answers said of freshness.
func (f *Feed) Look() {
	f.forced.Store(true)
	f.look()
}
