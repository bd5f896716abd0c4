// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// limitedPair is two edges for one PID, of which the cheaper has a limit.
func limitedPair(t *testing.T, change func(*Config)) *Router {
	t.Helper()
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("big", "there"), edgeAt("small", "here")}}
	cfg.Edges[1].Capacity = 250
	if change != nil {
		change(&cfg)
	}
	return mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there 172.16.0.0/12"}, "here here 1", "there here 2", "here there 9", "there there 1")
}

// seconds has clients of 10/8 ask at a rate for so long, for content that is
// asked for once or, of hot content, often. It returns what edges got in the
// last second.
func seconds(t *testing.T, r *Router, from time.Time, n, rate int, hot float64) map[string]int {
	t.Helper()
	var got map[string]int
	for s := range n {
		got = make(map[string]int)
		for i := range rate {
			q := Query{Client: netip.AddrFrom4([4]byte{10, byte(i), byte(s), 1}), Path: fmt.Sprintf("/%d/%d", s, i)}
			if float64(i) < hot*float64(rate) {
				q.Path = "/hot"
			}
			d, err := r.Route(q)
			if err != nil || d.Edge == nil {
				t.Fatalf("%+v, %v", d, err)
			}
			got[d.Edge.Name]++
		}
		r.Tick(from.Add(time.Duration(s+1) * time.Second))
	}
	return got
}

func TestOverflow(t *testing.T) {
	r := limitedPair(t, nil)
	if got := seconds(t, r, epoch, 3, 200, 0); got["big"] > 0 {
		t.Errorf("%v: moved without need", got)
	}
	got := seconds(t, r, epoch.Add(3*time.Second), 40, 1000, 0)
	if math.Abs(float64(got["small"])-250) > 40 {
		t.Errorf("%v: small can do 250", got)
	}
	at := epoch.Add(43 * time.Second)

	// The explanation shows the shares, and decides as requests do.
	reasons := make(map[Reason]string)
	for i := range 100 {
		e, err := r.Explain(Query{Client: netip.MustParseAddr("10.1.2.3")}, &url.URL{Path: fmt.Sprint("/x", i)})
		if err != nil {
			t.Fatal(err)
		}
		d, _ := r.Route(Query{Client: netip.MustParseAddr("10.1.2.3"), Path: fmt.Sprint("/x", i)})
		if d.Edge.Name != e.Edge || d.Reason != e.Reason {
			t.Fatalf("explained %s %s, routed %s %s", e.Edge, e.Reason, d.Edge.Name, d.Reason)
		}
		var b strings.Builder
		for _, c := range e.Candidates {
			fmt.Fprintf(&b, "%s %.2f: %s\n", c.Edge, *c.Share, c.Why)
		}
		reasons[e.Reason] = b.String()
	}
	if got := reasons[Overflow]; !strings.Contains(got, "small 0.2") || !strings.Contains(got, "its capacity is for 2") || !strings.Contains(got, "is beyond its capacity and given to this one") {
		t.Errorf("overflow is explained as\n%s", got)
	}
	if got := reasons[Cheapest]; !strings.Contains(got, "big 0.7") {
		t.Errorf("cheapest is explained as\n%s", got)
	}

	// A new configuration goes on as it was, and so does a new map.
	next := limitedPair(t, nil)
	next.Inherit(r, at)
	for i := range 1000 {
		q := Query{Client: netip.MustParseAddr("10.1.2.3"), Path: fmt.Sprint("/y", i)}
		a, _ := r.Route(q)
		b, _ := next.Route(q)
		if a.Edge.Name != b.Edge.Name {
			t.Fatal("a new configuration moves content")
		}
	}
	if err := next.Update("own", mustMaps(t, next, "own", []string{"new", "here 10.0.0.0/8"}, "here here 1", "there here 2")); err != nil {
		t.Fatal(err)
	}
	if got := next.PoolCondition("").Divided; got != 1 {
		t.Errorf("%d divisions with the new map", got)
	}

	// When the evening is over, all comes back.
	if got := seconds(t, next, at, 60, 200, 0); got["big"] > 0 {
		t.Errorf("%v: it did not come back", got)
	}
	if next.plan.Load().pools[0].spreading != nil {
		t.Error("nothing needs to be divided any more")
	}
}

