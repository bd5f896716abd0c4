// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkPlan plans for 1,700 PIDs and many edges, one or twenty in a PID, all of
// them with limits that are about to be reached, or far from it: what a router does
// once a second.
func BenchmarkPlan(b *testing.B) {
	const pids, demand = 1700, 10_000
	for _, c := range []struct {
		edges, places int
		room          float64
	}{{100, 100, 1.2}, {1000, 1000, 1.2}, {400, 20, 1.2}, {1000, 50, 1.2}, {400, 20, 100}, {1000, 1000, 1000}} {
		b.Run(fmt.Sprintf("%d edges in %d PIDs, room for %v", c.edges, c.places, c.room), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			cfg := Config{Sources: []Source{{Name: "own"}}}
			var network, costs []string
			for pid := range pids {
				network = append(network, fmt.Sprintf("p%d %s/24", pid, clientIn(pid)))
			}
			for e := range c.edges {
				made := edgeAt(fmt.Sprint("e", e), fmt.Sprint("p", e%c.places))
				made.Capacity = demand * c.room / float64(c.edges)
				cfg.Edges = append(cfg.Edges, made)
			}
			for place := range c.places {
				for pid := range pids {
					costs = append(costs, fmt.Sprintf("p%d p%d %d", place, pid, rng.IntN(1000)))
				}
			}
			r := mustRouter(b, cfg, "own", network, costs...)
			popular := rand.NewZipf(rng, 1.1, 10, pids-1)
			now := epoch
			second := func() {
				for range demand {
					q := Query{Client: clientIn(int(popular.Uint64())).Next(), Path: fmt.Sprint("/", rng.IntN(100_000))}
					if _, err := r.Route(q); err != nil {
						b.Fatal(err)
					}
				}
				now = now.Add(time.Second)
			}
			for range 10 {
				second()
				r.Tick(now)
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				second()
				b.StartTimer()
				r.Tick(now)
			}
			b.ReportMetric(float64(r.PoolCondition("").Divided), "divided")
		})
	}
}

// clientIn returns the first address of a PID's prefix.
func clientIn(pid int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(pid >> 8), byte(pid), 0}) }
