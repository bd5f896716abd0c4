// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestShiftAgainstRecount holds a Shift against Routers that have the one and
// the other maps, with another source's ramp under way or not.
func TestShiftAgainstRecount(t *testing.T) {
	moved, uncosted := 0, 0
	for seed := range 300 {
		rng := rand.New(rand.NewPCG(uint64(seed), 13))
		w, other := drawWorld(rng), drawWorld(rng)
		r, with := w.router(t, rng), w.router(t, rng)
		says := other.sources[0]
		says.name = "s0"
		m := says.maps(t, r, rng)
		for i := range w.sources {
			name := w.sources[i].name
			if err := with.Update(name, r.Maps(name)); err != nil {
				t.Fatal(err)
			}
			if i == 0 || rng.IntN(2) == 0 {
				continue
			}
			says := other.sources[0]
			says.name = name
			incoming := says.maps(t, r, rng)
			for _, r := range []*Router{r, with} {
				if err := r.Introduce(name, incoming, Ramp{epoch.Add(-30 * time.Second), time.Minute}, epoch); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 100 {
			if _, err := r.Route(w.drawQuery(rng)); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				now := epoch.Add(time.Duration(i) * time.Second / 50)
				r.Tick(now)
				with.Tick(now)
			}
		}
		plan := r.plan.Load()
		got, err := r.Shift("s0", m)
		if err != nil {
			t.Fatal(err)
		}
		if r.plan.Load() != plan {
			t.Fatal("a question has put a plan in force")
		}
		if err := with.Update("s0", m); err != nil {
			t.Fatal(err)
		}
		all := r.sample.all()
		want := recount(t, r, with, all)
		sum := 0
		for i, move := range got.Moves {
			if sum += move.Count; want[Move{From: move.From, To: move.To}] != move.Count || i > 0 && move.Count > got.Moves[i-1].Count {
				t.Errorf("world %d: %+v, want %v", seed, got.Moves, want)
			}
		}
		if got.Sampled != len(all) || len(got.Moves) != min(len(want), maxMoves) || sum > got.Moved || len(want) <= maxMoves && sum != got.Moved {
			t.Errorf("world %d: %+v, want %v", seed, got, want)
		}
		for i := range r.edges {
			if is := slices.Contains(got.Uncosted, r.edges[i].Name); is != (w.costed(r, i, r.Maps("s0")) && !w.costed(r, i, m)) {
				t.Errorf("world %d: %s is uncosted: %v", seed, r.edges[i].Name, is)
			}
		}
		moved, uncosted = moved+got.Moved, uncosted+len(got.Uncosted)
		if same, err := r.Shift("s0", r.Maps("s0")); err != nil || same.Moved > 0 || same.Uncosted != nil || same.Share() != 0 {
			t.Fatalf("world %d: the maps in force move %+v, %v", seed, same, err)
		}
	}
	if t.Logf("%d moved, %d edges uncosted", moved, uncosted); moved < 1000 || uncosted < 50 {
		t.Error("this tested little")
	}
}

// recount routes what was sampled by both Routers.
func recount(t *testing.T, r, with *Router, all []sampled) map[Move]int {
	t.Helper()
	moves := make(map[Move]int)
	for _, s := range all {
		q := Query{Pool: s.pool.Name, Client: s.client, Path: s.path, RawQuery: s.rawQuery, Host: s.host, HTTPS: s.https}
		var edges [2]string
		for i, r := range []*Router{r, with} {
			d, err := r.Route(q)
			if err != nil {
				t.Fatal(err)
			}
			if d.Edge != nil {
				edges[i] = d.Edge.Name
			}
		}
		if edges[0] != edges[1] {
			moves[Move{From: edges[0], To: edges[1]}]++
		}
	}
	return moves
}

// costed reports whether an edge has a cost to any PID.
func (w *world) costed(r *Router, edge int, m *Maps) bool {
	if m == nil {
		return false
	}
	pid := r.edges[edge].locate("s0", m.Network)
	if pid == noPID {
		return false
	}
	for _, to := range m.Network.names {
		if _, ok := m.Costs[0].Cost(m.Network.names[pid], to); ok {
			return true
		}
	}
	return false
}

// TestShiftWithoutDivisions: what is divided anew every second is not taken for
// a move, nor is a ramp that is under way for more than it is.
func TestShiftWithoutDivisions(t *testing.T) {
	r := limitedPair(t, nil)
	_ = seconds(t, r, epoch, 20, 1000, 0)
	if r.plan.Load().pools[0].spreading == nil {
		t.Fatal("nothing is divided")
	}
	network := []string{"x", "there 172.16.0.0/12", "here 10.0.0.0/8"}
	same := mustMaps(t, r, "own", network, "here here 1", "there here 2", "here there 9", "there there 1")
	if s, err := r.Shift("own", same); err != nil || s.Moved > 0 || s.Sampled < 1000 {
		t.Errorf("%+v, %v", s, err)
	}
	other := mustMaps(t, r, "own", network, "there here 2")
	s, err := r.Shift("own", other)
	if err != nil || s.Share() != 1 || len(s.Moves) != 1 || s.Moves[0] != (Move{"small", "big", s.Sampled}) || !slices.Equal(s.Uncosted, []string{"small"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := r.Shift("own", nil); err != nil || s.Share() < 0.3 || len(s.Uncosted) != 2 {
		t.Errorf("without guidance: %+v, %v", s, err)
	}
	introduce(t, r, other, Ramp{epoch.Add(-10 * time.Second), 40 * time.Second}, epoch)
	if s, err := r.Shift("own", other); err != nil || math.Abs(s.Share()-0.75) > 0.06 {
		t.Errorf("after a quarter: %+v, %v", s, err)
	}
	if _, err := r.Shift("else", other); err == nil {
		t.Error("there is no such source")
	}
}

// TestShiftWithGuidanceOff: what moves when guidance is on again is told of while it
// is off, but not of a pool that never has any.
func TestShiftWithGuidanceOff(t *testing.T) {
	for name, c := range map[string]struct {
		pool  Pool
		set   PoolSetting
		moved bool
	}{
		"on":            {moved: true},
		"off by hand":   {set: PoolSetting{GuidanceOff: true}, moved: true},
		"never guided":  {pool: Pool{GuidanceOff: true}},
		"never, by two": {pool: Pool{GuidanceOff: true}, set: PoolSetting{GuidanceOff: true}},
	} {
		c.pool.Name, c.pool.Edges = "p", []string{"a", "b"}
		cfg := Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("a", "x"), edgeAt("b", "y")}, Pools: []Pool{c.pool}}
		network := []string{"x 192.0.2.0/25", "y 192.0.2.128/25"}
		r := mustRouter(t, cfg, "own", network, "x x 0", "x y 0", "y x 1", "y y 1")
		if err := r.SetPool("p", c.set, epoch); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			if _, err := r.Route(Query{Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Path: fmt.Sprint("/", i)}); err != nil {
				t.Fatal(err)
			}
		}
		s, err := r.Shift("own", mustMaps(t, r, "own", network, "x x 1", "x y 1", "y x 0", "y y 0"))
		want := 0
		if c.moved {
			want = s.Sampled
		}
		if err != nil || s.Sampled == 0 || s.Moved != want {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if off := r.plan.Load().pools[0].guidanceOff; off != (c.set.GuidanceOff || c.pool.GuidanceOff) {
			t.Errorf("%s: a question has turned guidance %v", name, !off)
		}
	}
}

// BenchmarkShift is on 1,000 PIDs, 50 edges and a full sample.
func BenchmarkShift(b *testing.B) {
	cfg := Config{Sources: []Source{{Name: "own"}}}
	for i := range 50 {
		cfg.Edges = append(cfg.Edges, edgeAt(fmt.Sprintf("e%d", i), fmt.Sprintf("p%d", i)))
	}
	draw := func(r *Router, seed uint64) *Maps {
		rng := rand.New(rand.NewPCG(seed, 0))
		var network, costs []string
		for i := range 1000 {
			network = append(network, fmt.Sprintf("p%d 10.%d.%d.0/24", i, i/256, i%256))
			for e := range 50 {
				costs = append(costs, fmt.Sprintf("p%d p%d %d", e, i, rng.IntN(100)))
			}
		}
		return mustMaps(b, r, "own", network, costs...)
	}
	r, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Update("own", draw(r, 1)); err != nil {
		b.Fatal(err)
	}
	for i := range 100 * sampleSize {
		q := Query{Client: netip.AddrFrom4([4]byte{10, byte(i / 256 % 4), byte(i), 1}), Path: fmt.Sprint("/", i)}
		if _, err := r.Route(q); err != nil {
			b.Fatal(err)
		}
		if i%100 == 0 {
			r.Tick(epoch.Add(time.Duration(i/100) * time.Second))
		}
	}
	m := draw(r, 2)
	b.ReportAllocs()
	for b.Loop() {
		if s, err := r.Shift("own", m); err != nil || s.Sampled != sampleSize {
			b.Fatal(s, err)
		}
	}
}
