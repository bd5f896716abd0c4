// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The oracle decides by brute force from lists: no tree, no ranking made in
// advance, no integer logarithm. It is slow and meant to be obviously right.

// mistake is an error that the oracle makes on purpose, to show that the
// comparison would notice.
type mistake int

const (
	none mistake = iota
	costsSwapped
	insertionOrder
	undefinedIsZero
	unknownIsDown
	parentsAtOnce
)

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

// groups returns the edges of a pool, then those of its parents.
func (w *world) groups(p *Pool) [][]*Edge {
	groups := make([][]*Edge, 1+len(p.Parents))
	for i := range w.edges {
		e := &w.edges[i]
		at := slices.IndexFunc(p.Parents, func(names []string) bool { return slices.Contains(names, e.Name) })
		if at >= 0 && w.mistake != parentsAtOnce {
			groups[at+1] = append(groups[at+1], e)
		} else if at >= 0 || len(p.Edges) == 0 || slices.Contains(p.Edges, e.Name) {
			groups[0] = append(groups[0], e)
		}
	}
	return groups
}

// against says how much speaks against an edge: 0 nothing, 1 the client could
// not reach it, 2 checks, 3 it must not serve.
func (w *world) against(p *Pool, e *Edge, q *Query) int {
	place := w.Locate(q.Client)
	fits := func(c Class) bool {
		host := len(c.Hosts) == 0
		for _, h := range c.Hosts {
			host = host || h == q.Host || h[0] == '*' && strings.HasSuffix(q.Host, h[1:])
		}
		scheme := "http"
		if q.HTTPS {
			scheme = "https"
		}
		return host && (len(c.Schemes) == 0 || slices.Contains(c.Schemes, scheme)) &&
			(len(c.Paths) == 0 || strings.HasPrefix(q.Path, strings.TrimSuffix(c.Paths[0], "*"))) &&
			(len(c.Countries) == 0 || place != nil && slices.Contains(c.Countries, place.Country))
	}
	health := w.health[e.Name]
	down := func(h Health) bool { return h == Down || h == Unknown && w.mistake == unknownIsDown }
	bad := down(health.IPv4) && down(health.IPv6)
	if q.Client.Is4() {
		bad = down(health.IPv4)
	} else if q.Client.Is6() {
		bad = down(health.IPv6)
	}
	switch {
	case q.HTTPS && e.URL.Scheme == "http", w.modes[e.Name] == Disabled, !fits(p.Serves), !fits(e.Serves),
		e.Family != AnyFamily && q.Client.IsValid() && (e.Family == IPv4) != q.Client.Is4():
		return 3
	case bad && w.modes[e.Name] != ForcedUp:
		return 2
	case slices.Contains(q.Failed, e.Name):
		return 1
	}
	return 0
}

// pinned returns the edge to which the client is pinned, or nil.
func (w *world) pinned(p *Pool, client netip.Addr) *Edge {
	edge, best := "", -1
	for _, pin := range slices.Backward(p.Pins) {
		if prefix := pin.Prefix; prefix.Contains(client) && prefix.Bits() >= best {
			edge, best = pin.Edge, prefix.Bits()
		}
	}
	if place := w.Locate(client); edge == "" && place != nil {
		for _, pin := range p.Pins {
			if edge == "" && pin.ASN != 0 && pin.ASN == place.ASN {
				edge = pin.Edge
			}
		}
		for _, pin := range p.Pins {
			if edge == "" && pin.Country != "" && pin.Country == place.Country {
				edge = pin.Edge
			}
		}
	}
	for i := range w.edges {
		if w.edges[i].Name == edge {
			return &w.edges[i]
		}
	}
	return nil
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

// winners returns who wins by floating point: several where it cannot tell.
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
	groups := w.groups(pool)
	all := slices.Concat(groups...)
	var at, first *rung
	if !pool.GuidanceOff {
		rungs := w.ladder(q.Client)
		for i := range rungs {
			if first == nil {
				first = &rungs[i]
			}
			if slices.ContainsFunc(all, func(e *Edge) bool { return !math.IsNaN(w.cost(rungs[i].source, e, rungs[i].pid)) }) {
				at, first = &rungs[i], &rungs[i]
				v.how = at.how
				break
			}
		}
	}
	if first != nil {
		v.source, v.pid, v.prefix = first.source.name, first.pid, first.prefix
	}
	for bearable := range 3 {
		if bearable == 2 && pool.Panic < 0 {
			break
		}
		eligible := func(es []*Edge) (fit []*Edge) {
			for _, e := range es {
				if w.against(pool, e, &q) <= bearable {
					fit = append(fit, e)
				}
			}
			return fit
		}
		if e := w.pinned(pool, q.Client); e != nil && w.against(pool, e, &q) <= bearable {
			v.reason = Pinned
			if first != nil {
				if c := w.cost(first.source, e, first.pid); !math.IsNaN(c) {
					v.cost = c
				}
			}
			return w.inPanic(v, bearable), []string{e.Name}
		}
		for i, group := range groups {
			es := eligible(group)
			if len(es) == 0 {
				continue
			}
			names := w.among(&v, pool, &q, at, first, group, es)
			if i > 0 {
				v.reason = ParentGroup
			}
			return w.inPanic(v, bearable), names
		}
	}
	v.reason = NoEdge
	return v, nil
}

func (w *world) inPanic(v verdict, bearable int) verdict {
	if bearable == 2 {
		v.reason = Panic
	}
	return v
}

// among decides among the eligible edges of one group.
func (w *world) among(v *verdict, pool *Pool, q *Query, at, first *rung, group, eligible []*Edge) []string {
	guided := at != nil && slices.ContainsFunc(group, func(e *Edge) bool { return !math.IsNaN(w.cost(at.source, e, at.pid)) })
	if !guided {
		v.reason = NoGuidance
		switch {
		case at != nil:
			v.reason = UndefinedCost
		case pool.GuidanceOff:
			v.reason = GuidanceOff
		case first != nil:
			var same []*Edge
			for _, e := range eligible {
				if pid, ok := w.edgePID(first.source, e); ok && pid == first.pid {
					same = append(same, e)
				}
			}
			if len(same) > 0 {
				v.reason = SamePID
				return w.winners(same, q)
			}
		}
		return w.winners(eligible, q)
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
	of, ofAll := least(eligible), least(group)
	var band []*Edge
	for _, e := range eligible {
		c := sign * w.cost(at.source, e, at.pid)
		if math.IsInf(of, 1) || c <= of+math.Abs(of)*tolerance {
			band = append(band, e)
		}
	}
	names := w.winners(band, q)
	for _, e := range band {
		if e.Name != names[0] {
			continue
		}
		c := w.cost(at.source, e, at.pid)
		v.reason = UndefinedCost
		if !math.IsNaN(c) {
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
	return names
}