// TestHotContent: content that is too much for one edge goes to several, by
// clients.
func TestHotContent(t *testing.T) {
	r := limitedPair(t, nil)
	got := seconds(t, r, epoch, 30, 1000, 0.9)
	if math.Abs(float64(got["small"])-250) > 75 {
		t.Errorf("%v: small can do 250", got)
	}
	if keys := r.plan.Load().pools[0].hot; len(keys) != 1 {
		t.Errorf("%d hot keys", len(keys))
	}
}

// TestTooMuchForAll: load is in proportion to capacity then.
func TestTooMuchForAll(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[0].Capacity = 500 })
	got := seconds(t, r, epoch, 30, 1500, 0)
	if math.Abs(float64(got["small"])-500) > 60 {
		t.Errorf("%v, want 1000 and 500", got)
	}
}

// TestSharedByRouters: each plans with its part.
func TestSharedByRouters(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) { cfg.Routers = 2 })
	if got := seconds(t, r, epoch, 30, 500, 0); math.Abs(float64(got["small"])-125) > 30 {
		t.Errorf("%v: the part of small is 125", got)
	}
}

// TestReportedCapacity: what an edge reports of itself counts before what is
// configured, and what an operator sets before both. A load without a capacity
// is turned into one.
func TestReportedCapacity(t *testing.T) {
	small := func(rate int, condition Condition, set float64) int {
		r := limitedPair(t, nil)
		condition.IPv4, condition.IPv6 = Up, Up
		if set > 0 {
			if err := r.Set("small", Setting{Capacity: set}, epoch); err != nil {
				t.Fatal(err)
			}
		}
		now, got := epoch, 0
		for range 30 {
			r.Learn(map[string]Condition{"small": condition}, now)
			got = seconds(t, r, now, 1, rate, 0)["small"]
			now = now.Add(time.Second)
		}
		return got
	}
	for _, c := range []struct {
		name      string
		condition Condition
		set       float64
		want      int
	}{
		{"configured", Condition{}, 0, 250},
		{"reported", Condition{Capacity: 500}, 0, 500},
		{"set", Condition{Capacity: 500}, 100, 100},
		{"idle", Condition{Load: 0.1}, 0, 250},
	} {
		if got := small(1000, c.condition, c.set); math.Abs(float64(got-c.want)) > 60 {
			t.Errorf("%s: small gets %d, want %d", c.name, got, c.want)
		}
	}
}

// TestReportedLoad: an edge that says only how full it is gets what it can do.
func TestReportedLoad(t *testing.T) {
	const able = 400
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 0 })
	now, got := epoch, 1000
	for range 120 {
		r.Learn(map[string]Condition{"small": {IPv4: Up, IPv6: Up, Load: float64(got) / able}}, now)
		got = seconds(t, r, now, 1, 1000, 0)["small"]
		now = now.Add(time.Second)
	}
	if math.Abs(float64(got-able)) > 0.15*able {
		t.Errorf("an edge that can do %d gets %d", able, got)
	}
}

// TestToldLoad: what somebody else tells of a load counts for a minute, and
// before what the edge says.
func TestToldLoad(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 0 })
	small := r.AllEdges()[1]
	r.Learn(map[string]Condition{"small": {Load: 0.1}}, epoch)
	if err := r.ReportLoad("small", 2, epoch.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Load(small); got != 2 {
		t.Errorf("load %v, want the one that was told", got)
	}
	if got := seconds(t, r, epoch.Add(time.Second), 30, 1000, 0)["small"]; got > 500 {
		t.Errorf("small gets %d of 1000, and is said to be overloaded", got)
	}
	r.Tick(epoch.Add(2 * time.Minute))
	if got, _ := r.Load(small); got != 0.1 {
		t.Errorf("load %v after two minutes, want what the edge says", got)
	}
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1)} {
		if r.ReportLoad("small", bad, epoch) == nil {
			t.Errorf("load %v was taken", bad)
		}
	}
	if err := r.ReportLoad("none", 1, epoch); !errors.Is(err, ErrNoSuchEdge) {
		t.Error("an unknown edge was taken")
	}
}

