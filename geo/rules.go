// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute"
)

// A Kind is what a rule looks at.
type Kind string

// The kinds of rules, from the most specific to the most general. A place gets
// at most one PID by each, in this order.
const (
	ASN       Kind = "asn"
	Country   Kind = "country"
	Continent Kind = "continent"
)

// A Rule gives the places it matches a PID. The order of rules means nothing:
// an exact match beats "*", and kinds are ordered by themselves.
type Rule struct {
	// Kind is asn, country or continent. There is no default.
	Kind Kind
	// Match is an AS number in plain decimal form ("64500"), a country by its
	// ISO 3166-1 alpha-2 code or a continent by its two-letter code, both in
	// either case ("de"), or "*" for every one that is known.
	Match string
	// PID is the PID of the places that match. In its PID, not its source,
	// {asn}, {country} and {continent} stand for what is known of the place, in
	// lower case. Where one of them is not known, the rule gives no PID.
	PID altoroute.SourcePID
}

// String returns the rule as it is written in a configuration.
func (r Rule) String() string {
	return string(r.Kind) + " " + r.Match + " " + r.PID.String()
}

// Validate reports what is wrong with the rule by itself: its kind, a match
// that no place can ever have, a PID that is no PID name (RFC 7285 §10.1). The
// error names the rule and what would be right. It does no I/O.
func (r Rule) Validate() error {
	_, err := r.compile()
	return err
}

// A template is a compiled rule's PID: literal text and placeholders in turn.
type template struct {
	source string
	parts  []part
	fixed  altoroute.SourcePID // set where there are no placeholders
}

// A part is literal text, or the value of one field.
type part struct {
	text  string
	field fields
}

// compiled is a rule whose match is parsed: one of asn and code is set, or
// any. needs is the field that the rule matches by.
type compiled struct {
	needs fields
	any   bool
	asn   uint32
	code  code
	pid   template
}

func (r Rule) compile() (compiled, error) {
	c := compiled{any: r.Match == "*"}
	var err error
	switch r.Kind {
	case ASN:
		c.needs = hasASN
		c.asn, err = r.matchASN()
	case Country:
		c.needs = hasCountry
		c.code, err = r.matchCode(countryCode, "a country: write its ISO 3166-1 alpha-2 code, such as de")
	case Continent:
		c.needs = hasContinent
		c.code, err = r.matchCode(continentCode, "a continent: write one of "+strings.ToLower(continents))
	default:
		return c, fmt.Errorf("geo rule %q: unknown kind %q: use asn, country or continent", r, r.Kind)
	}
	if err != nil {
		return c, fmt.Errorf("geo rule %q: %w", r, err)
	}
	if c.pid, err = parseTemplate(r.PID); err != nil {
		return c, fmt.Errorf("geo rule %q: %w", r, err)
	}
	return c, nil
}

func (r Rule) matchASN() (uint32, error) {
	if r.Match == "*" {
		return 0, nil
	}
	n, err := strconv.ParseUint(r.Match, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not an AS number: write a plain number such as 64500, or *", r.Match)
	}
	asn := asNumber(n)
	if asn == 0 {
		return 0, fmt.Errorf("as %d is reserved and never a client's: write the number of a network", n)
	}
	return asn, nil
}

func (r Rule) matchCode(parse func(string) code, want string) (code, error) {
	if r.Match == "*" {
		return code{}, nil
	}
	c := parse(r.Match)
	if !c.known() {
		return c, fmt.Errorf("%q is not %s, or *", r.Match, want)
	}
	return c, nil
}

// maxPID is the length of the longest PID name (RFC 7285 §10.1).
const maxPID = 64

// placeholders are the names that a PID may hold, and the length of the
// longest value of each.
var placeholders = map[string]struct { //nolint:gochecknoglobals // a table
	field fields
	size  int
}{
	"asn":       {hasASN, len("4294967295")},
	"country":   {hasCountry, 2},
	"continent": {hasContinent, 2},
}

func parseTemplate(p altoroute.SourcePID) (template, error) {
	t := template{source: p.Source}
	if strings.ContainsAny(p.Source, "{}/") {
		return t, fmt.Errorf("source %q: placeholders stand in the PID only: name one source", p.Source)
	}
	if p.PID == "" {
		return t, errors.New("no PID: write pid, or source/pid")
	}
	size := 0
	for rest := p.PID; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, ".") {
			return t, fmt.Errorf("pid %q: no map has such a PID, as a dot is reserved for future use (RFC 7285 §10.1): use letters, digits and - : @ _", p.PID)
		}
		if i := strings.IndexFunc(text, notInPID); i >= 0 {
			return t, fmt.Errorf("pid %q: %q cannot be in a PID: use letters, digits and - : @ _", p.PID, text[i:])
		}
		if text != "" {
			t.parts = append(t.parts, part{text: text})
			size += len(text)
		}
		if !found {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		known, ok := placeholders[name]
		if !closed || !ok {
			return t, fmt.Errorf("pid %q: unknown placeholder: use {asn}, {country} or {continent}", p.PID)
		}
		t.parts = append(t.parts, part{field: known.field})
		size += known.size
		rest = next
	}
	if size > maxPID {
		return t, fmt.Errorf("pid %q can grow to %d characters: a PID has at most %d", p.PID, size, maxPID)
	}
	if !strings.Contains(p.PID, "{") {
		t.fixed = p
	}
	return t, nil
}

