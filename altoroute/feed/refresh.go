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
	"slices"
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

// assemble reads the documents that have changed and puts a set together: of the server
// in use or, where that fails, of the next one that is in order. What they have said of
// when to ask counts unless it is forced.
func (f *Feed) assemble(ctx context.Context, now time.Time, forced bool) (*set, error) {
	var first error
	for _, at := range f.order(now) {
		o := f.origins[at]
		if forced {
			for _, d := range o.all() {
				d.askAgain()
			}
			o.notBefore = time.Time{}
		}
		made, err := f.tryOrigin(ctx, o, now)
		switch {
		case err == nil:
			f.use(at, now)
			f.failures = 0
			return made, nil
		case ctx.Err() != nil:
			return nil, err
		case first == nil:
			first = err
		default:
			first = &alsoError{first, err}
		}
	}
	f.failures++
	return nil, first
}

// tryOrigin puts a set of one origin together, unless it wants to be left alone.
func (f *Feed) tryOrigin(ctx context.Context, o *triedOrigin, now time.Time) (*set, error) {
	if now.Before(o.notBefore) {
		return nil, o.err
	}
	made, err := f.readOrRetry(ctx, o)
	if ctx.Err() != nil {
		return nil, err // stopped: says nothing of the origin
	}
	o.err, o.notBefore = err, time.Time{}
	if err == nil {
		o.failures = 0
		return made, nil
	}
	o.failures++
	if refused, ok := errors.AsType[*alto.StatusError](err); ok && refused.RetryAfter > 0 {
		after := min(refused.RetryAfter, maxRetryAfter)
		o.notBefore = now.Add(after + upTo(after/10))
	}
	return nil, err
}

// An alsoError is a fault of a server, and one of the server that was to stand in.
type alsoError struct{ first, also error }

func (e *alsoError) Error() string   { return e.first.Error() + "; " + e.also.Error() }
func (e *alsoError) Unwrap() []error { return []error{e.first, e.also} }

// returnAfter is how long another server than the first is used before those before
// it are tried again: one that comes and goes must not have the maps come and go.
const returnAfter = 10 * time.Minute

// order returns the origins in the order in which they are to be tried.
func (f *Feed) order(now time.Time) []int {
	order := []int{f.at}
	if f.at > 0 && !now.Before(f.tryAt) {
		f.tryAt = now.Add(returnAfter)
		order = nil
	}
	for at := range f.origins {
		if !slices.Contains(order, at) {
			order = append(order, at)
		}
	}
	return order
}

// use notes which origin is used.
func (f *Feed) use(at int, now time.Time) {
	if at == f.at {
		return
	}
	attrs := []any{slog.String("source", f.cfg.Name), slog.String("server", f.origins[at].name()), slog.String("before", f.origins[f.at].name())}
	if at > f.at {
		attrs = append(attrs, slog.Any("error", f.origins[f.at].err))
	}
	f.cfg.Logger.Warn("another server of the source is used", attrs...)
	f.at, f.tryAt = at, now.Add(returnAfter)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Origin = f.origins[at].name()
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
		if info := c.Info(); (want.Metric == "" || info.Metric == want.Metric) && (want.Mode == "" || info.Mode == want.Mode) {
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

// maxOutage is how many causes of one outage are told.
const maxOutage = 15

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
	case refusalOf(err) == Mismatch: // as while one of two files has been replaced
		f.cfg.Logger.Warn("maps refused, the last good ones stay in force", source, fault)
	default:
		f.cfg.Logger.Error("maps refused, the last good ones stay in force", source, fault)
	}
}

// recovered notes that the source is in order. f.mu must be held.
func (f *Feed) recovered(now time.Time) {
	clear(f.outage)
	if f.told != "" {
		f.told = ""
		f.cfg.Logger.Info("source recovered", slog.String("source", f.cfg.Name))
	}
	f.status.Err, f.status.LastContact, f.status.Spooled = nil, now, false
}

// recordLook records that the source was looked at, and what is wrong with it.
func (f *Feed) recordLook(err error) {
	var events []Event
	defer func() { f.notify(events) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	s.Attempted = true
	s.Checks++
	s.Resources = s.Resources[:0:0] // a reader may hold the old ones
	s.Server, s.PassedOver = f.at+1, nil
	for at, o := range f.origins {
		for _, d := range o.all() {
			s.Resources = append(s.Resources, d.describe())
		}
		if at < f.at {
			s.PassedOver = errors.Join(s.PassedOver, o.err)
		}
	}
	if err == nil {
		return // admit notes it, at the same moment as what has come
	}
	wasGood := s.Err == nil && f.base != nil
	s.Err = err
	reason := refusalOf(err)
	if fault := f.sameness(err); fault != f.told && !f.outage[fault] {
		f.told = fault
		if reason.ofContent() || len(f.outage) < maxOutage {
			s.Refusals[reason]++
			f.tell(err, f.base != nil)
			if !reason.ofContent() {
				f.outage[fault] = true
			}
		}
	}
	if wasGood {
		events = append(events, Event{Kind: MapStale, Source: f.cfg.Name, Tag: f.base.maps.Network.Tag(), Reason: err.Error()})
	}
}
