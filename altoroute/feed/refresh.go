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
	"regexp"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// refresh is one look: read what has changed, see that it belongs together and how much
// it would change, let it in or hold it, whole or not at all. What elapse does comes after.
func (f *Feed) refresh(ctx context.Context) error {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	start := time.Now()
	made, err := f.assemble(ctx, start, f.forced.Swap(false))
	if ctx.Err() != nil {
		return ctx.Err() // stopped: says nothing of the source
	}
	f.recordLook(err)
	if err == nil {
		f.admit(made, start)
	}
	return err
}

// readAgainAfter is how often a fault of the content must be seen in a row for all of it
// to be asked for anew: a server may confirm what it should not.
const readAgainAfter = 4

// readOrRetry puts a set of one origin together. What asking once more may mend is asked
// for once more.
func (f *Feed) readOrRetry(ctx context.Context, o *triedOrigin) (*set, error) {
	made, err := f.readSet(ctx, o)
	server, remote := o.origin.(*serverOrigin)
	if err == nil || !remote {
		return made, err
	}
	reason := refusalOf(err)
	avoids := reason != Mismatch && server.avoidsFilter(err)
	again := avoids || reason == Mismatch || // the network map may have moved between our two requests
		server.lacks(err) && o.failures == 0 // later its directories are read anew by each look
	if reason.ofContent() {
		for _, d := range server.all() {
			if o.failures%readAgainAfter == readAgainAfter-1 {
				d.readAgain()
			} else {
				d.askAgain()
			}
		}
	}
	if !again {
		return nil, err
	}
	made, err = f.readSet(ctx, o)
	if reason == Mismatch && refusalOf(err) == Mismatch && server.avoidsFilter(err) { // it did not move
		avoids = true
		made, err = f.readSet(ctx, o)
	}
	if avoids && err != nil {
		server.wholeUntil = time.Time{} // the whole one is no better
	}
	return made, err
}

// readSet puts a set of one origin together.
func (f *Feed) readSet(ctx context.Context, o origin) (*set, error) {
	networkDoc, err := o.networkMap(ctx)
	if err != nil {
		return nil, err
	}
	network, warnings, err := networkDoc.readNetworkMap(ctx)
	f.warn(warnings)
	if err != nil {
		return nil, err
	}
	if lacks := networkDoc.lacks; lacks != "" && networkDoc.server != nil && !f.toldLacks {
		f.toldLacks = true // as it may be meant so
		f.cfg.Logger.Info("map has oddities", slog.String("source", f.cfg.Name), slog.String("oddity", networkDoc.name+": "+lacks))
	}
	rows := f.rows(network)
	costDocs, err := o.costMaps(network, rows)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	newest := f.newest()
	f.mu.Unlock()
	made := &set{maps: &altoroute.Maps{Network: network}, docs: []*document{networkDoc}}
	for _, d := range costDocs {
		d.takeRows(newest, network)
		costs, warnings, err := d.readCostMap(ctx, network, rows)
		f.warn(warnings)
		if err != nil {
			return nil, err
		}
		made.maps.Costs = append(made.maps.Costs, costs)
		made.docs = append(made.docs, d)
	}
	if err := f.rankFirst(made); err != nil {
		return nil, err
	}
	for _, d := range made.docs {
		if d.server != nil {
			made.filter ^= d.server.filterSum()
		}
		made.sums = append(made.sums, d.sum)
		made.spooled = append(made.spooled, d.describeStored())
	}
	return made, nil
}

func (f *Feed) warn(warnings []string) {
	for _, w := range warnings {
		f.cfg.Logger.Warn("map has oddities", slog.String("source", f.cfg.Name), slog.String("oddity", w))
	}
}

// rankFirst puts the cost map that Config.Cost asks for first. A server's was
// chosen by the directory, which may have promised another cost type than came
// (RFC 7285 §11.2.3.6).
func (f *Feed) rankFirst(s *set) error {
	want, costs, docs := f.cfg.Cost, s.maps.Costs, s.docs[1:]
	for i, c := range costs {
		if is := costType(c.Info()); is.Same(alto.CostType{Mode: cmp.Or(want.Mode, is.Mode), Metric: cmp.Or(want.Metric, is.Metric)}) {
			ranking, doc := costs[i], docs[i]
			copy(costs[1:i+1], costs[:i])
			copy(docs[1:i+1], docs[:i])
			costs[0], docs[0] = ranking, doc
			return nil
		}
	}
	var have []string
	for _, c := range costs {
		have = append(have, costName(c.Info()))
	}
	return &Error{
		Document: "cost", Reason: Invalid, // the option that cannot be met
		Err: fmt.Errorf("no cost map is of %s; there is %s", costName(want), strings.Join(have, ", ")),
	}
}

func costType(info altoroute.CostInfo) alto.CostType {
	return alto.CostType{Mode: info.Mode, Metric: info.Metric}
}

