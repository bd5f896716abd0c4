// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

var moved = altoroute.Shift{Moved: 30, Sampled: 100}

// What is held comes in force by no restart: few requests have been seen after one,
// and nothing can be told of them.
func TestHeldAfterARestart(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s := unwiredHeld(t, folder)
		since := s.Status().Held.Since

		passes(20 * time.Minute)
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "1 num1" || status.Held == nil || version(status.Held.Maps) != "2 num2" || !status.Held.Since.Equal(since) {
			t.Errorf("in force is %s, held %+v before the source was asked", version(status.Maps), status.Held)
		}
		w.set(true)
		s.wants("1 num1", Stale, "no route to host")
		s = s.again("a") // an outage does not have it forgotten
		if got := s.Status().Held; got == nil || version(got.Maps) != "2 num2" {
			t.Errorf("held is %+v", got)
		}
		w.set(false)
		s.wantsHeld("1 num1", "2 num2")
		held := s.Status().Held
		if !held.Since.Equal(since) || !held.Until.Equal(since.Add(time.Hour)) || !slices.Equal(held.Reasons, []string{"it moves 30 of 100 recent requests, 30 %"}) {
			t.Errorf("held %+v, want since %v", held, since)
		}
		if s.log.count("WARN", "maps held") != 0 || s.log.count("INFO", "maps are still held", "tag=2") != 1 || s.Status().Holds != 1 {
			t.Errorf("said: %q", s.log.lines)
		}
		// What the traffic says counts more, once there is some.
		s.move(altoroute.Shift{Moved: 1, Sampled: 100})
		s = s.again("a")
		s.move(altoroute.Shift{Moved: 1, Sampled: 100})
		s.wants("2 num2", Fresh, "")
	})
}

// The time goes on while nobody runs.
func TestHeldLongEnoughAfterARestart(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s := unwiredHeld(t, folder)
		passes(2 * time.Hour)
		s = s.again("a")
		s.wants("1 num1", Fresh, "")
		if status := s.Status(); version(status.Incoming) != "2 num2" || status.Ramp.Over != DefaultRamp || status.Held != nil {
			t.Errorf("coming in is %s by %v", version(status.Incoming), status.Ramp)
		}
		// Another set is judged for itself.
		w.server.Publish(guidance("3", 3))
		s = s.again("a")
		s.wants("1 num1", Fresh, "")
		if got := version(s.Status().Incoming); got != "3 num3" {
			t.Errorf("coming in is %s, want what the source has, as far as what came in had come", got)
		}
	})
}

// With the server down, what is held can be let in by hand, and comes in by time, and a
// ramp goes on.
func TestRestartWhileAway(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s := unwiredHeld(t, folder)
		w.set(true)
		byHand := s.again("a")
		s.cfg.Spool = spoolIn(t, folder)
		s = s.again("a")
		s.Start()
		synctest.Wait()
		passes(time.Hour + time.Minute)
		if status := s.Status(); version(status.Maps) != "1 num1" || version(status.Incoming) != "2 num2" {
			t.Errorf("in force is %s, coming in %s", version(status.Maps), version(status.Incoming))
		}
		s.Stop()
		s = s.again("a")
		status := s.Status()
		if version(status.Maps) != "1 num1" || version(status.Incoming) != "2 num2" || time.Since(status.Ramp.Since) < 59*time.Second {
			t.Errorf("in force is %s, coming in %s by %v", version(status.Maps), version(status.Incoming), status.Ramp)
		}
		if s.ramps[1] != status.Ramp {
			t.Errorf("told of the ramps %v", s.ramps)
		}
		passes(10 * time.Minute)
		s.wants("2 num2", Stale, "no route to host")
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "2 num2" || status.Held != nil || status.Incoming != nil {
			t.Errorf("in force is %s, held %v", version(status.Maps), status.Held)
		}
		w.set(false)
		s.wants("2 num2", Fresh, "")
		s.must(byHand.Release())
		if got := version(byHand.Maps()); got != "2 num2" {
			t.Errorf("let in by hand is %s", got)
		}
	})
}

// A restart is no short cut for what comes in by a ramp.
func TestRampAfterARestart(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Guard: Guard{Hold: time.Minute}, Spool: spoolIn(t, folder)})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(time.Minute)
		s.wants("1 num1", Fresh, "")
		ramp := s.Status().Ramp
		if version(s.Status().Incoming) != "2 num2" {
			t.Fatalf("coming in is %s", version(s.Status().Incoming))
		}
		passes(3 * time.Minute)
		s = s.again("a")
		s.move(moved)
		if got := version(s.Maps()); got != "1 num1" {
			t.Errorf("in force is %s", got)
		}
		s.wants("1 num1", Fresh, "")
		if status := s.Status(); version(status.Incoming) != "2 num2" || !status.Ramp.Since.Equal(ramp.Since) || status.Ramp.Over != ramp.Over || status.Held != nil {
			t.Errorf("coming in is %s by %v, want by %v", version(status.Incoming), status.Ramp, ramp)
		}
		// It is stored when it is in force, without any look.
		asked := w.requests()
		s.Start()
		synctest.Wait()
		passes(time.Until(ramp.Since.Add(ramp.Over)))
		s.Stop()
		if got := s.Versions(); got[0].Tag.Tag != "2" || w.requests() > asked+6 {
			t.Errorf("versions %+v, %d requests", got, w.requests()-asked)
		}
	})
}

// The last contact is stored often enough for sets that expire soon.
func TestExpireAfterARestart(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Refresh: 30 * time.Second, Expire: 5 * time.Minute, Spool: spoolIn(t, folder)})
		s.Start()
		synctest.Wait()
		passes(9 * time.Minute)
		s.Stop()
		w.set(true)
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "1 num1" || time.Since(status.LastContact) > time.Minute+s.cfg.Expire/10 {
			t.Errorf("in force is %s, last contact %v ago", version(status.Maps), time.Since(status.LastContact))
		}
	})
}

// Another filter says nothing of whether the costs are those that were put aside, or
// held.
func TestNotInForceWithAnotherFilter(t *testing.T) {
	for name, drop := range map[string]bool{"held": false, "put aside": true} {
		t.Run(name, func(t *testing.T) {
			w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
			w.server.Publish(filtered("1", 1))
			s.wants("1 num1", Fresh, "")
			s.move(moved)
			w.server.Publish(filtered("2", 2))
			s.wantsHeld("1 num1", "2 num2")
			held := "2 num2"
			if drop {
				s.must(s.Drop())
				held = "none"
			}
			s.must(s.more("b"))
			for range 2 {
				s.wantsHeld("1 num1", held)
			}
			if h := s.Status().Held; h != nil && !h.Maps.Costs[0].Keeps([]string{"a", "b"}) {
				t.Error("what is held lacks rows")
			}
			s.move(altoroute.Shift{})
			w.server.Publish(filtered("3", 3))
			s.wants("3 num3", Fresh, "")
		})
	}
}
