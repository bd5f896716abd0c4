// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// heard collects events.
type heard struct {
	mu     sync.Mutex
	events []Event
}

func (h *heard) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// kinds returns what was heard since the last call: kinds and tags.
func (h *heard) kinds() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	kinds := make([]string, 0, len(h.events))
	for _, e := range h.events {
		kinds = append(kinds, string(e.Kind)+" "+e.Tag.Tag)
	}
	h.events = nil
	return strings.Join(kinds, ", ")
}

// unwired returns a server without a network and a feed of it that is not started.
// Version 1 is in force.
func unwired(t *testing.T, cfg Config) (*wire, *subject, *heard) {
	t.Helper()
	w, h := &wire{server: altotest.New()}, new(heard)
	w.server.Publish(guidance("1", 1))
	cfg.Servers = []*url.URL{mustURL("http://alto.example/directory")}
	cfg.Client.HTTP = &http.Client{Transport: w}
	cfg.Notify = h.add
	s := watch(t, cfg, "a")
	s.wants("1 num1", Fresh, "")
	if got := h.kinds(); got != "updated 1" {
		t.Fatalf("events %s", got)
	}
	return w, s, h
}

// unwiredHeld is unwired with a spool, and version 2 is held.
func unwiredHeld(t *testing.T, folder string) (*wire, *subject) {
	t.Helper()
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	s.move(moved)
	w.server.Publish(guidance("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	return w, s
}

// without is guidance whose network map lacks the PIDs.
func without(g altotest.Guidance, pids ...string) altotest.Guidance {
	for _, pid := range pids {
		delete(g.NetworkMaps[0].PIDs, pid)
	}
	return g
}

// few is guidance with three of the five PIDs, one of them new.
func few(tag string, ab float64) altotest.Guidance {
	return without(guidance(tag, ab), "c", "addressless")
}

// wantsHeld looks and checks that the set in force stays, and that another is held.
func (s *subject) wantsHeld(set, held string) {
	s.t.Helper()
	s.wants(set, Stale, "")
	is := "none"
	if h := s.Status().Held; h != nil {
		is = version(h.Maps)
	}
	if is != held {
		s.t.Errorf("held is %s, want %s", is, held)
	}
}

func (s *subject) move(shift altoroute.Shift) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift = shift
}

func (s *subject) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestGuardJudges(t *testing.T) {
	v4 := guidance("2", 2)
	v4.NetworkMaps[0].PIDs["a"] = []string{"192.0.2.0/25"}
	v4.NetworkMaps[0].PIDs["b"] = []string{"192.0.2.128/25"}
	moved := func(moved, sampled int) altoroute.Shift { return altoroute.Shift{Moved: moved, Sampled: sampled} }
	for name, test := range map[string]struct {
		guard  Guard
		next   altotest.Guidance
		shift  altoroute.Shift
		reason string // empty: it is let in
	}{
		"in order":            {Guard{}, guidance("2", 2), altoroute.Shift{}, ""},
		"prefixes":            {Guard{}, v4, altoroute.Shift{}, "it has 4 prefixes, 33 % fewer than the 6 in force"},
		"prefixes allowed":    {Guard{Lost: 0.4}, v4, altoroute.Shift{}, ""},
		"PIDs":                {Guard{}, few("2", 2), altoroute.Shift{}, "it lacks 3 of the 5 PIDs in force, 60 %"},
		"PIDs allowed":        {Guard{Lost: 1}, few("2", 2), altoroute.Shift{}, ""},
		"edges without cost":  {Guard{}, guidance("2", 2), altoroute.Shift{Uncosted: []string{"ber", "muc"}}, "it leaves edges without any cost: ber, muc"},
		"moved":               {Guard{}, guidance("2", 2), moved(30, 100), "it moves 30 of 100 recent requests, 30 %"},
		"moved all":           {Guard{}, guidance("1", 2), moved(50, 50), "it moves 50 of 50 recent requests, 100 %"},
		"moved to the bound":  {Guard{}, guidance("2", 2), moved(20, 100), ""},
		"moved a little":      {Guard{}, guidance("2", 2), moved(1, 100), ""},
		"moved is too little": {Guard{Moved: 0.005}, guidance("2", 2), moved(1, 100), "it moves 1 of 100"},
		"moved allowed":       {Guard{Moved: 1}, guidance("2", 2), moved(100, 100), ""},
		"too few samples":     {Guard{}, guidance("2", 2), moved(49, 49), ""},
		"off":                 {Guard{Off: true}, few("2", 2), altoroute.Shift{Uncosted: []string{"ber"}, Moved: 100, Sampled: 100}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, h := unwired(t, Config{Guard: test.guard})
			before := s.Maps()
			s.move(test.shift)
			w.server.Publish(test.next)
			want := test.next.NetworkMaps[0].Tag
			if test.reason == "" {
				s.wants(want+" num2", Fresh, "")
				if got := h.kinds(); got != "updated "+want || s.Status().Holds != 0 {
					t.Errorf("events %s, %d holds", got, s.Status().Holds)
				}
				return
			}
			for range 3 { // as long as it lasts, it is told once
				s.wantsHeld("1 num1", want+" num2")
			}
			status := s.Status()
			if held := status.Held; !slices.ContainsFunc(held.Reasons, func(r string) bool { return strings.HasPrefix(r, test.reason) }) || held.Shift.Moved != test.shift.Moved {
				t.Errorf("reasons %q, shift %+v", held.Reasons, held.Shift)
			}
			if s.Maps() != before || status.Err != nil || status.Holds != 1 || status.Updates != 1 || s.times() != 1 {
				t.Errorf("error %v, %d holds, %d updates, told %d times", status.Err, status.Holds, status.Updates, s.times())
			}
			if got := h.kinds(); got != "held "+want || s.log.count("WARN", "maps held", test.reason) != 1 {
				t.Errorf("events %s, %d lines", got, s.log.count("maps held"))
			}
		})
	}
}

