// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// readPrefix reads an endpoint prefix of the address type "ipv4" or "ipv6"
// (RFC 7285 §10.4.4) as it is written, host bits included. It does not keep s.
//
// An IPv4-mapped IPv6 prefix (RFC 4291 §2.5.5.2) means the IPv4 prefix: the
// addresses it holds are IPv4 nodes, and a client that shows up with such an
// address is looked up by its IPv4 address, so as an IPv6 prefix it could
// never match. One that is shorter than the mapped range is refused.
func readPrefix(s string, ipv6 bool) (netip.Prefix, error) {
	var p netip.Prefix
	var ok bool
	if ipv6 {
		p, ok = fastIPv6(s)
	} else {
		p, ok = fastIPv4(s)
	}
	if !ok {
		var err error
		// A clone: s itself lives in the decoder's buffer or on the stack,
		// and would be allocated for every prefix if it could escape here.
		if p, err = slowPrefix(strings.Clone(s), ipv6); err != nil {
			return netip.Prefix{}, err
		}
	}
	if !ipv6 || !p.Addr().Is4In6() {
		return p, nil
	}
	if p.Bits() < 96 {
		return netip.Prefix{}, fmt.Errorf("%s is not an IPv6 prefix of use: it holds all IPv4-mapped addresses and more; "+
			"write IPv4 prefixes under ipv4, and the IPv6 prefix by an IPv6 address", quote(strings.Clone(s)))
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), nil
}

// maxPrefixLen is more than the longest prefix that can be written.
const maxPrefixLen = 64

// slowPrefix decides what is a prefix. The fast parsers only spare it work.
func slowPrefix(s string, ipv6 bool) (netip.Prefix, error) {
	family := "IPv4"
	if ipv6 {
		family = "IPv6"
	}
	if len(s) > maxPrefixLen {
		return netip.Prefix{}, fmt.Errorf("%s is not an %s prefix: it is too long", quote(s), family)
	}
	address, _, ok := strings.Cut(s, "/")
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%s is not an %s prefix: the prefix length is missing", quote(s), family)
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		reason := strings.TrimPrefix(err.Error(), "netip.ParsePrefix("+strconv.Quote(s)+"): ")
		reason = strings.TrimPrefix(reason, "ParseAddr("+strconv.Quote(address)+"): ")
		return netip.Prefix{}, fmt.Errorf("%s is not an %s prefix: %s", quote(s), family, reason)
	case p.Addr().Is4() && ipv6:
		return netip.Prefix{}, fmt.Errorf("%s is not an IPv6 prefix: it is an IPv4 one and belongs under ipv4", quote(s))
	case p.Addr().Is6() && !ipv6:
		return netip.Prefix{}, fmt.Errorf("%s is not an IPv4 prefix: it is an IPv6 one and belongs under ipv6", quote(s))
	}
	return p, nil
}

// fastIPv4 reads an IPv4 prefix without allocating, which netip cannot do as
// its errors hold on to the string. A false result decides nothing.
func fastIPv4(s string) (netip.Prefix, bool) {
	var address [4]byte
	i := 0
	for n := range address {
		start, value := i, 0
		for i < len(s) && i < start+3 && isDigit(s[i]) {
			value = value*10 + int(s[i]-'0')
			i++
		}
		separator := byte('.')
		if n == len(address)-1 {
			separator = '/'
		}
		switch {
		case i == start || value > 255,
			s[start] == '0' && i > start+1, // no leading zeros, RFC 3986 §3.2.2
			i == len(s) || s[i] != separator:
			return netip.Prefix{}, false
		}
		address[n] = byte(value)
		i++
	}
	bits, ok := fastBits(s[i:], 32)
	return netip.PrefixFrom(netip.AddrFrom4(address), bits), ok
}

// fastIPv6 is fastIPv4 for IPv6 prefixes, all but those with an IPv4 address
// at the end.
func fastIPv6(s string) (netip.Prefix, bool) {
	var address [16]byte
	n, gap := 0, -1 // bytes read, and how many of them are before the "::"
	i := 0
	if strings.HasPrefix(s, "::") {
		gap, i = 0, 2
	}
	for i < len(s) && s[i] != '/' {
		start, value := i, 0
		for i < len(s) && i < start+4 {
			digit := hexValue(s[i])
			if digit < 0 {
				break
			}
			value = value<<4 | digit
			i++
		}
		if i == start || i == len(s) || n == len(address) {
			return netip.Prefix{}, false
		}
		address[n], address[n+1] = byte(value>>8), byte(value)
		n += 2
		if s[i] == '/' {
			break
		}
		if s[i] != ':' || i+1 == len(s) || s[i+1] == '/' {
			return netip.Prefix{}, false
		}
		i++
		if s[i] == ':' {
			if gap >= 0 {
				return netip.Prefix{}, false
			}
			gap = n
			i++
		}
	}
	if i == len(s) || (gap < 0) != (n == len(address)) {
		return netip.Prefix{}, false
	}
	if gap >= 0 {
		tail := len(address) - (n - gap)
		copy(address[tail:], address[gap:n])
		clear(address[gap:tail])
	}
	bits, ok := fastBits(s[i+1:], 128)
	return netip.PrefixFrom(netip.AddrFrom16(address), bits), ok
}

func fastBits(s string, limit int) (int, bool) {
	if s == "" || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	bits := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		bits = bits*10 + int(s[i]-'0')
	}
	return bits, bits <= limit
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hexValue returns the value of a hexadecimal digit, or -1.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
