// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// passes lets time pass.
func passes(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A set that nobody lets in comes in after an hour, over ten minutes.
func TestHeldComesInByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, h := unwired(t, Config{Refresh: 10 * time.Minute})
		s.Start()
		synctest.Wait()
		w.server.Publish(few("2", 2))
		passes(11 * time.Minute)
		held := s.Status().Held
		if held == nil || held.Until != held.Since.Add(time.Hour) {
			t.Fatalf("held %+v", held)
		}
		h.kinds()
		passes(time.Until(held.Until) - time.Second)
		if version(s.Maps()) != "1 num1" || s.times() != 1 {
			t.Fatalf("in force is %s", version(s.Maps()))
		}
		passes(time.Second)
		status, want := s.Status(), altoroute.Ramp{Since: held.Until, Over: 10 * time.Minute}
		if version(status.Maps) != "1 num1" || version(status.Incoming) != "2 num2" || status.Ramp != want || status.Held != nil || status.State() != Fresh {
			t.Errorf("in force %s, coming in %s by %v, state %s", version(status.Maps), version(status.Incoming), status.Ramp, status.State())
		}
		if s.times() != 2 || version(s.told[1]) != "2 num2" || s.ramps[1] != want || h.kinds() != "updated 2" {
			t.Errorf("told %d times, ramps %v", s.times(), s.ramps)
		}

		// Who joins now gets both.
		passes(5 * time.Minute)
		s.must(s.more("a"))
		if s.times() != 4 || version(s.told[2]) != "1 num1" || s.ramps[2] != (altoroute.Ramp{}) || version(s.told[3]) != "2 num2" || s.ramps[3] != want {
			t.Errorf("told %d times, ramps %v", s.times(), s.ramps)
		}

		passes(5*time.Minute - time.Second)
		if got := s.Status(); version(got.Maps) != "1 num1" || got.Incoming == nil {
			t.Error("the ramp is over too early")
		}
		passes(time.Second)
		if got := s.Status(); version(got.Maps) != "2 num2" || got.Incoming != nil || got.Ramp != (altoroute.Ramp{}) {
			t.Errorf("after the ramp %s is in force", version(got.Maps))
		}
		passes(time.Hour)
		if s.times() != 4 {
			t.Errorf("told %d times: a ramp ends by itself", s.times())
		}
		s.must(s.more("a"))
		if s.times() != 5 || version(s.told[4]) != "2 num2" || s.ramps[4] != (altoroute.Ramp{}) {
			t.Errorf("told %d times, of %s", s.times(), version(s.told[4]))
		}
		s.Stop()
	})
}

// A source that thinks better of it during a ramp has what is in force again.
func TestRampIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Refresh: time.Minute, Guard: Guard{Hold: time.Minute}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(time.Minute)
		s.wants("1 num1", Fresh, "")
		if version(s.Status().Incoming) != "2 num2" {
			t.Fatal("it does not come in")
		}
		w.server.Publish(guidance("1", 1))
		s.wants("1 num1", Fresh, "")
		if got := s.Status(); got.Incoming != nil || got.Ramp != (altoroute.Ramp{}) || version(s.told[2]) != "1 num1" || s.ramps[2] != (altoroute.Ramp{}) {
			t.Errorf("coming in is %s, told %d times", version(got.Incoming), s.times())
		}
		passes(time.Hour)
		s.wants("1 num1", Fresh, "")
		if s.times() != 3 {
			t.Errorf("told %d times", s.times())
		}
	})
}

// What is in order and comes during a ramp goes on where that one left off.
func TestRampIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Refresh: time.Minute, Guard: Guard{Hold: time.Minute}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(time.Minute)
		s.wants("1 num1", Fresh, "")
		ramp := s.Status().Ramp
		passes(time.Minute)
		w.server.Publish(few("2", 3))
		s.wants("1 num1", Fresh, "")
		if got := s.Status(); version(got.Incoming) != "2 num3" || got.Ramp != ramp || s.ramps[2] != ramp || version(s.told[2]) != "2 num3" {
			t.Errorf("coming in is %s by %v", version(got.Incoming), got.Ramp)
		}
		passes(ramp.Over)
		s.wants("2 num3", Fresh, "")
		if s.times() != 3 {
			t.Errorf("told %d times", s.times())
		}
	})
}

func TestHoldAndRampByConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Guard: Guard{Hold: -1}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		if !s.Status().Held.Until.IsZero() {
			t.Error("it comes in by itself")
		}
		passes(1000 * time.Hour)
		s.wantsHeld("1 num1", "2 num2")
	})
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Guard: Guard{Hold: time.Minute, Ramp: -1}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(time.Minute)
		s.wants("2 num2", Fresh, "")
		if s.times() != 2 || s.ramps[1] != (altoroute.Ramp{}) || s.Status().Incoming != nil {
			t.Errorf("told with the ramps %v", s.ramps)
		}
	})
}

