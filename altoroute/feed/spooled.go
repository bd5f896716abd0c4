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
		f.cycle.Lock()
		f.mu.Lock()
		if f.base == nil {
			f.base = made
			f.status.Spooled, f.status.Since, f.status.LastContact = true, s.InForce, made.read
			f.stored = made
		}
		f.mu.Unlock()
		f.cycle.Unlock()
		f.cfg.Logger.Warn("maps are those of the spool", source,
			slog.String("tag", made.maps.Network.Tag().Tag), slog.Time("last_contact", made.read))
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
		if made.read.IsZero() || stored.FetchedAt.Before(made.read) {
			made.read = stored.FetchedAt // as old as its oldest part
		}
	}
	if len(made.maps.Costs) == 0 {
		return nil, fmt.Errorf("set %d of the spool has no cost map", s.Sequence)
	}
	made.spooled = s.Documents
	f.adopt(made, s)
	return made, nil
}

// document returns a document of the spool, to be read from there.
func (f *Feed) document(stored *spool.Document) *document {
	d := &document{cfg: &f.cfg, name: stored.Name, mediaType: stored.MediaType, open: &spoolOpener{f.cfg.Spool, *stored}}
	d.status.ResourceID = stored.ResourceID
	return d
}

// adopt has the first look at a server ask only whether what the spool has is still
// the current one.
func (f *Feed) adopt(s *set, stored *spool.Set) {
	if f.local() {
		return
	}
	f.cycle.Lock()
	defer f.cycle.Unlock()
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
		DependsOn: alto.VersionTag(d.dependsOn), FetchedAt: d.status.ReadAt, Content: d.content,
	}
	if d.network != nil {
		stored.Role, stored.VersionTag, stored.DependsOn = spool.NetworkMap, alto.VersionTag(d.network.Tag()), alto.VersionTag{}
	}
	if opener, ok := d.open.(*serverOpener); ok {
		stored.Validators = opener.kept.validators
		stored.FetchedAt = latest(stored.FetchedAt, opener.asked)
	}
	return stored
}

// restoreAfter is how often what is known of a set is written anew that is still the
// current one: when it was last confirmed.
const restoreAfter = 10 * time.Minute

// store writes the newest set to the spool, if it is not there. The cycle must be
// held.
func (f *Feed) store(now time.Time) {
	if f.cfg.Spool == nil {
		return
	}
	f.mu.Lock()
	newest, since, err, started := f.newest(), f.status.Since, f.status.Err, f.stop != nil
	f.mu.Unlock()
	if newest == nil || err != nil || f.local() && !started || newest == f.stored && now.Sub(f.storedAt) < restoreAfter {
		return
	}
	for i, d := range newest.docs {
		if _, spooled := d.open.(*spoolOpener); spooled || d.sum != newest.sums[i] {
			continue
		}
		if f.local() && d.content == (spool.Content{}) {
			d.copyToSpool(context.Background())
		}
		newest.spooled[i] = d.describeStored()
	}
	if f.local() && slices.ContainsFunc(newest.spooled, func(d spool.Document) bool { return d.Content == spool.Content{} }) {
		return // it has changed since: the next set is stored
	}
	f.stored, f.storedAt = newest, now
	if _, err := f.cfg.Spool.Commit(newest.spooled, since); err != nil {
		f.cfg.Logger.Error("maps are in force but not in the spool: they would not survive a restart",
			slog.String("source", f.cfg.Name), slog.Any("error", err))
		for _, d := range newest.docs {
			if opener, ok := d.open.(*serverOpener); ok && errors.Is(err, spool.ErrDamaged) {
				opener.forget(true) // to be written again
			}
		}
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
	aside := cmp.Or(f.held, f.newest())
	f.held, f.status.Held = nil, nil
	f.incoming, f.status.Ramp = nil, altoroute.Ramp{}
	events := f.letIn(made, altoroute.Ramp{}, now)
	if !made.same(aside, nil) {
		f.aside = aside
	}
	f.mu.Unlock()
	f.notify(events)
	f.publish()
	f.look() // has it stored as the newest, and rows read that it lacks
	return nil
}
