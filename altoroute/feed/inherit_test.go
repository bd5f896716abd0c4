// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"testing"
	"testing/synctest"
	"time"
)

// A feed of a changed configuration goes on where the one before it was.
func TestInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Guard: Guard{Hold: time.Minute}})
		s.move(moved)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		since := s.Status().Held.Since
		maps := s.Maps()
		heir := func(from *subject) *subject {
			t.Helper()
			cfg := from.cfg
			cfg.Guard.Ramp++ // something else
			f, err := New(cfg)
			s.must(err)
			f.Inherit(from.Feed)
			made := &subject{Feed: f, t: t, log: new(recorder)}
			s.must(made.more("a"))
			return made
		}
		next := heir(s)
		if next.Maps() != maps || next.times() != 1 || next.Status().Held == nil || version(next.Status().Held.Maps) != "2 num2" {
			t.Errorf("in force is %s, told %d times, held %v", version(next.Maps()), next.times(), next.Status().Held)
		}
		next.wantsHeld("1 num1", "2 num2")
		if got := next.Status().Held.Since; !got.Equal(since) {
			t.Errorf("held since %v, want %v", got, since)
		}
		w.server.Publish(guidance("1", 1))
		next.wants("1 num1", Fresh, "")
		if next.Maps() != maps {
			t.Error("the same maps were replaced")
		}
		w.server.Publish(guidance("2", 2))
		next.move(moved)
		next.wantsHeld("1 num1", "2 num2")
		s.must(next.Drop())
		other := heir(next)
		other.wantsHeld("1 num1", "none")
		if got := other.Status().Aside.Tag; got != "2" {
			t.Errorf("aside is %q", got)
		}
		// A ramp goes on.
		w.server.Publish(guidance("3", 3))
		other.move(moved)
		other.wantsHeld("1 num1", "3 num3")
		passes(time.Minute)
		other.wants("1 num1", Fresh, "")
		ramp := other.Status().Ramp
		last := heir(other)
		status := last.Status()
		if version(status.Maps) != "1 num1" || version(status.Incoming) != "3 num3" || status.Ramp != ramp || last.ramps[1] != ramp {
			t.Errorf("in force %s, coming in %s by %v, want by %v", version(status.Maps), version(status.Incoming), status.Ramp, ramp)
		}
		asked := w.server.Count(netPath)
		last.wants("1 num1", Fresh, "")
		if got := w.server.Count(netPath); got.NotModified != asked.NotModified+1 || version(last.Status().Incoming) != "3 num3" {
			t.Errorf("asked %+v after %+v, want one more of 304", got, asked)
		}
	})
}

// A feed that ends writes nothing over what the one has stored that goes on in its place.
func TestStopAfterInherit(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s.Start()
		synctest.Wait()
		cfg := s.cfg
		cfg.Guard.Ramp++ // something else
		cfg.Spool = spoolIn(t, folder)
		f, err := New(cfg)
		s.must(err)
		f.Inherit(s.Feed)
		next := &subject{Feed: f, t: t, log: new(recorder)}
		s.must(next.more("a"))
		s.cycle.Lock()
		s.storedAt = time.Now().Add(-restoreAfter)
		s.cycle.Unlock()
		w.server.Publish(guidance("2", 2))
		next.wants("2 num2", Fresh, "")
		s.Stop()
		if got := next.Versions(); got[0].Tag.Tag != "2" || len(got) != 2 {
			t.Errorf("versions %+v", got)
		}
	})
}
