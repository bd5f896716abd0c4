// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"strings"
	"testing"
)

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
