// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"
)

// Random worlds for the oracle: small, so that prefixes overlap, costs tie and
// every branch of the decision is met.

// world is a randomly drawn configuration and everything its sources say.
type world struct {
	sources []sourceSays
	edges   []Edge
	pools   []Pool
	def     SourcePID
	places  map[netip.Prefix]*Place
	health  map[string]Condition
	modes   map[string]Mode
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
		if chance(0.1) {
			e.Serves = drawClass(rng)
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
		w.drawPolicy(&p, rng)
		w.pools = append(w.pools, p)
	}
	if chance(0.4) {
		w.drawCondition(rng)
	}
	if chance(0.4) {
		w.def = somePID()
	}
	if chance(0.6) {
		for i := range 4 {
			w.places[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)] = &Place{ASN: 64500 + uint32(rng.IntN(2)), Country: []string{"", "DE", "FR"}[i%3], PIDs: []SourcePID{somePID(), somePID()}}
		}
		w.places[netip.MustParsePrefix("2001:db8::/32")] = &Place{Country: "DE", PIDs: []SourcePID{somePID()}}
	}
	return w
}

// drawPolicy draws what a pool may have beside edges and costs, sparingly: the
// plain case must stay the most common.
func (w *world) drawPolicy(p *Pool, rng *rand.Rand) {
	chance := func(x float64) bool { return rng.Float64() < x }
	if chance(0.3) {
		for range 1 + rng.IntN(2) {
			var group []string
			for _, e := range w.edges {
				used := slices.Concat(append([][]string{p.Edges}, p.Parents...)...)
				if chance(0.4) && !slices.Contains(used, e.Name) && len(used)+len(group) < len(w.edges)-1 {
					group = append(group, e.Name)
				}
			}
			if len(group) > 0 {
				p.Parents = append(p.Parents, group)
			}
		}
	}
	if chance(0.1) {
		p.Serves = drawClass(rng)
	}
	p.GuidanceOff = chance(0.05)
	p.Panic = []float64{0, 0, 0, -1}[rng.IntN(4)]
	for range rng.IntN(8) - 5 {
		edges := slices.Concat(w.groups(p)...)
		to := edges[rng.IntN(len(edges))].Name
		clients := []string{"AS64500", "AS64501", "DE", drawAddr(rng).String()}[rng.IntN(4)]
		if chance(0.5) {
			prefix, _ := drawAddr(rng).Prefix(rng.IntN(20))
			clients = prefix.String()
		}
		pin, err := ParsePin(clients, to)
		if err != nil {
			panic(err)
		}
		if !slices.ContainsFunc(p.Pins, func(o Pin) bool { return o.Clients() == pin.Clients() }) {
			p.Pins = append(p.Pins, pin)
		}
	}
}

func drawClass(rng *rand.Rand) Class {
	return []Class{
		{Hosts: []string{"a.example", "*.b.example"}},
		{Paths: []string{"/1*"}},
		{Schemes: []string{"https"}},
		{Countries: []string{"DE"}},
		{Hosts: []string{"a.example"}, Countries: []string{"FR", "DE"}},
	}[rng.IntN(5)]
}

// drawCondition draws how the edges are.
func (w *world) drawCondition(rng *rand.Rand) {
	w.health, w.modes = make(map[string]Condition), make(map[string]Mode)
	down := []float64{0, 0.2, 0.9}[rng.IntN(3)]
	health := func() Health {
		if rng.Float64() < down {
			return Down
		}
		return Health(rng.IntN(3))
	}
	for _, e := range w.edges {
		w.health[e.Name] = Condition{IPv4: health(), IPv6: health()}
		if rng.IntN(6) == 0 {
			w.modes[e.Name] = []Mode{Disabled, ForcedUp}[rng.IntN(2)]
		}
	}
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
	q.Host = []string{"a.example", "b.example", "x.b.example"}[rng.IntN(3)]
	if rng.IntN(8) == 0 {
		q.Failed = []string{w.edges[0].Name, w.edges[rng.IntN(len(w.edges))].Name}
	}
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
	r.Learn(w.health, time.Unix(0, 0))
	for edge, mode := range w.modes {
		if err := r.Set(edge, Setting{Mode: mode}, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
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
