// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func names(ranked []Decision) string {
	var all []string
	for i := range ranked {
		all = append(all, ranked[i].Edge.Name)
	}
	return strings.Join(all, " ")
}

// In random worlds a rank begins with Route's decision, has every edge that is up and
// may serve once and no other, and goes on as if those before were not there.
func TestRank(t *testing.T) {
	t.Parallel()
	lengths := make(map[int]int)
	for seed := range 2000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 11))
		w := drawWorld(rng)
		r := w.router(t, rng)
		for range 10 {
			q := w.drawQuery(rng)
			d, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			ranked, err := r.Rank(q, 0)
			if err != nil {
				t.Fatal(err)
			}
			lengths[len(ranked)]++
			if d.Edge == nil {
				if len(ranked) > 0 {
					t.Fatalf("world %d, %+v: ranked %s, but there is %s", seed, q, names(ranked), d.Reason)
				}
				continue
			}
			if len(ranked) == 0 || said(&ranked[0]) != said(&d) {
				t.Fatalf("world %d, %+v: ranked %s, but routed to %s", seed, q, names(ranked), d.Edge.Name)
			}
			got, want := sorted(names(ranked)), w.mayServe(&q)
			if d.Reason == Panic { // one that is down is better than none, but no more of them
				want = d.Edge.Name
			}
			if got != want {
				t.Fatalf("world %d, %+v: ranked %s, want %s", seed, q, got, want)
			}
			for most := 1; most <= len(ranked); most++ {
				if some, _ := r.Rank(q, most); names(some) != names(ranked[:most]) {
					t.Fatalf("world %d, %+v: the first %d of %s are %s", seed, q, most, names(ranked), names(some))
				}
			}
			checkWithout(t, w, ranked, q)
		}
	}
	for _, length := range []int{0, 1, 2, 3, 4} {
		if lengths[length] < 100 {
			t.Errorf("only %d ranks of length %d", lengths[length], length)
		}
	}
}

// checkWithout holds the second of a rank against the oracle's decision in a
// world in which the operator has taken the first out.
func checkWithout(t *testing.T, w *world, ranked []Decision, q Query) {
	t.Helper()
	if len(ranked) < 2 {
		return
	}
	before := w.modes
	w.modes = map[string]Mode{ranked[0].Edge.Name: Disabled}
	for edge, mode := range before {
		if edge != ranked[0].Edge.Name {
			w.modes[edge] = mode
		}
	}
	v, winners := w.decide(q)
	w.modes = before
	got := said(&ranked[1])
	if v.edge = got.edge; got != v || !slices.Contains(winners, got.edge) {
		t.Fatalf("%+v: after %s comes %+v, want %+v of %v", q, ranked[0].Edge.Name, got, v, winners)
	}
}

func sorted(s string) string {
	fields := strings.Fields(s)
	slices.Sort(fields)
	return strings.Join(fields, " ")
}

// mayServe returns the edges that may serve a request that is no cache fill, and are up.
func (w *world) mayServe(q *Query) string {
	pool := &w.pools[slices.IndexFunc(w.pools, func(p Pool) bool { return p.Name == q.Pool })]
	const bearable = 1
	var may []string
	for _, e := range slices.Concat(w.groups(pool)...) {
		if w.against(pool, e, q) <= bearable {
			may = append(may, e.Name)
		}
	}
	return sorted(strings.Join(may, " "))
}