// A source whose maps are always new and never in order is not kept out for ever, also
// when it is down as the time comes; but the last of them can be looked at before.
func TestHeldAreReplacedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, h := unwired(t, Config{})
		since := time.Now()
		tag := 1
		for time.Since(since) < 2*time.Hour {
			tag++
			w.server.Publish(few(strconv.Itoa(tag), 2))
			s.wantsHeld("1 num1", strconv.Itoa(tag)+" num2")
			want := since.Add(max(time.Hour, min(time.Since(since)+15*time.Minute, 2*time.Hour)))
			if tag == 2 {
				want = since.Add(time.Hour)
			}
			if got := s.Status().Held; got.Since != since || got.Until != want {
				t.Fatalf("held since %v until %v, want from %v until %v", got.Since, got.Until, since, want)
			}
			time.Sleep(10 * time.Minute)
		}
		if got := s.Status().Holds; got != 12 {
			t.Errorf("%d holds", got)
		}
		h.kinds()
		w.set(true)
		s.wants("1 num1", Stale, "no route to host")
		if got := s.Status(); version(got.Incoming) != "13 num2" || got.Held != nil || h.kinds() != "updated 13" {
			t.Errorf("coming in is %s", version(got.Incoming))
		}
	})
}

// What is let in by hand is in force at once, also while another set comes in.
func TestReleaseDuringARamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFolder(t)
		put := func(tag string, ab float64) {
			d.put("net", networkDocument(tag))
			d.put("cost", costDocument(tag, ab, numerical))
		}
		put("1", 1)
		s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Guard: Guard{Hold: time.Minute, Ramp: time.Hour}}, "a")
		s.mu.Lock()
		s.shift = altoroute.Shift{Sampled: 100, Moved: 50}
		s.mu.Unlock()
		s.Start()
		put("2", 2)
		time.Sleep(70 * time.Second)
		put("3", 3)
		time.Sleep(5 * time.Second)
		if is := s.Status(); version(is.Maps) != "1 num1" || version(is.Incoming) != "2 num2" || is.Held == nil || version(is.Held.Maps) != "3 num3" {
			t.Fatalf("in force %s, incoming %s, held %+v", version(is.Maps), version(is.Incoming), is.Held)
		}
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
		if is := s.Status(); version(is.Maps) != "3 num3" || is.Incoming != nil {
			t.Errorf("in force %s, incoming %s", version(is.Maps), version(is.Incoming))
		}
		s.Stop()
	})
}

// A set that was held long enough comes in at that time, whatever else takes time then.
func TestHeldComesInOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Refresh: time.Hour, MinRefresh: time.Hour, Guard: Guard{Hold: 30 * time.Minute}})
		slow := false
		stop, err := s.Watch(&watcherOf{apply: func(*altoroute.Maps, altoroute.Ramp) {
			if slow {
				time.Sleep(2 * time.Second)
			}
		}, shift: func(*altoroute.Maps) altoroute.Shift { return moved }})
		s.must(err)
		t.Cleanup(stop)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		until := s.Status().Held.Until
		s.Start()
		synctest.Wait()
		time.Sleep(time.Until(until) - time.Second)
		slow = true
		s.Feed.mu.Lock()
		again := *s.base.maps
		s.base.maps = &again // as if there were more rows
		s.Feed.mu.Unlock()
		s.Feed.look()
		passes(time.Minute)
		if got := version(s.Status().Incoming); got != "2 num2" {
			t.Errorf("coming in is %s", got)
		}
		s.Stop()
	})
}

// What was held while something else came in has a ramp of its own: it does not go on with
// one that has come far.
func TestHeldDuringARamp(t *testing.T) {
	for name, test := range map[string]struct {
		hold time.Duration // of the second, which is held from the first one's ramp on
		base string        // it comes in beside
	}{
		"late in the ramp":  {9 * time.Minute, "2 num2"},
		"early in the ramp": {4 * time.Minute, "1 num1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, _ := unwired(t, Config{Guard: Guard{Hold: test.hold}})
				w.server.Publish(few("2", 2))
				s.wantsHeld("1 num1", "2 num2")
				passes(test.hold)
				s.wants("1 num1", Fresh, "")
				s.move(moved)
				w.server.Publish(few("3", 3))
				s.wantsHeld("1 num1", "3 num3")
				told := s.times()
				passes(test.hold)
				s.wants(test.base, Fresh, "")
				status, want := s.Status(), altoroute.Ramp{Since: time.Now(), Over: DefaultRamp}
				if version(status.Incoming) != "3 num3" || status.Ramp != want {
					t.Errorf("coming in is %s by %v, want by %v", version(status.Incoming), status.Ramp, want)
				}
				var got string
				for i := told; i < s.times(); i++ {
					got += version(s.told[i]) + " " + s.ramps[i].Over.String() + "; "
				}
				if test.base == "2 num2" && got != "2 num2 0s; 3 num3 10m0s; " || test.base == "1 num1" && got != "3 num3 10m0s; " {
					t.Errorf("told of %s", got)
				}
				if s.log.count("maps updated", "tag=3", "ramp=10m0s") != 1 {
					t.Errorf("said: %q", s.log.lines)
				}
				passes(DefaultRamp)
				s.wants("3 num3", Fresh, "")
			})
		})
	}
}

// The log tells the ramp that a set goes on with.
func TestRampIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Guard: Guard{Hold: time.Minute}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(time.Minute)
		s.wants("1 num1", Fresh, "")
		w.server.Publish(few("2", 3))
		s.wants("1 num1", Fresh, "")
		if s.log.count("maps updated", "tag=2", "ramp=10m0s") != 2 {
			t.Errorf("said: %q", s.log.lines)
		}
	})
}
