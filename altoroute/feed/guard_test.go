// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// guarded is a feed of files whose watcher says what new maps would move.
type guarded struct {
	*subject
	d      *folder
	events []Event
}

func newGuarded(t *testing.T, g Guard) *guarded {
	t.Helper()
	made := &guarded{d: newFolder(t)}
	made.put("1", 1)
	made.subject = watch(t, Config{
		Files: []string{made.d.file("net"), made.d.file("cost")}, Guard: g,
		Notify: func(e Event) { made.events = append(made.events, e) },
	}, "a")
	return made
}

// put publishes a version.
func (g *guarded) put(tag string, ab float64) {
	g.d.put("net", networkDocument(tag))
	g.d.put("cost", costDocument(tag, ab, numerical))
}

// moves has any other set move so many of a hundred requests.
func (g *guarded) moves(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shift = altoroute.Shift{Sampled: 100, Moved: n, Moves: []altoroute.Move{{From: "fra", To: "par", Count: n}}}
}

func (g *guarded) kinds() string {
	kinds := make([]string, len(g.events))
	for i, e := range g.events {
		kinds[i] = string(e.Kind)
	}
	return strings.Join(kinds, " ")
}

func TestGuardLetsIn(t *testing.T) {
	for name, c := range map[string]struct {
		guard Guard
		shift altoroute.Shift
	}{
		"one in a hundred":  {Guard{}, altoroute.Shift{Sampled: 100, Moved: 1}},
		"just not too much": {Guard{}, altoroute.Shift{Sampled: 100, Moved: 20}},
		"too few requests":  {Guard{}, altoroute.Shift{Sampled: leastSampled - 1, Moved: leastSampled - 1}},
		"no guard":          {Guard{Off: true}, altoroute.Shift{Sampled: 100, Moved: 100, Uncosted: []string{"fra"}}},
		"a wide guard":      {Guard{Moved: 1}, altoroute.Shift{Sampled: 100, Moved: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, c.guard)
			g.shift = c.shift
			g.put("2", 2)
			g.wants("2 num2", Fresh, "")
			if s := g.Status(); s.Held != nil || s.Holds != 0 || g.kinds() != "updated updated" {
				t.Errorf("%+v, events %s", s.Held, g.kinds())
			}
		})
	}
}

// large is a network map with so many prefixes and PIDs beside the usual ones.
func large(tag string, prefixes, pids int) []byte {
	m := network(tag)
	for i := range pids {
		name := "more" + strings.Repeat("x", i)
		m.PIDs[name] = nil
	}
	for i := range prefixes {
		m.PIDs["a"] = append(m.PIDs["a"], "10."+string([]byte{'0' + byte(i/10), '.', '0' + byte(i%10)})+".0/24")
	}
	var b strings.Builder
	_ = altotest.WriteNetworkMap(&b, m)
	return []byte(b.String())
}

func TestGuardHolds(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []byte
		shift         altoroute.Shift
		reason        string
	}{
		"prefixes lost": {large("1", 50, 0), large("2", 10, 0), altoroute.Shift{}, "it has 16 prefixes, 71 % fewer than the 56 in force"},
		"PIDs lost":     {large("1", 0, 50), large("2", 0, 10), altoroute.Shift{}, "it lacks 41 of the 55 PIDs in force, 75 %"},
		"no cost":       {nil, nil, altoroute.Shift{Uncosted: []string{"fra", "par"}}, "it leaves edges without any cost: fra, par"},
		"too much":      {nil, nil, altoroute.Shift{Sampled: 100, Moved: 21}, "it moves 21 of 100 recent requests, 21 %"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, Guard{})
			if c.before != nil {
				g.d.put("net", c.before)
				g.wants("1 num1", Fresh, "")
			}
			before := g.Maps()
			g.shift = c.shift
			g.put("2", 2)
			if c.after != nil {
				g.d.put("net", c.after)
			}
			for range 3 { // it stays held, and that is told once
				g.wants("1 num1", Stale, "")
			}
			s := g.Status()
			if s.Maps != before || s.Held == nil || !slices.Equal(s.Held.Reasons, []string{c.reason}) || s.Holds != 1 || s.Err != nil {
				t.Fatalf("held %+v, holds %d, error %v", s.Held, s.Holds, s.Err)
			}
			if until := s.Held.Until.Sub(s.Held.Since); until != DefaultHold {
				t.Errorf("held for %s", until)
			}
			if n := g.log.count("maps held", c.reason); n != 1 || !strings.HasSuffix(g.kinds(), "held") {
				t.Errorf("told %d times, events %s", n, g.kinds())
			}
			g.d.must(g.Release())
			if got := version(g.Maps()); got != "2 num2" {
				t.Errorf("after the release %s is in force", got)
			}
			g.wants("2 num2", Fresh, "")
			if g.Release() == nil || g.Drop() == nil {
				t.Error("nothing is held any more")
			}
		})
	}
}

