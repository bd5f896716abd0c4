// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/altoroute/caddy-alto/altoroute"
)

// note says what speaks against an edge.
func (e *edgeBody) note() string {
	var notes []string
	for of, c := range map[string]*checkBody{"IPv4": e.IPv4, "IPv6": e.IPv6, "look-up": e.Lookup} {
		if c != nil && c.Failures > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d checks failed, %s", of, c.Failures, c.Error))
		}
	}
	slices.Sort(notes)
	if e.LookupError != "" {
		notes = append(notes, "its addresses are those known before, as the look-up fails: "+e.LookupError)
	}
	if len(e.DemotedIn) > 0 {
		notes = append(notes, "clients cannot reach it in "+strings.Join(e.DemotedIn, ", "))
	}
	if capacity := e.Set.capacityNote(); capacity != "" {
		notes = append(notes, capacity)
	}
	return strings.Join(notes, "; ")
}

// state says in which state the edge is, and for whom it is in another.
func (e *edgeBody) state() string {
	down := func(c *checkBody) bool { return c != nil && c.State == altoroute.StateDown }
	switch e.State {
	case altoroute.StateUp, altoroute.StateUnknown, altoroute.StateRamping, altoroute.StateDraining:
		switch {
		case down(e.IPv4):
			return e.State + ", IPv4 down"
		case down(e.IPv6):
			return e.State + ", IPv6 down"
		}
	}
	return e.State
}

