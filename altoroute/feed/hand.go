// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

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
	f.dropIncoming() // not in the place of one that comes in by degrees
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
	f.aside, f.before.held = f.held.describe(time.Now(), nil), nil
	f.unhold("by hand")
	f.look() // has it stored
	return nil
}

// Look has the source looked at now, whatever its answers said of freshness.
func (f *Feed) Look() {
	f.forced.Store(true)
	f.look()
}

// A Version is a set that is on disk and can be put back.
type Version struct {
	// Sequence names it and grows from each to the next.
	Sequence uint64
	Tag      altoroute.VersionTag
	// InForce is when it came in force.
	InForce time.Time
}

// errNoSpool is why there is nothing to go back to.
var errNoSpool = errors.New("the source has no spool: no version is kept")

// Versions returns the sets on disk, newest first.
func (f *Feed) Versions() []Version {
	if f.cfg.Spool == nil {
		return nil
	}
	sets, _ := f.cfg.Spool.Sets()
	versions := make([]Version, 0, len(sets))
	for _, s := range sets {
		i := slices.IndexFunc(s.Documents, func(d spool.Document) bool { return d.Role == spool.NetworkMap })
		if i >= 0 {
			versions = append(versions, Version{s.Sequence, altoroute.VersionTag(s.Documents[i].VersionTag), s.InForce})
		}
	}
	return versions
}

// sameContents reports whether two sets are of the same contents, whatever else is known
// of them.
func sameContents(a, b []spool.Document) bool {
	return slices.EqualFunc(a, b, func(a, b spool.Document) bool { return a.Content == b.Content })
}

// version returns a set of the spool that is to be put back.
func (f *Feed) version(sequence uint64) (*spool.Set, error) {
	f.mu.Lock()
	newest := f.newest()
	f.mu.Unlock()
	sets, _ := f.cfg.Spool.Sets()
	place := uint64(math.MaxUint64) // after all, where it was not stored yet
	numbers := make([]string, 0, len(sets))
	for _, s := range sets {
		numbers = append(numbers, strconv.FormatUint(s.Sequence, 10))
		if newest != nil && sameContents(s.Documents, newest.spooled) {
			place = min(place, s.Place())
		}
	}
	i := slices.IndexFunc(sets, func(s *spool.Set) bool {
		return s.Sequence == sequence || sequence == 0 && s.Sequence < place
	})
	if i < 0 {
		which := "before the one in force"
		if sequence > 0 {
			which = fmt.Sprintf("%d to go back to", sequence)
		}
		return nil, fmt.Errorf("there is no version %s: those that are kept are %s", which, cmp.Or(strings.Join(numbers, ", "), "none"))
	}
	target := *sets[i]
	if target.First = target.Place(); target.First > place {
		target.First = 0 // not back: what is in force now comes before it
	}
	return &target, nil
}

// sourceHas describes what the source had last, as far as is known: nil is nothing. f.mu
// must be held.
func (f *Feed) sourceHas(now time.Time) *spool.NotInForce {
	last := cmp.Or(f.before.held, f.before.incoming)
	switch newest := f.newest(); {
	case f.held != nil:
		return f.held.describe(now, nil)
	case f.aside != nil:
		return f.aside
	case last != nil:
		return &spool.NotInForce{VersionTag: last.VersionTag, Sums: last.Sums, Filter: last.Filter, Since: now}
	case newest != nil:
		return newest.describe(now, nil)
	}
	return nil
}

// PutBack puts an earlier set in force again, of those that Versions names; 0 is the
// one that was in force before the newest. The set that it replaces is put aside: it does
// not come back before the source has another one.
//
// Whoever goes back twice by 0 goes back by two, and not to what was put aside.
func (f *Feed) PutBack(sequence uint64) error {
	if f.cfg.Spool == nil {
		return errNoSpool
	}
	target, err := f.version(sequence)
	if err != nil {
		return err
	}
	made, err := f.load(target)
	if err != nil {
		return err
	}
	now := time.Now()
	f.mu.Lock()
	aside := f.sourceHas(now)
	f.held, f.status.Held = nil, nil
	f.dropIncoming()
	events := f.letIn(made, altoroute.Ramp{}, now)
	if aside != nil && !made.matches(aside) {
		f.aside = aside
	}
	f.mu.Unlock()
	f.notify(events)
	f.publish()
	f.look() // has it stored as the newest, and rows read that it lacks
	return nil
}
