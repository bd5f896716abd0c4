// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var moved = altoroute.Shift{Moved: 30, Sampled: 100}

// What is held comes in force by no restart: few requests have been seen after one,
// and nothing can be told of them.
func TestHeldAfterARestart(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s.move(moved)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
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
		if s.log.count("WARN", "maps held", "tag=2") != 1 || s.Status().Holds != 1 {
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
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s.move(moved)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
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
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s.move(moved)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
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

// A configuration that wants more rows does not let in what is held, with a spool and
// without.
func TestHeldStaysHeldWithMoreRows(t *testing.T) {
	for _, spooled := range []bool{false, true} {
		t.Run(fmt.Sprint("spool ", spooled), func(t *testing.T) {
			cfg := Config{}
			if spooled {
				cfg.Spool = spoolIn(t, t.TempDir())
			}
			w, s, h := unwired(t, cfg)
			s.move(moved)
			w.server.Publish(guidance("2", 2))
			s.wantsHeld("1 num1", "2 num2")
			since := s.Status().Held.Since
			h.kinds()
			s.must(s.more("b"))
			if keeps := s.Maps().Costs[0].Keeps([]string{"a", "b"}); keeps != spooled {
				t.Errorf("the set in force has the rows: %v", keeps)
			}
			s.wantsHeld("1 num1", "2 num2")
			held := s.Status().Held
			if held == nil || !held.Maps.Costs[0].Keeps([]string{"a", "b"}) || !held.Since.Equal(since) {
				t.Errorf("held is %+v", held)
			}
			s.must(s.Release())
			s.wants("2 num2", Fresh, "")
			if got := h.kinds(); !strings.HasSuffix(got, "updated 2") || strings.Contains(got, "updated 1") {
				t.Errorf("events %s", got)
			}
		})
	}
}

// With a spool, more rows are no reason to ask the source again for what it has said,
// and are there at once, also while it is down.
func TestMoreRowsFromTheSpool(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.set(true)
	s.must(s.more("b"))
	if got := version(s.Maps()); got != "1 num1" || !s.Maps().Costs[0].Keeps([]string{"a", "b"}) {
		t.Errorf("in force is %s without the rows", got)
	}
	select {
	case <-s.wake:
		t.Error("the source is to be looked at")
	default:
	}
	w.set(false)
	before := w.server.Count(costPath)
	maps := s.Maps()
	for range 2 {
		s.wants("1 num1", Fresh, "")
	}
	if got := w.server.Count(costPath); got.Requests != before.Requests+2 || got.NotModified != before.NotModified+2 {
		t.Errorf("asked %+v after %+v, want two more of 304", got, before)
	}
	if s.Maps() != maps {
		t.Error("another set is in force")
	}
}

// A filtered cost map in the spool has no other rows than it had.
func TestMoreRowsThanWereAskedFor(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.server.Publish(filtered("2", 2))
	s.wants("2 num2", Fresh, "")
	sets, _ := s.cfg.Spool.Sets()
	if last := sets[0].Documents[1]; last.Filter == 0 {
		t.Fatalf("spooled is %+v", last)
	}
	s.must(s.more("b"))
	if s.Maps().Costs[0].Keeps([]string{"b"}) {
		t.Error("rows are there that were never asked for")
	}
	<-s.wake
	s.wants("2 num2", Fresh, "")
	if c, ok := s.Maps().Costs[0].Cost("b", "c"); !ok || c != 3 {
		t.Errorf("the cost from b to c is %v, %v", c, ok)
	}
}

// However often a source says the same, what is on disk does not grow.
func TestSpoolDoesNotGrow(t *testing.T) {
	folder := t.TempDir()
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	w.server.Misbehave("", altotest.WithoutValidators())
	files := func() int {
		found, err := filepath.Glob(filepath.Join(folder, "*"))
		s.must(err)
		return len(found)
	}
	for i := range 20 {
		if i%5 == 4 {
			w.server.Misbehave(costPath, altotest.StringCosts())
		} else {
			w.server.Misbehave(costPath, nil)
		}
		_, _ = s.look()
		if n := files(); n > 3+2 {
			t.Fatalf("%d files after %d looks", n, i)
		}
	}
	if got := w.server.Count(netPath).NotModified; got != 0 {
		t.Errorf("%d answers were 304", got)
	}
	s.Start()
	s.Stop()
	if n := files(); n != 3 {
		t.Errorf("%d files are left, want a manifest and two documents", n)
	}
}

// Files get into a spool once it can be written.
func TestFilesOnceTheSpoolCanBeWritten(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("cost", costDocument("1", 1, numerical))
	d.put("in-the-way", nil)
	s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Spool: spoolIn(t, d.file("in-the-way/spool"))}, "a")
	s.Start()
	s.wants("1 num1", Fresh, "")
	for range 5 {
		s.wants("1 num1", Fresh, "")
	}
	if s.log.count("ERROR", "spool") != 1 || s.Status().SpoolErr == nil || !slices.Equal(s.reads(), []uint64{1, 1}) {
		t.Errorf("said %q, spool error %v", s.log.lines, s.Status().SpoolErr)
	}
	s.must(os.Remove(d.file("in-the-way")))
	s.Stop()
	s.storedAt = time.Now().Add(-restoreAfter)
	s.wants("1 num1", Fresh, "")
	s.storedAt = time.Now().Add(-restoreAfter)
	s.wants("1 num1", Fresh, "")
	if got := s.Versions(); len(got) != 1 || got[0].Tag.Tag != "1" {
		t.Errorf("versions %+v", got)
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

// What the spool has lost is read again, and written at once, not after a while.
func TestLostContentIsWrittenAgain(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s.move(moved)
		w.server.Publish(guidance("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		sets, _ := s.cfg.Spool.Sets()
		for _, d := range sets[0].NotInForce[0].Documents {
			s.must(os.Remove(filepath.Join(folder, documentFile(d.Content.SHA256))))
		}
		s.must(s.Release())
		for range 3 {
			s.wants("2 num2", Fresh, "")
		}
		if got := s.Versions(); len(got) != 2 || got[0].Tag.Tag != "2" || s.Status().SpoolErr != nil {
			t.Errorf("versions %+v, error %v", got, s.Status().SpoolErr)
		}
		if got := s.log.count("ERROR", "not in the spool"); got != 1 {
			t.Errorf("it is told %d times", got)
		}
	})
}
