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
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// refresh is one update: read what has changed, see that it belongs together,
// publish it whole or not at all.
func (f *Feed) refresh(ctx context.Context) error {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	start := time.Now()
	maps, warnings, err := f.put(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // stopped: says nothing of the source
	}
	for _, w := range warnings {
		f.cfg.Logger.Warn("map has oddities", slog.String("source", f.cfg.Name), slog.String("oddity", w))
	}
	if changed := f.note(maps, err, start); changed {
		f.cfg.Logger.Info("maps updated", slog.String("source", f.cfg.Name),
			slog.String("network_map", maps.Network.Tag().ResourceID), slog.String("tag", maps.Network.Tag().Tag),
			slog.Int("pids", maps.Network.PIDs()), slog.Int("prefixes", maps.Network.Prefixes()),
			slog.Duration("duration", time.Since(start)))
	}
	f.publish()
	return err
}

// put reads the documents that have changed and puts a set together. It
// returns the set in force when nothing has changed.
func (f *Feed) put(ctx context.Context) (*altoroute.Maps, []string, error) {
	networkDoc, costDocs, err := f.origin.documents(ctx)
	if err != nil {
		return nil, nil, err
	}
	maps, warnings, err := f.read(ctx, networkDoc, costDocs)
	var fault *Error
	if !f.local() && errors.As(err, &fault) && fault.Reason == Mismatch {
		// The network map may have moved between our two requests.
		var more []string
		maps, more, err = f.read(ctx, networkDoc, costDocs)
		warnings = append(warnings, more...)
	}
	return maps, warnings, err
}

func (f *Feed) read(ctx context.Context, networkDoc *document, costDocs []*document) (*altoroute.Maps, []string, error) {
	network, warnings, err := networkDoc.readNetworkMap(ctx)
	if err != nil {
		return nil, warnings, err
	}
	set := &altoroute.Maps{Network: network}
	rows := f.rows(network)
	for _, d := range costDocs {
		costs, more, err := d.readCostMap(ctx, network, rows)
		if err != nil {
			return nil, warnings, err
		}
		warnings = append(warnings, more...)
		set.Costs = append(set.Costs, costs)
	}
	if err := f.rankFirst(set.Costs); err != nil {
		return nil, warnings, err
	}
	if now := f.Maps(); now != nil && now.Network == set.Network && slices.Equal(now.Costs, set.Costs) {
		return now, warnings, nil
	}
	return set, warnings, nil
}

// rankFirst puts the cost map that Config.Cost asks for first. A server's was
// chosen by the directory, which may have promised another cost type than came
// (RFC 7285 §11.2.3.6).
func (f *Feed) rankFirst(costs []*altoroute.CostMap) error {
	want := f.cfg.Cost
	for i, c := range costs {
		if info := c.Info(); (want.Metric == "" || info.Metric == want.Metric) && (want.Mode == "" || info.Mode == want.Mode) {
			ranking := costs[i]
			copy(costs[1:i+1], costs[:i])
			costs[0] = ranking
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
	return fmt.Sprintf("%s (%s)", cmp.Or(info.Metric, "any metric"), cmp.Or(info.Mode, "any mode"))
}

// sameness returns what two errors have in common that are one fault. What the
// network says of one outage differs each time, by port numbers and bytes read,
// and so does where a file that is being written is cut off.
func (f *Feed) sameness(err error) string {
	var fault *Error
	if !errors.As(err, &fault) {
		return err.Error()
	}
	if !f.local() && fault.Reason == Unavailable || f.local() && errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Document
	}
	return err.Error()
}

// tell logs why maps were refused. What is wrong with local files before the
// feed is started is Watch's to tell: its caller refuses to start with it.
func (f *Feed) tell(err error, haveMaps bool) {
	source, fault := slog.String("source", f.cfg.Name), slog.Any("error", err)
	switch {
	case !haveMaps && f.stop == nil && f.local():
	case !haveMaps:
		f.cfg.Logger.Error("no maps yet", source, fault)
	case refusalOf(err) == Mismatch: // as while one of two files has been replaced
		f.cfg.Logger.Warn("maps refused, the last good ones stay in force", source, fault)
	default:
		f.cfg.Logger.Error("maps refused, the last good ones stay in force", source, fault)
	}
}

// note records the outcome and reports whether there is a new set.
func (f *Feed) note(maps *altoroute.Maps, err error, start time.Time) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	s.Attempted = true
	s.Checks++
	s.Resources = s.Resources[:0:0] // a reader may hold the old ones
	for _, d := range f.origin.all() {
		s.Resources = append(s.Resources, d.describe())
	}
	if err != nil {
		s.Err = err
		if fault := f.sameness(err); fault != f.told {
			f.told = fault
			s.Refusals[refusalOf(err)]++
			f.tell(err, s.Maps != nil)
		}
		return false
	}
	if f.told != "" {
		f.told = ""
		f.cfg.Logger.Info("source recovered", slog.String("source", f.cfg.Name))
	}
	s.Err = nil
	s.LastContact = start
	if maps == s.Maps {
		return false
	}
	s.Maps, s.Since = maps, start
	s.Updates++
	return true
}
