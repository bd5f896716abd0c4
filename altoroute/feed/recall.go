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
	var others spool.Others
	if len(sets) > 0 {
		others = sets[0].Others // also where its own documents are damaged
	}
	for _, err := range unusable {
		f.reportDamage(err)
	}
	for _, s := range sets {
		made, err := f.load(s)
		if err != nil {
			f.reportDamage(err)
			continue
		}
		// As old as its oldest part.
		contact := slices.MinFunc(s.Documents, func(a, b spool.Document) int { return a.FetchedAt.Compare(b.FetchedAt) }).FetchedAt
		if !f.begin(made, s.InForce, contact, others, f.loadOther(sets[0], others.Incoming), f.loadOther(sets[0], others.Held)) {
			return
		}
		f.cfg.Logger.Warn("maps are those of the spool", source,
			slog.String("tag", made.maps.Network.Tag().Tag), slog.Time("last_contact", contact))
		if fault != nil {
			f.mu.Lock()
			f.tell(fault, true)
			f.mu.Unlock()
		}
		f.pass(time.Now()) // they may be too old, and what is held may be let in by now
		return
	}
}

// reportDamage tells that something in the spool cannot be used, until a set is stored
// there. That it is of another source is no damage.
func (f *Feed) reportDamage(err error) {
	f.cfg.Logger.Error("the spool cannot be used whole", slog.String("source", f.cfg.Name), slog.Any("error", err))
	f.mu.Lock()
	defer f.mu.Unlock()
	if !errors.Is(err, spool.ErrOtherSource) {
		f.status.SpoolErr = errors.Join(f.status.SpoolErr, err)
	}
}

// loadOther reads one of the others of a set of the spool; nil where it is not at hand.
func (f *Feed) loadOther(of *spool.Set, x *spool.NotInForce) *set {
	if x == nil || len(x.Documents) == 0 {
		return nil
	}
	made, err := f.load(&spool.Set{Sequence: of.Sequence, Documents: x.Documents})
	if err != nil {
		f.reportDamage(err)
		return nil
	}
	return made
}

// begin puts a set of the spool in force, if there is none meanwhile, and goes on with
// what was not in force.
func (f *Feed) begin(made *set, since, contact time.Time, others spool.Others, incoming, held *set) bool {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base != nil {
		return false
	}
	f.adopt(cmp.Or(incoming, made))
	f.stored, f.others, f.base = made, others, made
	f.status.Spooled, f.status.Since, f.status.LastContact, f.lost = true, since, contact, contact
	f.resume(others)
	if incoming != nil {
		f.incoming, f.status.Ramp = incoming, altoroute.Ramp{Since: others.Incoming.Since, Over: others.Incoming.Over}
	}
	if x := others.Held; held != nil {
		f.held = held
		f.status.Held = &Held{Maps: held.maps, Since: x.Since, Until: f.until(x.Since, x.Since), Reasons: x.Reasons}
	}
	return true
}

// resume remembers what was not in force before. f.mu must be held.
func (f *Feed) resume(others spool.Others) {
	f.aside, f.before.incoming, f.before.held = others.Aside, others.Incoming, others.Held
}

// Inherit has a Feed begin with what another one has of the same source, whose
// configuration differs only in how it is read: the set in force, the one that is coming
// in, what is held, and what was put aside. It is called before Watch.
func (f *Feed) Inherit(from *Feed) {
	from.mu.Lock()
	from.settle(time.Now())
	base, incoming, held, others, was := from.base.handOver(), from.incoming.handOver(), from.held.handOver(), from.notInForce(), from.status
	lost, isLost := from.lost, from.isLost
	from.mu.Unlock()
	if base == nil {
		return
	}
	f.cycle.Lock()
	f.adopt(cmp.Or(incoming, base))
	f.cycle.Unlock()
	f.mu.Lock()
	f.base, f.incoming, f.held, f.lost, f.isLost = base, incoming, held, lost, isLost
	f.status.Since, f.status.LastContact, f.status.Ramp = was.Since, was.LastContact, was.Ramp
	f.status.Err, f.status.Spooled = was.Err, was.Spooled
	if held != nil {
		is := *was.Held
		is.Until = f.until(is.Since, is.Since)
		f.status.Held = &is
	}
	f.resume(others)
	f.mu.Unlock()
	f.pass(time.Now())
}

// load reads a set of the spool.
func (f *Feed) load(s *spool.Set) (*set, error) {
	release, err := f.cfg.Spool.Hold(s)
	if err != nil {
		return nil, err
	}
	defer release()
	made := &set{maps: new(altoroute.Maps), first: s.First}
	for _, stored := range s.Documents {
		made.filter ^= stored.Filter
	}
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
	if keepsRows(newest.maps, rows) || slices.ContainsFunc(stored.Documents, func(d spool.Document) bool { return d.Filter != 0 }) {
		return
	}
	release, err := f.cfg.Spool.Hold(stored)
	if err != nil {
		return // it was not written yet
	}
	defer release()
	maps := &altoroute.Maps{Network: network}
	for _, d := range stored.Documents {
		if d.Role != spool.CostMap {
			continue
		}
		costs, _, err := f.document(&d).readCostMap(context.Background(), network, rows)
		if err != nil {
			f.reportDamage(err)
			return
		}
		maps.Costs = append(maps.Costs, costs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	wide := *newest
	wide.maps = maps
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

// adopt has the first look at a server ask only whether what is known is still the
// current one. The cycle must be held.
func (f *Feed) adopt(s *set) {
	o, _ := f.origins[0].origin.(*serverOrigin)
	// A filtered cost map is asked for anew, as it cannot be confirmed.
	if o == nil || o.network != nil || len(s.spooled) != 2 || s.filter != 0 {
		return
	}
	docs := make([]*document, 0, len(s.spooled))
	for i, stored := range s.spooled {
		u, err := url.Parse(stored.Name)
		if err != nil {
			return
		}
		d := o.document(u, stored.MediaType)
		d.server.kept.validators = stored.Validators
		d.seen, d.sum, d.content = true, s.sums[i], stored.Content
		d.status.ResourceID, d.status.Tag = stored.ResourceID, s.maps.Network.Tag()
		docs = append(docs, d)
	}
	costs := s.maps.Costs[0]
	docs[0].network = s.maps.Network
	docs[1].costs, docs[1].dependsOn = costs, s.maps.Network.Tag()
	docs[1].promised = &alto.CostType{Mode: costs.Info().Mode, Metric: costs.Info().Metric}
	s.docs, o.network, o.costs = docs, docs[0], docs[1:]
}

// spoolOpener reads a document of the spool.
type spoolOpener struct {
	spool *spool.Spool
	of    spool.Document
}

func (o *spoolOpener) open(context.Context, bool) (io.ReadCloser, error) { return o.spool.Open(o.of) }

func (o *spoolOpener) keep(bool) error { return nil }
