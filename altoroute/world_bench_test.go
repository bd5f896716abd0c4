// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// theWorld is the world map in memory, read once for all benchmarks.
var theWorld = sync.OnceValues(func() (*worldMaps, error) {
	dir := os.Getenv("ALTOROUTE_WORLD")
	w := new(worldMaps)
	network, err := gunzipFile(filepath.Join(dir, "networkmap.json.gz"))
	if err != nil {
		return nil, err
	}
	if w.costs, err = gunzipFile(filepath.Join(dir, "costmap.json.gz")); err != nil {
		return nil, err
	}
	listed, err := os.ReadFile(filepath.Join(dir, "edges.json"))
	if err != nil {
		return nil, err
	}
	var edges []struct{ Name, URL, PID string }
	if err := json.Unmarshal(listed, &edges); err != nil {
		return nil, err
	}
	cfg := altoroute.Config{Sources: []altoroute.Source{{Name: "world"}}}
	for _, e := range edges {
		u, err := url.Parse(e.URL)
		if err != nil {
			return nil, err
		}
		cfg.Edges = append(cfg.Edges, altoroute.Edge{Name: e.Name, URL: u, PIDs: []altoroute.SourcePID{{PID: e.PID}}})
	}
	if w.router, err = altoroute.New(cfg); err != nil {
		return nil, err
	}
	w.maps.Network, w.prefixes, err = readNetwork(network)
	if err != nil {
		return nil, err
	}
	c, err := readCosts(w.costs, w.maps.Network, w.router)
	if err != nil {
		return nil, err
	}
	w.maps.Costs = append(w.maps.Costs, c)
	return w, w.router.Update("world", &w.maps)
})

type worldMaps struct {
	costs    []byte
	prefixes []netip.Prefix
	maps     altoroute.Maps
	router   *altoroute.Router
}

func gunzipFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// prefixSink is a NetworkMapBuilder that also lists the prefixes.
type prefixSink struct {
	altoroute.NetworkMapBuilder
	all []netip.Prefix
}

func (s *prefixSink) Prefix(p netip.Prefix) error {
	s.all = append(s.all, p)
	return s.NetworkMapBuilder.Prefix(p)
}

func readNetwork(document []byte) (*altoroute.NetworkMap, []netip.Prefix, error) {
	var sink prefixSink
	info, err := alto.ReadNetworkMap(bytes.NewReader(document), &sink)
	if err != nil {
		return nil, nil, err
	}
	m, err := sink.Build(altoroute.VersionTag(info.VersionTag))
	return m, sink.all, err
}

func readCosts(document []byte, network *altoroute.NetworkMap, r *altoroute.Router) (*altoroute.CostMap, error) {
	b := altoroute.NewCostMapBuilder(network, r.Rows("world", network))
	info, err := alto.ReadCostMap(bytes.NewReader(document), b)
	if err != nil {
		return nil, err
	}
	return b.Build(altoroute.CostInfo{Mode: info.CostType.Mode, Metric: info.CostType.Metric}, altoroute.VersionTag(info.DependentVersionTag), info.Pairs)
}

func openWorld(b *testing.B) *worldMaps {
	b.Helper()
	if os.Getenv("ALTOROUTE_WORLD") == "" {
		b.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	w, err := theWorld()
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkWorldPlan ranks 20 edges for every PID and swaps the plan.
func BenchmarkWorldPlan(b *testing.B) {
	w := openWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.router.Update("world", &w.maps); err != nil {
			b.Fatal(err)
		}
	}
}

// asks are the orders in which clients come: each client anew, or most of the
// requests from few of them, as it is in life.
func (w *worldMaps) asks(skewed bool) []netip.Addr {
	const clients, requests = 1 << 20, 1 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	pool := make([]netip.Addr, clients)
	for i := range pool {
		pool[i] = within(rng, w.prefixes[rng.IntN(len(w.prefixes))])
	}
	if !skewed {
		return pool
	}
	zipf := rand.NewZipf(rng, 1.1, 1, clients-1)
	order := make([]netip.Addr, requests)
	for i := range order {
		order[i] = pool[zipf.Uint64()]
	}
	return order
}

// within returns a random address of a prefix.
func within(rng *rand.Rand, p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(a); i++ {
		if rng.IntN(2) == 1 {
			a[i/8] |= 0x80 >> (i % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

func forEachOrder(b *testing.B, run func(b *testing.B, w *worldMaps, asks []netip.Addr)) {
	w := openWorld(b)
	for name, skewed := range map[string]bool{"uniform": false, "skewed": true} {
		asks := w.asks(skewed)
		b.Run(name, func(b *testing.B) { run(b, w, asks) })
	}
}

// BenchmarkWorldRoute is one whole decision.
func BenchmarkWorldRoute(b *testing.B) {
	forEachOrder(b, func(b *testing.B, w *worldMaps, asks []netip.Addr) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if d, err := w.router.Route(altoroute.Query{Client: asks[i&(len(asks)-1)], Path: "/film/segment-17.ts"}); err != nil || d.Edge == nil {
				b.Fatal(d, err)
			}
			i++
		}
	})
}

// BenchmarkWorldRouteParallel is the same on all cores.
func BenchmarkWorldRouteParallel(b *testing.B) {
	forEachOrder(b, func(b *testing.B, w *worldMaps, asks []netip.Addr) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			i := rand.IntN(len(asks))
			for pb.Next() {
				_, _ = w.router.Route(altoroute.Query{Client: asks[i&(len(asks)-1)], Path: "/film/segment-17.ts"})
				i++
			}
		})
	})
}

// BenchmarkWorldLookup is prefix matching alone: what a cache in front of it
// would have to beat.
func BenchmarkWorldLookup(b *testing.B) {
	forEachOrder(b, func(b *testing.B, w *worldMaps, asks []netip.Addr) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			_, _, _ = w.maps.Network.Lookup(asks[i&(len(asks)-1)])
			i++
		}
	})
}

// BenchmarkWorldLookupCached has an LRU cache of 65,536 clients in front of
// prefix matching, as the fallback by place has it.
func BenchmarkWorldLookupCached(b *testing.B) {
	forEachOrder(b, func(b *testing.B, w *worldMaps, asks []netip.Addr) {
		type placed struct {
			pid    string
			prefix netip.Prefix
		}
		cache, err := lru.New[netip.Addr, placed](65_536)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			client := asks[i&(len(asks)-1)]
			if _, ok := cache.Get(client); !ok {
				pid, prefix, _ := w.maps.Network.Lookup(client)
				cache.Add(client, placed{pid, prefix})
			}
			i++
		}
	})
}
