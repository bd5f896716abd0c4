// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// turned are crowd's maps by which "next" and not "near" is the cheapest, with
// another order of PIDs and one more.
func turned(t testing.TB, r *Router) *Maps {
	t.Helper()
	return mustMaps(t, r, "own", []string{"new", "away", "there 172.16.0.0/12", "here 10.0.0.0/8 2001:db8::/32"},
		"here here 3", "here there 2", "there here 1", "there there 3", "away here 9", "away there 9")
}

// movedTo returns the objects, of so many, that clients of 10/8 get from an edge.
func movedTo(t *testing.T, r *Router, edge string, objects int) map[int]bool {
	t.Helper()
	moved := make(map[int]bool)
	for i := range objects {
		if d, err := r.Route(Query{Client: member(1, 1), Path: fmt.Sprint("/", i)}); err != nil {
			t.Fatal(err)
		} else if d.Edge.Name == edge {
			moved[i] = true
		}
	}
	return moved
}

func introduce(t *testing.T, r *Router, m *Maps, ramp Ramp, now time.Time) {
	t.Helper()
	if err := r.Introduce("own", m, ramp, now); err != nil {
		t.Fatal(err)
	}
}

func TestIntroduce(t *testing.T) {
	const objects = 5000
	r, other := crowd(t), crowd(t)
	old, m := r.Maps("own"), turned(t, r)
	introduce(t, r, m, Ramp{Over: 100 * time.Second}, epoch)
	introduce(t, other, turned(t, other), Ramp{Since: epoch.Add(-time.Minute), Over: time.Hour}, epoch)
	before := movedTo(t, r, "next", objects)
	if len(before) > 0 || r.Incoming("own").Share != 0 {
		t.Fatalf("%d moved at once", len(before))
	}
	for s := 1; s < 100; s++ {
		r.Tick(epoch.Add(time.Duration(s) * time.Second))
		now := movedTo(t, r, "next", objects)
		if share := float64(len(now)) / objects; !near(share, float64(s)/100) || !within(before, now) {
			t.Fatalf("after %d s %.3f have moved, or some have come back", s, share)
		}
		if in := r.Incoming("own"); in.Maps != m || math.Abs(in.Share-float64(s)/100) > 1e-9 || in.Ramp != (Ramp{epoch, 100 * time.Second}) || r.Maps("own") != old {
			t.Fatalf("%+v", in)
		}
		before = now
	}
	// A clock that is set back takes nothing back, nor does a reminder.
	r.Tick(epoch)
	introduce(t, r, m, Ramp{epoch, 100 * time.Second}, epoch)
	if now := movedTo(t, r, "next", objects); !within(before, now) || len(now) == objects {
		t.Error("content moved back")
	}
	// Every Router moves the same first.
	other.Tick(epoch.Add(5 * time.Minute))
	if first := movedTo(t, other, "next", objects); len(first) == 0 || !within(first, before) {
		t.Error("another Router moves other content")
	}

	r.Tick(epoch.Add(100 * time.Second))
	if got := movedTo(t, r, "next", objects); len(got) != objects || r.Maps("own") != m || r.Incoming("own") != (Incoming{}) || r.plan.Load().stages != nil {
		t.Errorf("at the end %d of %d have moved, coming in is %+v", len(got), objects, r.Incoming("own"))
	}
}

// TestIntroduceAtOnce: where there is nothing to go by degrees, it is Update.
func TestIntroduceAtOnce(t *testing.T) {
	r := crowd(t)
	m := turned(t, r)
	for _, ramp := range []Ramp{{}, {Since: epoch.Add(-time.Hour), Over: time.Hour}} {
		if introduce(t, r, m, ramp, epoch); r.Maps("own") != m || r.Incoming("own") != (Incoming{}) {
			t.Errorf("%+v: not at once", ramp)
		}
	}
	if introduce(t, r, nil, Ramp{Over: time.Hour}, epoch); r.Maps("own") != nil {
		t.Error("guidance was not taken away")
	}
	if introduce(t, r, m, Ramp{Over: time.Hour}, epoch); r.Maps("own") != m {
		t.Error("the first maps did not come at once")
	}
	if err := r.Introduce("other", m, Ramp{}, epoch); err == nil {
		t.Error("there is no such source")
	}
	if err := r.Introduce("own", &Maps{Network: m.Network}, Ramp{}, epoch); err == nil {
		t.Error("maps without costs")
	}
	if got := r.Incoming("other"); got != (Incoming{}) {
		t.Errorf("%+v", got)
	}
}

