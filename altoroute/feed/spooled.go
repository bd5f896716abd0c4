// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

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

// errNoVersion is why one cannot go back by one.
var errNoVersion = errors.New("there is no version before the one in force")

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

// recall puts the newest set of the spool in force that is whole, where there was none
// before. The fault is that of local files, which nobody has told yet.
func (f *Feed) recall(fault error) {
	f.mu.Lock()
	had := f.base != nil // which is too old
	f.mu.Unlock()
	if had || f.cfg.Spool == nil {
		return
	}
	source := slog.String("source", f.cfg.Name)
	sets, unusable := f.cfg.Spool.Sets()
	for _, err := range unusable {
		f.cfg.Logger.Error("the spool cannot be used whole", source, slog.Any("error", err))
	}
	for _, s := range sets {
		made, err := f.load(s)
		if err != nil {
			f.cfg.Logger.Error("the spool cannot be used whole", source, slog.Any("error", err))
			continue
		}
		// As old as its oldest part.
		contact := slices.MinFunc(s.Documents, func(a, b spool.Document) int { return a.FetchedAt.Compare(b.FetchedAt) }).FetchedAt
		f.cycle.Lock()
		f.adopt(made, s)
		f.stored, f.excluded = made, s.Excluded
		f.mu.Lock()
		f.base = made
		f.status.Spooled, f.status.Since, f.status.LastContact = true, s.InForce, contact
		for _, x := range s.Excluded {
			if len(x.Reasons) == 0 {
				f.aside = &x
			} else {
				f.heldBefore = &x
			}
		}
		f.mu.Unlock()
		f.cycle.Unlock()
		f.cfg.Logger.Warn("maps are those of the spool", source,
			slog.String("tag", made.maps.Network.Tag().Tag), slog.Time("last_contact", contact))
		if fault != nil {
			f.tell(fault, true)
		}
		f.pass(time.Now()) // they may be too old
		return
	}
}

// load reads a set of the spool.
func (f *Feed) load(s *spool.Set) (*set, error) {
	release, err := f.cfg.Spool.Hold(s)
	if err != nil {
		return nil, err
	}
	defer release()
	made := &set{maps: new(altoroute.Maps)}
	var network *document
	var rows []string
	for _, stored := range s.Documents { // the network map first, as it was committed
		d := f.document(&stored)
		switch stored.Role {
		case spool.NetworkMap:
			if made.maps.Network, _, err = d.readNetworkMap(context.Background()); err != nil {
				return nil, err
			}
			network, rows = d, f.rows(made.maps.Network)
		case spool.CostMap:
			if network == nil {
				continue
			}
			costs, _, err := d.readCostMap(context.Background(), made.maps.Network, rows)
			if err != nil {
				return nil, err
			}
			made.maps.Costs = append(made.maps.Costs, costs)
		default:
			continue
		}
		made.docs, made.sums = append(made.docs, d), append(made.sums, d.sum)
	}
	if len(made.maps.Costs) == 0 {
		return nil, fmt.Errorf("set %d of the spool has no cost map", s.Sequence)
	}
	made.spooled = s.Documents
	return made, nil
}

// widen reads the rows of costs from the spool that a watcher needs and the newest set
// lacks: the source need not be asked again for what it has said, has other maps by now,
// or is down.
func (f *Feed) widen() {
	f.mu.Lock()
	newest, stored := f.newest(), new(spool.Set)
	if newest != nil {
		stored.Documents = newest.spooled
	}
	f.mu.Unlock()
	if newest == nil || f.cfg.Spool == nil {
		return
	}
	network := newest.maps.Network
	rows := f.rows(network)
	if keepsRows(newest.maps, rows) || slices.ContainsFunc(stored.Documents, func(d spool.Document) bool { return d.Filtered }) {
		return
	}
	release, err := f.cfg.Spool.Hold(stored)
	if err != nil {
		return // it was not written yet
	}
	defer release()
	wide := *newest
	wide.maps = &altoroute.Maps{Network: network}
	for _, d := range stored.Documents {
		if d.Role != spool.CostMap {
			continue
		}
		costs, _, err := f.document(&d).readCostMap(context.Background(), network, rows)
		if err != nil {
			f.cfg.Logger.Error("the spool cannot be used whole", slog.String("source", f.cfg.Name), slog.Any("error", err))
			return
		}
		wide.maps.Costs = append(wide.maps.Costs, costs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch newest {
	case f.base:
		f.base = &wide
	case f.incoming:
		f.incoming = &wide
	}
}

// document returns a document of the spool, to be read from there.
func (f *Feed) document(stored *spool.Document) *document {
	d := &document{cfg: &f.cfg, name: stored.Name, mediaType: stored.MediaType, open: &spoolOpener{f.cfg.Spool, *stored}}
	d.status.ResourceID = stored.ResourceID
	return d
}

// adopt has the first look at a server ask only whether what the spool has is still
// the current one. The cycle must be held.
func (f *Feed) adopt(s *set, stored *spool.Set) {
	o, _ := f.origins[0].(*serverOrigin)
	if o == nil || o.network != nil || len(s.docs) != 2 {
		return
	}
	for i, d := range s.docs {
		u, err := url.Parse(d.name)
		if err != nil {
			return
		}
		asked := o.document(u, d.mediaType)
		opener, _ := asked.open.(*serverOpener)
		opener.kept.validators = stored.Documents[i].Validators
		asked.seen, asked.sum, asked.dependsOn = true, d.sum, d.dependsOn
		asked.network, asked.costs, asked.content = d.network, d.costs, stored.Documents[i].Content
		asked.status = d.status
		s.docs[i] = asked
	}
	o.network, o.costs = s.docs[0], s.docs[1:]
	info := s.maps.Costs[0].Info()
	o.costs[0].promised = &alto.CostType{Mode: info.Mode, Metric: info.Metric}
}

// spoolOpener reads a document of the spool.
type spoolOpener struct {
	spool *spool.Spool
	of    spool.Document
}

func (o *spoolOpener) open(context.Context, bool) (io.ReadCloser, error) { return o.spool.Open(o.of) }

func (o *spoolOpener) keep(bool) error { return nil }

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
		stored.Validators, stored.Filtered = opener.kept.validators, opener.filter != nil
	}
	return stored
}