// costName names a cost type as errors do, either part of which may be open.
func costName(info altoroute.CostInfo) string {
	return alto.CostType{Metric: cmp.Or(info.Metric, "any metric"), Mode: cmp.Or(info.Mode, "any mode")}.String()
}

// sameness returns what two errors have in common that are one fault. What the
// network says of one outage differs each time, by port numbers and bytes read,
// and so does where a file that is being written is cut off.
func (f *Feed) sameness(err error) string {
	if several, ok := errors.AsType[*alsoError](err); ok {
		return f.sameness(several.first) + "; " + f.sameness(several.also)
	}
	var fault *Error
	if !errors.As(err, &fault) {
		return err.Error()
	}
	status, _ := errors.AsType[*alto.StatusError](err)
	switch {
	case !f.local() && status != nil:
		return fmt.Sprint(fault.Document, status.Status)
	case !f.local() && !fault.Reason.ofContent():
		return fault.Document + " " + digits.ReplaceAllString(fault.Err.Error(), "#")
	case f.local() && errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Document
	}
	return err.Error()
}

var digits = regexp.MustCompile(`[0-9][0-9.:+-]*`)

// faults are those that were told of: one that lasts is told once.
type faults struct {
	last string
	// outage is what was told of why there was no answer, since there was one: what
	// comes and goes is told once.
	outage map[string]bool
}

// maxOutage is how many causes of one outage are told.
const maxOutage = 15

// isNew reports whether a fault is to be told, and remembers that it was.
func (t *faults) isNew(fault string, ofContent bool) bool {
	if fault == t.last || t.outage[fault] {
		return false
	}
	t.last = fault
	if ofContent {
		return true
	}
	if len(t.outage) >= maxOutage {
		return false
	}
	if t.outage == nil {
		t.outage = make(map[string]bool)
	}
	t.outage[fault] = true
	return true
}

// tell logs why maps were refused. What is wrong with local files before the
// feed is started is Watch's to tell: its caller refuses to start with it. f.mu must be
// held.
func (f *Feed) tell(err error, haveMaps bool) {
	source, fault := slog.String("source", f.cfg.Name), slog.Any("error", err)
	switch {
	case !haveMaps && f.stop == nil && f.local():
	case f.status.Expired:
		f.cfg.Logger.Error("maps refused, the last good ones are too old to be used", source, fault)
	case !haveMaps:
		f.cfg.Logger.Error("no maps yet", source, fault)
	case !f.local() && !refusalOf(err).ofContent() && !f.isLost: // it may be back in a moment
		f.cfg.Logger.Warn("maps refused, the last good ones stay in force", source, fault)
	case refusalOf(err) == Mismatch: // as while one of two files has been replaced
		f.cfg.Logger.Warn("maps refused, the last good ones stay in force", source, fault)
	default:
		f.cfg.Logger.Error("maps refused, the last good ones stay in force", source, fault)
	}
}

// recovered notes that the source is in order. f.mu must be held.
func (f *Feed) recovered(now time.Time) {
	was := f.told.last
	f.told, f.lost, f.isLost = faults{}, time.Time{}, false
	if was != "" {
		f.cfg.Logger.Info("source recovered", slog.String("source", f.cfg.Name))
	}
	f.status.Err, f.status.LastContact, f.status.Spooled = nil, now, false
}

// recordLook records that the source was looked at, and what is wrong with it.
func (f *Feed) recordLook(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	s.Attempted = true
	s.Checks++
	s.Resources = s.Resources[:0:0] // a reader may hold the old ones
	f.countRefusals(s.Server == f.at+1)
	s.Server, s.PassedOver = f.at+1, f.passedOver(f.at)
	for _, o := range f.origins {
		for _, d := range o.all() {
			s.Resources = append(s.Resources, d.describe())
		}
	}
	s.Skipped, s.Offered = f.origins[f.at].remarks()
	if err == nil {
		return // admit notes it, at the same moment as what has come
	}
	s.Err = err
	if f.lost.IsZero() {
		f.lost = time.Now()
	}
	if f.told.isNew(f.sameness(err), refusalOf(err).ofContent()) {
		f.tell(err, f.base != nil)
	}
}

// countRefusals counts what is wrong with each origin that was tried, also where another
// one is in order. Where that one was in use before, it is logged here. f.mu must be held.
func (f *Feed) countRefusals(inUseBefore bool) {
	for at, o := range f.origins {
		tried := o.tried
		o.tried = false
		switch {
		case o.err == nil:
			o.told = faults{}
		case tried && o.told.isNew(f.sameness(o.err), refusalOf(o.err).ofContent()):
			f.status.Refusals[refusalOf(o.err)]++
			if at < f.at && inUseBefore {
				f.cfg.Logger.Warn("a server of the source is passed over", slog.String("source", f.cfg.Name), slog.Any("error", o.err))
			}
		case at > f.at && !tried: // not needed any more
			o.told = faults{}
		}
	}
}