// edges has a line for each edge of each pool.
func (s *statusBody) edges() table {
	t := table{{"EDGE", "POOL", "STATE", "MODE", "BY", "SINCE", "CAPACITY", "RATE", "LOAD", "NOTE"}}
	for _, pool := range slices.Sorted(maps.Keys(s.Pools)) {
		edges := s.Pools[pool].Edges
		for _, name := range slices.Sorted(maps.Keys(edges)) {
			e := edges[name]
			row := append([]string{name, pool, e.state()}, modeCells(e.Set)...)
			t = append(t, append(row, measured(e.Capacity), measured(e.Rate), measured(e.Load), e.note()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Unused.Edges)) {
		set := s.Unused.Edges[name]
		row := append([]string{name, "", "not configured"}, modeCells(set)...)
		if set.Capacity > 0 {
			row = append(row, figure(&set.Capacity), "", "", set.capacityNote())
		}
		t = append(t, row)
	}
	return t
}

// capacityNote says who has set the capacity, and when, where BY and SINCE are of the
// mode.
func (s *edgeSetting) capacityNote() string {
	if s == nil || s.Mode == "" || s.Capacity == 0 {
		return ""
	}
	return fmt.Sprintf("capacity %s by %s since %s", figure(&s.Capacity), s.CapacityBy, moments(s.CapacityAt))
}

// modeCells are MODE, BY and SINCE. A drain whose time was changed is since it began.
func modeCells(s *edgeSetting) []string {
	switch {
	case s == nil:
		return []string{"auto", "", ""}
	case s.Mode == "":
		return []string{"auto", s.CapacityBy, moments(s.CapacityAt)}
	case s.Over > 0:
		return []string{s.Mode + " over " + time.Duration(s.Over).String(), s.By, moments(s.Since)}
	}
	return []string{s.Mode, s.By, moments(s.At)}
}

// pools has a line for each pool, and one for each pin by hand.
func (s *statusBody) pools() table {
	t := table{{"POOL", "EDGES", "GUIDANCE", "PIN", "BY", "SINCE"}}
	set := func(name, state string, p *poolSetting) {
		if p == nil {
			return
		}
		for _, pin := range p.Pins {
			t = append(t, []string{name, "", state, pin.Clients + " to " + pin.Edge, pin.By, moments(pin.At)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
		p := s.Pools[name]
		row := []string{name, strconv.Itoa(len(p.Edges)), "on", "", "", ""}
		switch {
		case p.GuidanceOff:
			row[2] = guidanceOff
		case !p.Guided:
			row[2] = "none"
		}
		if p.Panic {
			row[2] += ", panic for " + strings.Join(p.PanicOf, " and ")
		}
		if p.Set != nil {
			row[4], row[5] = p.Set.By, moments(p.Set.At)
		}
		t = append(t, row)
		set(name, "", p.Set)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Unused.Pools)) {
		p := s.Unused.Pools[name]
		if _, there := s.Pools[name]; !there {
			t = append(t, []string{name, "", "not configured", "", p.By, moments(p.At)})
		}
		set(name, "not configured", p)
	}
	return t
}

// sources has a line for each source.
func (s *statusBody) sources() table {
	t := make(table, 0, 1+len(s.Sources))
	t = append(t, []string{"SOURCE", "KIND", "STATE", "AGE", "TAG", "PREFIXES", "NOTE", "ERROR"})
	for _, name := range slices.Sorted(maps.Keys(s.Sources)) {
		is := s.Sources[name]
		row := []string{name, is.Kind, is.State, "", "", "", "", is.LastError}
		if is.AgeSeconds != nil {
			row[3] = (time.Duration(*is.AgeSeconds) * time.Second).String()
		}
		if is.NetworkMap != nil {
			row[4], row[5] = is.NetworkMap.Tag, strconv.Itoa(is.NetworkMap.Prefixes)
		}
		var notes []string
		if is.FromSpool {
			notes = append(notes, "from the spool")
		}
		if is.Expired {
			notes = append(notes, "too old to be used")
		}
		if in := is.Incoming; in != nil {
			notes = append(notes, fmt.Sprintf("%s comes in, %.0f%% so far", in.Tag, 100*in.Share))
		}
		if h := is.Held; h != nil {
			until := "let in by hand"
			if h.Until != nil {
				until = moments(*h.Until)
			}
			notes = append(notes, fmt.Sprintf("%s is held: %s; until %s", h.Tag, strings.Join(h.Reasons, "; "), until))
		}
		if is.SetAside != nil {
			notes = append(notes, is.SetAside.Tag+" is set aside")
		}
		if is.PassedOver != "" && is.LastError == "" {
			notes = append(notes, fmt.Sprintf("%s stands in: %s", is.Server, is.PassedOver))
		}
		if is.SpoolError != "" {
			notes = append(notes, is.SpoolError)
		}
		if len(is.Skipped) > 0 {
			notes = append(notes, "not in order are: "+strings.Join(is.Skipped, "; "))
		}
		notes = append(notes, is.NotCovered...)
		row[6] = strings.Join(notes, "; ")
		t = append(t, row)
	}
	return t
}

// versions has a line for each version that can be put back.
func (s *statusBody) versions() table {
	t := table{{"SOURCE", "VERSION", "TAG", "IN FORCE SINCE"}}
	for _, name := range slices.Sorted(maps.Keys(s.Sources)) {
		for _, v := range s.Sources[name].Versions {
			row := []string{name, strconv.FormatUint(v.Version, 10), v.Tag, ""}
			if v.InForce != nil {
				row[3] = moments(*v.InForce)
			}
			t = append(t, row)
		}
	}
	return t
}

func (s *statusBody) text() string {
	text := s.sources().text() + "\n" + s.pools().text() + "\n" + s.edges().text()
	if s.SuspectSelf {
		text = "So many edges fail at once that the fault is more likely here: none is taken for down.\n\n" + text
	}
	return text
}

// shownExplanation is what the commands show of /altoroute/explain.
type shownExplanation struct{ altoroute.Explanation }

func (e *shownExplanation) text() string {
	at := e.Placement
	placed := strings.TrimRight(at.How+" "+at.Prefix, " ")
	if at.PID != "" {
		placed = at.Source + "/" + at.PID + " (" + placed + ")"
	}
	facts := table{{"client", e.Client}, {"pool", e.Pool}, {"placed in", placed}, {"reason", string(e.Reason)}}
	for _, i := range at.Ignored {
		facts = append(facts, []string{"not in", fmt.Sprintf("%s/%s (prefix %s): %s", i.Source, i.PID, i.Prefix, i.Why)})
	}
	if e.Location != "" {
		facts = append(facts, []string{"sent to", e.Location})
	}
	if len(e.Candidates) == 0 {
		return facts.text()
	}
	t := make(table, 0, 1+len(e.Candidates))
	t = append(t, []string{"", "EDGE", "PID", "COST", "RANK", "SHARE", "STATE", "WHY"})
	for i := range e.Candidates {
		c := &e.Candidates[i]
		mark, share := "", ""
		if c.Chosen {
			mark = "*"
		}
		if c.Share != nil {
			share = strconv.FormatFloat(100**c.Share, 'f', 1, 64) + "%"
		}
		t = append(t, []string{mark, c.Edge, c.PID, figure(c.Cost), strconv.Itoa(c.Rank), share, c.State, c.Why})
	}
	return facts.text() + "\n" + t.text()
}

// describeEdge says what is set of an edge.
func describeEdge(s *edgeSetting) string {
	if s == nil {
		return "nothing is set by hand"
	}
	var parts []string
	if s.Mode != "" {
		mode := s.Mode
		if s.Over > 0 {
			mode += " over " + time.Duration(s.Over).String()
		}
		parts = append(parts, mode+" by "+s.By)
	}
	if s.Capacity > 0 {
		parts = append(parts, "capacity "+figure(&s.Capacity)+" by "+s.CapacityBy)
	}
	return printable(strings.Join(parts, ", "))
}

// describePool says what is set of a pool by hand.
func describePool(s *poolSetting) string {
	if s == nil {
		return "nothing is set by hand"
	}
	var parts []string
	if s.Guidance != "" {
		parts = append(parts, "guidance "+s.Guidance+" by "+s.By)
	}
	for _, p := range s.Pins {
		parts = append(parts, p.Clients+" pinned to "+p.Edge+" by "+p.By)
	}
	return printable(strings.Join(parts, ", "))
}

// table is rows of cells; of a list, the first are the headings.
type table [][]string

// only returns the headings and the rows of one name.
func (t table) only(name string) table {
	found := slices.Clone(t[:1])
	for _, row := range t[1:] {
		if row[0] == name {
			found = append(found, row)
		}
	}
	return found
}

// text aligns the cells. A column that has but a heading is left out.
func (t table) text() string {
	var widths []int
	for i, row := range t {
		for column, cell := range row {
			if column == len(widths) {
				widths = append(widths, 0)
			}
			if cell != "" && (i > 0 || len(t) == 1) {
				widths[column] = max(widths[column], utf8.RuneCountInString(t[0][column]), utf8.RuneCountInString(cell))
			}
		}
	}
	var b strings.Builder
	for _, row := range t {
		var line strings.Builder
		for column, cell := range row {
			if widths[column] > 0 {
				fmt.Fprintf(&line, "%-*s  ", widths[column], printable(cell))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// printable makes a text harmless in a terminal: some of it comes from far.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func figure(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

// measured returns a figure without digits that mean nothing.
func measured(f *float64) string {
	if f == nil {
		return ""
	}
	rounded := math.Round(100**f) / 100
	return figure(&rounded)
}

func moments(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
