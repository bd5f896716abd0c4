// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRejectedConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		kept := literal(1)
		f.begin(kept)
		pass(time.Minute)
		before := f.status(kept)
		w, err := f.Watch(literals(3), func() { t.Error("a configuration that was never in force was told") })
		if err != nil {
			t.Fatal(err)
		}
		if got := f.states(literals(3)); got[Up] != 1 || got[Unknown] != 2 {
			t.Errorf("what is known is not to be read: %v", got)
		}
		w.Stop()
		w.Stop()
		w.Start()
		pass(time.Minute)
		for _, target := range literals(3)[1:] {
			if _, ok := f.Status(target); ok || len(f.asked(target.URL)) != 0 {
				t.Errorf("%s left a trace", target.URL)
			}
		}
		if s := f.status(kept); s.IPv6.Since != before.IPv6.Since || s.IPv6.Successes < before.IPv6.Successes+10 {
			t.Errorf("the one in force did not go on: %+v", s.IPv6)
		}
		if len(f.subjects) != 1 || len(f.sites) != 1 || len(f.watchers) != 1 || len(f.queue) != 1 {
			t.Errorf("%d subjects, %d sites, %d watchers, %d in the queue", len(f.subjects), len(f.sites), len(f.watchers), len(f.queue))
		}
	})
}

// TestReload hands targets over from one configuration to the next, as Caddy
// does: the next one starts before the last one stops.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		gone, kept, fresh := literal(1), literal(2), literal(3)
		f.breaks(within(2))
		old := f.begin(gone, kept)
		pass(time.Minute)
		before := f.status(kept)
		same := kept
		same.Interval, same.Status = DefaultInterval, StatusRange{200, 299} // the same, in other words
		next, err := f.Watch([]Target{same, same, fresh}, nil)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		next.Start()
		old.Stop()
		end := time.Now()
		pass(time.Minute)
		if s := f.status(kept); s.IPv6.State != Down || s.IPv6.Since != before.IPv6.Since || s.IPv6.Failures < before.IPv6.Failures+10 {
			t.Errorf("its state was not kept: %+v", s.IPv6)
		}
		times := f.asked(kept.URL)
		for i := range times[1:] {
			if gap := times[i+1].Sub(times[i]); gap < 4500*time.Millisecond || gap > 5500*time.Millisecond {
				t.Errorf("a gap of %s", gap)
			}
		}
		if s := f.status(fresh); s.IPv6.State != Up {
			t.Errorf("what is new is not probed: %+v", s.IPv6)
		}
		if _, ok := f.Status(gone); ok {
			t.Error("what nobody watches is still known")
		}
		if times := f.asked(gone.URL); times[len(times)-1].After(end) {
			t.Error("what nobody watches is still probed")
		}
		next.Stop()
		end = time.Now()
		pass(time.Hour)
		if times := f.asked(fresh.URL); times[len(times)-1].After(end) {
			t.Error("it is probed for no one")
		}
	})
}

// TestRemovedWhileProbed breaks off what is under way, and drops its result
// even if the same target is wanted again by then.
func TestRemovedWhileProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		f.slow = time.Hour // it lasts until it is broken off
		target := literal(1)
		f.breaks(everything)
		w := f.begin(target)
		pass(time.Second)
		keep, err := f.Watch([]Target{target}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Stop()
		f.breaks(nil)
		keep.Start()
		pass(time.Second)
		if s := f.status(target).IPv6; s.State != Up || s.Successes != 1 || s.Failures != 0 {
			t.Errorf("got %+v", s)
		}
		if n := len(f.asked(target.URL)); n != 2 {
			t.Errorf("%d probes", n)
		}
		f.breaks(everything)
		pass(10 * time.Second)
		n := len(f.asked(target.URL))
		keep.Stop()
		pass(time.Hour)
		if len(f.asked(target.URL)) != n || f.running != 0 || len(f.queue) != 0 {
			t.Error("it goes on")
		}
	})
}

func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		targets := literals(100)
		var calls []time.Time
		open := false
		w, err := f.Watch(targets, func() {
			if open {
				t.Error("two calls at once")
			}
			open = true
			calls = append(calls, time.Now())
			f.states(targets)
			runtime.Gosched()
			open = false
		})
		if err != nil {
			t.Fatal(err)
		}
		other := 0
		unconcerned, err := f.Watch([]Target{literal(1000)}, func() { other++ })
		if err != nil {
			t.Fatal(err)
		}
		unconcerned.Start()
		w.Start()
		pass(time.Minute)
		if len(calls) < 2 || len(calls) > 6 || other < 1 || other > 2 {
			t.Errorf("told %d times at the start, the other one %d times", len(calls), other)
		}
		calls = nil
		pass(time.Hour)
		if len(calls) != 0 {
			t.Errorf("told %d times of nothing", len(calls))
		}
		load := 0.0
		f.mu.Lock()
		f.report = func(*subject) Report { load++; return Report{Load: load} }
		f.mu.Unlock()
		pass(time.Minute)
		if n := len(calls); n < 250 || n > 301 || other < 10 {
			t.Errorf("told %d times in a minute of changing load, the other one %d times", n, other)
		}
		if s := f.status(targets[0]); s.Report().Load == 0 || s.Report() != s.IPv6.Report {
			t.Errorf("got %+v", s.Report())
		}
		w.Stop()
		calls = nil
		pass(time.Minute)
		if len(calls) != 0 {
			t.Error("told after the end")
		}
	})
}

func TestLastReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		target := literal(1)
		f.report = func(*subject) Report { return Report{Load: 0.5} }
		f.begin(target)
		pass(time.Minute)
		f.breaks(everything)
		pass(10 * time.Second)
		if s := f.status(target); s.Report().Load != 0.5 {
			t.Errorf("the report is lost: %+v", s)
		}
		pass(time.Minute)
		if s := f.status(target); s.Report().Load != 0 {
			t.Errorf("what is down has a load: %+v", s)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		f.Stop() // it has not begun
		w := f.begin(literal(1))
		pass(time.Minute)
		if len(f.asked(literal(1).URL)) != 0 {
			t.Error("it probes after its end")
		}
		w.Stop()
	})
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		f.slow = time.Hour
		w := f.begin(literals(10)...)
		pass(time.Minute)
		f.breaks(everything)
		pass(20 * time.Second)
		for f.running == 0 { // something is to be under way
			pass(10 * time.Millisecond)
		}
		var before []Status
		for _, target := range literals(10) {
			before = append(before, f.status(target))
		}
		f.Stop()
		f.Stop()
		for i, target := range literals(10) {
			if after := f.status(target); after != before[i] {
				t.Errorf("the end of the prober was taken for that of a target: %+v", after)
			}
		}
		w.Stop()
		if _, ok := f.Status(literal(1)); ok {
			t.Error("it is still known")
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	p := New(Config{})
	w, err := p.Watch([]Target{literal(1), {URL: "ftp://a.example"}}, nil)
	if w != nil || err == nil || !strings.Contains(err.Error(), "target 2: URL") || len(p.subjects) != 0 {
		t.Errorf("got %v, %d subjects", err, len(p.subjects))
	}
	p.Stop()
}

// TestCountsStayRight has targets come, go, fail and move at random. What is
// counted one by one is then the same as counted at once.
func TestCountsStayRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		dice, loss := newDice(1), newDice(2)
		f.breaks(func(*subject, netip.Addr) bool { return loss.IntN(3) > 0 })
		var watchers []*Watcher
		for range 300 {
			pass(time.Duration(dice.IntN(3000)) * time.Millisecond)
			if len(watchers) > 0 && dice.IntN(2) == 0 {
				i := dice.IntN(len(watchers))
				watchers[i].Stop()
				watchers = append(watchers[:i], watchers[i+1:]...)
				continue
			}
			var targets []Target
			for range dice.IntN(10) {
				target := literal(dice.IntN(15))
				target.Down, target.Up = 2+dice.IntN(2), 1
				targets = append(targets, target)
			}
			w, err := f.Watch(targets, nil)
			if err != nil {
				t.Fatal(err)
			}
			watchers = append(watchers, w)
			if dice.IntN(3) > 0 {
				w.Start()
			}
			checkCounts(t, f.Prober)
		}
		for _, w := range watchers {
			w.Stop()
		}
		checkCounts(t, f.Prober)
		if len(f.subjects) != 0 || len(f.sites) != 0 || len(f.queue) != 0 {
			t.Errorf("%d subjects, %d sites, %d in the queue are left", len(f.subjects), len(f.sites), len(f.queue))
		}
	})
}

func checkCounts(t *testing.T, p *Prober) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := 0
	for f := range p.suspicion {
		var want [2]tally
		for i := range want {
			sites := make(map[*site]tally)
			for _, s := range p.subjects {
				l := &s.lanes[f]
				if l.active && l.cancel == nil {
					waiting++
				}
				if !l.active || l.State != Unknown+State(i) {
					continue
				}
				c := sites[s.site]
				c.all++
				if l.Failures > 0 {
					c.failing++
				}
				sites[s.site] = c
			}
			for _, c := range sites {
				want[i].add(&c, 1)
			}
		}
		if p.suspicion[f].sites != want {
			t.Errorf("%s: counted %+v, want %+v", Family(f), p.suspicion[f].sites, want)
		}
	}
	if waiting != 2*len(p.queue) { // counted for both states
		t.Errorf("%d lanes wait, %d are in the queue", waiting/2, len(p.queue))
	}
}