// Each watcher is asked, and each has a veto.
func TestGuardAsksEveryWatcher(t *testing.T) {
	for name, shifts := range map[string][]altoroute.Shift{
		"uncosted beside moved a little": {{Uncosted: []string{"ber"}}, {Moved: 1, Sampled: 100}},
		"moved a little beside uncosted": {{Moved: 1, Sampled: 100}, {Uncosted: []string{"ber"}}},
		"a large share of few":           {{Moved: 40, Sampled: 100}, {Moved: 50, Sampled: 1000}},
		"a large share of few, later":    {{Moved: 50, Sampled: 1000}, {Moved: 40, Sampled: 100}},
		"all of too few":                 {{Moved: 49, Sampled: 49}, {Moved: 300, Sampled: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, _ := unwired(t, Config{})
			for _, shift := range shifts {
				stop, err := s.Watch(&watcherOf{rows: these("a"), shift: func(*altoroute.Maps) altoroute.Shift { return shift }})
				s.must(err)
				t.Cleanup(stop)
			}
			w.server.Publish(guidance("2", 2))
			s.wantsHeld("1 num1", "2 num2")
			if held := s.Status().Held; held != nil && len(held.Reasons) != 1 {
				t.Errorf("reasons %q", held.Reasons)
			}
		})
	}
}

// The first set is not judged, and neither is what has only more rows.
func TestGuardLetsNewRowsIn(t *testing.T) {
	w, s, h := unwired(t, Config{})
	s.move(altoroute.Shift{Moved: 100, Sampled: 100, Uncosted: []string{"ber"}})
	s.must(s.more("b"))
	s.wants("1 num1", Fresh, "")
	if !s.Maps().Costs[0].Keeps([]string{"a", "b"}) || h.kinds() != "updated 1" {
		t.Error("new rows are held")
	}
	w.server.Publish(guidance("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	if s.Maps().Costs[0].Of(s.Status().Held.Maps.Network) {
		t.Error("the set in force got costs of the one that is held")
	}
}

func TestRelease(t *testing.T) {
	w, s, h := unwired(t, Config{})
	if err := s.Release(); err == nil {
		t.Error("something was released where nothing is held")
	}
	w.server.Publish(few("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	h.kinds()
	s.must(s.Release())
	status := s.Status()
	if version(status.Maps) != "2 num2" || status.State() != Fresh || status.Incoming != nil || s.times() != 2 || s.ramps[1] != (altoroute.Ramp{}) {
		t.Errorf("after Release %s is in force, ramps %v", version(status.Maps), s.ramps)
	}
	s.wants("2 num2", Fresh, "")
	if got := h.kinds(); got != "updated 2" || s.times() != 2 {
		t.Errorf("events %s, told %d times", got, s.times())
	}
}

func TestDrop(t *testing.T) {
	w, s, h := unwired(t, Config{})
	if err := s.Drop(); err == nil {
		t.Error("something was dropped where nothing is held")
	}
	w.server.Publish(few("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	s.must(s.Drop())
	for range 2 {
		s.wantsHeld("1 num1", "none")
		if got := s.Status().Aside.Tag; got != "2" {
			t.Errorf("aside is %q", got)
		}
	}
	// What comes after that may be held, and is not any more when what was dropped
	// is back.
	w.server.Publish(few("3", 3))
	s.wantsHeld("1 num1", "3 num3")
	w.server.Publish(few("2", 2))
	s.wantsHeld("1 num1", "none")
	s.must(s.more("b")) // whoever wants more rows of it does not want it back
	s.wantsHeld("1 num1", "none")
	w.server.Publish(guidance("4", 4))
	s.wants("4 num4", Fresh, "")
	if status := s.Status(); status.Aside != (altoroute.VersionTag{}) {
		t.Errorf("aside is still %v", status.Aside)
	}
	if got := h.kinds(); got != "held 2, held 3, updated 4" {
		t.Errorf("events %s", got)
	}
}

// What is held gives way to what is in order, and to what is in force.
func TestHeldIsReplaced(t *testing.T) {
	w, s, h := unwired(t, Config{})
	w.server.Publish(few("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	w.server.Publish(guidance("1", 1))
	s.wants("1 num1", Fresh, "")
	if s.Status().Held != nil || s.times() != 1 || s.log.count("held maps are dropped", "in force") != 1 {
		t.Errorf("held %v, told %d times", s.Status().Held, s.times())
	}
	w.server.Publish(few("3", 3))
	s.wantsHeld("1 num1", "3 num3")
	w.server.Publish(guidance("4", 4))
	s.wants("4 num4", Fresh, "")
	if got := h.kinds(); s.Status().Held != nil || got != "held 2, held 3, updated 4" || s.log.count("held maps are dropped", "in order") != 1 {
		t.Errorf("events %s", got)
	}
}

func TestReasonsNameSomeEdges(t *testing.T) {
	var g Guard
	var edges []string
	for i := range 100 {
		edges = append(edges, fmt.Sprintf("edge%02d", i))
	}
	reasons := g.against(altoroute.Shift{Uncosted: edges})
	if len(reasons) != 1 || !strings.HasPrefix(reasons[0], "it leaves 100 edges without any cost: edge00, ") || !strings.HasSuffix(reasons[0], ", edge09 and others") {
		t.Errorf("reasons %q", reasons)
	}
}