// threeEdges is a near and a middle edge with limits and a far one without.
func threeEdges(t *testing.T, middle Edge) *Router {
	t.Helper()
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("near", "here"), middle, edgeAt("far", "farther")}}
	cfg.Edges[0].Capacity = 500
	return mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8 fd00::/8", "there 172.16.0.0/12", "farther 192.168.0.0/16"},
		"here here 1", "there here 2", "farther here 100")
}

// TestLoadOfOthers: what is full because of others, or has a capacity that is known, is
// not taken for small.
func TestLoadOfOthers(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 0 })
	r.Learn(map[string]Condition{"small": {Load: 0.9}}, epoch)
	if got := seconds(t, r, epoch, 30, 5, 0); got["big"] > 0 {
		t.Errorf("%v: of five requests a second", got)
	}
	r = limitedPair(t, func(cfg *Config) { cfg.Edges[1].Capacity = 2000 })
	r.Learn(map[string]Condition{"small": {Load: 0.73}}, epoch)
	if got := seconds(t, r, epoch, 30, 200, 0); got["big"] > 0 {
		t.Errorf("%v: of 200 requests a second, and small can do 2000", got)
	}
	r.Learn(map[string]Condition{"small": {Load: 2}}, epoch.Add(30*time.Second))
	if got := seconds(t, r, epoch.Add(30*time.Second), 30, 200, 0); got["big"] == 0 {
		t.Errorf("%v: small says that it is overloaded", got)
	}
}

// TestKinds: an edge that may not serve some requests has no capacity for them.
func TestKinds(t *testing.T) {
	six := edgeAt("six", "there")
	six.Family, six.Capacity = IPv6, 5000
	toHTTP := edgeAt("plain", "there")
	toHTTP.URL = &url.URL{Scheme: "http", Host: "plain.example.net"}
	for _, middle := range []Edge{six, toHTTP} {
		r := threeEdges(t, middle)
		of := func(s, i int) Query {
			q := Query{Client: netip.AddrFrom4([4]byte{10, byte(i), byte(s), 1}), Path: fmt.Sprintf("/%d/%d", s, i), HTTPS: true}
			if i%4 == 0 {
				q.Client, q.HTTPS = netip.AddrFrom16([16]byte{0xfd, byte(i), byte(s)}), false
			}
			return q
		}
		got := served(t, r, 60, 1000, of)
		// The quarter that may, goes to the edge in the middle, the rest that is
		// too much for the near one to the far one.
		if math.Abs(float64(got["near"])-500) > 60 || got[middle.Name] < 190 || got["far"] < 200 {
			t.Errorf("%s: %v", middle.Name, got)
		}
		if divided := r.PoolCondition("").Divided; divided != 2 {
			t.Errorf("%s: %d loads are divided, want those of the two kinds", middle.Name, divided)
		}
	}
}

// served has clients ask at a rate for so many seconds. It returns what edges got in
// a second, as a mean of the last ten.
func served(t *testing.T, r *Router, n, rate int, of func(s, i int) Query) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for s := range n {
		for i := range rate {
			d, err := r.Route(of(s, i))
			if err != nil || d.Edge == nil {
				t.Fatalf("%+v, %v", d, err)
			}
			if s >= n-10 {
				got[d.Edge.Name]++
			}
		}
		r.Tick(epoch.Add(time.Duration(s+1) * time.Second))
	}
	for name := range got {
		got[name] /= 10
	}
	return got
}

// TestPanicOverflow: edges that are up come first, up to their capacity; then
// those that are said to be down.
func TestPanicOverflow(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) {
		cfg.Edges = append(cfg.Edges, edgeAt("more", "there"))
	})
	down := Condition{IPv4: Down, IPv6: Down}
	r.Learn(map[string]Condition{"big": down, "more": down}, epoch)
	got := seconds(t, r, epoch, 30, 1000, 0)
	if math.Abs(float64(got["small"])-250) > 60 || got["big"] == 0 {
		t.Errorf("%v", got)
	}
	if is := r.PoolCondition(""); !is.Panic {
		t.Errorf("%+v", is)
	}
}

