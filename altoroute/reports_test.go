// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"
)

// crowd is a PID with many networks, and another one.
func crowd(t testing.TB) *Router {
	t.Helper()
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("near", "here"), edgeAt("next", "there"), edgeAt("far", "away")}}
	return mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8 2001:db8::/32", "there 172.16.0.0/12", "away"},
		"here here 0", "here there 2", "there here 1", "there there 3", "away here 9", "away there 9")
}

// member returns an address in one of the networks of the PID.
func member(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(network >> 8), byte(network), byte(host)})
}

// visit has so many networks ask, each with some hosts.
func visit(t *testing.T, r *Router, networks int) {
	t.Helper()
	for n := range networks {
		for host := range 3 {
			if _, err := r.Route(Query{Client: member(n, host), Path: "/a"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReportsLowerAnEdgeForItsPIDOnly(t *testing.T) {
	for _, c := range []struct {
		name                string
		visitors, reporters int
		each                int // reports by each host of each network
		lowered             bool
	}{
		{"nobody tells", 100, 0, 0, false},
		{"one host tells a hundred thousand times", 100, 1, 100_000, false},
		{"four networks of four", 4, 4, 10, false},
		{"five of five", 5, 5, 1, true},
		{"a tenth of the networks", 1000, 100, 10, false},
		{"a fifth and a little more", 1000, 230, 1, true},
		{"all of them", 1000, 1000, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := crowd(t)
			now := epoch
			report := func(network int) {
				for i := range c.each {
					r.Report(Query{Client: member(network, i%250), Path: "/a", Failed: []string{"near"}}, now)
				}
			}
			// The first report opens the trial; what came before does not count.
			if c.reporters > 0 {
				report(0)
			}
			visit(t, r, c.visitors)
			for n := range c.reporters {
				report(n)
			}
			r.Tick(now.Add(reportWindow - time.Second))
			if len(r.Demoted()) > 0 {
				t.Fatal("judged before the time is over")
			}
			now = now.Add(reportWindow)
			r.Tick(now)
			if got := len(r.Demoted()) == 1; got != c.lowered {
				t.Fatalf("lowered %v, want %v", got, c.lowered)
			}
			for client, want := range map[string]string{"10.250.0.1": "near", "2001:db8::1": "near", "172.16.0.1": "near"} {
				if c.lowered && client != "172.16.0.1" {
					want = "next"
				}
				if d, err := r.Route(Query{Client: netip.MustParseAddr(client), Path: "/b"}); err != nil || d.Edge.Name != want {
					t.Errorf("%s goes to %s, want %s", client, d.Edge.Name, want)
				}
			}
			r.Tick(now.Add(demotedFor))
			if d, _ := r.Route(Query{Client: member(1, 1), Path: "/b"}); d.Edge.Name != "near" {
				t.Errorf("it lasts longer than %s", demotedFor)
			}
		})
	}
}

// TestForgedReports: a client that was not sent to an edge cannot tell anything
// of it, and no more than a third of the edges can be taken from a PID.
func TestForgedReports(t *testing.T) {
	r := crowd(t)
	tell := func(failed ...string) {
		for n := range 100 {
			r.Report(Query{Client: member(n, 1), Path: "/a", Failed: failed}, epoch)
		}
	}
	tell("far")
	tell("nowhere")
	tell()
	r.Report(Query{Path: "/a", Failed: []string{"near"}}, epoch)
	if n := len(r.plan.Load().trials); n > 0 {
		t.Errorf("%d trials of edges that nobody was sent to", n)
	}
	// Nor of an edge that it is sent to because it says that others failed.
	tell("near", "next")
	tell("near", "next", "far")
	if n := len(r.plan.Load().trials); n > 0 {
		t.Errorf("%d trials of edges that only naming others leads to", n)
	}
	tell("near")
	visit(t, r, 100)
	r.Tick(epoch.Add(reportWindow))
	if got := r.Demoted(); len(got) != 1 {
		t.Errorf("%d of 3 edges are lowered: %v", len(got), got)
	}
	for n := range 2 * maxTrials {
		r.Report(Query{Client: member(n%7, 1), Path: fmt.Sprint(n), Failed: []string{"near"}}, epoch)
	}
	if n := len(r.plan.Load().trials); n > maxTrials {
		t.Errorf("%d trials", n)
	}
}

// TestForcedUpDespiteReports: the operator knows better than clients.
func TestForcedUpDespiteReports(t *testing.T) {
	r := crowd(t)
	for n := range 100 {
		r.Report(Query{Client: member(n, 1), Path: "/a", Failed: []string{"near"}}, epoch)
	}
	visit(t, r, 100)
	r.Tick(epoch.Add(reportWindow))
	goes := func(want string) {
		t.Helper()
		if d, err := r.Route(Query{Client: member(1, 1), Path: "/a"}); err != nil || d.Edge.Name != want {
			t.Errorf("%+v, %v; want %s", d, err, want)
		}
	}
	goes("next")
	if err := r.Set("near", Setting{Mode: ForcedUp}, epoch.Add(reportWindow)); err != nil {
		t.Fatal(err)
	}
	goes("near")
}

func TestNetworkCounter(t *testing.T) {
	for _, n := range []int{0, 1, 5, 100, 5000, 20_000} {
		var c networkCounter
		for i := range n {
			for host := range 3 {
				c.add(member(i, host))
			}
		}
		if got := c.count(); math.Abs(got-float64(n)) > 0.05*float64(n)+0.1 {
			t.Errorf("%d networks are counted as %.1f", n, got)
		}
	}
}

// TestSecondTry: a client that names the edge that failed gets another one,
// and an answer when all have.
func TestSecondTry(t *testing.T) {
	r := crowd(t)
	var failed []string
	for _, want := range []string{"near", "next", "far", "near"} {
		d, err := r.Route(Query{Client: member(1, 1), Path: "/a", Failed: failed})
		if err != nil || d.Edge == nil || d.Edge.Name != want {
			t.Fatalf("after %v: %+v, %v; want %s", failed, d, err, want)
		}
		failed = append(failed, want)
	}
}

// TestReportsAcrossAReload: what clients have told goes on counting.
func TestReportsAcrossAReload(t *testing.T) {
	r := crowd(t)
	tell := func(r *Router, from, to int) {
		for n := from; n < to; n++ {
			_, _ = r.Route(Query{Client: member(n, 1), Path: "/a"})
			r.Report(Query{Client: member(n, 1), Path: "/a", Failed: []string{"near"}}, epoch)
		}
	}
	tell(r, 0, 3)
	next := crowd(t)
	next.Inherit(r, epoch.Add(time.Second))
	tell(next, 3, 6)
	next.Tick(epoch.Add(reportWindow))
	if len(next.Demoted()) != 1 {
		t.Error("what was told before the reload is forgotten")
	}
}

// TestNobodyFillsTheTrials: in a band of many edges one client, or one PID, leaves room
// for others.
func TestNobodyFillsTheTrials(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}}
	for e := range 1500 {
		cfg.Edges = append(cfg.Edges, edgeAt(fmt.Sprint("e", e), "here"))
	}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there 172.16.0.0/12"}, "here here 1", "here there 1")
	tell := func(client netip.Addr, n int) {
		for i := range n {
			q := Query{Client: client, Path: fmt.Sprint("/", client, i)}
			d, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			q.Failed = []string{d.Edge.Name}
			r.Report(q, epoch)
		}
	}
	tell(member(1, 1), 3000)
	if n := r.Trials(); n != maxTrialsByFirst {
		t.Errorf("one client has %d trials", n)
	}
	for n := range 100 {
		tell(member(n, 1), 10)
	}
	if n := r.Trials(); n != maxTrialsOfPID {
		t.Errorf("the clients of one PID have %d trials", n)
	}
	tell(netip.MustParseAddr("172.16.0.1"), 1)
	if n := r.Trials(); n != maxTrialsOfPID+1 {
		t.Errorf("%d trials: there is no room for another PID", n)
	}
}

// TestMaySpare: how many edges of a pool may come last for a PID.
func TestMaySpare(t *testing.T) {
	for edges, want := range map[int]int{1: 0, 2: 1, 3: 1, 5: 1, 6: 2, 9: 3} {
		cfg := Config{Sources: []Source{{Name: "own"}}}
		for e := range edges {
			cfg.Edges = append(cfg.Edges, edgeAt(fmt.Sprint("e", e), "here"))
		}
		// The first is the only one of a pool, too, which keeps it from nothing.
		cfg.Pools = []Pool{{Name: "all"}, {Name: "one", Edges: []string{"e0"}}}
		r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8"}, "here here 1")
		demoted := make(map[loadKey]time.Time)
		for e := range int32(edges) {
			if key := (loadKey{edge: e}); r.maySpare(key, demoted) {
				demoted[key] = epoch
			}
		}
		if len(demoted) != want {
			t.Errorf("%d of %d edges may come last, want %d", len(demoted), edges, want)
		}
	}
}
