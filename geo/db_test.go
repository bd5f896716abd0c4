// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"bytes"
	"cmp"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/altoroute/caddy-alto/altoroute"
)

// networks are what a test database holds.
type networks map[string]mmdbtype.Map

// options are a database's, changed by tests that need another.
type options = mmdbwriter.Options

// build returns a database of a type.
func build(tb testing.TB, typ string, nets networks, change ...func(*options)) []byte {
	tb.Helper()
	opts := options{
		DatabaseType: typ, RecordSize: 24, BuildEpoch: 1_800_000_000,
		Description:             map[string]string{"en": "made by a test"},
		IncludeReservedNetworks: true,
	}
	for _, c := range change {
		c(&opts)
	}
	tree, err := mmdbwriter.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	bits := func(cidr string) int { return netip.MustParsePrefix(cidr).Bits() }
	// A later network replaces what an earlier one says: longer ones last.
	for _, cidr := range slices.SortedFunc(maps.Keys(nets), func(a, b string) int {
		return cmp.Or(bits(a)-bits(b), strings.Compare(a, b))
	}) {
		_, n, err := net.ParseCIDR(cidr)
		if err != nil {
			tb.Fatal(err)
		}
		if err := tree.Insert(n, nets[cidr]); err != nil {
			tb.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if _, err := tree.WriteTo(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// country is a Country or City record; empty values are left out.
func country(iso, continent string) mmdbtype.Map {
	m := mmdbtype.Map{}
	if iso != "" {
		m["country"] = mmdbtype.Map{"iso_code": mmdbtype.String(iso)}
	}
	if continent != "" {
		m["continent"] = mmdbtype.Map{"code": mmdbtype.String(continent)}
	}
	return m
}

func asn(n uint32) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number":       mmdbtype.Uint32(n),
		"autonomous_system_organization": mmdbtype.String("Example"),
	}
}

// put writes a file as an operator should: beside it, then renamed over it.
func put(tb testing.TB, path string, content []byte) {
	tb.Helper()
	beside := path + ".new"
	if err := os.WriteFile(beside, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(beside, path); err != nil {
		tb.Fatal(err)
	}
}

// overwrite writes a file in place, as an operator should not, and dates it so
// that the change shows whatever the file system's clock.
func overwrite(tb testing.TB, path string, content []byte) {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	later := info.ModTime().Add(3 * time.Second)
	if err := os.Chtimes(path, later, later); err != nil {
		tb.Fatal(err)
	}
}

// files writes databases to a new folder and returns their paths.
func files(tb testing.TB, contents ...[]byte) []string {
	tb.Helper()
	dir := tb.TempDir()
	paths := make([]string, len(contents))
	for i, c := range contents {
		paths[i] = filepath.Join(dir, string(rune('a'+i))+".mmdb")
		put(tb, paths[i], c)
	}
	return paths
}

func open(tb testing.TB, c Config) *DB {
	tb.Helper()
	d, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func pid(s string) altoroute.SourcePID {
	p, err := altoroute.ParseSourcePID(s)
	if err != nil {
		panic(err)
	}
	return p
}

func rule(kind Kind, match, p string) Rule { return Rule{Kind: kind, Match: match, PID: pid(p)} }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// show makes a place comparable in one line.
func show(p *altoroute.Place) string {
	if p == nil {
		return "nil"
	}
	s := p.Country + "/" + p.Continent + "/" + formatASN(p.ASN)
	for _, pid := range p.PIDs {
		s += " " + pid.String()
	}
	return s
}
