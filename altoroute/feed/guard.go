// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
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
