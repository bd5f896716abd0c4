// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute"
)

func TestCacheCounts(t *testing.T) {
	d := open(t, Config{CacheSize: 2, Files: files(t, build(t, "GeoLite2-Country", networks{
		"192.0.2.0/24": country("DE", ""), "2001:db8::/48": country("NL", ""),
		"2001:db8:2::/65": country("KR", ""),
	}))})
	check := func(what string, size int, hits, misses uint64) {
		t.Helper()
		want := CacheStatus{Size: size, Capacity: 2, Hits: hits, Misses: misses}
		if got := d.Status().Cache; got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	locate := func(addrs ...string) {
		for _, a := range addrs {
			d.Snapshot().Locate(ip(a))
		}
	}
	check("new", 0, 0, 0)
	locate("192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1")
	check("one client", 1, 2, 1)
	locate("203.0.113.1", "203.0.113.1")
	check("an unknown client", 2, 3, 2)
	locate("192.0.2.2", "192.0.2.1")
	check("evicted", 2, 3, 4)
	locate("2001:db8::1", "2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")
	check("one /64", 2, 5, 5)
	locate("2001:db8:2::1", "2001:db8:2::1")
	check("a divided /64", 2, 6, 6)
	put(t, d.Status().Files[0].Path, build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country("FR", "")}))
	if changed, err := d.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	check("a new snapshot", 0, 6, 6)
	locate("192.0.2.1")
	check("and its first client", 1, 6, 7)
}

// TestOneHostCannotFlush: the addresses of one /64 take one entry.
func TestOneHostCannotFlush(t *testing.T) {
	d := open(t, Config{Files: files(t, build(t, "GeoLite2-Country", networks{
		"192.0.2.0/24": country("DE", ""), "2001:db8::/32": country("NL", ""),
	}))})
	s := d.Snapshot()
	r := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		a := ip("2001:db8:1:2::").As16()
		for i := 8; i < 16; i++ {
			a[i] = byte(r.Uint32())
		}
		if got := show(s.Locate(netip.AddrFrom16(a))); got != "NL//0" {
			t.Fatal(got)
		}
	}
	if c := d.Status().Cache; c.Size != 1 || c.Misses != 1 {
		t.Errorf("%+v", c)
	}
}

func TestLocateAllocatesNothing(t *testing.T) {
	d := open(t, Config{Rules: anyRules[1:2], Files: files(t, build(t, "GeoLite2-Country", networks{
		"192.0.2.0/24": country("DE", ""), "2001:db8::/48": country("NL", ""),
		"2001:db8:2::/65": country("KR", ""),
	}))})
	s := d.Snapshot()
	for _, a := range []string{"192.0.2.1", "203.0.113.1", "2001:db8::1", "2001:db8:2::1", "::ffff:192.0.2.1"} {
		addr := ip(a)
		s.Locate(addr)
		if n := testing.AllocsPerRun(1000, func() { s.Locate(addr) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}

func TestCacheCapacity(t *testing.T) {
	for _, size := range []int{1, 2, 1000, 8191, 8192, 10_007, defaultCacheSize} {
		var count counters
		shards := shardCount(size)
		c, err := newCache(size, shards, &count)
		if err != nil {
			t.Fatal(err)
		}
		find := func(netip.Addr) (*altoroute.Place, int) { return nil, 0 }
		for i := range uint32(3 * size) {
			c.get(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), find)
		}
		// Shards fill unevenly, but three times over fills nearly all of them.
		if got := c.size(); got > size || got < size*9/10 {
			t.Errorf("size %d in %d shards: %d entries", size, shards, got)
		}
	}
}

// oracleNet is a network and its record; the oracle is a list of them.
type oracleNet struct {
	prefix netip.Prefix
	rec    record
}

// slow returns the record of the longest prefix that holds addr.
func slow(nets []oracleNet, addr netip.Addr) record {
	best, bits := record{}, -1
	for _, n := range nets {
		if n.prefix.Contains(addr) && n.prefix.Bits() > bits {
			best, bits = n.rec, n.prefix.Bits()
		}
	}
	return best
}

// randomAddr returns addresses that are close together, so that random
// networks meet them. The leading bits avoid what trees alias to IPv4.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(192 + r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(4)), byte(r.IntN(256))})
	}
	a := ip("2001:db8::").As16()
	a[5], a[7], a[8], a[15] = byte(r.IntN(4)), byte(r.IntN(4)), byte(r.IntN(4)<<6), byte(r.IntN(4))
	return netip.AddrFrom16(a)
}

