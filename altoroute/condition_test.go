// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// content routes objects and returns which of them each edge gets.
func content(t *testing.T, r *Router, objects int) map[string]map[int]bool {
	t.Helper()
	got := make(map[string]map[int]bool)
	for i := range objects {
		edge := route(t, r, fmt.Sprintf("/object/%d", i))
		if got[edge] == nil {
			got[edge] = make(map[int]bool)
		}
		got[edge][i] = true
	}
	return got
}

// within reports whether all of a is in b.
func within(a, b map[int]bool) bool {
	for i := range a {
		if !b[i] {
			return false
		}
	}
	return true
}

func near(share, want float64) bool { return math.Abs(share-want) < 0.02 }

func TestDrain(t *testing.T) {
	const objects = 20_000
	r := equalEdges(t, map[string]int{"e1": 1, "e2": 1, "e3": 1}, false)
	before := content(t, r, objects)
	set := func(mode Mode, now time.Time) {
		if err := r.Set("e2", Setting{Mode: mode, Since: epoch, Over: 400 * time.Second}, now); err != nil {
			t.Fatal(err)
		}
	}
	set(Drain, epoch)
	if during := content(t, r, objects/2); !within(during["e2"], before["e2"]) || len(during["e2"]) < objects/2/4 {
		t.Errorf("while it notes, the edge serves %d objects, as before it had %d of twice as many", len(during["e2"]), len(before["e2"]))
	}
	known := 0
	for i := range before["e2"] {
		if i < objects/2 {
			known++
		}
	}
	last := before["e2"]
	for i, share := range []float64{1, 0.75, 0.5, 0.25, 0} {
		seconds := 100 + 75*i
		r.Tick(epoch.Add(time.Duration(seconds) * time.Second))
		now := content(t, r, objects)
		if got := float64(len(now["e2"])) / float64(known); !near(got, share) {
			t.Errorf("after %d s the edge has %.2f of what it was asked for, want %.2f", seconds, got, share)
		}
		if !within(before["e1"], now["e1"]) || !within(before["e3"], now["e3"]) || !within(now["e2"], last) {
			t.Errorf("after %d s content moved that need not", seconds)
		}
		if share == 0 && r.State(r.Edges("")[1], netip.Addr{}) != StateDrained {
			t.Errorf("state %s", r.State(r.Edges("")[1], netip.Addr{}))
		}
	}
	set(Auto, epoch.Add(time.Hour))
	if now := content(t, r, objects); !maps.Equal(now["e2"], before["e2"]) {
		t.Error("the content did not come back")
	}
}