func notInPID(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
		return false
	}
	return !strings.ContainsRune("-:@_", r)
}

// expand returns the PID for a place, and false where a placeholder's value is
// not known.
func (t template) expand(r record) (altoroute.SourcePID, bool) {
	if !t.fixed.IsZero() {
		return t.fixed, true
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.field&r.fields() != p.field {
			return altoroute.SourcePID{}, false
		}
		switch p.field {
		case hasASN:
			b.WriteString(formatASN(r.asn))
		case hasCountry:
			b.WriteString(strings.ToLower(r.country.String()))
		case hasContinent:
			b.WriteString(strings.ToLower(r.continent.String()))
		default:
			b.WriteString(p.text)
		}
	}
	return altoroute.SourcePID{Source: t.source, PID: b.String()}, true
}

// A ruleset answers which PIDs stand for a record. It is immutable.
type ruleset struct {
	rules        []Rule // as configured, for errors
	asn          map[uint32]template
	country      map[code]template
	continent    map[code]template
	anyASN       *template
	anyCountry   *template
	anyContinent *template
}

func compileRules(rules []Rule) (*ruleset, error) {
	s := &ruleset{
		rules: slices.Clone(rules),
		asn:   map[uint32]template{}, country: map[code]template{}, continent: map[code]template{},
	}
	for _, r := range rules {
		c, err := r.compile()
		if err != nil {
			return nil, err
		}
		var fresh bool
		switch r.Kind {
		case ASN:
			fresh = add(s.asn, &s.anyASN, c.asn, c)
		case Country:
			fresh = add(s.country, &s.anyCountry, c.code, c)
		case Continent:
			fresh = add(s.continent, &s.anyContinent, c.code, c)
		}
		if !fresh {
			return nil, fmt.Errorf("geo rule %q: there is another rule for %s %s: remove one", r, r.Kind, r.Match)
		}
	}
	return s, nil
}

// add files a rule under its match and reports whether it is the first there.
func add[K comparable](exact map[K]template, all **template, key K, c compiled) bool {
	if c.any {
		first := *all == nil
		*all = &c.pid
		return first
	}
	_, known := exact[key]
	exact[key] = c.pid
	return !known
}

// pids returns the rungs of a record, the most specific first, without repeats.
func (s *ruleset) pids(r record) []altoroute.SourcePID {
	var pids []altoroute.SourcePID
	f := r.fields()
	if f&hasASN != 0 {
		pids = appendPID(pids, s.asn, s.anyASN, r.asn, r)
	}
	if f&hasCountry != 0 {
		pids = appendPID(pids, s.country, s.anyCountry, r.country, r)
	}
	if f&hasContinent != 0 {
		pids = appendPID(pids, s.continent, s.anyContinent, r.continent, r)
	}
	return slices.Clip(pids)
}

func appendPID[K comparable](
	pids []altoroute.SourcePID, exact map[K]template, all *template, key K, r record,
) []altoroute.SourcePID {
	t, ok := exact[key]
	if !ok {
		if all == nil {
			return pids
		}
		t = *all
	}
	pid, ok := t.expand(r)
	if !ok || slices.Contains(pids, pid) {
		return pids
	}
	return append(pids, pid)
}

// place returns what a Locator says of a record: nil where nothing is known.
func (s *ruleset) place(r record) *altoroute.Place {
	if !r.known() {
		return nil
	}
	return &altoroute.Place{
		PIDs:      s.pids(r),
		Country:   r.country.String(),
		Continent: r.continent.String(),
		ASN:       r.asn,
	}
}

// kinds says what each kind of rule needs of a database, and which has it.
var kinds = map[Kind]struct { //nolint:gochecknoglobals // a table
	field  fields
	remedy string
}{
	ASN:       {hasASN, "no database knows AS numbers: add an ASN, ISP or Enterprise database, or remove the rule"},
	Country:   {hasCountry, "no database knows countries: add a Country, City or Enterprise database, or remove the rule"},
	Continent: {hasContinent, "no database knows continents: add a Country or City database that has them, or remove the rule"},
}

// answerable returns an error that names the first rule which the databases
// cannot answer: it would match nothing for ever, in silence.
func (s *ruleset) answerable(has fields) error {
	for _, r := range s.rules {
		if k := kinds[r.Kind]; has&k.field == 0 {
			return fmt.Errorf("geo rule %q: %s", r, k.remedy)
		}
	}
	return nil
}
