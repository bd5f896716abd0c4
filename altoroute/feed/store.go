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
	if d.server != nil {
		stored.Validators, stored.Filter = d.server.kept.validators, d.server.filterSum()
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
				f.reportStored(err)
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
	err := f.cfg.Spool.Commit(&spool.Set{First: base.first, InForce: status.Since, Documents: documents, Others: others})
	f.reportStored(err)
	if !errors.Is(err, spool.ErrDamaged) {
		return
	}
	f.stored = nil // it is tried again with each look: they are read again by the next
	if now.Sub(f.againAt) >= restoreAfter {
		f.againAt = now
		for _, d := range base.docs {
			d.readAgain()
		}
	}
}

// isStored reports whether the spool knows what is in force and what is not, but for how
// old it is. The cycle and f.mu must be held.
func (f *Feed) isStored() bool {
	is, was := f.notInForce(), f.others
	return f.base == f.stored && alike(is.Aside, was.Aside) && alike(is.Incoming, was.Incoming) && alike(is.Held, was.Held)
}

// alike reports whether two descriptions are of one set, not in force for one reason.
func alike(a, b *spool.NotInForce) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Sums, b.Sums) && slices.Equal(a.Reasons, b.Reasons) && a.Over == b.Over
}

// reportStored tells whether the set in force is in the spool.
func (f *Feed) reportStored(err error) {
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
func (f *Feed) notInForce() spool.Others {
	others := spool.Others{Aside: f.aside, Incoming: f.before.incoming, Held: f.before.held}
	if f.incoming != nil {
		x := f.incoming.describe(f.status.Ramp.Since, nil)
		x.Over, x.Documents = f.status.Ramp.Over, f.incoming.storable()
		others.Incoming = x
	}
	if f.held != nil {
		x := f.held.describe(f.status.Held.Since, f.status.Held.Reasons)
		x.Documents = f.held.storable()
		others.Held = x
	}
	return others
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