// TestDrainWithoutOthers: a request must not go without an answer because the
// only edge is being drained; once it is drained, it must.
func TestDrainWithoutOthers(t *testing.T) {
	r := equalEdges(t, map[string]int{"e1": 1}, false)
	if err := r.Set("e1", Setting{Mode: Drain, Since: epoch, Over: time.Minute}, epoch.Add(50*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := len(content(t, r, 100)["e1"]); got != 100 {
		t.Errorf("%d of 100", got)
	}
	r.Tick(epoch.Add(time.Minute))
	if d, err := r.Route(Query{Path: "/a"}); err != nil || d.Reason != NoEdge {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDrainOfTheFuture: a clock that was set back does not give an edge that is
// being worked on its content again.
func TestDrainOfTheFuture(t *testing.T) {
	cfg := Config{Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here")}, Sources: []Source{{Name: "own"}}}
	for over, want := range map[time.Duration]string{0: StateDrained, time.Hour: StateDraining} {
		r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8"}, "here here 1")
		if err := r.Set("a", Setting{Mode: Drain, Since: epoch.Add(24 * time.Hour), Over: over}, epoch); err != nil {
			t.Fatal(err)
		}
		if got := r.State(r.AllEdges()[0], netip.Addr{}); got != want {
			t.Errorf("over %s: %s, want %s", over, got, want)
		}
		r.Tick(epoch.Add(2 * time.Hour))
		if got := r.State(r.AllEdges()[0], netip.Addr{}); got != StateDrained {
			t.Errorf("over %s: after two hours %s", over, got)
		}
	}
}

// TestDrainAcrossARestart: a process that comes to a drain takes all content for known,
// so that it leaves by degrees.
func TestDrainAcrossARestart(t *testing.T) {
	for _, c := range []struct {
		passed time.Duration
		left   float64 // of all content
	}{{time.Second, 0}, {90 * time.Second, 0.75}, {250 * time.Second, 0.5}, {399 * time.Second, 0.003}, {400 * time.Second, 0}} {
		r := equalEdges(t, map[string]int{"e1": 1, "e2": 1}, false)
		before := len(content(t, r, 5000)["e2"])
		if err := r.Set("e2", Setting{Mode: Drain, Since: epoch, Over: 400 * time.Second}, epoch.Add(c.passed)); err != nil {
			t.Fatal(err)
		}
		r.Tick(epoch.Add(max(c.passed, 175*time.Second)))
		if got := float64(len(content(t, r, 5000)["e2"])) / float64(before); !near(got, c.left) {
			t.Errorf("met after %s, the edge has %.2f of its content, want %.2f", c.passed, got, c.left)
		}
	}
}

// TestDrainGivesNothingBack: not to an edge that has nothing, and not when the clock is
// set back or the time prolonged.
func TestDrainGivesNothingBack(t *testing.T) {
	r := equalEdges(t, map[string]int{"e1": 1, "e2": 1}, false)
	e2 := r.AllEdges()[1]
	minute := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	set := func(mode Mode, since, now int, over time.Duration) {
		if err := r.Set("e2", Setting{Mode: mode, Since: minute(since), Over: over}, minute(now)); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(when string) {
		t.Helper()
		if got := len(content(t, r, 200)["e2"]); got > 0 || r.State(e2, netip.Addr{}) == StateDraining {
			t.Errorf("%s the edge is %s and gets %d of 200", when, r.State(e2, netip.Addr{}), got)
		}
	}
	set(Disabled, 0, 0, 0)
	set(Drain, 1, 1, 10*time.Minute)
	nothing("disabled, then drained,")
	set(Auto, 2, 2, 0)
	if got := len(content(t, r, 200)["e2"]); got == 0 {
		t.Error("the edge has not come back")
	}
	set(Drain, 2, 2, 10*time.Minute)
	content(t, r, 2000)
	r.Tick(minute(8))
	half := len(content(t, r, 2000)["e2"])
	r.Tick(minute(3))
	if got := len(content(t, r, 2000)["e2"]); got != half {
		t.Errorf("the clock was set back in the middle: %d after %d", got, half)
	}
	set(Drain, 2, 8, time.Hour)
	if got := len(content(t, r, 2000)["e2"]); got != half {
		t.Errorf("it was prolonged in the middle: %d after %d", got, half)
	}
	set(Drain, 8, 8, time.Hour)
	if got := len(content(t, r, 2000)["e2"]); got > half {
		t.Errorf("it began anew in the middle: %d after %d", got, half)
	}
	r.Tick(minute(100))
	nothing("drained,")
	r.Tick(minute(10))
	nothing("drained, and the clock set back,")
	set(Drain, 100, 100, time.Hour)
	nothing("drained, and drained again,")
	next := equalEdges(t, map[string]int{"e1": 1, "e2": 1}, false)
	next.Inherit(r, minute(10))
	if got := next.State(next.AllEdges()[1], netip.Addr{}); got != StateDrained {
		t.Errorf("drained, and reloaded with the clock set back: %s", got)
	}
}

// TestEdgesOfOtherPools: what names an edge that is not of the pool harms nobody.
func TestEdgesOfOtherPools(t *testing.T) {
	cfg := Config{
		Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here")}, Sources: []Source{{Name: "own"}},
		Pools: []Pool{{Name: "one", Edges: []string{"a"}}, {Name: "two", Edges: []string{"b"}}},
	}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8"}, "here here 1")
	if err := r.SetPool("one", PoolSetting{Pins: []Pin{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Edge: "b"}}}, epoch); err != nil {
		t.Fatal(err)
	}
	q := Query{Pool: "one", Client: netip.MustParseAddr("10.0.0.1"), Path: "/a", HTTPS: true}
	if d, err := r.Route(q); err != nil || d.Edge == nil || d.Edge.Name != "a" {
		t.Errorf("%+v, %v", d, err)
	}
	// An edge that has left the pool, of which a division was made.
	next := *r.plan.Load()
	next.pools = slices.Clone(next.pools)
	next.pools[0].spreading = spreading{{pid: 0, edge: 0}: {0, []part{{whole, 1}}}}
	r.plan.Store(&next)
	if d, err := r.Route(q); err != nil || d.Edge == nil || d.Edge.Name != "a" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDrainProlonged: another duration keeps what has been noted.
func TestDrainProlonged(t *testing.T) {
	r := equalEdges(t, map[string]int{"e1": 1, "e2": 1}, false)
	set := func(over time.Duration, now time.Time) {
		if err := r.Set("e2", Setting{Mode: Drain, Since: epoch, Over: over}, now); err != nil {
			t.Fatal(err)
		}
	}
	set(400*time.Second, epoch)
	known := content(t, r, 2000)["e2"]
	set(800*time.Second, epoch.Add(500*time.Second))
	if got := float64(len(content(t, r, 2000)["e2"])) / float64(len(known)); math.Abs(got-0.5) > 0.1 {
		t.Errorf("half way the edge has %.2f of what it was asked for", got)
	}
}

// TestFailedComesAfterRamping: an edge that the client could not reach is worse
// for it than one that is on its way back.
func TestFailedComesAfterRamping(t *testing.T) {
	r := mustRouter(t, Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here")}, Ramp: time.Hour},
		"own", []string{"here 0.0.0.0/0"}, "here here 0")
	r.Learn(map[string]Condition{"b": {IPv4: Down, IPv6: Down}}, epoch)
	r.Learn(map[string]Condition{"b": {IPv4: Up, IPv6: Up}}, epoch)
	for i := range 100 {
		d, err := r.Route(Query{Client: ParseClient("192.0.2.1"), Path: fmt.Sprint("/", i), Failed: []string{"a"}})
		if err != nil || d.Edge.Name != "b" {
			t.Fatalf("%+v, %v", d, err)
		}
	}
}

func TestRamp(t *testing.T) {
	const objects = 20_000
	cfg := Config{Sources: []Source{{Name: "own"}}, Ramp: 100 * time.Second}
	for _, name := range []string{"e1", "e2", "e3"} {
		cfg.Edges = append(cfg.Edges, edgeAt(name, "here"))
	}
	r := mustRouter(t, cfg, "own", []string{"here 0.0.0.0/0 ::/0"}, "here here 0")
	before := content(t, r, objects)
	tell := func(h Health, now time.Time) { r.Learn(map[string]Condition{"e2": {IPv4: h, IPv6: h}}, now) }
	tell(Unknown, epoch)
	tell(Up, epoch)
	if now := content(t, r, objects); !maps.Equal(now["e2"], before["e2"]) {
		t.Error("an edge that was never down is held back at the start")
	}
	tell(Down, epoch)
	if now := content(t, r, objects); len(now["e2"]) > 0 || !within(before["e1"], now["e1"]) {
		t.Error("an edge that is down gets content, or others' content moved")
	}
	tell(Up, epoch)
	var last map[int]bool
	for _, seconds := range []int{0, 20, 60, 90, 100} {
		r.Tick(epoch.Add(time.Duration(seconds) * time.Second))
		now := content(t, r, objects)
		share := float64(len(now["e2"])) / float64(len(before["e2"]))
		if want := max(minOpen, float64(seconds)/100); !near(share, want) {
			t.Errorf("after %d s the edge has %.2f of its content back, want %.2f", seconds, share, want)
		}
		if !within(last, now["e2"]) || !within(before["e1"], now["e1"]) {
			t.Errorf("after %d s content moved that need not", seconds)
		}
		last = now["e2"]
	}

	// A new configuration goes on where the old one was.
	tell(Down, epoch)
	tell(Up, epoch)
	r.Tick(epoch.Add(50 * time.Second))
	next := mustRouter(t, cfg, "own", []string{"here 0.0.0.0/0 ::/0"}, "here here 0")
	next.Inherit(r, epoch.Add(50*time.Second))
	if a, b := content(t, r, 1000), content(t, next, 1000); !maps.Equal(a["e2"], b["e2"]) {
		t.Error("the ramp does not survive a new configuration")
	}
}

func TestPoolPanic(t *testing.T) {
	var cfg Config
	cfg.Sources = []Source{{Name: "own"}}
	for _, name := range []string{"a", "b", "c", "d"} {
		cfg.Edges = append(cfg.Edges, edgeAt(name, "here"))
	}
	r := mustRouter(t, cfg, "own", []string{"here 0.0.0.0/0"}, "here here 0")
	down := func(names ...string) {
		all := make(map[string]Condition)
		for _, e := range cfg.Edges {
			all[e.Name] = Condition{IPv4: Up, IPv6: Up}
			if slices.Contains(names, e.Name) {
				all[e.Name] = Condition{IPv4: Down, IPv6: Down}
			}
		}
		r.Learn(all, epoch)
	}
	for _, c := range []struct {
		down  string
		panic bool
		up    int
		want  string // who gets content
	}{{"", false, 4, "a b c d"}, {"a b", false, 2, "c d"}, {"a b c", true, 1, "d"}, {"a b c d", true, 0, "a b c d"}} {
		down(strings.Fields(c.down)...)
		got := strings.Join(slices.Sorted(maps.Keys(content(t, r, 200))), " ")
		if is := r.PoolCondition(""); is.Panic != c.panic || is.Up != c.up || is.Fit != 4 || got != c.want {
			t.Errorf("down %s: %+v, content to %s", c.down, is, got)
		}
	}
	if err := r.Set("a", Setting{Mode: Disabled}, epoch); err != nil {
		t.Fatal(err)
	}
	if is := r.PoolCondition(""); is.Fit != 3 {
		t.Errorf("a disabled edge counts: %+v", is)
	}
	if d, _ := r.Route(Query{Client: ParseClient("192.0.2.1"), Path: "/x"}); d.Reason != Panic || d.Edge.Name == "a" {
		t.Errorf("%+v", d)
	}
}

// TestPanicInOneFamily: edges that are down for clients of IPv4 only are a panic for
// these, which the pool's condition tells.
func TestPanicInOneFamily(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here"), edgeAt("c", "here")}}
	cfg.Edges[2].Family = IPv6
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8 fd00::/8"}, "here here 1")
	half := Condition{IPv4: Down, IPv6: Up}
	r.Learn(map[string]Condition{"a": half, "b": half, "c": {IPv4: Up, IPv6: Up}}, epoch)
	for client, want := range map[string]bool{"10.0.0.1": true, "fd00::1": false} {
		if d, err := r.Route(Query{Client: netip.MustParseAddr(client)}); err != nil || (d.Reason == Panic) != want {
			t.Errorf("%s: %+v, %v", client, d, err)
		}
	}
	want := PoolCondition{Up: 3, Fit: 3, Panic: true, IPv4: FamilyCondition{Up: 0, Fit: 2, Panic: true}, IPv6: FamilyCondition{Up: 3, Fit: 3}}
	if is := r.PoolCondition(""); is != want {
		t.Errorf("%+v, want %+v", is, want)
	}
}

// TestOverflowInAPanic: in a panic of one family its clients may overflow to edges that
// are down, and those of the other may not.
func TestOverflowInAPanic(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "there"), edgeAt("c", "there")}}
	cfg.Edges[0].Capacity = 250
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8 fd00::/8", "there"}, "here here 1", "there here 2")
	half := Condition{IPv4: Down, IPv6: Up}
	r.Learn(map[string]Condition{"b": half, "c": half}, epoch)
	if got := seconds(t, r, epoch, 40, 1000, 0); math.Abs(float64(got["a"])-250) > 40 {
		t.Errorf("%v: a can do 250", got)
	}
	reasons := make(map[Reason]int)
	for i := range 1000 {
		d, err := r.Route(Query{Client: netip.MustParseAddr("10.1.2.3"), Path: fmt.Sprint("/x", i)})
		if err != nil {
			t.Fatal(err)
		}
		if d.Edge.Name != "a" && d.Reason != Panic {
			t.Errorf("%s gets %s, and is down", d.Edge.Name, d.Reason)
		}
		if reasons[d.Reason]++; d.Reason == Panic && reasons[Panic] == 1 {
			e, _ := r.Explain(Query{Client: netip.MustParseAddr("10.1.2.3")}, mustURL(fmt.Sprint("/x", i)))
			if c := e.Candidates; !strings.HasPrefix(c[0].Why, "this content falls to it, but its capacity is for") || !strings.HasSuffix(c[1].Why+c[2].Why, "although checks say that it is down") && !strings.Contains(c[1].Why, "although") {
				t.Errorf("explained by %+v", c)
			}
		}
	}
	if reasons[Panic] < 600 || reasons[Cheapest] == 0 {
		t.Errorf("%v", reasons)
	}
}

// TestExplainedConditions holds what is said of edges that something speaks
// against.
func TestExplainedConditions(t *testing.T) {
	cfg := Config{Sources: []Source{{Name: "own"}}, Ramp: time.Hour, Pools: []Pool{{Name: "p", Parents: [][]string{{"z"}}, Pins: []Pin{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Edge: "b"}}}}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "z"} {
		cfg.Edges = append(cfg.Edges, edgeAt(name, "here"))
	}
	cfg.Edges[4].Serves = Class{Paths: []string{"/live/*"}}
	r := mustRouter(t, cfg, "own", []string{"here 192.0.2.0/24 198.51.100.0/24"}, "here here 5")
	down, up := Condition{IPv4: Down, IPv6: Down}, Condition{IPv4: Up, IPv6: Up}
	r.Learn(map[string]Condition{"a": down, "d": down}, epoch)
	r.Learn(map[string]Condition{"d": up}, epoch)
	for edge, mode := range map[string]Mode{"c": Disabled, "f": Drain} {
		if err := r.Set(edge, Setting{Mode: mode, Since: epoch, Over: time.Hour}, epoch); err != nil {
			t.Fatal(err)
		}
	}
	r.Tick(epoch.Add(16 * time.Minute))
	// d has a quarter of its content back; this object is not of it.
	tell := func(client string) string {
		e, err := r.Explain(Query{Client: ParseClient(client), Failed: []string{"b"}}, &url.URL{Path: "/object/0"})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, c := range e.Candidates {
			fmt.Fprintf(&b, "%s %s %v: %s\n", c.Edge, c.State, c.Chosen, c.Why)
		}
		return b.String()
	}
	got := strings.Split(strings.TrimSpace(tell("192.0.2.1")), "\n")
	slices.Sort(got)
	want := []string{
		"a down false: checks say that it is down",
		"b up false: the client says that it could not reach it",
		"c disabled false: the operator has taken it out",
		"d ramping false: it was down until a moment ago, and does not get this content yet",
		"e up false: the edge does not serve this path",
		"f draining false: it drains, and this content is new to it",
		"z up true: no edge of the groups before may serve, and of its group this one is the best",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := tell("198.51.100.1"); !strings.Contains(got, "z up true") || strings.Contains(got, "b up true") {
		t.Errorf("a pin to an edge that the client could not reach holds:\n%s", got)
	}
}

// TestExplainAsksAtTheHost: an absolute URL is asked for as a client would.
func TestExplainAsksAtTheHost(t *testing.T) {
	cfg := Config{Edges: []Edge{edgeAt("a", "here"), edgeAt("b", "here")}, Sources: []Source{{Name: "own"}}}
	cfg.Edges[0].Serves.Hosts = []string{"video.example.net"}
	cfg.Edges[1].Serves.Hosts = []string{"files.example.net"}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8"}, "here here 1")
	for host, want := range map[string]string{"video.example.net": "a", "files.example.net:8443": "b", "other.example.net": ""} {
		e, err := r.Explain(Query{Client: netip.MustParseAddr("10.0.0.1")}, &url.URL{Scheme: "https", Host: host, Path: "/a"})
		if err != nil || e.Edge != want {
			t.Errorf("%s: edge %q, %v, want %q", host, e.Edge, err, want)
		}
	}
}

func TestParsePin(t *testing.T) {
	for clients, want := range map[string]Pin{
		"192.0.2.77/25": {Prefix: netip.MustParsePrefix("192.0.2.0/25")}, "2001:db8::1": {Prefix: netip.MustParsePrefix("2001:db8::1/128")},
		"::ffff:97.0.0.0/104": {Prefix: netip.MustParsePrefix("97.0.0.0/8")}, "::ffff:192.0.2.1": {Prefix: netip.MustParsePrefix("192.0.2.1/32")},
		"::ffff:192.0.2.1/96": {Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "::ffff:0:0/95": {Prefix: netip.MustParsePrefix("::fffe:0:0/95")},
		"AS64500": {ASN: 64500}, "as64500": {ASN: 64500}, "de": {Country: "DE"},
		"": {}, "AS0": {}, "AS64500x": {}, "AS4294967296": {}, "DEU": {}, "192.0.2.0/33": {}, "fe80::1%eth0": {},
	} {
		got, err := ParsePin(clients, "fra")
		if want == (Pin{}) {
			if err == nil || !strings.Contains(err.Error(), "AS64500") {
				t.Errorf("%q: %+v, %v", clients, got, err)
			}
			continue
		}
		want.Edge = "fra"
		if got != want || err != nil || got.Validate() != nil {
			t.Errorf("%q: %+v, %v", clients, got, err)
		}
	}
}

func TestClassesAndPolicyErrors(t *testing.T) {
	own := []Source{{Name: "own"}}
	pool := func(change func(*Pool)) Config {
		p := Pool{Name: "p"}
		change(&p)
		return Config{Sources: own, Edges: []Edge{edgeAt("fra", "x"), edgeAt("par", "x")}, Pools: []Pool{p}}
	}
	edge := func(change func(*Edge)) Config {
		e := edgeAt("fra", "x")
		change(&e)
		return Config{Sources: own, Edges: []Edge{e}}
	}
	for want, cfg := range map[string]Config{
		`pool p: host "a b"`:                       pool(func(p *Pool) { p.Serves.Hosts = []string{"a b"} }),
		`edge fra: host "*.x:80"`:                  edge(func(e *Edge) { e.Serves.Hosts = []string{"*.x:80"} }),
		`edge fra: path "live"`:                    edge(func(e *Edge) { e.Serves.Paths = []string{"live"} }),
		`edge fra: scheme "ftp"`:                   edge(func(e *Edge) { e.Serves.Schemes = []string{"ftp"} }),
		`edge fra: country "Germany"`:              edge(func(e *Edge) { e.Serves.Countries = []string{"Germany"} }),
		"edge fra: capacity -1 is out of range":    edge(func(e *Edge) { e.Capacity = -1 }),
		"edge fra: capacity NaN is out of range":   edge(func(e *Edge) { e.Capacity = math.NaN() }),
		"pool p lists edge fra twice":              pool(func(p *Pool) { p.Edges, p.Parents = []string{"fra"}, [][]string{{"fra"}} }),
		"pool p: there is no edge ams":             pool(func(p *Pool) { p.Parents = [][]string{{"ams"}} }),
		"pool p: panic 2 is out of range":          pool(func(p *Pool) { p.Panic = 2 }),
		"pool p: pin DE: the pool has no edge ams": pool(func(p *Pool) { p.Pins = []Pin{{Country: "DE", Edge: "ams"}} }),
		"pool p: pin DE: the pool has no edge par": pool(func(p *Pool) { p.Edges, p.Pins = []string{"fra"}, []Pin{{Country: "DE", Edge: "par"}} }),
		`pool p: pin "": write a prefix`:           pool(func(p *Pool) { p.Pins = []Pin{{Edge: "fra"}} }),
		"pool p: 192.0.2.0/24 is pinned twice: remove one": pool(func(p *Pool) {
			prefix := netip.MustParsePrefix("192.0.2.0/24")
			p.Pins = []Pin{{Prefix: prefix, Edge: "fra"}, {Country: "DE", Edge: "par"}, {Prefix: prefix, Edge: "par"}}
		}),
		"pool p: DE is pinned twice":                    pool(func(p *Pool) { p.Pins = []Pin{{Country: "DE", Edge: "fra"}, {Country: "DE", Edge: "fra"}} }),
		"pool p: pin AS1: give exactly one of":          pool(func(p *Pool) { p.Pins = []Pin{{ASN: 1, Country: "DE", Edge: "fra"}} }),
		"pool p: pin 192.0.2.0/24: give exactly one of": pool(func(p *Pool) { p.Pins = []Pin{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), ASN: 1, Edge: "fra"}} }),
		"pool p: pin de: give exactly one of":           pool(func(p *Pool) { p.Pins = []Pin{{Country: "de", Edge: "fra"}} }),
		"ramp -1s is negative":                          {Sources: own, Edges: []Edge{edgeAt("fra", "x")}, Ramp: -time.Second},
		"pool p has no edge of its own: all are":        pool(func(p *Pool) { p.Parents = [][]string{{"fra"}, {"par"}} }),
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	for _, m := range []Mode{Auto, Drain, Disabled, ForcedUp} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("down"); err == nil {
		t.Error("down is a mode")
	}
}
