// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"net/http"
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

// What was let in with the server down is not held after another restart.
func TestLetInWhileAway(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s := unwiredHeld(t, folder)
		w.set(true)
		s = s.again("a")
		s.must(s.Release())
		s.wants("2 num2", Stale, "no route to host")
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "2 num2" || status.Held != nil {
			t.Errorf("in force is %s, held %v", version(status.Maps), status.Held)
		}
	})
}

// What is dropped with the server down is not held after another restart.
func TestDropWhileAway(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	s.move(moved)
	w.server.Publish(guidance("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	w.set(true)
	s = s.again("a")
	s.must(s.Drop())
	s.wants("1 num1", Stale, "no route to host")
	s = s.again("a")
	if status := s.Status(); version(status.Maps) != "1 num1" || status.Held != nil || status.Aside.Tag != "2" {
		t.Errorf("in force is %s, held %v, aside %v", version(status.Maps), status.Held, status.Aside)
	}
}

// What the source had last is what is put aside, whatever was done with it before.
func TestPutBackPutsAsideWhatTheSourceHas(t *testing.T) {
	for name, act := range map[string]func(w *wire, s *subject) *subject{
		"held": func(_ *wire, s *subject) *subject { return s },
		"dropped": func(_ *wire, s *subject) *subject {
			s.must(s.Drop())
			return s
		},
		"held before a restart": func(w *wire, s *subject) *subject {
			w.set(true)
			s = s.again("a")
			s.wants("2 num2", Stale, "no route to host")
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
			w.server.Publish(guidance("2", 2))
			s.wants("2 num2", Fresh, "")
			s.move(moved)
			w.server.Publish(guidance("3", 3))
			s.wantsHeld("2 num2", "3 num3")
			s = act(w, s)
			s.move(altoroute.Shift{})
			s.must(s.PutBack(0))
			w.set(false)
			for range 2 {
				s.wantsHeld("1 num1", "none")
				if got := s.Status().Aside.Tag; got != "3" {
					t.Errorf("aside is %q", got)
				}
			}
		})
	}
}

// A version can be put back where none was in force.
func TestPutBackWithoutAny(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "spool")
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	w.set(true)
	s.must(os.Rename(folder, folder+".away"))
	s.cfg.Spool = spoolIn(t, folder)
	f, err := New(s.cfg)
	s.must(err)
	if _, err := f.Watch(&watcherOf{}); f.Maps() != nil || err != nil {
		t.Errorf("in force is %s, error %v", version(f.Maps()), err)
	}
	s.must(os.Rename(folder+".away", folder))
	s.must(f.PutBack(0))
	if status := f.Status(); version(status.Maps) != "1" || status.Aside != (altoroute.VersionTag{}) {
		t.Errorf("in force is %s, aside %v", version(status.Maps), status.Aside)
	}
}

// What was put aside keeps nothing else out, also where the costs were asked for by
// rows.
func TestAsideKeepsOutNothingElse(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		w.server.Publish(filtered("2", 2))
		s.wants("2 num2", Fresh, "")
		w.server.Publish(filtered("2", 3))
		s.wants("2 num3", Fresh, "")
		w.set(true)
		s = s.again("a")
		s.wants("2 num3", Stale, "no route to host")
		sets, _ := s.cfg.Spool.Sets()
		if sets[0].Documents[1].Filter == 0 {
			t.Error("the spool takes it for a whole one")
		}
		s.must(s.PutBack(0))
		w.set(false)
		s.wants("2 num2", Stale, "")
		w.server.Publish(filtered("2", 4))
		s.wants("2 num4", Fresh, "")
	})
}

// Files that are written anew with the same content can be put back from.
func TestPutBackOfTouchedFiles(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("cost", costDocument("1", 1, numerical))
	s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Spool: spoolIn(t, d.file("spool")), Refresh: time.Hour}, "a")
	s.Start()
	s.wants("1 num1", Fresh, "")
	d.put("net", networkDocument("2"))
	d.put("cost", costDocument("2", 2, numerical))
	s.wants("2 num2", Fresh, "")
	d.touch("net")
	d.touch("cost")
	s.wants("2 num2", Fresh, "")
	reads := s.reads()
	s.wants("2 num2", Fresh, "")
	if got := s.reads(); !slices.Equal(got, reads) {
		t.Errorf("read %v times after %v", got, reads)
	}
	s.must(s.PutBack(0))
	if status := s.Status(); version(status.Maps) != "1 num1" || status.Aside.Tag != "2" {
		t.Errorf("in force is %s, aside %v", version(status.Maps), status.Aside)
	}
}

