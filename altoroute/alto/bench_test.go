// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// worldFile returns a document of the world map. Where the folder is not known
// the test is skipped; where it is, the file must be there.
func worldFile(tb testing.TB, name string) []byte {
	tb.Helper()
	folder := os.Getenv("ALTOROUTE_WORLD")
	if folder == "" {
		tb.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(unzipped)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// countingSink counts and forgets.
type countingSink struct{ pids, prefixes, rows, costs int }

func (c *countingSink) PID(string) error          { c.pids++; return nil }
func (c *countingSink) Prefix(netip.Prefix) error { c.prefixes++; return nil }
func (c *countingSink) Row(string) bool           { c.rows++; return true }
func (c *countingSink) Cost(string, float64)      { c.costs++ }

// justTokens is what the benchmarks compare with: it pulls the tokens of a
// document and turns prefixes and costs into what they stand for, without any
// check of what is read.
func justTokens(r io.Reader) error {
	decoder := jsontext.NewDecoder(r)
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token.Kind() {
		case jsontext.KindString:
			if kind, _ := decoder.StackIndex(decoder.StackDepth()); kind != jsontext.KindBeginArray {
				continue
			}
			if _, err := netip.ParsePrefix(token.String()); err != nil {
				return err
			}
		case jsontext.KindNumber:
			if _, err := token.Float(); err != nil {
				return err
			}
		default:
		}
	}
}

func BenchmarkWorld(b *testing.B) {
	networkMap := worldFile(b, "networkmap.json.gz")
	costMap := worldFile(b, "costmap.json.gz")
	for _, bench := range []struct {
		name string
		data []byte
		read func(r io.Reader) error
	}{
		{"networkmap/tokens", networkMap, justTokens},
		{"networkmap/read", networkMap, func(r io.Reader) error { _, err := alto.ReadNetworkMap(r, new(countingSink)); return err }},
		{"costmap/tokens", costMap, justTokens},
		{"costmap/read", costMap, func(r io.Reader) error { _, err := alto.ReadCostMap(r, new(countingSink)); return err }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.data)))
			for b.Loop() {
				if err := bench.read(bytes.NewReader(bench.data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The world map is read whole and right, as far as its own description goes.
func TestWorld(t *testing.T) {
	var sink countingSink
	info, err := alto.ReadNetworkMap(bytes.NewReader(worldFile(t, "networkmap.json.gz")), &sink)
	if err != nil {
		t.Fatal(err)
	}
	want := alto.VersionTag{ResourceID: "world-network-map", Tag: "01b73b8cdbcaac65"}
	if info.VersionTag != want || info.HostBits != 0 || info.UnknownTypes != nil {
		t.Errorf("network map: %+v", info)
	}
	if sink.pids != 252 || sink.prefixes != 1_010_884+2 { // and the two catch-alls
		t.Errorf("network map: %d PIDs with %d prefixes", sink.pids, sink.prefixes)
	}
	costs, err := alto.ReadCostMap(bytes.NewReader(worldFile(t, "costmap.json.gz")), &sink)
	if err != nil {
		t.Fatal(err)
	}
	if costs.DependentVersionTag != want || costs.Pairs != sink.costs || costs.Pairs == 0 {
		t.Errorf("cost map: %+v with %d costs", costs, sink.costs)
	}
}
