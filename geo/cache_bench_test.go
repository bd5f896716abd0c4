// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/altoroute/caddy-alto/altoroute"
)

// benchClients are the clients of the benchmarks: an order of magnitude more
// than the cache holds.
const benchClients = 900_000

// benchSequence returns draws of clients, by Zipf's law or uniformly.
func benchSequence(zipf bool) []netip.Addr {
	r := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(r, 1.1, 10, benchClients-1)
	clients := make([]netip.Addr, benchClients)
	for i := range clients {
		n := r.Uint32()
		clients[i] = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	seq := make([]netip.Addr, 1<<20)
	for i := range seq {
		n := uint64(r.IntN(benchClients))
		if zipf {
			n = z.Uint64()
		}
		seq[i] = clients[n]
	}
	return seq
}

// BenchmarkLocateCity asks for one client by a record like those of the City
// databases on sale, beside an ASN database: what a hit saves.
func BenchmarkLocateCity(b *testing.B) {
	names := func(s string) mmdbtype.Map {
		m := mmdbtype.Map{}
		for _, l := range []string{"de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"} {
			m[mmdbtype.String(l)] = mmdbtype.String(s + " " + l)
		}
		return m
	}
	city := country("DE", "EU")
	for _, k := range []mmdbtype.String{"city", "country", "continent", "registered_country"} {
		m, ok := city[k].(mmdbtype.Map)
		if !ok {
			m = mmdbtype.Map{}
		}
		m["names"], m["geoname_id"] = names(string(k)), mmdbtype.Uint32(1)
		city[k] = m
	}
	city["location"] = mmdbtype.Map{"latitude": mmdbtype.Float64(1), "longitude": mmdbtype.Float64(2)}
	s := open(b, Config{Rules: anyRules, Files: files(b,
		build(b, "GeoIP2-City", networks{"192.0.2.0/24": city}),
		build(b, "GeoLite2-ASN", networks{"192.0.2.0/24": asn(64500)}),
	)}).Snapshot()
	addr := ip("192.0.2.1")
	b.Run("cache", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Locate(addr)
		}
	})
	b.Run("databases", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.find(addr)
		}
	})
}

// BenchmarkCacheShards is behind maxShards. Run it with -cpu 1,2 and more.
func BenchmarkCacheShards(b *testing.B) {
	place := &altoroute.Place{Country: "DE"}
	find := func(netip.Addr) (*altoroute.Place, int) { return place, 8 }
	for _, dist := range []string{"zipf", "uniform"} {
		seq := benchSequence(dist == "zipf")
		for _, shards := range []int{1, 4, 8, 16} {
			b.Run(fmt.Sprintf("%s/shards=%d", dist, shards), func(b *testing.B) {
				var count counters
				c, err := newCache(defaultCacheSize, shards, &count)
				if err != nil {
					b.Fatal(err)
				}
				for _, a := range seq {
					c.get(a, find)
				}
				count = counters{}
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					i := rand.IntN(len(seq))
					for pb.Next() {
						c.get(seq[i&(len(seq)-1)], find)
						i++
					}
				})
				hits, misses := count.sum()
				b.ReportMetric(100*float64(hits)/float64(hits+misses), "%hit")
			})
		}
	}
}