// TestNewestMapsWin: there are never more than two sets.
func TestNewestMapsWin(t *testing.T) {
	const objects = 2000
	begin := func() (*Router, time.Time) {
		r, now := crowd(t), epoch.Add(50*time.Second)
		introduce(t, r, turned(t, r), Ramp{epoch, 100 * time.Second}, epoch)
		r.Tick(now)
		return r, now
	}
	r, now := begin()
	half := movedTo(t, r, "next", objects)
	old, newest := r.Maps("own"), turned(t, r)
	introduce(t, r, newest, Ramp{epoch, 100 * time.Second}, now)
	if got := movedTo(t, r, "next", objects); !within(half, got) || !within(got, half) || r.Incoming("own").Maps != newest || r.Maps("own") != old {
		t.Error("the newest maps do not go on where the ones before were")
	}
	introduce(t, r, newest, Ramp{now, 100 * time.Second}, now)
	if got := movedTo(t, r, "next", objects); len(got) != len(half) {
		t.Error("the share of one and the same maps has fallen")
	}
	introduce(t, r, turned(t, r), Ramp{Over: 100 * time.Second}, now)
	if got := movedTo(t, r, "next", objects); len(got) != 0 {
		t.Errorf("%d are with maps that come in anew", len(got))
	}

	r, _ = begin()
	if err := r.Update("own", newest); err != nil {
		t.Fatal(err)
	}
	if got := movedTo(t, r, "next", objects); len(got) != objects || r.Incoming("own") != (Incoming{}) || r.Maps("own") != newest {
		t.Error("Update did not end the ramp")
	}
	r, _ = begin()
	if err := r.Update("own", r.Maps("own")); err != nil {
		t.Fatal(err)
	}
	if got := movedTo(t, r, "next", objects); len(got) != 0 || r.Incoming("own") != (Incoming{}) {
		t.Error("the ramp was not called off")
	}
}

// TestInheritRamp: a new configuration neither ends a ramp nor begins it anew,
// whichever of the sets it has been given.
func TestInheritRamp(t *testing.T) {
	const objects = 2000
	now := epoch.Add(50 * time.Second)
	for name, c := range map[string]struct {
		give  func(next *Router, old, m *Maps)
		moved int // of objects; 0 is half
	}{
		"what is in force": {give: func(next *Router, old, _ *Maps) { _ = next.Update("own", old) }},
		"the newest":       {give: func(next *Router, _, m *Maps) { _ = next.Update("own", m) }},
		"both": {give: func(next *Router, old, m *Maps) {
			_ = next.Update("own", old)
			_ = next.Introduce("own", m, Ramp{epoch, 100 * time.Second}, now)
		}},
		"others": {give: func(next *Router, _, _ *Maps) { _ = next.Update("own", turned(t, next)) }, moved: objects},
	} {
		t.Run(name, func(t *testing.T) {
			r, next := crowd(t), crowd(t)
			if err := next.Update("own", nil); err != nil {
				t.Fatal(err)
			}
			old, m := r.Maps("own"), turned(t, r)
			introduce(t, r, m, Ramp{epoch, 100 * time.Second}, epoch)
			r.Tick(now)
			before := movedTo(t, r, "next", objects)
			c.give(next, old, m)
			next.Inherit(r, now.Add(-10*time.Second)) // as a clock that is set back has it
			after := movedTo(t, next, "next", objects)
			if c.moved > 0 {
				if len(after) != c.moved || next.Incoming("own") != (Incoming{}) {
					t.Errorf("%d have moved", len(after))
				}
				return
			}
			if !within(before, after) || !within(after, before) || next.Incoming("own") != r.Incoming("own") || next.Maps("own") != old {
				t.Fatalf("%d had moved, %d have: %+v", len(before), len(after), next.Incoming("own"))
			}
			next.Tick(epoch.Add(100 * time.Second))
			if got := movedTo(t, next, "next", objects); len(got) != objects {
				t.Error("it does not come to its end")
			}
		})
	}
	r, next := crowd(t), crowd(t)
	introduce(t, r, turned(t, r), Ramp{epoch, 100 * time.Second}, epoch)
	if err := next.Update("own", nil); err != nil {
		t.Fatal(err)
	}
	if next.Inherit(r, now); next.Maps("own") != nil || next.Incoming("own") != (Incoming{}) {
		t.Error("maps that this Router was not given")
	}
}

// TestIntroduceWithinCapacities: what has moved is divided by the new costs at
// once, not only at the end.
func TestIntroduceWithinCapacities(t *testing.T) {
	r := limitedPair(t, nil)
	m := r.Maps("own") // small is the cheapest, and can do 250
	if err := r.Update("own", mustMaps(t, r, "own", []string{"x", "here 10.0.0.0/8", "there 172.16.0.0/12"}, "here here 9", "there here 2", "there there 1")); err != nil {
		t.Fatal(err)
	}
	if got := seconds(t, r, epoch, 20, 1000, 0); got["small"] > 0 {
		t.Fatalf("%v", got)
	}
	begin := epoch.Add(20 * time.Second)
	introduce(t, r, m, Ramp{Over: 400 * time.Second}, begin)
	for s := range 450 {
		got := seconds(t, r, begin.Add(time.Duration(s)*time.Second), 1, 1000, 0)
		if want := min(float64(s)*2.5, 250); math.Abs(float64(got["small"])-want) > 60 {
			t.Errorf("after %d s small gets %d of 1000, want %.0f", s, got["small"], want)
		}
		if rate, _ := r.Traffic(r.AllEdges()[0]); s == 200 || s == 402 {
			if asked := asked(r); math.Abs(asked-1000) > 20 || math.Abs(rate-750) > 60 {
				t.Errorf("after %d s %.0f are asked for, %.0f of big", s, asked, rate)
			}
		}
	}
	for key := range r.plan.Load().pools[0].spreading {
		if key.slot != 0 {
			t.Errorf("a division of %+v is left", key)
		}
	}
}