// Where nothing but cost tells edges apart, they are in the order of cost.
func TestRankGoesByCost(t *testing.T) {
	t.Parallel()
	for seed := range 500 {
		rng := rand.New(rand.NewPCG(uint64(seed), 12))
		w := drawWorld(rng)
		w.health, w.modes = nil, nil
		for i := range w.pools {
			p := &w.pools[i]
			*p = Pool{Name: p.Name, Edges: p.Edges}
		}
		r := w.router(t, rng)
		for range 10 {
			q := w.drawQuery(rng)
			q.Failed = nil
			ranked, err := r.Rank(q, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(ranked); i++ {
				a, b := &ranked[i-1], &ranked[i]
				if math.IsNaN(a.Cost) && !math.IsNaN(b.Cost) || b.Maps != nil && b.Maps.Costs[0].info.better(b.Cost, a.Cost) {
					t.Fatalf("world %d, %+v: %s costs %v, %s after it costs %v", seed, q, a.Edge.Name, a.Cost, b.Edge.Name, b.Cost)
				}
			}
		}
	}
}

// ring is three edges, one of them a parent of the others.
func ring(t *testing.T) *Router {
	t.Helper()
	cfg := Config{
		Sources: []Source{{Name: "own"}},
		Edges: []Edge{
			{Name: "a", URL: mustURL("https://a.example.net"), PIDs: []SourcePID{{PID: "near"}}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
			{Name: "b", URL: mustURL("https://b.example.net:8443"), PIDs: []SourcePID{{PID: "far"}}},
			{Name: "c", URL: mustURL("https://c.example.net"), PIDs: []SourcePID{{PID: "far"}}, Capacity: 1000},
		},
		Pools: []Pool{{Name: "all", Edges: []string{"a", "b"}, Parents: [][]string{{"c"}}}, {Name: "up", Edges: []string{"c"}}},
	}
	return mustRouter(t, cfg, "own", []string{"near 192.0.2.0/24", "far 198.51.100.0/24"}, "near near 1", "near far 9", "far far 1", "far near 5")
}

func TestRelay(t *testing.T) {
	t.Parallel()
	r := ring(t)
	near := netip.MustParseAddr("192.0.2.9")
	for name, test := range map[string]struct {
		pool, client string
		loop         []string
		want         string
	}{
		"a client":               {"all", "192.0.2.9", nil, "a b c"},
		"another CDN":            {"all", "192.0.2.9", []string{"other.example"}, "a b c"},
		"from an address":        {"all", "192.0.2.1", nil, "b c"},
		"from a mapped address":  {"all", "::ffff:192.0.2.1", nil, "b c"},
		"from a host":            {"all", "192.0.2.9", []string{"A.example.net"}, "b c"},
		"from a host and port":   {"all", "192.0.2.9", []string{"other, b.example.net:8443; v=1"}, "a c"},
		"from two hosts":         {"all", "192.0.2.9", []string{"a.example.net", "b.example.net"}, "c"},
		"from all hosts":         {"all", "192.0.2.9", []string{"a.example.net, b.example.net, c.example.net"}, ""},
		"from who knows where":   {"all", "192.0.2.9", []string{"altoroute"}, "a b c"},
		"to the parents":         {"up", "192.0.2.1", []string{"a.example.net"}, "c"},
		"has been at many edges": {"all", "192.0.2.9", []string{strings.Repeat("altoroute, ", maxHops-1)}, "a b c"},
		"goes round":             {"all", "192.0.2.9", []string{"altoroute", strings.Repeat("altoroute, ", maxHops-1)}, ""},
	} {
		q := Query{Pool: test.pool, Client: netip.MustParseAddr(test.client), CDNLoop: test.loop}
		ranked, err := r.Relay(q, 0)
		if err != nil || names(ranked) != test.want {
			t.Errorf("%s: %s, %v, want %s", name, names(ranked), err, test.want)
		}
		first, err := r.RelayFirst(q, nil)
		if none := first.Edge == nil && first.Reason == NoEdge && first.How == Unplaced && math.IsNaN(first.Cost); err != nil || first.Pool != test.pool || none != (test.want == "") || !none && first.Edge != ranked[0].Edge {
			t.Errorf("%s: the first is %+v, %v", name, first, err)
		}
		for i := range ranked {
			if ranked[i].Source != "own" {
				t.Errorf("%s: a fill is placed like a client, not by %s", name, ranked[i].How)
			}
		}
	}
	if ranked, err := r.Rank(Query{Pool: "all", Client: near, CDNLoop: []string{"altoroute"}}, 0); err != nil || len(ranked) > 0 {
		t.Errorf("a cache fill is ranked %s, %v", names(ranked), err)
	}
	if _, err := r.RelayFirst(Query{Pool: "none"}, nil); !errors.Is(err, ErrNoSuchPool) {
		t.Errorf("error %v", err)
	}
	for _, f := range []func(Query, int) ([]Decision, error){r.Rank, r.Relay} {
		if _, err := f(Query{Pool: "none"}, 0); !errors.Is(err, ErrNoSuchPool) {
			t.Errorf("error %v", err)
		}
	}
}

// TestRankLeavesOutWhatIsDown: clients are told of no edge that checks say is down,
// unless there is no other.
func TestRankLeavesOutWhatIsDown(t *testing.T) {
	t.Parallel()
	cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("near", "here"), edgeAt("middle", "there"), edgeAt("far", "away")}}
	r := mustRouter(t, cfg, "own", []string{"here 10.0.0.0/8", "there", "away"}, "here here 1", "there here 2", "away here 3")
	q := Query{Client: netip.MustParseAddr("10.1.2.3")}
	down := Condition{IPv4: Down, IPv6: Down}
	for _, c := range []struct {
		down, rank, relay string
	}{{"", "near middle far", "near middle far"}, {"middle far", "near", "near middle far"}, {"near far", "middle", "middle near far"}, {"near middle far", "near", "near middle far"}} {
		is := map[string]Condition{"near": {}, "middle": {}, "far": {}}
		for e := range strings.FieldsSeq(c.down) {
			is[e] = down
		}
		r.Learn(is, epoch)
		rank, _ := r.Rank(q, 0)
		relay, _ := r.Relay(q, 0)
		if names(rank) != c.rank || names(relay) != c.relay {
			t.Errorf("down %s: rank %s, relay %s", c.down, names(rank), names(relay))
		}
	}
}