// restoreAfter is how often what is known of a set is written anew that is still the
// current one: when it was last confirmed.
const restoreAfter = 10 * time.Minute

// store writes the newest set to the spool, and what is excluded, if they are not there.
// The cycle must be held.
func (f *Feed) store(now time.Time) {
	if f.cfg.Spool == nil {
		return
	}
	defer f.discard()
	f.mu.Lock()
	newest, excluded, status, started := f.newest(), f.excludes(), f.status, f.stop != nil
	f.mu.Unlock()
	isStored := newest == f.stored && slices.EqualFunc(excluded, f.excluded, func(a, b spool.Excluded) bool {
		return slices.Equal(a.Sums, b.Sums) && slices.Equal(a.Reasons, b.Reasons)
	})
	if newest == nil || f.local() && !started || isStored && now.Sub(f.storedAt) < restoreAfter {
		return
	}
	documents := slices.Clone(newest.spooled)
	for i, d := range newest.docs {
		if _, spooled := d.open.(*spoolOpener); !spooled && d.sum == newest.sums[i] {
			if f.local() && d.content == (spool.Content{}) {
				d.copyToSpool(context.Background())
			}
			documents[i] = d.describeStored()
		}
		// Whoever is asked and says nothing else confirms the set, also one that was put
		// back.
		documents[i].FetchedAt = status.LastContact
	}
	if f.local() && slices.ContainsFunc(documents, func(d spool.Document) bool { return d.Content == spool.Content{} }) {
		return // it has changed since: the next set is stored
	}
	f.stored, f.excluded, f.storedAt = newest, excluded, now
	f.mu.Lock()
	newest.spooled = documents
	f.mu.Unlock()
	if _, err := f.cfg.Spool.Commit(documents, status.Since, excluded...); err != nil {
		f.cfg.Logger.Error("maps are in force but not in the spool: they would not survive a restart",
			slog.String("source", f.cfg.Name), slog.Any("error", err))
		if errors.Is(err, spool.ErrDamaged) {
			for _, d := range newest.docs {
				d.writeAgain()
			}
		}
	}
}

// excludes returns what is not let in. f.mu must be held.
func (f *Feed) excludes() (all []spool.Excluded) {
	if f.aside != nil {
		all = append(all, *f.aside)
	}
	switch {
	case f.held != nil:
		all = append(all, *f.held.exclude(f.status.Held.Since, f.status.Held.Reasons))
	case f.heldBefore != nil:
		all = append(all, *f.heldBefore)
	}
	return all
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
	defer f.mu.Unlock()
	for _, s := range []*set{f.base, f.incoming, f.held} {
		if s == nil {
			continue
		}
		for _, d := range s.spooled {
			needed[d.Content] = true
		}
	}
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

// PutBack puts an earlier set in force again, of those that Versions names; 0 is the
// one before the newest. The set that it replaces is put aside: it does not come back
// before the source has another one.
func (f *Feed) PutBack(sequence uint64) error {
	if f.cfg.Spool == nil {
		return errNoSpool
	}
	sets, _ := f.cfg.Spool.Sets()
	i := 1
	switch {
	case sequence > 0:
		i = slices.IndexFunc(sets, func(s *spool.Set) bool { return s.Sequence == sequence })
	case len(sets) < 2:
		return errNoVersion
	}
	if i < 0 {
		return fmt.Errorf("there is no version %d to go back to: of this source %d are kept", sequence, len(sets))
	}
	made, err := f.load(sets[i])
	if err != nil {
		return err
	}
	now := time.Now()
	f.mu.Lock()
	before := cmp.Or(f.held, f.newest())
	f.held, f.status.Held = nil, nil
	f.incoming, f.status.Ramp = nil, altoroute.Ramp{}
	events := f.letIn(made, altoroute.Ramp{}, now)
	if f.heldBefore = nil; !made.same(before, nil) {
		f.aside = before.exclude(now, nil)
	}
	f.mu.Unlock()
	f.notify(events)
	f.publish()
	f.look() // has it stored as the newest, and rows read that it lacks
	return nil
}
