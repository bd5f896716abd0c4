// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// The oracle decides by brute force from lists: no tree, no ranking made in
// advance, no integer logarithm. It is slow and meant to be obviously right.

// world is a randomly drawn configuration and everything its sources say.
type world struct {
	sources []sourceSays
	edges   []Edge
	pools   []Pool
	def     SourcePID
	places  map[netip.Prefix]*Place
	mistake mistake
}

type sourceSays struct {
	name  string
	only  []netip.Prefix
	given bool
	pids  []string
	owned []ownedPrefix
	costs map[[2]string]float64
	info  CostInfo
}

type ownedPrefix struct {
	pid    string
	prefix netip.Prefix
}

// mistake is an error that the oracle makes on purpose, to show that the
// comparison would notice.
type mistake int

const (
	none mistake = iota
	costsSwapped
	insertionOrder
	undefinedIsZero
)

// verdict is what both sides must agree on.
type verdict struct {
	edge        string
	how         Placement
	source, pid string
	prefix      netip.Prefix
	cost        float64 // -1 for undefined: NaN is not comparable
	reason      Reason
}

func (w *world) match(s *sourceSays, addr netip.Addr, catchAll bool) (best ownedPrefix, found bool) {
	for _, o := range s.owned {
		if o.prefix.Contains(addr) && (o.prefix.Bits() == 0) == catchAll {
			if !found || o.prefix.Bits() > best.prefix.Bits() && w.mistake != insertionOrder {
				best, found = o, true
			}
		}
	}
	return best, found
}

func (w *world) edgePID(s *sourceSays, e *Edge) (string, bool) {
	for _, p := range e.PIDs {
		if p.Source == s.name {
			return p.PID, slices.Contains(s.pids, p.PID)
		}
	}
	for _, a := range e.Addrs {
		for _, catchAll := range []bool{false, true} {
			if o, ok := w.match(s, a, catchAll); ok {
				return o.pid, true
			}
		}
	}
	return "", false
}

func (w *world) cost(s *sourceSays, e *Edge, client string) float64 {
	pid, ok := w.edgePID(s, e)
	if !ok {
		return math.NaN()
	}
	pair := [2]string{pid, client}
	if w.mistake == costsSwapped {
		pair = [2]string{client, pid}
	}
	if c, ok := s.costs[pair]; ok {
		return c
	}
	if w.mistake == undefinedIsZero {
		return 0
	}
	return math.NaN()
}

func (w *world) poolEdges(p *Pool) []*Edge {
	var es []*Edge
	for i := range w.edges {
		if len(p.Edges) == 0 || slices.Contains(p.Edges, w.edges[i].Name) {
			es = append(es, &w.edges[i])
		}
	}
	return es
}

type rung struct {
	how    Placement
	source *sourceSays
	pid    string
	prefix netip.Prefix
}

func (w *world) ladder(client netip.Addr) []rung {
	var byPrefix, catchAll, rest []rung
	for i := range w.sources {
		s := &w.sources[i]
		inside := len(s.only) == 0 || slices.ContainsFunc(s.only, func(p netip.Prefix) bool { return p.Contains(client) })
		if !s.given || !inside {
			continue
		}
		if o, ok := w.match(s, client, false); ok {
			byPrefix = append(byPrefix, rung{ByPrefix, s, o.pid, o.prefix})
		}
		if o, ok := w.match(s, client, true); ok {
			catchAll = append(catchAll, rung{ByCatchAll, s, o.pid, o.prefix})
		}
	}
	slices.SortStableFunc(byPrefix, func(a, b rung) int { return cmp.Compare(b.prefix.Bits(), a.prefix.Bits()) })
	named := func(how Placement, p SourcePID) []rung {
		for i := range w.sources {
			if s := &w.sources[i]; s.name == p.Source && s.given && slices.Contains(s.pids, p.PID) {
				return []rung{{how: how, source: s, pid: p.PID}}
			}
		}
		return nil
	}
	if place := w.Locate(client); place != nil {
		for _, p := range place.PIDs {
			rest = append(rest, named(ByGeo, p)...)
		}
	}
	rest = append(rest, catchAll...)
	rest = append(rest, named(ByDefault, w.def)...)
	return append(byPrefix, rest...)
}

func (w *world) Locate(client netip.Addr) *Place {
	for p, place := range w.places {
		if p.Contains(client) {
			return place
		}
	}
	return nil
}

func (w *world) fill(q *Query) bool {
	for i := range w.edges {
		if slices.Contains(w.edges[i].Addrs, q.Client) {
			return true
		}
	}
	return slices.Contains(q.CDNLoop, "altoroute") // worlds draw nothing subtler
}

