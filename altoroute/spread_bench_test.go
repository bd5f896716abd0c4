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

// BenchmarkPlan plans for 1,700 PIDs and many edges, all of them with limits that
// are about to be reached: what a router does once a second.
func BenchmarkPlan(b *testing.B) {
	const pids, demand = 1700, 10_000
	for _, edges := range []int{100, 1000} {
		b.Run(fmt.Sprint(edges), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			cfg := Config{Sources: []Source{{Name: "own"}}}
			var network, costs []string
			for pid := range pids {
				network = append(network, fmt.Sprintf("p%d %s/24", pid, clientIn(pid)))
			}
			for e := range edges {
				made := edgeAt(fmt.Sprint("e", e), fmt.Sprint("p", e))
				made.Capacity = demand * 1.2 / float64(edges)
				cfg.Edges = append(cfg.Edges, made)
				for pid := range pids {
					costs = append(costs, fmt.Sprintf("p%d p%d %d", e, pid, rng.IntN(1000)))
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
