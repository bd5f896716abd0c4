// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"encoding/csv"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// world returns the path of a file of the world map. Without the map the test
// is skipped; with a part of it missing it fails.
func world(tb testing.TB, name string) string {
	tb.Helper()
	dir := os.Getenv("ALTOROUTE_WORLD")
	if dir == "" {
		tb.Skip("ALTOROUTE_WORLD is not set to the folder of the world map")
	}
	return filepath.Join(dir, name)
}

// TestWorld places every client of the oracle, twice.
func TestWorld(t *testing.T) {
	d := open(t, Config{
		Files: []string{world(t, "country.mmdb")},
		Rules: []Rule{rule(Country, "*", "own/cc-{country}")},
	})
	f, err := os.Open(world(t, "clients.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	s, checked := d.Snapshot(), 0
	for range 2 {
		for _, row := range rows {
			addr, err := netip.ParseAddr(row[0])
			if err != nil {
				t.Fatal(err)
			}
			want := "nil"
			if cc, ok := strings.CutPrefix(row[1], "cc-"); ok {
				want = strings.ToUpper(cc) + "//0 own/cc-" + cc
				checked++
			}
			if got := show(s.Locate(addr)); got != want {
				t.Errorf("%v: got %q, want %q", addr, got, want)
			}
		}
	}
	c := d.Status().Cache
	t.Logf("%d rows, %d in a country, cache %+v", len(rows), checked/2, c)
	if checked < len(rows) {
		t.Errorf("only %d of %d rows are in a country", checked/2, len(rows))
	}
	if c.Hits < uint64(len(rows)) {
		t.Errorf("%d hits in the second pass over %d rows", c.Hits, len(rows))
	}
}

func BenchmarkLocateWorld(b *testing.B) {
	path := world(b, "country.mmdb")
	for _, dist := range []string{"zipf", "uniform"} {
		seq := benchSequence(dist == "zipf")
		b.Run(dist+"/cache", func(b *testing.B) {
			s := open(b, Config{Files: []string{path}, Rules: anyRules[1:2]}).Snapshot()
			for _, a := range seq {
				s.Locate(a)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				s.Locate(seq[i&(len(seq)-1)])
				i++
			}
		})
		b.Run(dist+"/databases", func(b *testing.B) {
			s := open(b, Config{Files: []string{path}, Rules: anyRules[1:2]}).Snapshot()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				s.find(seq[i&(len(seq)-1)])
				i++
			}
		})
	}
}