// bids returns the winners by floating point: several where it cannot tell.
func (w *world) winners(es []*Edge, q *Query) []string {
	least, names := math.Inf(1), []string(nil)
	score := func(e *Edge) float64 {
		var b []byte
		for _, part := range []uint64{xxhash.Sum64String(q.Path), xxhash.Sum64String(e.Name)} {
			for i := range 8 {
				b = append(b, byte(part>>(8*i)))
			}
		}
		return -math.Log2((float64(xxhash.Sum64(b))+1)/math.Exp2(64)) / float64(max(e.Weight, 1))
	}
	for _, e := range es {
		least = min(least, score(e))
	}
	for _, e := range es {
		if score(e) <= least+1e-8 {
			names = append(names, e.Name)
		}
	}
	return names
}

func (w *world) decide(q Query) (verdict, []string) {
	var pool *Pool
	for i := range w.pools {
		if w.pools[i].Name == q.Pool {
			pool = &w.pools[i]
		}
	}
	v := verdict{how: Unplaced, cost: -1}
	if w.fill(&q) {
		v.reason = CacheFill
		return v, nil
	}
	all := w.poolEdges(pool)
	rungs := w.ladder(q.Client)
	var at *rung
	for i := range rungs {
		if slices.ContainsFunc(all, func(e *Edge) bool { return !math.IsNaN(w.cost(rungs[i].source, e, rungs[i].pid)) }) {
			at = &rungs[i]
			break
		}
	}
	var eligible []*Edge
	for _, e := range all {
		if (!q.HTTPS || e.URL.Scheme != "http") && (e.Family == AnyFamily || !q.Client.IsValid() || (e.Family == IPv4) == q.Client.Is4()) {
			eligible = append(eligible, e)
		}
	}
	if at == nil {
		v.reason = NoGuidance
		band := eligible
		if len(rungs) > 0 {
			first := rungs[0]
			v.source, v.pid, v.prefix = first.source.name, first.pid, first.prefix
			var same []*Edge
			for _, e := range eligible {
				if pid, ok := w.edgePID(first.source, e); ok && pid == first.pid {
					same = append(same, e)
				}
			}
			if len(same) > 0 {
				band, v.reason = same, SamePID
			}
		}
		if len(eligible) == 0 {
			v.reason = NoEdge
			return v, nil
		}
		return v, w.winners(band, &q)
	}
	v.how, v.source, v.pid, v.prefix = at.how, at.source.name, at.pid, at.prefix
	if len(eligible) == 0 {
		v.reason = NoEdge
		return v, nil
	}
	// Costs that are better when higher are compared by their negatives.
	sign := 1.0
	if at.source.info.HigherIsBetter {
		sign = -1
	}
	tolerance := pool.Tolerance
	if at.source.info.OrderOnly {
		tolerance = 0
	}
	least := func(es []*Edge) float64 {
		m := math.Inf(1)
		for _, e := range es {
			if c := w.cost(at.source, e, at.pid); !math.IsNaN(c) {
				m = min(m, sign*c)
			}
		}
		return m
	}
	of, ofAll := least(eligible), least(all)
	var band []*Edge
	for _, e := range eligible {
		c := sign * w.cost(at.source, e, at.pid)
		if math.IsInf(of, 1) || c <= of+math.Abs(of)*tolerance {
			band = append(band, e)
		}
	}
	names := w.winners(band, &q)
	for _, e := range band {
		if e.Name == names[0] {
			switch c := w.cost(at.source, e, at.pid); {
			case math.IsNaN(c):
				v.reason = UndefinedCost
			default:
				v.cost = c
				switch {
				case sign*c == ofAll:
					v.reason = Cheapest
				case sign*c <= ofAll+math.Abs(ofAll)*tolerance:
					v.reason = WithinTolerance
				default:
					v.reason = NextCheapest
				}
			}
		}
	}
	return v, names
}

// draw