func randomNets(r *rand.Rand, rec func() record) []oracleNet {
	byPrefix := map[netip.Prefix]record{}
	for range 1 + r.IntN(40) {
		a := randomAddr(r)
		low := 8
		if a.Is6() {
			low = 32
		}
		byPrefix[netip.PrefixFrom(a, low+r.IntN(a.BitLen()-low+1)).Masked()] = rec()
	}
	var nets []oracleNet
	for p, rec := range byPrefix {
		nets = append(nets, oracleNet{p, rec})
	}
	return nets
}

func asNetworks(nets []oracleNet) networks {
	m := networks{}
	for _, n := range nets {
		if n.rec.asn != 0 {
			m[n.prefix.String()] = asn(n.rec.asn)
		} else {
			m[n.prefix.String()] = country(n.rec.country.String(), n.rec.continent.String())
		}
	}
	return m
}

// TestRandom compares two databases and the cache in front of them with a
// linear scan of the networks they were made from.
func TestRandom(t *testing.T) {
	codes := []code{{}, {'D', 'E'}, {'F', 'R'}, {'N', 'L'}, {'J', 'P'}}
	conts := []code{{}, {'E', 'U'}, {'A', 'S'}}
	known, divided := 0, 0
	for round := range uint64(60) {
		r := rand.New(rand.NewPCG(5, round))
		places := randomNets(r, func() record {
			return record{country: codes[r.IntN(len(codes))], continent: conts[r.IntN(len(conts))]}
		})
		systems := randomNets(r, func() record { return record{asn: uint32(r.IntN(2) * (64500 + r.IntN(4)))} })
		// Both capabilities must be there, whatever was drawn.
		all := record{codes[1], conts[1], 64500}
		places = append(places, oracleNet{netip.MustParsePrefix("203.0.113.0/24"), record{all.country, all.continent, 0}})
		systems = append(systems, oracleNet{netip.MustParsePrefix("203.0.113.0/24"), record{asn: all.asn}})
		d := open(t, Config{
			CacheSize: 1 + r.IntN(300), Rules: anyRules,
			Files: files(t, build(t, "GeoLite2-City", asNetworks(places)), build(t, "GeoLite2-ASN", asNetworks(systems))),
		})
		rules, err := compileRules(anyRules)
		if err != nil {
			t.Fatal(err)
		}
		s := d.Snapshot()
		for range 2000 {
			a := randomAddr(r)
			rec := slow(places, a)
			rec.asn = slow(systems, a).asn
			want := show(rules.place(rec))
			if got := show(s.Locate(a)); got != want {
				t.Fatalf("round %d: %v: got %q, want %q", round, a, got, want)
			}
			if want != "nil" {
				known++
			}
			if _, bits := s.find(a); a.Is6() && bits > 64 {
				divided++
			}
		}
	}
	if known < 10_000 || divided < 1_000 {
		t.Errorf("the test does not test: %d known, %d in divided /64s", known, divided)
	}
}

// TestConcurrentLocate has many goroutines meet in a small cache.
func TestConcurrentLocate(t *testing.T) {
	nets := networks{}
	for i := range 200 {
		nets[fmt.Sprintf("192.0.%d.0/24", i)] = country(string([]byte{'A' + byte(i/26), 'A' + byte(i%26)}), "")
	}
	content := build(t, "GeoLite2-Country", nets)
	d := open(t, Config{CacheSize: 50, Files: files(t, content)})
	s := d.Snapshot()
	var wg sync.WaitGroup
	for g := range uint64(2 * runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(6, g))
			for range 5000 {
				i := r.IntN(200)
				a := netip.AddrFrom4([4]byte{192, 0, byte(i), byte(r.IntN(2))})
				want := show(s.rules.place(record{country: countryCode(string([]byte{'A' + byte(i/26), 'A' + byte(i%26)}))}))
				if got := show(s.Locate(a)); got != want {
					t.Errorf("%v: got %q, want %q", a, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
	if c := d.Status().Cache; c.Hits+c.Misses != uint64(2*runtime.GOMAXPROCS(0))*5000 {
		t.Errorf("lookups are missing from %+v", c)
	}
}