func TestHeldMapsAreDropped(t *testing.T) {
	g := newGuarded(t, Guard{})
	g.moves(50)
	g.put("2", 2)
	g.wants("1 num1", Stale, "")
	g.d.must(g.Drop())
	g.wants("1 num1", Stale, "")
	if s := g.Status(); s.Held != nil || s.Aside.Tag != "2" {
		t.Errorf("held %+v, aside %v", s.Held, s.Aside)
	}
	g.put("3", 3)
	g.wants("1 num1", Stale, "") // another one that moves as much is held, too
	if s := g.Status(); s.Held == nil || s.Held.Maps.Network.Tag().Tag != "3" {
		t.Errorf("held %+v", s.Held)
	}
	g.put("1", 1) // back at what is in force
	g.wants("1 num1", Fresh, "")
	if s := g.Status(); s.Held != nil || s.Updates != 1 {
		t.Errorf("held %+v, updates %d", s.Held, s.Updates)
	}
	g.put("4", 4)
	g.wants("1 num1", Stale, "")
	g.moves(1)
	g.put("5", 5) // a later one that is in order
	g.wants("5 num5", Fresh, "")
	if g.Status().Held != nil {
		t.Error("the one before is still held")
	}
}

// TestNewRowsAreNotHeld: what only the configuration asks for is no news of the source.
func TestNewRowsAreNotHeld(t *testing.T) {
	g := newGuarded(t, Guard{})
	g.moves(100)
	g.d.must(g.more("b"))
	if !g.Maps().Costs[0].Keeps([]string{"a", "b"}) || g.Status().Held != nil {
		t.Errorf("held %+v", g.Status().Held)
	}
}

// TestHeldMapsComeIn: after a while they come in by degrees, also if the source changes
// all the time and if it is down.
func TestHeldMapsComeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, Guard{Hold: time.Hour, Ramp: 10 * time.Minute})
		g.Start()
		g.moves(50)
		for n := range 50 { // for 50 minutes
			g.put("2", float64(n%8+1))
			time.Sleep(time.Minute)
		}
		s := g.Status()
		if s.Held == nil || version(s.Maps) != "1 num1" {
			t.Fatalf("in force is %s", version(s.Maps))
		}
		g.d.remove("cost")
		time.Sleep(time.Until(s.Held.Until) + 5*time.Second)
		s = g.Status()
		if s.Held != nil || s.Incoming == nil || version(s.Maps) != "1 num1" || s.Ramp.Over != 10*time.Minute {
			t.Fatalf("held %+v, incoming %v, in force %s", s.Held, s.Incoming, version(s.Maps))
		}
		if last := g.ramps[len(g.ramps)-1]; last != s.Ramp || g.told[len(g.told)-1] != s.Incoming {
			t.Errorf("told of %v", last)
		}
		// Who comes now is told of both.
		n := g.times()
		g.d.must(g.more("a"))
		if g.times() != n+2 || g.told[n] != s.Maps || g.told[n+1] != s.Incoming || g.ramps[n+1] != s.Ramp {
			t.Errorf("told of %d sets", g.times()-n)
		}
		time.Sleep(10 * time.Minute)
		if now := g.Status(); now.Maps != s.Incoming || now.Incoming != nil {
			t.Error("the ramp does not end")
		}
		g.Stop()
		if g.times() != n+2 {
			t.Error("told of what has come in by itself")
		}
	})
}

// TestRampIsGivenUp: the source thought better of it.
func TestRampIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, Guard{Hold: time.Minute})
		g.Start()
		g.moves(50)
		g.put("2", 2)
		time.Sleep(65 * time.Second)
		s := g.Status()
		if s.Incoming == nil {
			t.Fatal("it does not come in")
		}
		g.put("1", 1)
		time.Sleep(5 * time.Second)
		if now := g.Status(); now.Incoming != nil || now.Maps != s.Maps || g.told[len(g.told)-1] != s.Maps || g.ramps[len(g.ramps)-1].Over != 0 {
			t.Errorf("incoming %v", now.Incoming)
		}
		g.Stop()
	})
}

// TestHeldForEver: only by hand.
func TestHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, Guard{Hold: -1})
		g.Start()
		g.moves(50)
		g.put("2", 2)
		time.Sleep(240 * time.Hour)
		if s := g.Status(); s.Held == nil || !s.Held.Until.IsZero() {
			t.Errorf("held %+v", s.Held)
		}
		g.Stop()
	})
}
