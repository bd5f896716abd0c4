// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute"
)

func TestRuleValidate(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		rule Rule
		want string // in the error; empty: valid
	}{
		{rule(ASN, "64500", "own/as64500"), ""},
		{rule(ASN, "64512", "own/private"), ""},
		{rule(ASN, "*", "own/as-{asn}"), ""},
		{rule(Country, "de", "cc-{country}"), ""},
		{rule(Country, "XK", "cc-{country}"), ""},
		{rule(Country, "*", "own/{continent}-{country}:{asn}@x_y"), ""},
		{rule(Country, "*", "own/cc.{country}"), "a dot is reserved for future use"},
		{rule(Continent, "eu", "europe"), ""},
		{rule(Kind("city"), "paris", "p"), "use asn, country or continent"},
		{rule("", "*", "p"), "use asn, country or continent"},
		{rule(ASN, "AS64500", "p"), "write a plain number such as 64500"},
		{rule(ASN, "4294967296", "p"), "write a plain number"},
		{rule(ASN, "", "p"), "write a plain number"},
		{rule(ASN, "0", "p"), "as 0 is reserved"},
		{rule(ASN, "23456", "p"), "as 23456 is reserved"},
		{rule(ASN, "65535", "p"), "as 65535 is reserved"},
		{rule(ASN, "4294967295", "p"), "as 4294967295 is reserved"},
		{rule(Country, "deu", "p"), "ISO 3166-1"},
		{rule(Country, "", "p"), "ISO 3166-1"},
		{rule(Country, "EU", "p"), `"EU" is not a country`},
		{rule(Country, "ap", "p"), "is not a country"},
		{rule(Country, "zz", "p"), "is not a country"},
		{rule(Country, "a1", "p"), "is not a country"},
		{rule(Continent, "xx", "p"), "af an as eu na oc sa"},
		{rule(Country, "*", "cc-{land}"), "use {asn}, {country} or {continent}"},
		{rule(Country, "*", "cc-{country"), "use {asn}, {country} or {continent}"},
		{rule(Country, "*", "cc-country}"), "cannot be in a PID"},
		{rule(Country, "*", "cc {country}"), "cannot be in a PID"},
		{rule(Country, "*", "cc-ä"), "cannot be in a PID"},
		{rule(Country, "*", long+"a"), ""},
		{rule(Country, "*", long+"{country}"), "at most 64"},
		{Rule{Kind: Country, Match: "*"}, "no PID"},
		{Rule{Country, "*", altoroute.SourcePID{Source: "{country}", PID: "p"}}, "name one source"},
	}
	for _, tt := range tests {
		err := tt.rule.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%v: %v", tt.rule, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.rule.String()) {
			t.Errorf("%v: got %v, want an error naming the rule and %q", tt.rule, err, tt.want)
		}
	}
}

func TestRuleDuplicates(t *testing.T) {
	tests := []struct {
		a, b Rule
		dup  bool
	}{
		{rule(Country, "de", "a"), rule(Country, "DE", "b"), true},
		{rule(ASN, "64500", "a"), rule(ASN, "064500", "b"), true},
		{rule(Continent, "*", "a"), rule(Continent, "*", "b"), true},
		{rule(Country, "de", "a"), rule(Country, "*", "b"), false},
		{rule(Country, "*", "a"), rule(Continent, "*", "b"), false},
		{rule(Country, "af", "a"), rule(Continent, "af", "b"), false},
	}
	for _, tt := range tests {
		_, err := compileRules([]Rule{tt.a, tt.b})
		if dup := err != nil && strings.Contains(err.Error(), "remove one"); dup != tt.dup || !dup && err != nil {
			t.Errorf("%v; %v: %v", tt.a, tt.b, err)
		}
	}
}