// What is done by hand is stored although the source hangs.
func TestHandWhileTheSourceHangs(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		w.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		s.Start()
		synctest.Wait()
		w.server.Misbehave("", altotest.Delay(time.Hour))
		s.must(s.PutBack(0))
		synctest.Wait()
		if got := s.Versions(); got[0].Tag.Tag != "1" {
			t.Errorf("versions %+v", got)
		}
		s.Stop()
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "1 num1" || status.Aside.Tag != "2" {
			t.Errorf("in force is %s, aside %v", version(status.Maps), status.Aside)
		}
	})
}

// Damage of the newest set does not let in what was put aside.
func TestAsideSurvivesDamage(t *testing.T) {
	folder := t.TempDir()
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	w.server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	s.move(moved)
	w.server.Publish(guidance("3", 3))
	s.wantsHeld("2 num2", "3 num3")
	s.must(s.Drop())
	s.wantsHeld("2 num2", "none")
	sets, _ := s.cfg.Spool.Sets()
	sum := sets[0].Documents[1].Content.SHA256
	flip(t, filepath.Join(folder, documentFile(sum)))
	s.cfg.Spool = spoolIn(t, folder)
	s = s.again("a")
	s.wantsHeld("1 num1", "none")
	if got := s.Status().Aside.Tag; got != "3" {
		t.Errorf("aside is %q", got)
	}
}

// What was put aside by hand stays aside: what is in force instead is stored also while
// the source is down.
func TestAsideAfterARestart(t *testing.T) {
	for name, act := range map[string]func(s *subject) error{
		"dropped":  func(s *subject) error { return s.Drop() },
		"put back": func(s *subject) error { return s.PutBack(0) },
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " down ", down), func(t *testing.T) {
				w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
				w.server.Publish(guidance("2", 2))
				if name == "dropped" {
					s.move(moved)
					s.wantsHeld("1 num1", "2 num2")
				} else {
					s.wants("2 num2", Fresh, "")
				}
				w.set(down)
				s.must(act(s))
				select {
				case <-s.wake: // as a feed that follows its source
				default:
					t.Error("nobody was woken to store it")
				}
				_, _ = s.look()
				w.set(false)
				s = s.again("a")
				for range 2 {
					if status := s.Status(); version(status.Maps) != "1 num1" || status.Aside.Tag != "2" || status.State() != Stale {
						t.Errorf("in force is %s (%s), aside %v", version(status.Maps), status.State(), status.Aside)
					}
					s.wantsHeld("1 num1", "none")
				}
				w.server.Publish(guidance("3", 3))
				s.wants("3 num3", Fresh, "")
				if got := s.again("a").Status().Aside; got != (altoroute.VersionTag{}) {
					t.Errorf("aside is still %v", got)
				}
			})
		}
	}
}

// A version that was put back is as old as the last contact, not as its documents.
func TestPutBackIsNotTooOld(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder), Expire: time.Hour})
		passes(3 * time.Hour)
		w.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		s.must(s.PutBack(0))
		s.wants("1 num1", Stale, "")
		w.set(true)
		passes(50 * time.Minute)
		s = s.again("a")
		if status := s.Status(); version(status.Maps) != "1 num1" || status.Expired {
			t.Errorf("in force is %s, too old: %v", version(status.Maps), status.Expired)
		}
	})
}

// What is held can be stored when it is let in, also where the source has half of
// another set by then.
func TestReleasedIsStored(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.server.Publish(few("2", 2))
	s.wantsHeld("1 num1", "2 num2")
	w.server.Publish(few("3", 3))
	w.server.Misbehave(costPath, altotest.Status(http.StatusServiceUnavailable))
	s.wants("1 num1", Stale, "503")
	s.must(s.Release())
	_, _ = s.look()
	if got := s.Versions(); got[0].Tag.Tag != "2" || s.log.count("not in the spool") != 0 {
		t.Errorf("versions %+v, said %q", got, s.log.lines)
	}
	w.set(true)
	if got := version(s.again("a").Maps()); got != "2 num2" {
		t.Errorf("after a restart %s is in force", got)
	}
}