// asked returns how many requests of all PIDs per second are measured.
func asked(r *Router) (sum float64) {
	for _, m := range r.plan.Load().pools[0].meter.asked {
		if m != nil {
			for pid := range m.pids {
				for _, f := range m.pids[pid].all() {
					sum += f.rate
				}
			}
		}
	}
	return sum
}

// TestIntroduceKeepsRates: that guidance changes is no news of demand.
func TestIntroduceKeepsRates(t *testing.T) {
	r, next := limitedPair(t, nil), limitedPair(t, nil)
	m := mustMaps(t, r, "own", []string{"x", "here 10.0.0.0/8"}, "here here 1", "there here 2")
	introduce(t, r, m, Ramp{Over: 40 * time.Second}, epoch)
	_ = seconds(t, r, epoch, 20, 1000, 0)
	if err := next.Update("own", r.Maps("own")); err != nil {
		t.Fatal(err)
	}
	next.Inherit(r, epoch.Add(20*time.Second))
	before, inherited := asked(r), asked(next)
	if err := r.Update("own", m); err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{before, inherited, asked(r)} {
		if math.Abs(rate-1000) > 1 {
			t.Errorf("%.0f were asked for, %.0f in the next configuration, %.0f after an update", before, inherited, asked(r))
		}
	}
}

// TestIntroduceKeepsReports: what clients tell of a PID holds for the one of the
// same name.
func TestIntroduceKeepsReports(t *testing.T) {
	r := crowd(t)
	tell := func(edge string, now time.Time) {
		for n := range 20 {
			for i := range 20 {
				r.Report(Query{Client: member(n, 1), Path: fmt.Sprint("/", i), Failed: []string{edge}}, now)
			}
		}
	}
	demoted := func() string {
		var all []string
		for _, d := range r.Demoted() {
			all = append(all, d.Edge+" "+d.PID.String())
		}
		return strings.Join(all, ", ")
	}
	tell("near", epoch)
	now := epoch.Add(reportWindow)
	r.Tick(now)
	m := mustMaps(t, r, "own", []string{"new", "here 10.0.0.0/8 2001:db8::/32"}, "here here 0", "there here 2", "away here 9")
	introduce(t, r, m, Ramp{Over: 100 * time.Second}, now)
	for s := range 50 {
		r.Tick(now.Add(time.Duration(s) * time.Second))
	}
	if got := movedTo(t, r, "near", 100); len(got) > 0 || demoted() != "near own/here" {
		t.Errorf("%d go to an edge that cannot be reached; demoted are %s", len(got), demoted())
	}
	now = now.Add(100 * time.Second)
	if r.Tick(now); len(movedTo(t, r, "near", 100)) > 0 || demoted() != "near own/here" {
		t.Errorf("at the end, demoted are %s", demoted())
	}
	// A trial that began on the way is judged after the end.
	r, now = crowd(t), epoch
	introduce(t, r, turned(t, r), Ramp{Over: 100 * time.Second}, now)
	now = now.Add(90 * time.Second)
	r.Tick(now)
	if tell("next", now); r.Trials() != 1 {
		t.Fatalf("%d trials", r.Trials())
	}
	r.Tick(now.Add(10 * time.Second))
	r.Tick(now.Add(reportWindow))
	if got := demoted(); got != "next own/here" {
		t.Errorf("demoted are %q", got)
	}
}

// TestLocateDuringIntroduce: who is asked without content goes by what is in
// force.
func TestLocateDuringIntroduce(t *testing.T) {
	r := crowd(t)
	introduce(t, r, mustMaps(t, r, "own", []string{"other 10.0.0.0/8"}, "other other 1"), Ramp{epoch, 100 * time.Second}, epoch)
	r.Tick(epoch.Add(99 * time.Second))
	if at, err := r.Locate("", member(1, 1)); err != nil || at.PID != "here" || r.PID(r.AllEdges()[1], "own") != "here" {
		t.Errorf("%s, %v", at, err)
	}
}

func TestIntroduceAllocatesNothing(t *testing.T) {
	r := limitedPair(t, nil)
	introduce(t, r, mustMaps(t, r, "own", []string{"there 172.16.0.0/12", "here 10.0.0.0/8"}, "here here 1", "there here 2"), Ramp{epoch, 40 * time.Second}, epoch)
	_ = seconds(t, r, epoch, 20, 1000, 0.3)
	if r.Incoming("own").Share != 0.5 || r.PoolCondition("").Divided != 2 {
		t.Fatal("not all is on")
	}
	for i := range 20 {
		q := Query{Client: member(1, 1), Path: fmt.Sprint("/", i)}
		if n := testing.AllocsPerRun(100, func() { _, _ = r.Route(q) }); n > 0 {
			t.Errorf("%s: %v allocations", q.Path, n)
		}
	}
}