// TestFailureMovesAtOnce: nobody waits for the next Tick.
func TestFailureMovesAtOnce(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) {
		cfg.Edges = append(cfg.Edges, edgeAt("more", "there"))
		cfg.Edges[0].Capacity, cfg.Edges[1].Capacity, cfg.Edges[2].Capacity = 600, 600, 600
	})
	_ = seconds(t, r, epoch, 20, 1000, 0)
	r.Learn(map[string]Condition{"small": {IPv4: Down, IPv6: Down}}, epoch.Add(20*time.Second))
	got := make(map[string]int)
	for i := range 1000 {
		d, _ := r.Route(Query{Client: netip.MustParseAddr("10.1.2.3"), Path: fmt.Sprint("/z", i)})
		got[d.Edge.Name]++
	}
	if got["small"] > 0 || got["big"] < 400 || got["more"] < 400 {
		t.Errorf("%v", got)
	}
}

// TestChangeDuringTick: what is learned while a Tick divides does not wait for it, and
// counts.
func TestChangeDuringTick(t *testing.T) {
	r := limitedPair(t, nil)
	seconds(t, r, epoch, 10, 1000, 0)
	for what, change := range map[string]func(){
		"an edge that is down": func() {
			r.Learn(map[string]Condition{"big": {IPv4: Down, IPv6: Down}, "small": {IPv4: Up, IPv6: Up}}, epoch.Add(11*time.Second))
		},
		"a map": func() {
			if err := r.Update("own", mustMaps(t, r, "own", []string{"new", "here 10.0.0.0/8"}, "here here 1", "there here 2")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		ticked := r.advance(epoch.Add(11 * time.Second))
		if ticked.demand == nil {
			t.Fatal("there is nothing to divide")
		}
		of := ticked.plan.divide(ticked.demand, ticked.before)
		change()
		want := r.plan.Load()
		if r.conclude(ticked, of, 0); r.plan.Load() != want {
			t.Errorf("%s is learned during a Tick, and does not count", what)
		}
	}
}

// TestRouteAllocatesNothingWithAllOn is about divisions, hot content, drains,
// ramps, classes, pins, trials and demotions together.
func TestRouteAllocatesNothingWithAllOn(t *testing.T) {
	r := limitedPair(t, func(cfg *Config) {
		more := edgeAt("more", "here")
		more.Serves = Class{Hosts: []string{"*.example.net"}, Paths: []string{"/live/*"}}
		cfg.Edges = append(cfg.Edges, more, edgeAt("last", "there"))
		cfg.Pools = []Pool{{Name: "p", Edges: []string{"big", "small", "more"}, Parents: [][]string{{"last"}}, Pins: []Pin{{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Edge: "big"}}}}
		cfg.Ramp = time.Hour
	})
	_ = seconds(t, r, epoch, 20, 1000, 0.3)
	if err := r.Set("last", Setting{Mode: Drain, Since: epoch, Over: time.Hour}, epoch.Add(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.Report(Query{Client: member(1, 1), Path: "/a", Failed: []string{"small"}}, epoch)
	next := *r.plan.Load()
	next.demoted = map[loadKey]time.Time{{0, 1, 0, 0}: epoch}
	r.plan.Store(&next)
	if next.pools[0].spreading == nil || next.pools[0].hot == nil {
		t.Fatal("not all is on")
	}
	failed := []string{"big"}
	for _, q := range []Query{
		{Client: member(1, 1), Path: "/hot"},
		{Client: member(1, 1), Path: "/live/1", Host: "a.example.net"},
		{Client: member(77, 1), Path: "/b", Failed: failed},
		{Client: netip.MustParseAddr("10.77.0.1"), Path: "/c"},
		{Path: "/d"},
	} {
		if n := testing.AllocsPerRun(100, func() { _, _ = r.Route(q) }); n > 0 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
}
