// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
)

var anyRules = []Rule{
	rule(ASN, "64500", "own/as64500"),
	rule(Country, "*", "own/cc-{country}"),
	rule(Continent, "*", "own/{continent}"),
}

func TestLocate(t *testing.T) {
	registered := country("", "EU")
	registered["registered_country"] = mmdbtype.Map{"iso_code": mmdbtype.String("FR")}
	registered["represented_country"] = mmdbtype.Map{"iso_code": mmdbtype.String("US")}
	centre := mmdbtype.Map{"location": mmdbtype.Map{
		"latitude": mmdbtype.Float64(37.751), "longitude": mmdbtype.Float64(-97.822),
	}}
	city := country("DE", "EU")
	city["city"] = mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Berlin")}}
	city["location"] = centre["location"]
	files := files(
		t,
		build(t, "GeoLite2-City", networks{
			"192.0.2.0/25":      city,
			"192.0.2.128/28":    registered,
			"192.0.2.144/28":    centre,
			"192.0.2.160/28":    country("AP", "AS"),
			"192.0.2.176/28":    country("EU", "EU"),
			"192.0.2.192/32":    country("ZZ", ""),
			"192.0.2.193/32":    country("XX", ""),
			"192.0.2.194/32":    country("A1", ""),
			"192.0.2.195/32":    country("A2", "--"),
			"192.0.2.196/32":    country("O1", "**"),
			"192.0.2.197/32":    country("DEU", "europe"),
			"192.0.2.198/32":    country("@`", "zz"),
			"192.0.2.199/32":    country("fr", "eu"),
			"192.0.2.200/32":    {"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(7)}},
			"2001:db8::/48":     country("NL", "EU"),
			"2001:db8:1::/64":   country("JP", "AS"),
			"2001:db8:2::/65":   country("KR", "AS"),
			"2001:db8:2::7/128": country("CN", "AS"),
		}),
		build(t, "GeoLite2-ASN", networks{
			"192.0.2.0/26":     asn(64500),
			"192.0.2.64/32":    asn(0),
			"192.0.2.65/32":    asn(23456),
			"192.0.2.66/32":    asn(65535),
			"192.0.2.67/32":    asn(4294967295),
			"192.0.2.68/32":    asn(64512),
			"192.0.2.69/32":    asn(65551),
			"192.0.2.201/32":   asn(64500),
			"198.51.100.0/24":  asn(64501),
			"2001:db8:3::/128": asn(64500),
		}),
	)
	d := open(t, Config{Files: files, Rules: anyRules})
	tests := map[string]string{
		"192.0.2.1":           "DE/EU/64500 own/as64500 own/cc-de own/eu",
		"::ffff:192.0.2.1":    "DE/EU/64500 own/as64500 own/cc-de own/eu",
		"192.0.2.64":          "DE/EU/0 own/cc-de own/eu",
		"192.0.2.65":          "DE/EU/0 own/cc-de own/eu",
		"192.0.2.66":          "DE/EU/0 own/cc-de own/eu",
		"192.0.2.67":          "DE/EU/0 own/cc-de own/eu",
		"192.0.2.68":          "DE/EU/64512 own/cc-de own/eu",
		"192.0.2.69":          "DE/EU/65551 own/cc-de own/eu",
		"192.0.2.129":         "/EU/0 own/eu", // neither registered nor represented
		"192.0.2.145":         "nil",          // only coordinates
		"192.0.2.161":         "/AS/0 own/as",
		"192.0.2.177":         "/EU/0 own/eu",
		"192.0.2.192":         "nil",
		"192.0.2.193":         "nil",
		"192.0.2.194":         "nil",
		"192.0.2.195":         "nil",
		"192.0.2.196":         "nil",
		"192.0.2.197":         "nil",
		"192.0.2.198":         "nil",
		"192.0.2.199":         "FR/EU/0 own/cc-fr own/eu",
		"192.0.2.200":         "nil", // the record does not decode
		"192.0.2.201":         "//64500 own/as64500",
		"198.51.100.1":        "//64501",
		"203.0.113.1":         "nil",
		"2001:db8::1":         "NL/EU/0 own/cc-nl own/eu",
		"2001:db8::1%eth0":    "NL/EU/0 own/cc-nl own/eu",
		"2001:db8:1::1":       "JP/AS/0 own/cc-jp own/as",
		"2001:db8:2::1":       "KR/AS/0 own/cc-kr own/as",
		"2001:db8:2::7":       "CN/AS/0 own/cc-cn own/as",
		"2001:db8:2:0:8000::": "nil",
		"2001:db8:3::":        "//64500 own/as64500",
		"2001:db8:3::1":       "nil",
	}
	for range 2 { // the second time from the cache
		for addr, want := range tests {
			if got := show(d.Snapshot().Locate(ip(addr))); got != want {
				t.Errorf("%s: got %q, want %q", addr, got, want)
			}
		}
	}
	if got := d.Snapshot().Locate(netip.Addr{}); got != nil {
		t.Errorf("no address: got %v", got)
	}
}

func TestLocateEnterprise(t *testing.T) {
	record := country("DE", "EU")
	record["traits"] = mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500)}
	d := open(t, Config{
		Files: files(t, build(t, "GeoIP2-Enterprise", networks{"192.0.2.0/24": record})), Rules: anyRules,
	})
	if got := show(d.Snapshot().Locate(ip("192.0.2.1"))); got != "DE/EU/64500 own/as64500 own/cc-de own/eu" {
		t.Error(got)
	}
}