func drawWorld(rng *rand.Rand) *world {
	w := &world{places: make(map[netip.Prefix]*Place)}
	chance := func(p float64) bool { return rng.Float64() < p }
	prefix := func() netip.Prefix {
		a := drawAddr(rng)
		bits := rng.IntN(a.BitLen() + 1)
		if chance(0.3) {
			bits = 8 * rng.IntN(4)
		}
		if chance(0.05) {
			bits = 0
		}
		p, _ := a.Prefix(bits)
		return p
	}
	for i := range 1 + rng.IntN(3) {
		s := sourceSays{name: fmt.Sprintf("s%d", i), given: chance(0.9), costs: make(map[[2]string]float64)}
		s.info = CostInfo{Mode: "numerical", Metric: "routingcost", OrderOnly: chance(0.2), HigherIsBetter: chance(0.2)}
		owner := make(map[netip.Prefix]bool)
		for p := range 1 + rng.IntN(6) {
			pid := fmt.Sprintf("p%d", p)
			s.pids = append(s.pids, pid)
			for range rng.IntN(5) {
				if p := prefix(); !owner[p] {
					owner[p] = true
					s.owned = append(s.owned, ownedPrefix{pid, p})
				}
			}
		}
		if len(s.owned) == 0 {
			s.owned = append(s.owned, ownedPrefix{"p0", netip.MustParsePrefix("10.0.0.0/8")})
		}
		values := []float64{0, 1, 1, 1.05, 2, 2.2, 5, 10, 10.5}
		defined := []float64{0.1, 0.5, 0.9}[rng.IntN(3)]
		s.costs[[2]string{"elsewhere", "p0"}] = 1 // ignored: the network map has no such PID
		for _, a := range s.pids {
			for _, b := range s.pids {
				if chance(defined) {
					s.costs[[2]string{a, b}] = values[rng.IntN(len(values))]
				}
			}
		}
		if len(s.costs) == 1 { // a map without a known pair is refused
			s.costs[[2]string{"p0", "p0"}] = 1
		}
		if chance(0.3) {
			s.only = append(s.only, prefix(), prefix())
		}
		w.sources = append(w.sources, s)
	}
	somePID := func() SourcePID {
		return SourcePID{fmt.Sprintf("s%d", rng.IntN(len(w.sources))), fmt.Sprintf("p%d", rng.IntN(7))}
	}
	for i := range 1 + rng.IntN(6) {
		e := Edge{Name: fmt.Sprintf("e%d", i), Weight: rng.IntN(4), Family: Family([]int{0, 0, 0, 0, 1, 2}[rng.IntN(6)])}
		e.URL = &url.URL{Scheme: []string{"https", "https", "http"}[rng.IntN(3)], Host: e.Name + ".example.net"}
		for range rng.IntN(3) {
			if p := somePID(); !slices.ContainsFunc(e.PIDs, func(o SourcePID) bool { return o.Source == p.Source }) {
				e.PIDs = append(e.PIDs, p)
			}
		}
		if len(e.PIDs) == 0 || chance(0.3) {
			e.Addrs = append(e.Addrs, drawAddr(rng), drawAddr(rng))
		}
		w.edges = append(w.edges, e)
	}
	for i := range 1 + rng.IntN(2) {
		p := Pool{Name: fmt.Sprintf("pool%d", i), Tolerance: []float64{0, 0, 0.1, 1}[rng.IntN(4)]}
		for j := range w.edges {
			if i > 0 && (j == 0 || chance(0.5)) {
				p.Edges = append(p.Edges, w.edges[j].Name)
			}
		}
		w.pools = append(w.pools, p)
	}
	if chance(0.4) {
		w.def = somePID()
	}
	if chance(0.6) {
		for i := range 4 {
			w.places[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)] = &Place{PIDs: []SourcePID{somePID(), somePID()}}
		}
		w.places[netip.MustParsePrefix("2001:db8::/32")] = &Place{Country: "DE", PIDs: []SourcePID{somePID()}}
	}
	return w
}

// drawAddr draws from a space so small that prefixes overlap and tie.
func drawAddr(rng *rand.Rand) netip.Addr {
	digit := func() byte { return []byte{0, 1, 2, 3, 128, 255}[rng.IntN(6)] }
	if rng.IntN(3) == 0 {
		a := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8}
		for _, i := range []int{4, 5, 7, 15} {
			a[i] = digit()
		}
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, digit(), digit(), digit()})
}

func (w *world) drawQuery(rng *rand.Rand) Query {
	q := Query{Pool: w.pools[rng.IntN(len(w.pools))].Name, Client: drawAddr(rng), HTTPS: rng.IntN(4) == 0}
	q.Path = fmt.Sprintf("/%x", rng.Uint32())
	switch rng.IntN(40) {
	case 0:
		q.Client = netip.Addr{}
	case 1:
		q.CDNLoop = []string{"other.example", "altoroute"}
	case 2:
		if as := w.edges[rng.IntN(len(w.edges))].Addrs; len(as) > 0 {
			q.Client = as[0]
		}
	}
	return q
}

