// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"
)

// TestIntroduceAgainstBothMaps: every decision is that of a Router with the old
// or with the new maps, of each source by the draw of the key; its explanation,
// too.
func TestIntroduceAgainstBothMaps(t *testing.T) {
	const least = 500
	counts := make(map[string]int)
	for seed := range 1000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 11))
		w, other := drawWorld(rng), drawWorld(rng)
		r := w.router(t, rng)
		now := epoch.Add(time.Duration(1+rng.IntN(130)) * time.Second)
		var old, maps [3]*Maps
		var moved [3]uint64 // the draws below are with the new maps
		for i := range w.sources {
			old[i] = r.Maps(w.sources[i].name)
			if rng.IntN(3) == 0 {
				continue
			}
			says := other.sources[i%len(other.sources)]
			says.name = w.sources[i].name
			maps[i], moved[i] = says.maps(t, r, rng), fullyOpen
			over := time.Duration(100*(1+i%2)) * time.Second
			if w.sources[i].given {
				moved[i] = openTo(now.Sub(epoch).Seconds() / over.Seconds())
			}
			if err := r.Introduce(says.name, maps[i], Ramp{epoch, over}, epoch); err != nil {
				t.Fatal(err)
			}
		}
		told := make(map[[3]bool]*Router) // with the new maps of some sources
		with := func(draw uint64) *Router {
			var is [3]bool
			for i := range w.sources {
				is[i] = maps[i] != nil && (draw < moved[i] || moved[i] == fullyOpen)
			}
			if told[is] == nil {
				o := w.router(t, rng)
				for i := range w.sources {
					m := old[i]
					if is[i] {
						m = maps[i]
					}
					if err := o.Update(w.sources[i].name, m); err != nil {
						t.Fatal(err)
					}
				}
				told[is] = o
			}
			return told[is]
		}
		none, all := with(fullyOpen), with(0)
		for _, ended := range []bool{false, true} {
			if r.Tick(now); ended {
				r.Tick(epoch.Add(200 * time.Second))
			}
			for range 20 {
				q := w.drawQuery(rng)
				want := all
				if !ended {
					want = with(rampDraw(r.byName[q.Pool].Key.Sum(q.Path, q.RawQuery)))
				}
				sameDecision(t, r, want, q)
				switch a, b := sameDecision(t, none, none, q), sameDecision(t, all, all, q); {
				case a == b:
					counts["the same"]++
				case ended:
					counts["at the end"]++
				case want == none:
					counts["old"]++
				case want == all:
					counts["new"]++
				default:
					counts["of two sources one"]++
				}
			}
		}
		for i := range w.sources {
			if r.Incoming(w.sources[i].name) != (Incoming{}) || maps[i] != nil && r.Maps(w.sources[i].name) != maps[i] {
				t.Fatal("the end is not as after Update")
			}
		}
	}
	for _, c := range []string{"the same", "old", "new", "of two sources one", "at the end"} {
		if t.Logf("%-20s %d", c, counts[c]); counts[c] < least {
			t.Errorf("%s: %d times, want at least %d", c, counts[c], least)
		}
	}
}

// sameDecision has two Routers decide, and explain, alike.
func sameDecision(t *testing.T, r, want *Router, q Query) verdict {
	t.Helper()
	d, err := r.Route(q)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := want.Route(q)
	if said(&d) != said(&o) || d.Maps != o.Maps {
		t.Fatalf("%+v:\n got %+v\nwant %+v", q, said(&d), said(&o))
	}
	if r == want {
		return said(&d)
	}
	var texts [2]string
	for i, r := range []*Router{r, want} {
		e, err := r.Explain(q, &url.URL{Path: q.Path})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(e)
		texts[i] = string(b)
	}
	if texts[0] != texts[1] {
		t.Fatalf("explained\n%s\nwant\n%s", texts[0], texts[1])
	}
	ranked, _ := r.Rank(q, 2)
	if other, _ := want.Rank(q, 2); names(ranked) != names(other) {
		t.Fatalf("ranked %s, want %s", names(ranked), names(other))
	}
	return said(&d)
}

// TestIntroduceUnderTraffic is for the race detector. Every decision is of one
// set: a PID of the new maps comes with their tag and costs.
func TestIntroduceUnderTraffic(t *testing.T) {
	r := limitedPair(t, nil)
	sets := []*Maps{r.Maps("own"), mustMaps(t, r, "own", []string{"x", "there", "here", "y 10.0.0.0/8"}, "here y 7", "there y 8")}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				q := Query{Client: member(i%500, 1), Path: fmt.Sprint("/", i%1000)}
				d, err := r.Route(q)
				if err != nil || d.Edge == nil || !(d.Maps == sets[0] && d.PID == "here" && d.Cost < 3 || d.Maps == sets[1] && d.PID == "y" && d.Cost > 6) {
					t.Errorf("%+v, %v", d, err)
					return
				}
				q.Failed = []string{d.Edge.Name}
				r.Report(q, epoch)
			}
		})
	}
	now := epoch
	for i := range 300 {
		now = now.Add(time.Second)
		if i%7 == 0 {
			introduce(t, r, sets[i%2], Ramp{now.Add(-time.Second), time.Duration(2+i%9) * time.Second}, now)
		}
		if i%31 == 0 {
			if err := r.Update("own", sets[i/31%2]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Shift("own", sets[i%2]); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			limitedPair(t, nil).Inherit(r, now)
		}
		r.Tick(now)
		_, _, _ = r.Incoming("own"), r.Demoted(), r.Guided("")
		if is := r.State(r.AllEdges()[0], netip.Addr{}); is != StateUp {
			t.Fatal(is)
		}
	}
	close(done)
	group.Wait()
}

// BenchmarkRoute is one whole decision, with nothing coming in and with half.
func BenchmarkRoute(b *testing.B) {
	for _, during := range []bool{false, true} {
		b.Run(fmt.Sprintf("ramp=%v", during), func(b *testing.B) {
			r := crowd(b)
			if during {
				if err := r.Introduce("own", turned(b, r), Ramp{epoch, time.Minute}, epoch.Add(30*time.Second)); err != nil {
					b.Fatal(err)
				}
			}
			paths := make([]string, 1024)
			for i := range paths {
				paths[i] = fmt.Sprintf("/film/segment-%d.ts", i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if d, err := r.Route(Query{Client: member(i&1023, 1), Path: paths[i&1023]}); err != nil || d.Edge == nil {
					b.Fatal(d, err)
				}
			}
		})
	}
}
