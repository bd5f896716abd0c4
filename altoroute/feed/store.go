// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// describeStored returns what the spool is told of a document.
func (d *document) describeStored() spool.Document {
	stored := spool.Document{
		Role: spool.CostMap, Name: d.name, ResourceID: d.status.ResourceID, MediaType: d.mediaType,
		DependsOn: alto.VersionTag(d.dependsOn), Content: d.content,
	}
	if d.network != nil {
		stored.Role, stored.VersionTag, stored.DependsOn = spool.NetworkMap, alto.VersionTag(d.network.Tag()), alto.VersionTag{}
	}
	if opener, ok := d.open.(*serverOpener); ok {
		stored.Validators, stored.Filter = opener.kept.validators, opener.filterSum()
	}
	return stored
}

// restoreAfter is how often what is known of a set is written anew that is still the
// current one: when it was last confirmed. Where sets expire, it is a part of that time.
const restoreAfter = 10 * time.Minute

func (f *Feed) restoreAfter() time.Duration {
	if f.cfg.Expire > 0 {
		return min(restoreAfter, f.cfg.Expire/10)
	}
	return restoreAfter
}

// store writes the set in force to the spool, and what is not in force, if they are not
// there. One that is coming in is written when it is in force: a restart is no short cut.
// The cycle must be held.
func (f *Feed) store(now time.Time) {
	if f.cfg.Spool == nil {
		return
	}
	defer f.discard()
	f.mu.Lock()
	base, others, status, started := f.base, f.notInForce(), f.status, f.stop != nil
	isStored := f.isStored()
	f.mu.Unlock()
	if base == nil || f.local() && !started || isStored && now.Sub(f.storedAt) < f.restoreAfter() {
		return
	}
	documents := slices.Clone(base.spooled)
	for i, d := range base.docs {
		if _, spooled := d.open.(*spoolOpener); spooled || d.sum != base.sums[i] {
			continue
		}
		if f.local() && d.content == (spool.Content{}) {
			if err := d.copyToSpool(context.Background()); err != nil {
				f.stored, f.others, f.storedAt = base, others, now
				f.stores(err)
				return
			}
		}
		documents[i] = d.describeStored()
	}
	for i := range documents {
		documents[i].FetchedAt = status.LastContact // also of a set that was put back
	}
	if f.local() && slices.ContainsFunc(documents, func(d spool.Document) bool { return d.Content == spool.Content{} }) {
		return // it has changed since: the next set is stored
	}
	f.stored, f.others, f.storedAt = base, others, now
	f.mu.Lock()
	base.spooled = documents
	f.mu.Unlock()
	_, err := f.cfg.Spool.Commit(documents, status.Since, others...)
	f.stores(err)
	if !errors.Is(err, spool.ErrDamaged) {
		return
	}
	f.stored = nil // it is tried again with each look: they are read again by the next
	if now.Sub(f.againAt) >= restoreAfter {
		f.againAt = now
		for _, d := range base.docs {
			d.writeAgain()
		}
	}
}

// isStored reports whether the spool knows what is in force and what is not, but for how
// old it is. The cycle and f.mu must be held.
func (f *Feed) isStored() bool {
	return f.base == f.stored && slices.EqualFunc(f.notInForce(), f.others, func(a, b spool.NotInForce) bool {
		return slices.Equal(a.Sums, b.Sums) && slices.Equal(a.Reasons, b.Reasons) && a.Over == b.Over
	})
}

// stores tells whether the set in force is in the spool.
func (f *Feed) stores(err error) {
	f.mu.Lock()
	was := f.status.SpoolErr
	f.status.SpoolErr = err
	f.mu.Unlock()
	if err != nil && (was == nil || was.Error() != err.Error()) {
		f.cfg.Logger.Error("maps are in force but not in the spool: they would not survive a restart",
			slog.String("source", f.cfg.Name), slog.Any("error", err))
	}
}

// notInForce returns what is not in force. f.mu must be held.
func (f *Feed) notInForce() (all []spool.NotInForce) {
	if f.aside != nil {
		all = append(all, *f.aside)
	}
	if f.incoming != nil {
		x := f.incoming.describe(f.status.Ramp.Since, nil)
		x.Over, x.Documents = f.status.Ramp.Over, f.incoming.whole()
		all = append(all, *x)
	}
	if f.held != nil {
		x := f.held.describe(f.status.Held.Since, f.status.Held.Reasons)
		x.Documents = f.held.whole()
		all = append(all, *x)
	}
	for _, x := range f.before {
		if !slices.ContainsFunc(all, func(o spool.NotInForce) bool { return slices.Equal(o.Sums, x.Sums) }) {
			all = append(all, x)
		}
	}
	return all
}

// whole returns the documents of a set for the spool, or none: those of files are not
// copied before they are in force.
func (s *set) whole() []spool.Document {
	if slices.ContainsFunc(s.spooled, func(d spool.Document) bool { return d.Content == spool.Content{} }) {
		return nil
	}
	return s.spooled
}

// discard has the spool forget what is part of no set any more, and was not read last.
func (f *Feed) discard() {
	needed := make(map[spool.Content]bool)
	for _, o := range f.origins {
		for _, d := range o.all() {
			needed[d.content] = true
		}
	}
	f.mu.Lock()
	for _, s := range []*set{f.base, f.incoming, f.held} {
		if s == nil {
			continue
		}
		for _, d := range s.spooled {
			needed[d.Content] = true
		}
	}
	f.mu.Unlock()
	f.cfg.Spool.DiscardExcept(needed)
}

// writeAgain has content read again that the spool has lost.
func (d *document) writeAgain() {
	if opener, ok := d.open.(*serverOpener); ok {
		opener.forget(true)
	} else {
		d.content = spool.Content{}
	}
}