// TestRelayFirstAmong: only some edges come into question.
func TestRelayFirstAmong(t *testing.T) {
	t.Parallel()
	r := ring(t)
	q := Query{Pool: "all", Client: netip.MustParseAddr("192.0.2.9"), CDNLoop: []string{"a.example.net"}}
	for among, want := range map[string]string{"a b c": "b", "a c": "c", "c": "c", "a": "", "": ""} {
		d, err := r.RelayFirst(q, func(e *Edge) bool { return slices.Contains(strings.Fields(among), e.Name) })
		if err != nil || (d.Edge == nil) != (want == "") || d.Edge != nil && d.Edge.Name != want {
			t.Errorf("among %s: %+v, %v", among, d, err)
		}
	}
}

// TestRankIsCheap: a header that anybody may send, and a rank of a few edges of many, cost
// little.
func TestRankIsCheap(t *testing.T) {
	r, m := manyMaps(t, 5000, 20, 1)
	if err := r.Update("own", m); err != nil {
		t.Fatal(err)
	}
	q := Query{Client: clientIn(5).Next(), CDNLoop: []string{"altoroute"}}
	if n := testing.AllocsPerRun(10, func() { _, _ = r.Relay(q, 4) }); n > 20 {
		t.Errorf("a relay of a request that says it is a cache fill allocates %v times", n)
	}
	q.CDNLoop = nil
	size := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Rank(q, 4)
		}
	}).AllocedBytesPerOp()
	if size > 5000 {
		t.Errorf("a rank of 4 of 5,000 edges takes %d bytes", size)
	}
}

// Ranking is no demand.
func TestRankCountsNothing(t *testing.T) {
	t.Parallel()
	r := ring(t)
	q := Query{Pool: "up", Client: netip.MustParseAddr("192.0.2.9")}
	now := time.Unix(0, 0)
	r.Tick(now)
	for range 100 {
		_, _ = r.Rank(q, 0)
		_, _ = r.Relay(q, 0)
	}
	now = now.Add(time.Second)
	r.Tick(now)
	if rate, _ := r.Traffic(r.Edges("up")[0]); rate != 0 {
		t.Errorf("ranking counts as %v requests per second", rate)
	}
	_, _ = r.Route(q)
	r.Tick(now.Add(time.Second))
	if rate, _ := r.Traffic(r.Edges("up")[0]); rate == 0 {
		t.Error("routing does not count: the test shows nothing")
	}
}

// In random worlds a client is located where Route has it.
func TestLocate(t *testing.T) {
	t.Parallel()
	placed := 0
	for seed := range 2000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 13))
		w := drawWorld(rng)
		r := w.router(t, rng)
		for range 10 {
			q := w.drawQuery(rng)
			d, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			at, err := r.Locate(q.Pool, q.Client)
			if err != nil {
				t.Fatal(err)
			}
			pool, _ := r.pool(q.Pool)
			if d.Reason == CacheFill || pool.GuidanceOff {
				continue
			}
			if at.Source != d.Source || at.PID != d.PID {
				t.Fatalf("world %d, %+v: located %+v, routed %+v", seed, q, at, d)
			}
			if at.PID != "" {
				placed++
			}
		}
	}
	if placed < 5000 {
		t.Errorf("only %d clients have a PID", placed)
	}
}

func TestLocateForAllPools(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Sources: []Source{{Name: "own"}},
		Edges: []Edge{
			{Name: "a", URL: mustURL("https://a.example.net"), PIDs: []SourcePID{{PID: "a"}}},
			{Name: "b", URL: mustURL("https://b.example.net"), PIDs: []SourcePID{{PID: "b"}}},
		},
		Pools:   []Pool{{Name: "a", Edges: []string{"a"}}, {Name: "b", Edges: []string{"b"}, GuidanceOff: true}},
		Default: SourcePID{PID: "a"},
	}
	r := mustRouter(t, cfg, "own", []string{"a 192.0.2.0/24", "b 198.51.100.0/24", "c 203.0.113.0/24"}, "a a 1", "b b 1")
	for client, want := range map[string][3]string{ // as a, b and all see it
		"192.0.2.1":    {"own/a", "own/a", "own/a"},
		"198.51.100.1": {"own/a", "own/b", "own/b"},
		"203.0.113.1":  {"own/a", "own/c", "own/a"},
		"2001:db8::1":  {"own/a", "own/a", "own/a"},
	} {
		for i, pool := range []string{"a", "b", ""} {
			at, err := r.Locate(pool, netip.MustParseAddr(client))
			if got := at.String(); err != nil || got != want[i] {
				t.Errorf("pool %q sees %s as %s, %v, want %s", pool, client, got, err, want[i])
			}
		}
	}
	if _, err := r.Locate("none", netip.Addr{}); !errors.Is(err, ErrNoSuchPool) {
		t.Errorf("error %v", err)
	}
}
