// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnknownFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		f.slow = time.Second
		good, bad := literal(1), literal(2)
		f.breaks(func(s *subject, _ netip.Addr) bool { return s.URL == bad.URL })
		w, err := f.Watch([]Target{good, bad}, nil)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if n := len(f.asked(good.URL)) + len(f.asked(bad.URL)); n != 0 {
			t.Fatalf("%d probes before the start", n)
		}
		if got := f.states([]Target{good, bad}); got[Unknown] != 2 {
			t.Errorf("before the start: %v", got)
		}
		w.Start()
		pass(10 * time.Millisecond)
		if len(f.asked(good.URL)) != 1 || len(f.asked(bad.URL)) != 1 {
			t.Error("the first checks are not made at once")
		}
		if s := f.status(good); s.IPv6.State != Up || s.IPv6.Successes != 1 || s.IPv4.State != Absent || s.Host.State != Absent {
			t.Errorf("after a first success: %+v", s)
		}
		for len(f.asked(bad.URL)) < 5 {
			pass(10 * time.Millisecond)
		}
		if s := f.status(bad); s.IPv6.State != Unknown || s.IPv6.Failures != 4 || s.IPv6.Err != "connection refused" || s.IPv6.Duration != time.Second {
			t.Errorf("after %d failures: %+v", s.IPv6.Failures, s)
		}
		pass(time.Second)
		if s := f.status(bad); s.IPv6.State != Down || f.log.count("WARN", "target is down", "connection refused", "was=unknown", "failures=5") != 1 {
			t.Errorf("after %d failures: %+v", s.IPv6.Failures, s)
		}
	})
}

// TestHardFailure breaks a target that was up at any moment: it is down after
// as many checks as it takes, no earlier, and no later than they may take.
func TestHardFailure(t *testing.T) {
	for down := 1; down <= 6; down++ {
		for seed := range 20 {
			synctest.Test(t, func(t *testing.T) {
				f := newField(t, Config{})
				f.slow = DefaultTimeout
				target := literal(1)
				target.Down, target.Up = down, 1+seed%3
				f.begin(target)
				pass(time.Minute + time.Duration(seed)*250*time.Millisecond)

				for _, change := range []struct {
					breaks  func(*subject, netip.Addr) bool
					to      State
					checks  int
					longest time.Duration
				}{
					{everything, Down, down, time.Duration(down)*DefaultInterval*11/10 + DefaultTimeout},
					{nil, Up, target.Up, time.Duration(target.Up) * DefaultInterval * 11 / 10},
				} {
					f.breaks(change.breaks)
					began := time.Now()
					pass(change.longest + time.Millisecond)
					s, checks := f.status(target).IPv6, 0
					for _, at := range f.asked(target.URL) {
						if at.After(began) && !at.After(s.Since) {
							checks++
						}
					}
					if s.State != change.to || !s.Since.After(began) || checks != change.checks {
						t.Errorf("%s %s after the change and %d checks, want %s after %d", s.State, s.Since.Sub(began), checks, change.to, change.checks)
					}
				}
				if f.log.count("INFO", "target is up", "was=down") != 1 || f.log.count("") != 3 {
					t.Errorf("the log has %d lines", f.log.count(""))
				}
			})
		}
	}
}

