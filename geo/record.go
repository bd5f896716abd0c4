// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"math"
	"strconv"
	"strings"
)

// A code is a two-letter code in upper case; its zero value is unknown. It is
// no string, so that it neither holds on to a database nor costs an allocation.
type code [2]byte

func (c code) known() bool { return c != code{} }

// String returns the two letters, or nothing when unknown.
func (c code) String() string {
	if !c.known() {
		return ""
	}
	return string(c[:])
}

func parseCode(s string) code {
	if len(s) != 2 {
		return code{}
	}
	c := code{s[0] &^ 0x20, s[1] &^ 0x20}
	for i, b := range c {
		if b < 'A' || b > 'Z' || s[i] != b && s[i] != b|0x20 {
			return code{}
		}
	}
	return c
}

// countryCode returns a country, or unknown for everything else that databases
// write in its place: "AP" and "EU" (somewhere in a region) and "XX" and "ZZ"
// (nowhere). "A1", "A2" and "O1" fail for their digit. Whether ISO 3166 has
// the code is not asked: databases know countries before it does (XK).
func countryCode(s string) code {
	switch c := parseCode(s); c {
	case code{'A', 'P'}, code{'E', 'U'}, code{'X', 'X'}, code{'Z', 'Z'}:
		return code{}
	default:
		return c
	}
}

const continents = "AF AN AS EU NA OC SA"

func continentCode(s string) code {
	c := parseCode(s)
	if !c.known() || !strings.Contains(continents, c.String()) {
		return code{}
	}
	return c
}

// asNumber returns an AS number, or 0 for the numbers that stand for no
// network (RFC 7607, RFC 6793, RFC 7300): two clients of AS 0 have nothing in
// common. Private use numbers (RFC 6996) are kept.
func asNumber(n uint64) uint32 {
	switch n {
	case 0, 23456, math.MaxUint16, math.MaxUint32:
		return 0
	}
	if n > math.MaxUint32 {
		return 0
	}
	return uint32(n)
}

// A record is what the databases say of an address. It is comparable: addresses
// with equal records share one Place.
type record struct {
	country   code
	continent code
	asn       uint32
}

func (r record) known() bool { return r != record{} }

// merge completes r with what another database says of the same address. A
// country and its continent come from one record, or from two that name the
// same country: databases disagree, and half of each would be no place at all.
func (r record) merge(o record) record {
	switch {
	case !r.country.known() && o.country.known():
		r.country, r.continent = o.country, o.continent
	case !r.continent.known() && r.country == o.country:
		r.continent = o.continent
	}
	if r.asn == 0 {
		r.asn = o.asn
	}
	return r
}

// fields says which fields of records are known.
type fields uint8

const (
	hasCountry fields = 1 << iota
	hasContinent
	hasASN
)

func (r record) fields() fields {
	var f fields
	if r.country.known() {
		f |= hasCountry
	}
	if r.continent.known() {
		f |= hasContinent
	}
	if r.asn != 0 {
		f |= hasASN
	}
	return f
}

func formatASN(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