func TestRungs(t *testing.T) {
	// In the most general order: it must not matter.
	rules, err := compileRules([]Rule{
		rule(Continent, "*", "own/{continent}"),
		rule(Continent, "na", "own/america"),
		rule(Country, "*", "own/cc-{country}"),
		rule(Country, "fr", "own/france"),
		rule(Country, "gb", "own/EU"),
		rule(ASN, "*", "own/{country}-as{asn}"),
		rule(ASN, "64500", "isp/as64500"),
		rule(ASN, "64501", "own/cc-de"),
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		r    record
		want string
	}{
		{record{}, "nil"},
		{record{country: code{'D', 'E'}}, "DE//0 own/cc-de"},
		{record{country: code{'D', 'E'}, continent: code{'E', 'U'}}, "DE/EU/0 own/cc-de own/eu"},
		{
			record{code{'D', 'E'}, code{'E', 'U'}, 64500},
			"DE/EU/64500 isp/as64500 own/cc-de own/eu",
		},
		{
			record{code{'D', 'E'}, code{'E', 'U'}, 64502},
			"DE/EU/64502 own/de-as64502 own/cc-de own/eu",
		},
		{record{asn: 64502}, "//64502"}, // the rule needs a country
		{record{asn: 64500}, "//64500 isp/as64500"},
		{record{code{'F', 'R'}, code{'E', 'U'}, 0}, "FR/EU/0 own/france own/eu"},
		{record{continent: code{'N', 'A'}}, "/NA/0 own/america"},
		{record{country: code{'D', 'E'}, asn: 64501}, "DE//64501 own/cc-de"}, // no repeats
	}
	for _, tt := range tests {
		if got := show(rules.place(tt.r)); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.r, got, tt.want)
		}
	}
}

func TestUnanswerableRule(t *testing.T) {
	byCountry := build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country("DE", "")})
	byASN := build(t, "GeoLite2-ASN", networks{"192.0.2.0/24": asn(64500)})
	tests := []struct {
		content [][]byte
		rule    Rule
		want    string
	}{
		{[][]byte{byCountry}, rule(ASN, "64500", "p"), "add an ASN, ISP or Enterprise database"},
		{[][]byte{byASN}, rule(Country, "*", "p"), "add a Country, City or Enterprise database"},
		{[][]byte{byCountry, byASN}, rule(Continent, "eu", "p"), "add a Country or City database that has them"},
		{[][]byte{byCountry, byASN}, rule(ASN, "*", "p"), ""},
	}
	for _, tt := range tests {
		_, err := New(Config{Files: files(t, tt.content...), Rules: []Rule{tt.rule}})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%v: %v", tt.rule, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.rule.String()) {
			t.Errorf("%v: got %v, want %q", tt.rule, err, tt.want)
		}
	}
}

// FuzzRules makes any rule and any place meet: nothing panics, and what comes
// out is a PID name (RFC 7285 §10.1) of the rule's source.
func FuzzRules(f *testing.F) {
	f.Add("asn", "64500", "own", "as{asn}-{country}", "DE", "EU", uint64(64500))
	f.Add("country", "*", "", "cc-{country}", "de", "", uint64(0))
	f.Add("continent", "eu", "own", "{continent", "A1", "eu", uint64(1<<40))
	f.Fuzz(func(t *testing.T, kind, match, source, p, cc, continent string, as uint64) {
		r := Rule{Kind(kind), match, altoroute.SourcePID{Source: source, PID: p}}
		rules, err := compileRules([]Rule{r})
		if (err == nil) != (r.Validate() == nil) {
			t.Fatalf("Validate and New disagree about %v", r)
		}
		if err != nil {
			return
		}
		place := rules.place(record{countryCode(cc), continentCode(continent), asNumber(as)})
		if place == nil {
			return
		}
		for _, got := range place.PIDs {
			if got.Source != source || got.PID == "" || len(got.PID) > maxPID || strings.IndexFunc(got.PID, notInPID) >= 0 {
				t.Fatalf("%v gives %q for %+v", r, got, place)
			}
		}
	})
}