// Putting a version back waits for nobody.
func TestPutBackDuringAFetch(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	s.cycle.Lock() // as a fetch under way has it
	defer s.cycle.Unlock()
	done := make(chan error, 1)
	go func() { done <- s.PutBack(0) }()
	select {
	case err := <-done:
		s.must(err)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a fetch")
	}
	if got := version(s.Maps()); got != "1 num1" {
		t.Errorf("in force is %s", got)
	}
}

// What is let in while the source is away is stored, and the version before it is the
// one to go back to, stored or not.
func TestReleaseWhileAway(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
			w.server.Publish(few("2", 2))
			s.wantsHeld("1 num1", "2 num2")
			w.set(true)
			s.wants("1 num1", Stale, "no route to host")
			s.must(s.Release())
			if stored {
				s.wants("2 num2", Stale, "no route to host")
				s = s.again("a")
				if got := version(s.Maps()); got != "2 num2" || len(s.Versions()) != 2 {
					t.Errorf("after a restart %s is in force", got)
				}
			}
			s.must(s.PutBack(0))
			if status := s.Status(); version(status.Maps) != "1 num1" || status.Aside.Tag != "2" {
				t.Errorf("in force is %s, aside %v", version(status.Maps), status.Aside)
			}
		})
	}
}

// Putting back what the source has is not a reason to ask for it again and again.
func TestPutBackToWhatTheSourceHas(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	s.must(s.PutBack(0))
	s.wants("1 num1", Stale, "")
	w.server.Publish(guidance("1", 1))
	s.wants("1 num1", Fresh, "")
	before := w.server.Count(costPath)
	for range 3 {
		s.wants("1 num1", Fresh, "")
	}
	if got := w.server.Count(costPath); got.NotModified != before.NotModified+3 {
		t.Errorf("asked %+v after %+v, want three more of 304", got, before)
	}
}

// Whoever goes back twice goes back by two, and nothing that was kept is lost by it.
func TestPutBackTwice(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	publish := func(tag string, cost float64) {
		w.server.Publish(guidance(tag, cost))
		s.wants(fmt.Sprintf("%s num%.0f", tag, cost), Fresh, "")
	}
	back := func(sequence uint64, want, versions string) {
		t.Helper()
		s.must(s.PutBack(sequence))
		s.wants(want, Stale, "")
		var got []string
		for _, v := range s.Versions() {
			got = append(got, fmt.Sprintf("%d:%s", v.Sequence, v.Tag.Tag))
		}
		if strings.Join(got, " ") != versions {
			t.Errorf("versions %v, want %s", got, versions)
		}
	}
	publish("2", 2)
	publish("3", 3)
	back(0, "2 num2", "4:2 3:3 1:1")
	s = s.again("a") // a restart does not change it
	s.wants("2 num2", Stale, "")
	back(0, "1 num1", "5:1 4:2 3:3")
	for sequence, word := range map[uint64]string{0: "no version before the one in force: those that are kept are 5, 4, 3", 1: "no version 1 to go back to: those that are kept are 5, 4, 3"} {
		if err := s.PutBack(sequence); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v", err)
		}
	}
	if got := s.Status().Aside.Tag; got != "3" {
		t.Errorf("aside is %q", got)
	}
	// What comes next comes after the one in force, and so does what is gone on with.
	publish("4", 4)
	back(0, "1 num1", "7:1 6:4 4:2")
	back(4, "2 num2", "8:2 7:1 6:4")
	back(0, "1 num1", "9:1 8:2 6:4")
}

// What was held and is let in after a restart is what is put aside, not what it came in
// before.
func TestPutBackFromWhatWasLetIn(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder), Guard: Guard{Hold: 5 * time.Minute}})
		w.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		passes(5 * time.Minute)
		s.wants("1 num1", Fresh, "")
		s.move(moved)
		w.server.Publish(few("3", 3))
		s.wantsHeld("1 num1", "3 num3")
		w.set(true)
		s = s.again("a")
		if status := s.Status(); version(status.Incoming) != "2 num2" || status.Held == nil {
			t.Fatalf("coming in is %s, held %v", version(status.Incoming), status.Held)
		}
		s.must(s.Release())
		s.must(s.PutBack(0))
		if status := s.Status(); version(status.Maps) != "1 num1" || status.Aside.Tag != "3" {
			t.Errorf("in force is %s, aside %v", version(status.Maps), status.Aside)
		}
	})
}
