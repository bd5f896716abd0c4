// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// checkFast compares the fast parsers with netip: what they accept netip
// accepts, and reads as the same.
func checkFast(t *testing.T, s string) (fast bool) {
	t.Helper()
	want, err := netip.ParsePrefix(s)
	if got, ok := fastIPv4(s); ok {
		fast = true
		if err != nil || got != want || !got.Addr().Is4() {
			t.Errorf("fastIPv4(%q) = %v; netip: %v, %v", s, got, want, err)
		}
	}
	if got, ok := fastIPv6(s); ok {
		fast = true
		if err != nil || got != want || !got.Addr().Is6() {
			t.Errorf("fastIPv6(%q) = %v; netip: %v, %v", s, got, want, err)
		}
	}
	return fast
}

// Random prefixes as they are usually written are read by the fast parsers;
// spoilt ones are never read otherwise than by netip.
func TestFastPrefixes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const spoilers = "0123456789abcdefFG:./%+- \x00"
	for range 200_000 {
		var addr netip.Addr
		if rng.IntN(2) == 0 {
			addr = netip.AddrFrom4([4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
		} else {
			var a [16]byte
			for i := range a {
				if rng.IntN(3) == 0 {
					a[i] = byte(rng.Uint32())
				}
			}
			addr = netip.AddrFrom16(a)
		}
		p := netip.PrefixFrom(addr, rng.IntN(addr.BitLen()+1))
		s := p.String()
		if !checkFast(t, s) && !addr.Is4In6() {
			t.Errorf("%s is not read fast", s)
		}
		if addr.Is6() {
			checkFast(t, p.Addr().StringExpanded()+s[strings.IndexByte(s, '/'):])
		}
		i := rng.IntN(len(s))
		c := string(spoilers[rng.IntN(len(spoilers))])
		switch rng.IntN(3) {
		case 0:
			checkFast(t, s[:i]+c+s[i:])
		case 1:
			checkFast(t, s[:i]+c+s[i+1:])
		case 2:
			checkFast(t, s[:i]+s[i+1:])
		}
	}
}

func FuzzFastPrefixes(f *testing.F) {
	for _, s := range []string{
		"192.0.2.0/24", "0.0.0.0/0", "255.255.255.255/32", "1.2.3.04/8", "1.2.3.4/08", "1.2.3/8",
		"2001:db8::/32", "::/0", "::1/128", "1::/16", "1:2:3:4:5:6:7:8/128", "1:2:3:4:5:6:7::8/128",
		"::ffff:192.0.2.0/120", ":::/0", "1:::2/64", "1:2:/32", ":1::/16", "12345::/16", "fe80::1%eth0/64",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkFast(t, s) })
}

// Reading a prefix of the usual form costs no allocation.
func TestReadPrefixAllocations(t *testing.T) {
	for s, ipv6 := range map[string]bool{"192.0.2.0/24": false, "2001:db8:0:1::/64": true} {
		text := []byte(s)
		allocations := testing.AllocsPerRun(100, func() {
			if _, err := readPrefix(string(text), ipv6); err != nil {
				t.Error(err)
			}
		})
		if allocations != 0 {
			t.Errorf("%s: %g allocations", s, allocations)
		}
	}
}
