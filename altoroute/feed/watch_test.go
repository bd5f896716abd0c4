// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// Watchers come and go while the maps change. None is ever told of a set twice,
// of an older one after a newer, of two at a time, or of any after it was
// stopped; and those who stay have the last one in the end.
func TestWatchersDuringUpdates(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("cost", costDocument("1", 1, numerical))
	s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Refresh: time.Millisecond}, "a")
	s.Start()
	const versions = 100
	var told atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for last := 0; last < versions; {
				last = watchAWhile(t, s.Feed, last, &told)
			}
		})
	}
	for i := 2; i <= versions; i++ {
		d.put("net", networkDocument(strconv.Itoa(i)))
		d.put("cost", costDocument(strconv.Itoa(i), 1, numerical))
		if i%10 == 0 {
			eventually(t, "the present version", func() bool { return tagOf(s.Maps()) == i })
		}
	}
	group.Wait()
	s.Stop()
	last := 0
	for _, m := range s.told {
		last = checkSuccessor(t, last, m)
	}
	if last != versions {
		t.Errorf("the one who stayed has version %d", last)
	}
	if told.Load() < 8*versions/10 {
		t.Errorf("told %d times: this tested nothing", told.Load())
	}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if len(s.watchers) != 1 {
		t.Errorf("%d watchers are left, want one", len(s.watchers))
	}
}

// watchAWhile watches for a few sets and returns the number of the last.
func watchAWhile(t *testing.T, f *Feed, last int, told *atomic.Int64) int {
	t.Helper()
	var busy, stopped atomic.Bool
	var have *altoroute.Maps
	enough := make(chan struct{})
	var n atomic.Int64
	stop, err := f.Watch(&watcherOf{rows: these("b"), apply: func(m *altoroute.Maps, _ altoroute.Ramp) {
		if !busy.CompareAndSwap(false, true) {
			t.Error("told of two sets at a time")
		}
		defer busy.Store(false)
		if stopped.Load() || m == have {
			t.Error("told after the end, or twice of one set")
		}
		have = m
		last = checkSuccessor(t, last, m)
		told.Add(1)
		if n.Add(1) == 3 || last >= 100 {
			select {
			case <-enough:
			default:
				close(enough)
			}
		}
	}})
	if err != nil {
		t.Error(err)
	}
	if n.Load() == 0 {
		t.Error("not told of the present set before Watch returned")
	}
	<-enough
	stop()
	stopped.Store(true)
	return last
}

// A watcher that was stopped no longer counts: its rows are not read any more,
// and stopping twice is harmless.
func TestStoppedWatchersAreForgotten(t *testing.T) {
	d, s := twoFiles(t, "a")
	stop, err := s.Watch(&watcherOf{rows: these("b")})
	d.must(err)
	if !s.Maps().Costs[0].Keeps([]string{"a", "b"}) {
		t.Error("the row is missing")
	}
	stop()
	stop()
	d.put("cost", costDocument("1", 2, numerical))
	s.wants("1 num2", Fresh, "")
	if s.Maps().Costs[0].Keeps([]string{"b"}) {
		t.Error("a row is kept that nobody wants any more")
	}
}