// router builds the real thing from the same data.
func (w *world) router(t *testing.T, rng *rand.Rand) *Router {
	t.Helper()
	cfg := Config{Edges: slices.Clone(w.edges), Pools: slices.Clone(w.pools), Default: w.def}
	for _, s := range w.sources {
		cfg.Sources = append(cfg.Sources, Source{Name: s.name, Only: s.only})
	}
	rng.Shuffle(len(cfg.Edges), func(i, j int) { cfg.Edges[i], cfg.Edges[j] = cfg.Edges[j], cfg.Edges[i] })
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.places) > 0 {
		r.SetLocator(w)
	}
	for i := range w.sources {
		if s := &w.sources[i]; s.given {
			if err := r.Update(s.name, s.maps(t, r, rng)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func (s *sourceSays) maps(t *testing.T, r *Router, rng *rand.Rand) *Maps {
	t.Helper()
	var b NetworkMapBuilder
	owned := slices.Clone(s.owned)
	for _, i := range rng.Perm(len(s.pids)) {
		if err := b.PID(s.pids[i]); err != nil {
			t.Fatal(err)
		}
		for _, o := range owned {
			if o.pid == s.pids[i] {
				if err := b.Prefix(o.prefix); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tag := VersionTag{"map", "1"}
	network, err := b.Build(tag)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCostMapBuilder(network, r.Rows(s.name, network))
	for pair, cost := range s.costs {
		c.Row(pair[0])
		c.Cost(pair[1], cost)
	}
	costs, err := c.Build(s.info, tag, len(s.costs))
	if err != nil {
		t.Fatal(err)
	}
	return &Maps{Network: network, Costs: []*CostMap{costs}}
}

func said(d *Decision) verdict {
	v := verdict{how: d.How, source: d.Source, pid: d.PID, prefix: d.Prefix, cost: d.Cost, reason: d.Reason}
	if math.IsNaN(v.cost) {
		v.cost = -1
	}
	if d.Edge != nil {
		v.edge = d.Edge.Name
	}
	return v
}

// compare runs worlds and returns how often router and oracle differed, and
// how often each branch of the decision was taken.
func compare(t *testing.T, worlds, queries int, m mistake, report bool) (differences int, branches map[string]int) {
	t.Helper()
	branches = make(map[string]int)
	for seed := range worlds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		w := drawWorld(rng)
		w.mistake = m
		r := w.router(t, rng)
		for range queries {
			q := w.drawQuery(rng)
			got, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			want, names := w.decide(q)
			g := said(&got)
			if slices.Contains(names, g.edge) || len(names) == 0 {
				want.edge = g.edge
				if len(names) == 0 {
					want.edge = ""
				}
			}
			branches["how "+g.how.String()]++
			branches["reason "+string(g.reason)]++
			branches[fmt.Sprintf("sources %d", len(w.sources))]++
			if g != want {
				differences++
				if report && differences <= 5 {
					t.Errorf("world %d, %+v:\n got %+v\nwant %+v of %v", seed, q, g, want, names)
				}
			}
			checkExplained(t, r, &got, q)
		}
	}
	return differences, branches
}

// checkExplained holds an explanation against the decision it explains.
func checkExplained(t *testing.T, r *Router, d *Decision, q Query) {
	t.Helper()
	e, err := r.Explain(q, &url.URL{Path: q.Path})
	if err != nil {
		t.Fatal(err)
	}
	if said(&e.Decision) != said(d) {
		t.Fatalf("explained another decision: %+v, not %+v", said(&e.Decision), said(d))
	}
	if d.Reason == CacheFill {
		return
	}
	pool, _ := r.pool(q.Pool)
	chosen := 0
	for i, c := range e.Candidates {
		if c.Chosen {
			chosen++
		}
		if c.Why == "" {
			t.Fatalf("candidate %s without a why", c.Edge)
		}
		if i > 0 && c.Rank < e.Candidates[i-1].Rank {
			t.Fatalf("candidates out of order: %+v", e.Candidates)
		}
	}
	if len(e.Candidates) != len(pool.edges) || (chosen == 1) != (d.Edge != nil) || chosen > 1 {
		t.Fatalf("%d candidates of %d edges, %d chosen", len(e.Candidates), len(pool.edges), chosen)
	}
}

func TestRouteAgainstOracle(t *testing.T) {
	const least = 1000
	differences, branches := compare(t, 10_000, 25, none, true)
	if differences > 0 {
		t.Errorf("%d differences", differences)
	}
	for _, b := range []string{
		"how prefix", "how geo", "how catch_all", "how default", "how none",
		"reason cheapest", "reason within_tolerance", "reason next_cheapest", "reason undefined_cost",
		"reason same_pid", "reason no_guidance", "reason no_edge", "reason cache_fill",
		"sources 1", "sources 2", "sources 3",
	} {
		t.Logf("%-24s %7d", b, branches[b])
		if branches[b] < least {
			t.Errorf("branch %q was taken %d times, want at least %d", b, branches[b], least)
		}
	}
}

// TestOracleNoticesMistakes shows that the comparison has teeth: an oracle that
// makes one of these mistakes disagrees with the router.
func TestOracleNoticesMistakes(t *testing.T) {
	for name, m := range map[string]mistake{
		"cost direction swapped":              costsSwapped,
		"prefixes matched in insertion order": insertionOrder,
		"undefined cost taken as zero":        undefinedIsZero,
	} {
		differences, _ := compare(t, 500, 25, m, false)
		t.Logf("%s: %d of 12500 decisions differ", name, differences)
		if differences < 100 {
			t.Errorf("%s: only %d differences", name, differences)
		}
	}
}
