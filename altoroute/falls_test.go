// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// nearMiddleFar is three edges of which the middle one can do 100 requests a second.
func nearMiddleFar(t *testing.T, change func(near, middle, far *Edge, cfg *Config)) *Router {
	t.Helper()
	near, middle, far := edgeAt("near", "here"), edgeAt("middle", "there"), edgeAt("far", "farther")
	middle.Capacity = 100
	cfg := Config{Sources: []Source{{Name: "own"}}, Ramp: 30 * time.Second}
	change(&near, &middle, &far, &cfg)
	cfg.Edges = []Edge{near, middle, far}
	return mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there 172.16.0.0/12", "farther 192.168.0.0/16"},
		"here here 1", "there here 2", "farther here 3")
}

// film asks for content that is asked for every third second, fresh for such every
// other time, else for what nobody has asked for.
func film(s, i int) Query {
	return Query{Client: netip.AddrFrom4([4]byte{10, byte(i), byte(s), 1}), Path: fmt.Sprintf("/vod/%d/%d", s%3, i)}
}

func fresh(s, i int) Query {
	q := film(s, i)
	if i%2 == 0 {
		q.Path = fmt.Sprintf("/new/%d/%d", s, i)
	}
	return q
}

// TestCapacityOfWhatIsRefused: capacities hold also where the cheapest edges, or those
// to which it overflows, do not serve what is asked for.
func TestCapacityOfWhatIsRefused(t *testing.T) {
	live := Class{Paths: []string{"/live/*"}}
	for name, change := range map[string]func(near, middle, far *Edge, cfg *Config){
		"a cheaper edge":              func(near, _, _ *Edge, _ *Config) { near.Serves = live },
		"a cheaper edge with a limit": func(near, _, _ *Edge, _ *Config) { near.Serves, near.Capacity = live, 100_000 },
		"an edge that is as cheap":    func(near, middle, _ *Edge, _ *Config) { near.Serves, middle.PIDs = live, near.PIDs },
		"an edge that is next": func(near, middle, _ *Edge, _ *Config) {
			near.PIDs, middle.PIDs = middle.PIDs, near.PIDs
			near.Serves = live
		},
		"the country": func(near, _, _ *Edge, _ *Config) { near.Serves = Class{Countries: []string{"DE"}} },
	} {
		r := nearMiddleFar(t, change)
		if got := served(t, r, 30, 1000, film); got["middle"] < 80 || got["middle"] > 110 || got["near"] > 0 {
			t.Errorf("%s refuses it: %v, and middle can do 100", name, got)
		}
	}
}

// TestCapacityWhileOthersComeAndGo: capacities hold while another edge gets its content
// back or gives it up, whatever part of it is new.
func TestCapacityWhileOthersComeAndGo(t *testing.T) {
	for _, limit := range []float64{0, 2000} {
		r := nearMiddleFar(t, func(near, _, _ *Edge, _ *Config) { near.Capacity = limit })
		begin := epoch
		run := func(what string, n int, of func(s, i int) Query) (last map[string]int) {
			for s := range n {
				last = make(map[string]int)
				for i := range 1000 {
					d, err := r.Route(of(s, i))
					if err != nil || d.Edge == nil {
						t.Fatalf("%+v, %v", d, err)
					}
					last[d.Edge.Name]++
				}
				// What is known is the second before, after which all may have
				// changed: in the first ones, and when a drain ends to take new content.
				if s > 2 && s != 50 && last["middle"] > 145 {
					t.Errorf("near can do %v: %d s after %s: %v, and middle can do 100", limit, s, what, last)
				}
				begin = begin.Add(time.Second)
				r.Tick(begin)
			}
			return last
		}
		health := func(h Health) { r.Learn(map[string]Condition{"near": {IPv4: h, IPv6: h}}, begin) }
		run("the start", 10, film)
		health(Down)
		if got := run("near went down", 20, film); got["near"] > 0 || got["far"] < 850 {
			t.Errorf("near is down: %v", got)
		}
		health(Up)
		if got := run("near came back", 35, film); got["near"] != 1000 {
			t.Errorf("near is back: %v", got)
		}
		for _, of := range []func(s, i int) Query{film, fresh} {
			if err := r.Set("near", Setting{Mode: Drain, Since: begin, Over: 200 * time.Second}, begin); err != nil {
				t.Fatal(err)
			}
			if got := run("near began to drain", 205, of); got["near"] > 0 || got["far"] < 850 {
				t.Errorf("near is drained: %v", got)
			}
			if err := r.Set("near", Setting{}, begin); err != nil {
				t.Fatal(err)
			}
			run("near was taken back", 20, of)
		}
	}
}

// TestByDegreesWithinCapacity: an edge that is far from full gives up its content and
// gets it back by degrees all the same.
func TestByDegreesWithinCapacity(t *testing.T) {
	r := nearMiddleFar(t, func(near, middle, _ *Edge, cfg *Config) {
		near.Capacity, middle.Capacity = 10_000, 0
		cfg.Ramp = 100 * time.Second
	})
	now := epoch
	near := func(seconds int) (share float64) {
		for range seconds {
			share = 0
			for i := range 600 {
				d, _ := r.Route(film(0, i))
				if d.Edge.Name == "near" {
					share += 1. / 600
				}
			}
			now = now.Add(time.Second)
			r.Tick(now)
		}
		return share
	}
	near(10)
	r.Learn(map[string]Condition{"near": {IPv4: Down, IPv6: Down}}, now)
	near(10)
	r.Learn(map[string]Condition{"near": {IPv4: Up, IPv6: Up}}, now)
	if got := near(50); got < 0.4 || got > 0.6 {
		t.Errorf("half way back near has %.2f of its content", got)
	}
	near(60)
	if err := r.Set("near", Setting{Mode: Drain, Since: now, Over: 400 * time.Second}, now); err != nil {
		t.Fatal(err)
	}
	if got := near(250); got < 0.4 || got > 0.6 {
		t.Errorf("half way gone near has %.2f of its content", got)
	}
}

// TestMeterConcurrent has requests counted while plans come and go.
func TestMeterConcurrent(t *testing.T) {
	r := nearMiddleFar(t, func(near, _, far *Edge, _ *Config) { near.Capacity, far.Capacity = 50, 50 })
	maps := r.Maps("own")
	done := make(chan struct{})
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if d, err := r.Route(film(i, n*1000+i)); err != nil || d.Edge == nil {
					t.Errorf("%+v, %v", d, err)
					return
				}
			}
		})
	}
	rng, now := rand.New(rand.NewPCG(1, 1)), epoch
	for range 300 {
		now = now.Add(time.Second)
		switch rng.IntN(4) {
		case 0:
			h := []Health{Up, Down}[rng.IntN(2)]
			r.Learn(map[string]Condition{"near": {IPv4: h, IPv6: h}}, now)
		case 1:
			if err := r.Update("own", maps); err != nil {
				t.Error(err)
			}
		}
		r.Tick(now)
	}
	close(done)
	all.Wait()
}
