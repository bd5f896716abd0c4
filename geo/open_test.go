// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"
)

// bad are contents that are refused, and what the error says.
func bad(tb testing.TB) map[string]struct {
	content []byte
	want    string
} {
	tb.Helper()
	good := build(tb, "GeoLite2-Country", networks{"192.0.2.0/24": country("DE", "EU")})
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(good)
	_ = w.Close()
	damaged := bytes.Clone(good)
	damaged[4] ^= 0xff // in the search tree
	return map[string]struct {
		content []byte
		want    string
	}{
		"empty":     {nil, "it is empty: fetch the database again"},
		"truncated": {good[:len(good)/2], "or is cut short"},
		"text":      {[]byte("404 page not found\n"), "it is not a MaxMind database"},
		"gzip":      {packed.Bytes(), "unpack it"},
		"damaged":   {damaged, "it is damaged"},
		"foreign": {
			build(tb, "Example-Country", networks{"192.0.2.0/24": country("DE", "")}),
			`its database type "Example-Country" is unknown: use a GeoIP2 or GeoLite2 Country`,
		},
		"of no use": {
			build(tb, "GeoIP2-Domain", networks{"192.0.2.0/24": {"domain": mmdbtype.String("example.net")}}),
			`its database type "GeoIP2-Domain" does not say where addresses are: use a GeoIP2`,
		},
		"no usable field": {
			build(tb, "GeoLite2-Country", networks{
				"192.0.2.0/24":    {"cc": mmdbtype.String("DE")},
				"198.51.100.0/24": country("ZZ", ""),
			}),
			"none of its records has a country",
		},
		"no records": {build(tb, "GeoLite2-ASN", nil), "none of its records has a country"},
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tt := range bad(t) {
		t.Run(name, func(t *testing.T) {
			path := files(t, tt.content)[0]
			_, err := New(Config{Files: []string{path}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want the path and %q", err, tt.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none.mmdb")
		_, err := New(Config{Files: []string{path}})
		if err == nil || strings.Count(err.Error(), path) != 1 || !os.IsNotExist(unwrapAll(err)) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		if _, err := New(Config{Files: []string{t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("got %v", err)
		}
	})
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestOpenWithoutDescription(t *testing.T) {
	content := build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country("DE", "")},
		func(o *options) { o.Description = nil })
	if _, err := openDatabase(content); err != nil {
		t.Error(err)
	}
}

// TestOpenSharedNodes opens trees in which both children of every node are the
// same: 128 nodes, 2^128 paths.
func TestOpenSharedNodes(t *testing.T) {
	for name, leaf := range map[string]bool{"with a record": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			content := build(t, "GeoLite2-Country", networks{"2001:db8::/128": country("DE", "")},
				func(o *options) { o.DisableIPv4Aliasing = true })
			raw, err := maxminddb.OpenBytes(content)
			if err != nil {
				t.Fatal(err)
			}
			n := raw.Metadata.NodeCount
			empty := []byte{byte(n >> 16), byte(n >> 8), byte(n)}
			for i := range n {
				l, r := content[6*i:6*i+3], content[6*i+3:6*i+6]
				if bytes.Equal(l, empty) {
					copy(l, r)
				} else {
					copy(r, l)
				}
			}
			if last := content[6*(n-1) : 6*n]; !leaf {
				copy(last, empty)
				copy(last[3:], empty)
			}
			db, err := openDatabase(content)
			if leaf && (err != nil || db.has != hasCountry) || !leaf && err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFindAroundIPv4 asks for IPv4 addresses where one IPv6 network holds all
// that stands for them.
func TestFindAroundIPv4(t *testing.T) {
	db, err := openDatabase(aroundIPv4(t))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"192.0.2.1": 0, "::c000:201": 16, "2001:db8::1": 32} {
		if r, bits := db.find(ip(addr)); bits != want || r.fields() == 0 {
			t.Errorf("%s: %+v for %d bits, not %d", addr, r, bits, want)
		}
	}
}

func aroundIPv4(tb testing.TB) []byte {
	tb.Helper()
	return build(tb, "GeoIP2-City", networks{"::/16": country("DE", "EU"), "2001:db8::/32": country("FR", "EU")},
		func(o *options) { o.DisableIPv4Aliasing = true })
}

// FuzzOpen opens anything as a database and asks it. Databases that pass the
// checks must answer without a panic; so must those that would not, since the
// reader is used by the checks themselves.
func FuzzOpen(f *testing.F) {
	for _, b := range bad(f) {
		f.Add(b.content, []byte{192, 0, 2, 1})
	}
	f.Add(build(f, "GeoIP2-City", networks{"192.0.2.0/24": country("DE", "EU")}), []byte{192, 0, 2, 1})
	f.Add(build(f, "GeoLite2-ASN", networks{"2001:db8::/32": asn(64500)}), bytes.Repeat([]byte{1}, 16))
	f.Add(build(f, "GeoIP2-Enterprise", networks{"2001:db8::/128": country("FR", "")},
		func(o *options) { o.RecordSize = 32 }), bytes.Repeat([]byte{1}, 16))
	f.Add(aroundIPv4(f), []byte{192, 0, 2, 1})
	f.Fuzz(func(t *testing.T, content, addr []byte) {
		start := time.Now()
		db, err := openDatabase(content)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("%d bytes took %v to check", len(content), took)
		}
		if err != nil {
			return
		}
		a, ok := netip.AddrFromSlice(addr)
		if !ok {
			return
		}
		a = a.Unmap()
		r, bits := db.find(a)
		if bits < 0 || bits > a.BitLen() {
			t.Fatalf("%v: a prefix of %d bits", a, bits)
		}
		if r.fields()&^db.has != 0 {
			t.Fatalf("%v: %v has fields that no record has", a, r)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	content, err := os.ReadFile(world(b, "country.mmdb"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := openDatabase(content); err != nil {
			b.Fatal(err)
		}
	}
}