func TestLocateIPVersions(t *testing.T) {
	only4 := build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country("DE", "")},
		func(o *options) { o.IPVersion = 4 })
	only6 := build(t, "GeoIP2-ISP", networks{"2001:db8::/32": asn(64500)},
		func(o *options) { o.DisableIPv4Aliasing = true })
	for _, order := range [][][]byte{{only4, only6}, {only6, only4}} {
		d := open(t, Config{Files: files(t, order...), Rules: anyRules[:2]})
		for addr, want := range map[string]string{
			"192.0.2.1":    "DE//0 own/cc-de",
			"198.51.100.1": "nil",
			"2001:db8::1":  "//64500 own/as64500",
			"2001:db9::1":  "nil",
			"::192.0.2.1":  "nil",
		} {
			// An IPv6 tree keeps IPv4 below ::/96; only a mapped address is IPv4.
			if got := show(d.Snapshot().Locate(ip(addr))); got != want {
				t.Errorf("%s: got %q, want %q", addr, got, want)
			}
		}
	}
}

func TestFirstThatKnows(t *testing.T) {
	first := build(t, "GeoLite2-Country", networks{
		"192.0.2.1/32": country("DE", ""),
		"192.0.2.2/32": country("", "EU"),
		"192.0.2.3/32": country("DE", "EU"),
		"192.0.2.4/32": country("ZZ", ""),
		"192.0.2.5/32": country("DE", ""),
		"192.0.2.6/32": country("", "EU"),
		"192.0.2.7/32": country("DE", ""),
	})
	second := build(t, "DBIP-Country-Lite", networks{
		"192.0.2.1/32": country("DE", "EU"),
		"192.0.2.2/32": country("US", "NA"),
		"192.0.2.3/32": country("US", "NA"),
		"192.0.2.4/32": country("FR", "EU"),
		"192.0.2.5/32": country("US", "NA"),
		"192.0.2.6/32": country("JP", ""),
		"192.0.2.7/32": country("", "EU"),
		"192.0.2.8/32": country("BR", "SA"),
	})
	d := open(t, Config{Files: files(t, first, second)})
	for i, want := range []string{"DE/EU/0", "US/NA/0", "DE/EU/0", "FR/EU/0", "DE//0", "JP//0", "DE//0", "BR/SA/0"} {
		addr := fmt.Sprintf("192.0.2.%d", i+1)
		if got := show(d.Snapshot().Locate(ip(addr))); got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
}

func TestPlacesAreShared(t *testing.T) {
	d := open(t, Config{Rules: anyRules[1:2], Files: files(t, build(t, "GeoLite2-Country", networks{
		"192.0.2.0/24": country("DE", ""), "198.51.100.0/24": country("DE", ""),
	}))})
	s := d.Snapshot()
	if s.Locate(ip("192.0.2.1")) != s.Locate(ip("198.51.100.1")) {
		t.Error("two Places for one place")
	}
}

func TestNewErrors(t *testing.T) {
	good := files(t, build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country("DE", "")}))[0]
	for want, c := range map[string]Config{
		"name at least one":        {},
		"is named twice":           {Files: []string{good, good}},
		"cache size -1":            {Files: []string{good}, CacheSize: -1},
		`geo rule "country deu p"`: {Files: []string{good}, Rules: []Rule{rule(Country, "deu", "p")}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
}
