// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestCutOff fails all at once: nothing goes down, and all is well again by
// itself.
func TestCutOff(t *testing.T) {
	for _, n := range []int{3, 10, 200} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, Config{})
			f.slow = DefaultTimeout
			targets := literals(n)
			told := 0
			w, err := f.Watch(targets, func() { told++ })
			if err != nil {
				t.Fatal(err)
			}
			w.Start()
			pass(time.Minute)
			before := told

			f.breaks(everything)
			pass(30 * time.Second)
			if !f.Suspect() || f.log.count("WARN", "suspecting this router", "connection refused") != 1 || told == before {
				t.Errorf("%d cut off: no suspicion", n)
			}
			pass(3 * time.Minute)
			s := f.status(targets[0]).IPv6
			if got := f.states(targets); got[Up] != n || !s.Withheld || s.Failures < 30 {
				t.Errorf("%d cut off: states %v, the first is %+v", n, got, s)
			}

			f.breaks(nil)
			pass(6 * time.Second)
			if f.Suspect() || f.log.count("INFO", "no longer suspected") != 1 || f.status(targets[0]).IPv6.Withheld {
				t.Errorf("%d back: still suspicious", n)
			}
			pass(time.Minute)
			if got := f.states(targets); got[Up] != n || f.log.count("suspect") != 2 || f.log.count("is down") != 0 {
				t.Errorf("%d back: states %v", n, got)
			}
		})
	}
}

// TestStaysFailed has some that are really dead while all fail. They go down
// soon after the suspicion is over, but not for what they failed before: that
// may have been our fault, and so may what began before and ended after.
func TestStaysFailed(t *testing.T) {
	for _, slow := range []time.Duration{0, DefaultInterval} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, Config{})
			f.slow = slow
			targets := literals(20)
			for i := range targets {
				targets[i].Timeout = DefaultInterval
			}
			f.begin(targets...)
			pass(time.Minute)
			f.breaks(everything)
			pass(time.Minute)
			f.breaks(within(5)) // too few for a suspicion
			for f.Suspect() {
				pass(10 * time.Millisecond)
			}
			over := time.Now()
			for f.states(targets)[Down] < 5 {
				if pass(10 * time.Millisecond); time.Since(over) > time.Minute {
					t.Fatal("what stays failed does not go down")
				}
			}
			if took, longest := time.Since(over), confirmations*DefaultInterval*11/10+2*slow; took > longest {
				t.Errorf("all are down %s after the suspicion, want within %s", took, longest)
			}
			for _, target := range targets[:5] {
				n, down := 0, f.status(target).IPv6.Since
				for _, at := range f.asked(target.URL) {
					if !at.Before(over.Add(-10*time.Millisecond)) && !at.Add(slow).After(down) {
						n++
					}
				}
				if n < confirmations {
					t.Errorf("down after %d failures that began after the suspicion", n)
				}
			}
			pass(time.Minute)
			if got := f.states(targets); got[Down] != 5 || f.log.count("suspecting") != 1 {
				t.Errorf("states %v", got)
			}
		})
	}
}

func TestFewFail(t *testing.T) {
	for n, broken := range map[int]int{1: 1, 2: 2, 4: 2, 10: 5, 100: 50} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, Config{})
			targets := literals(n)
			f.begin(targets...)
			pass(time.Minute)
			f.breaks(within(broken))
			pass(30 * time.Second)
			if got := f.states(targets); got[Down] != broken || got[Up] != n-broken || f.Suspect() || f.log.count("suspect") != 0 {
				t.Errorf("%d of %d failed: states %v", broken, n, got)
			}
		})
	}
}

// TestManyTargetsOfOneSite holds that one site is one witness, however often it
// is probed.
func TestManyTargetsOfOneSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		targets := literals(3)
		dead := targets[0]
		for _, port := range []string{":81", ":82", ":83", ":84", ":85"} {
			targets = append(targets, Target{URL: "http://[2001:db8::1]" + port + "/"})
		}
		f.begin(targets...)
		pass(time.Minute)
		f.breaks(func(s *subject, _ netip.Addr) bool { return s.site.host == "2001:db8::1" })
		pass(30 * time.Second)
		if got := f.states(targets); got[Down] != 6 || f.status(dead).IPv6.State != Down || f.Suspect() {
			t.Errorf("states %v", got)
		}
	})
}

// TestMostReallyFail bounds the benefit of the doubt: with most sites dead, and
// others that go on and lose a tenth of their probes.
func TestMostReallyFail(t *testing.T) {
	for _, dead := range []int{11, 15, 20} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, Config{})
			targets := literals(20)
			f.begin(targets...)
			pass(time.Minute)
			f.breaks(within(dead))
			pass(time.Minute)
			if got := f.states(targets); got[Down] != 0 || !f.Suspect() {
				t.Errorf("%d of 20 dead for a minute: states %v, suspect %v", dead, got, f.Suspect())
			}
			pass(maxHeld)
			if got := f.states(targets); got[Down] != dead || f.Suspect() || f.log.count("suspecting") != 1 {
				t.Errorf("%d of 20 dead for six minutes: states %v, suspect %v", dead, got, f.Suspect())
			}
			f.breaks(nil)
			pass(15 * time.Second)
			if got := f.states(targets); got[Up] != 20 || f.Suspect() {
				t.Errorf("%d of 20 back: states %v, suspect %v", dead, got, f.Suspect())
			}
		})
	}
}

// TestComingAndGoing has half of the sites dead and the others lose probes, so
// that suspicions come and go. The dead go down all the same.
func TestComingAndGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		targets := literals(20)
		f.begin(targets...)
		pass(time.Minute)
		dead, n := within(10), 0
		f.breaks(func(s *subject, addr netip.Addr) bool {
			n++
			return dead(s, addr) || n%10 == 0
		})
		for start := time.Now(); f.states(targets)[Down] < 10; {
			if pass(time.Second); time.Since(start) > maxHeld+time.Minute {
				t.Fatalf("the dead are not down: %v", f.states(targets))
			}
		}
	})
}

func TestCutOffAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		targets := literals(10)
		f.breaks(everything)
		f.begin(targets...)
		pass(time.Minute)
		if got := f.states(targets); got[Unknown] != 10 || !f.Suspect() {
			t.Errorf("cut off: states %v, suspect %v", got, f.Suspect())
		}
		// A first one that answers shows that the others do not.
		f.breaks(within(9))
		pass(16 * time.Second)
		if got := f.states(targets); got[Up] != 1 || got[Down] != 9 || f.Suspect() {
			t.Errorf("one is back: states %v, suspect %v", got, f.Suspect())
		}
	})
}

// TestSuspectsLeave ends a suspicion by ending the interest in those that fail.
func TestSuspectsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		targets := literals(20)
		old := f.begin(targets...)
		f.begin(targets[15:]...)
		pass(time.Minute)
		f.breaks(within(15))
		pass(time.Minute)
		if !f.Suspect() {
			t.Fatal("no suspicion")
		}
		old.Stop()
		if f.Suspect() {
			t.Error("those that failed are gone, the suspicion is not")
		}
		for i, s := range f.suspicion {
			for state, sites := range s.sites {
				if want := (tally{all: 5}); sites != want && (i == int(IPv6) && state == int(Up-Unknown) || sites != tally{}) {
					t.Errorf("family %d, state %d: %+v", i, state, sites)
				}
			}
		}
	})
}