// TestRandomLoss loses a tenth of the probes for an hour of a thousand edges.
// Five in a row are lost once in 140 hours of an edge.
func TestRandomLoss(t *testing.T) {
	const edges, loss, allowed = 1000, 0.1, 0.02
	simulated := time.Hour
	if raceEnabled {
		simulated = 15 * time.Minute
	}
	for seed := range 2 {
		synctest.Test(t, func(t *testing.T) {
			f := newField(t, Config{})
			dice := make(map[string]*rand.Rand)
			targets := literals(edges)
			for i, target := range targets {
				dice[target.URL] = rand.New(rand.NewPCG(uint64(seed), uint64(i)))
			}
			f.breaks(func(s *subject, _ netip.Addr) bool { return dice[s.URL].Float64() < loss })
			f.begin(targets...)
			pass(simulated)
			probes, lost := 0, f.log.count("target is down")
			for _, target := range targets {
				probes += len(f.asked(target.URL))
			}
			rate := float64(lost) / edges / simulated.Hours()
			t.Logf("%d probes, %d false downs: %.4f in an hour of an edge", probes, lost, rate)
			if rate > allowed || lost == 0 && !raceEnabled {
				t.Errorf("%.4f false downs in an hour of an edge, want at most %.2f, and some in so long a time", rate, allowed)
			}
			if probes < edges*int(simulated/DefaultInterval)*98/100 {
				t.Errorf("%d probes are too few", probes)
			}
			if f.log.count("suspecting") != 0 {
				t.Error("the prober suspected itself of what was chance")
			}
		})
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{})
		target := literal(1)
		f.begin(target)
		pass(time.Hour)
		times := f.asked(target.URL)
		var sum, shortest, longest time.Duration
		for i := range times[1:] {
			gap := times[i+1].Sub(times[i])
			sum += gap
			longest = max(longest, gap)
			if shortest = min(shortest, gap); i == 0 {
				shortest = gap
			}
		}
		mean := sum / time.Duration(len(times)-1)
		if shortest < 4500*time.Millisecond || longest > 5500*time.Millisecond || (mean-5*time.Second).Abs() > 100*time.Millisecond || longest-shortest < 500*time.Millisecond {
			t.Errorf("waited %s to %s, %s on average", shortest, longest, mean)
		}
	})
}

// TestFirstChecks holds that many are no burst, neither at first nor later.
func TestFirstChecks(t *testing.T) {
	for _, n := range []int{3, 300, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newField(t, Config{})
				targets := literals(n)
				start := time.Now()
				f.begin(targets...)
				pass(time.Second)
				var last time.Time
				var busiest int
				slots := make(map[time.Duration]int)
				for _, target := range targets {
					times := f.asked(target.URL)
					if len(times) != 1 {
						t.Fatalf("%d probes in a second", len(times))
					}
					if times[0].After(last) {
						last = times[0]
					}
					slot := times[0].Sub(start) / (10 * time.Millisecond)
					slots[slot]++
					busiest = max(busiest, slots[slot])
				}
				if longest := min(time.Duration(n)*time.Millisecond, time.Second); last.Sub(start) > longest || busiest > max(n/100+10, 10) {
					t.Errorf("all were checked after %s, up to %d in 10 ms", last.Sub(start), busiest)
				}
			})
		})
	}
}

// TestNoRoomForAll has all probes last as long as they may, with room for a
// tenth of them: they come late, but they come, and all as often.
func TestNoRoomForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room, n = 40, 1000
		f := newField(t, Config{Concurrency: room})
		f.slow = DefaultTimeout
		f.breaks(everything)
		targets := literals(n)
		f.begin(targets...)
		for range 600 {
			pass(500 * time.Millisecond)
			f.Prober.mu.Lock()
			if f.running > room {
				t.Fatalf("%d probes at once", f.running)
			}
			f.Prober.mu.Unlock()
		}
		fewest, most := n, 0
		for _, target := range targets {
			asked := len(f.asked(target.URL))
			fewest, most = min(fewest, asked), max(most, asked)
		}
		if fewest < 5 || most > fewest+1 { // 300 s of 20 probes a second for 1,000 targets
			t.Errorf("%d to %d probes of a target, want 6", fewest, most)
		}
	})
}

func TestAddressesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{Resolve: resolver("192.0.2.1", "192.0.2.2", "192.0.2.3")})
		target := Target{URL: "http://a.example/"}
		f.breaks(func(_ *subject, addr netip.Addr) bool { return addr != netip.MustParseAddr("192.0.2.3") })
		f.begin(target)
		pass(time.Minute)
		s := f.status(target)
		if s.IPv4.State != Up || s.IPv4.Addr.String() != "192.0.2.3" || s.IPv4.Successes < 8 {
			t.Errorf("one of three addresses answers: %+v", s.IPv4)
		}
	})
}
