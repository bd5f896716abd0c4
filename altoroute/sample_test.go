// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// ask has clients ask at a rate for a second.
func ask(t *testing.T, r *Router, second, rate int) {
	t.Helper()
	for i := range rate {
		if _, err := r.Route(Query{Client: member(i%1000, 1), Path: fmt.Sprintf("/%d/%d", second, i)}); err != nil {
			t.Fatal(err)
		}
	}
	r.Tick(epoch.Add(time.Duration(second) * time.Second))
}

func TestSampleGoesWithTraffic(t *testing.T) {
	r := crowd(t)
	second := 0
	for _, phase := range []struct{ rate, first, least, most int }{
		{80, 80, 80, 80},         // all
		{20_000, 1800, 15, 220},  // the first second is told only by its own requests
		{3000, 140, 15, 220},     // fewer than before
		{50, 50, 50, 50},         // all again
		{200_000, 2600, 15, 220}, // a crowd
		{0, 0, 0, 0},             // nobody
		{0, 0, 0, 0},             // for some time
		{120, 120, 15, 120},      // a little more than all
		{150_000, 2500, 15, 220}, // again
	} {
		for i := range 8 {
			before := r.sample.taken
			second++
			ask(t, r, second, phase.rate)
			taken := r.sample.taken - before
			if i == 0 && taken > phase.first || i > 3 && (taken < phase.least || taken > phase.most) {
				t.Errorf("second %d of %d a second: %d taken, want %d to %d", i, phase.rate, taken, phase.least, phase.most)
			}
		}
	}
	if got := len(r.sample.all()); got != sampleSize {
		t.Errorf("%d are kept", got)
	}

	// Of a Tick that is asked for again at once, nothing follows.
	mask := r.sample.mask.Load()
	for i := range 5 {
		r.Tick(epoch.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Millisecond))
	}
	if r.sample.mask.Load() != mask || mask == 0 {
		t.Errorf("the mask was %b and is %b", mask, r.sample.mask.Load())
	}
	// Nor of a clock that is set back, or that nobody winds up.
	r.Tick(epoch)
	for range 100_000 {
		_, _ = r.Route(Query{Client: member(1, 1), Path: "/"})
	}
	r.Tick(epoch.Add(time.Second))
}

func TestWhatIsSampled(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("e", "x")}, Pools: []Pool{{Name: "a"}, {Name: "b"}}}
	cfg.Edges[0].Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	r := mustRouter(t, cfg, "own", []string{"x 10.0.0.0/8"}, "x x 1")
	header := "/a?b" + strings.Repeat("x", 1<<16)
	client := netip.MustParseAddr("::ffff:10.0.0.1%eth0")
	for _, q := range []Query{
		{Pool: "a", Client: client, Path: header[:2], RawQuery: header[3:4], Host: "h", HTTPS: true},
		{Pool: "b", Path: "/unplaced"},
		{Pool: "a", Client: client, Path: "/long", RawQuery: header},
		{Pool: "a", Client: cfg.Edges[0].Addrs[0], Path: "/fill"},
	} {
		if _, err := r.Route(q); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = r.Rank(Query{Pool: "a", Client: client}, 0)
	got := r.sample.all()
	want := sampled{r.byName["a"], netip.MustParseAddr("10.0.0.1"), "/a", "b", "h", true}
	if len(got) != 2 || got[0] != want || got[1].path != "/unplaced" {
		t.Fatalf("%+v", got)
	}
	if unsafe.StringData(got[0].path) != unsafe.StringData(header) {
		t.Fatal("this tests nothing")
	}
	r.Tick(epoch)
	if got := r.sample.all(); got[0] != want || unsafe.StringData(got[0].path) == unsafe.StringData(header) {
		t.Error("the sample holds on to a header")
	}

	cfg.Pools = []Pool{{Name: "other"}, {Name: "a"}}
	next, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	next.Inherit(r, epoch)
	if got := next.sample.all(); len(got) != 1 || got[0].pool != next.byName["a"] || got[0].path != "/a" {
		t.Errorf("inherited %+v", got)
	}
}

// TestSampleIsFair: every request has the same chance.
func TestSampleIsFair(t *testing.T) {
	r := crowd(t)
	for s := range 60 {
		ask(t, r, s+1, 10_000)
	}
	low := 0
	for _, q := range r.sample.all() { // networks are 0 to 999
		if a := q.client.As4(); int(a[1])<<8|int(a[2]) < 500 {
			low++
		}
	}
	if share := float64(low) / sampleSize; math.Abs(share-0.5) > 0.05 {
		t.Errorf("%.2f are of one half of the networks", share)
	}
}
