// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/internal/mincost"
)

// A simulation sends requests of the world's clients through a Router whose
// edges have limits: 20 edges of unequal capacity, content by Zipf's law.
type simulation struct {
	t       testing.TB
	r       *Router
	rng     *rand.Rand
	clients []netip.Addr
	paths   []string
	zipf    []float64 // cumulated
	limits  []float64 // by edge
	demand  int       // requests per second
	evening float64   // the share of the demand that comes from some of the clients
	now     time.Time
}

const (
	simObjects = 100_000
	simDemand  = 100_000
)

// newSimulation loads the world map; the capacities together are such that the
// demand is the given share of them.
func newSimulation(t testing.TB, used float64) *simulation {
	t.Helper()
	if raceEnabled {
		t.Skip("one goroutine, and minutes of it: nothing for the race detector")
	}
	dir := os.Getenv("ALTOROUTE_WORLD")
	if dir == "" {
		t.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	s := &simulation{t: t, rng: rand.New(rand.NewPCG(1, 2)), demand: simDemand, now: epoch}
	var listed []struct{ Name, URL, PID string }
	s.check(json.Unmarshal(s.read(dir, "edges.json"), &listed))
	cfg := Config{Sources: []Source{{Name: "world"}}}
	var sum float64
	for i := range listed {
		s.limits = append(s.limits, math.Pow(10, float64(i*7%len(listed))/float64(len(listed)-1))) // 1 to 10
		sum += s.limits[i]
	}
	slices.SortFunc(listed, func(a, b struct{ Name, URL, PID string }) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	for i, e := range listed {
		s.limits[i] *= simDemand / used / sum
		u, err := url.Parse(e.URL)
		s.check(err)
		cfg.Edges = append(cfg.Edges, Edge{Name: e.Name, URL: u, PIDs: []SourcePID{{PID: e.PID}}, Capacity: s.limits[i]})
	}
	var err error
	s.r, err = New(cfg)
	s.check(err)
	s.loadMaps(dir)
	rows, err := csv.NewReader(bytes.NewReader(s.read(dir, "clients.csv"))).ReadAll()
	s.check(err)
	slices.SortStableFunc(rows[1:], func(a, b []string) int { return strings.Compare(a[1], b[1]) }) // by PID
	for _, row := range rows[1:] {
		s.clients = append(s.clients, netip.MustParseAddr(row[0]))
	}
	total := 0.0
	for i := range simObjects {
		total += 1 / float64(i+1)
		s.zipf = append(s.zipf, total)
		s.paths = append(s.paths, fmt.Sprintf("/object/%d", i))
	}
	return s
}

func (s *simulation) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulation) read(dir, name string) []byte {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	s.check(err)
	if filepath.Ext(name) == ".gz" {
		z, err := gzip.NewReader(bytes.NewReader(content))
		s.check(err)
		content, err = io.ReadAll(z)
		s.check(err)
	}
	return content
}

func (s *simulation) loadMaps(dir string) {
	s.t.Helper()
	var b NetworkMapBuilder
	info, err := alto.ReadNetworkMap(bytes.NewReader(s.read(dir, "networkmap.json.gz")), &b)
	s.check(err)
	m, err := b.Build(VersionTag(info.VersionTag))
	s.check(err)
	c := NewCostMapBuilder(m, s.r.Rows("world", m))
	costs, err := alto.ReadCostMap(bytes.NewReader(s.read(dir, "costmap.json.gz")), c)
	s.check(err)
	made, err := c.Build(CostInfo{Mode: "numerical", Metric: "routingcost"}, VersionTag(costs.DependentVersionTag), costs.Pairs)
	s.check(err)
	s.check(s.r.Update("world", &Maps{Network: m, Costs: []*CostMap{made}}))
}

// A second is what happened in one.
type second struct {
	served []float64              // by edge
	cost   float64                // of all that have a defined one
	asked  map[pidIndex]float64   // by client PID, noPID where there is none
	edges  map[pidIndex][]float64 // how much of it went where
}

// run lets some seconds pass, the router planning after each, and returns
// their mean.
func (s *simulation) run(seconds int) *second {
	sum := &second{served: make([]float64, len(s.limits)), asked: make(map[pidIndex]float64), edges: make(map[pidIndex][]float64)}
	for range seconds {
		for range s.demand {
			at := sort.SearchFloat64s(s.zipf, s.rng.Float64()*s.zipf[simObjects-1])
			from := s.rng.IntN(len(s.clients))
			if s.rng.Float64() < s.evening {
				from = s.rng.IntN(len(s.clients) / 5)
			}
			d, err := s.r.Route(Query{Client: s.clients[from], Path: s.paths[at]})
			if err != nil || d.Edge == nil {
				s.t.Fatalf("%+v, %v", d, err)
			}
			each := 1 / float64(seconds)
			sum.served[d.edge] += each
			pid := noPID
			if !math.IsNaN(d.Cost) {
				sum.cost += d.Cost * each
				pid = d.pid
			}
			sum.asked[pid] += each
			if sum.edges[pid] == nil {
				sum.edges[pid] = make([]float64, len(s.limits))
			}
			sum.edges[pid][d.edge] += each
		}
		s.now = s.now.Add(time.Second)
		s.r.Tick(s.now)
	}
	return sum
}

// optimum returns the least total cost of the same demand, the capacities
// scaled up to it where they do not suffice. Edges that are down have none.
func (s *simulation) optimum(of *second, limits []float64) float64 {
	g := s.r.plan.Load().guidance[0]
	var p mincost.Problem
	var pids []pidIndex
	for pid := range of.asked {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	for _, pid := range pids {
		costs := make([]float64, len(limits))
		for e := range costs {
			if pid != noPID {
				costs[e] = (&spot{guidance: g, pid: pid}).cost(int32(e))
			}
		}
		p.Demand, p.Cost = append(p.Demand, of.asked[pid]), append(p.Cost, costs)
	}
	p.Capacity = limits
	var cost float64
	for i, flow := range p.Solve() {
		for e, x := range flow {
			if x > 0 {
				cost += x * p.Cost[i][e]
			}
		}
	}
	return cost
}

func TestCapacityOnTheWorldMap(t *testing.T) {
	for _, used := range []float64{0.6, 0.9, 1.1} {
		t.Run(fmt.Sprintf("%.0f%%", 100*used), func(t *testing.T) {
			s := newSimulation(t, used)
			s.run(10)
			s.judge("all edges", s.limits)
			largest := 0
			for e, limit := range s.limits {
				if limit > s.limits[largest] {
					largest = e
				}
			}
			s.r.Learn(map[string]Condition{s.r.edges[largest].Name: {IPv4: Down, IPv6: Down}}, s.now)
			s.run(10)
			left := slices.Clone(s.limits)
			left[largest] = 0
			s.judge("without the largest", left)
		})
	}
}

// judge holds what happens against what is best.
func (s *simulation) judge(what string, limits []float64) {
	s.t.Helper()
	got := s.run(10)
	var capacity float64
	for _, limit := range limits {
		capacity += limit
	}
	factor := max(1, float64(s.demand)/capacity)
	worst := 0.0
	for e, served := range got.served {
		if limits[e] == 0 {
			if served > 0 {
				s.t.Errorf("%s: edge %s is down and serves %.0f/s", what, s.r.edges[e].Name, served)
			}
			continue
		}
		worst = max(worst, served/limits[e]/factor)
	}
	best := s.optimum(got, limits)
	s.t.Logf("%-20s %4.0f %% used: the fullest edge is at %5.1f %% of what it should have, cost %.4f of the optimum, hot keys %d",
		what, 100*float64(s.demand)/capacity, 100*worst, got.cost/best, len(s.r.plan.Load().pools[0].hot))
	if worst > 1.05 {
		s.t.Errorf("%s: an edge has %.1f %% of its part", what, 100*worst)
	}
	if got.cost > best*1.05 {
		s.t.Errorf("%s: costs %.4f of the optimum", what, got.cost/best)
	}
}

// TestOnlyOverflowMoves counts the keys that move from one second to the next
// while an evening comes: a fifth of the clients ask for more and more.
func TestOnlyOverflowMoves(t *testing.T) {
	s := newSimulation(t, 0.9)
	s.run(15)
	var moved, required float64
	for range 20 {
		s.evening += 0.01
		before := s.r.plan.Load()
		asked := s.run(1).asked
		m, q := s.moves(before, s.r.plan.Load(), asked)
		moved, required = moved+m/simDemand, required+q/simDemand
	}
	t.Logf("in 20 s %.2f %% of the content moved, and the plans required %.2f %%: %.3f times that", 100*moved, 100*required, moved/required)
	if required == 0 || moved > 1.1*required {
		t.Errorf("moved %.4f, required %.4f", moved, required)
	}
}

// moves returns how much demand goes elsewhere with the later plan, counted
// key by key, and how much would have to because the shares changed.
func (s *simulation) moves(before, after *plan, asked map[pidIndex]float64) (moved, required float64) {
	const keys = 3000
	pool := s.r.pools[0]
	clients := make(map[pidIndex]netip.Addr)
	for _, c := range s.clients {
		d := after.decide(pool, &Query{Client: c}, nil)
		if pid := d.pid; d.slot >= 0 && !math.IsNaN(d.Cost) {
			clients[pid] = c
		}
	}
	for pid, client := range clients {
		was, is := make([]float64, len(s.limits)), make([]float64, len(s.limits))
		count := 0.0
		for i := range keys {
			q := Query{Client: client, Path: s.paths[simObjects-1-i]} // none of them is hot
			a, b := before.decide(pool, &q, nil), after.decide(pool, &q, nil)
			was[a.edge] += 1.0 / keys
			is[b.edge] += 1.0 / keys
			if a.edge != b.edge {
				count++
			}
		}
		moved += asked[pid] * count / keys
		for e := range was {
			required += asked[pid] * math.Abs(was[e]-is[e]) / 2
		}
	}
	return moved, required
}

// BenchmarkWorldRouteDivided is a decision while capacities divide the content
// of most PIDs, demand measured, beside the same without limits; and the
// planning that goes on once a second.
func BenchmarkWorldRouteDivided(b *testing.B) {
	s := newSimulation(b, 0.9)
	s.run(5)
	if n := s.r.PoolCondition("").Divided; n < 100 {
		b.Fatalf("%d divisions", n)
	}
	free := newSimulation(b, 0.9)
	for i := range free.r.edges {
		free.r.edges[i].Capacity = 0
	}
	free.r.Learn(nil, s.now)
	for _, c := range []struct {
		name string
		r    *Router
	}{{"divided", s.r}, {"free", free.r}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if _, err := c.r.Route(Query{Client: s.clients[i%len(s.clients)], Path: s.paths[i*7919%simObjects]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("plan", func(b *testing.B) {
		b.ReportAllocs()
		before := s.r.plan.Load()
		for b.Loop() {
			next := *before
			next.pools = slices.Clone(before.pools)
			s.r.spread(&next, before) // of the same demand each time
		}
	})
}
