// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/altoroute/caddy-alto/altoroute"
)

// worldMaps are the documents of the world map, as they are and decompressed.
type worldMaps struct {
	files   []string // gzipped
	plain   []string
	zipped  [][]byte
	content [][]byte
	edges   []altoroute.Edge
}

// readWorld skips where the folder is not known; where it is, all must be there.
func readWorld(tb testing.TB) *worldMaps {
	tb.Helper()
	folder := os.Getenv("ALTOROUTE_WORLD")
	if folder == "" {
		tb.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	w, temp := new(worldMaps), tb.TempDir()
	for _, name := range []string{"networkmap.json", "costmap.json"} {
		path := filepath.Join(folder, name+".gz")
		data, err := os.ReadFile(path)
		must(err)
		unzipper, err := gzip.NewReader(bytes.NewReader(data))
		must(err)
		content, err := io.ReadAll(unzipper)
		must(err)
		must(os.WriteFile(filepath.Join(temp, name), content, 0o600))
		w.files, w.plain = append(w.files, path), append(w.plain, filepath.Join(temp, name))
		w.zipped, w.content = append(w.zipped, data), append(w.content, content)
	}
	data, err := os.ReadFile(filepath.Join(folder, "edges.json"))
	must(err)
	var edges []struct{ Name, URL, PID string }
	must(json.Unmarshal(data, &edges))
	for _, e := range edges {
		w.edges = append(w.edges, altoroute.Edge{Name: e.Name, URL: mustURL(e.URL), PIDs: []altoroute.SourcePID{{PID: e.PID}}})
	}
	return w
}

// guide reads the files and puts them in force in a new router.
func (w *worldMaps) guide(tb testing.TB, files []string) (*altoroute.Router, *Feed) {
	tb.Helper()
	router, err := altoroute.New(altoroute.Config{Sources: []altoroute.Source{{Name: "own"}}, Edges: w.edges})
	if err != nil {
		tb.Fatal(err)
	}
	f, err := New(Config{Name: "own", Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.Watch(For(router, "own"))
	if err != nil {
		tb.Fatal(err)
	}
	return router, f
}

// tokenise is what all reading is measured against: it pulls every token of a
// document and puts the prefixes into a table, without any check.
func tokenise(tb testing.TB, r io.Reader, table *bart.Table[uint32]) {
	tb.Helper()
	decoder := jsontext.NewDecoder(r)
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		if token.Kind() != jsontext.KindString {
			continue
		}
		if kind, _ := decoder.StackIndex(decoder.StackDepth()); kind == jsontext.KindBeginArray {
			prefix, err := netip.ParsePrefix(token.String())
			if err != nil {
				tb.Fatal(err)
			}
			table.Insert(prefix, 1)
		}
	}
}

func gunzipped(tb testing.TB, data []byte) io.Reader {
	tb.Helper()
	unzipper, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	return unzipper
}

// BenchmarkWorld reads, checks and plans the world map, and next to it only
// pulls its tokens: the median of the ratios is what counts on a noisy machine.
//
//	ALTOROUTE_WORLD=… go test -run=NONE -bench=World -benchtime=20x ./altoroute/feed
func BenchmarkWorld(b *testing.B) {
	w := readWorld(b)
	for _, bench := range []struct {
		name   string
		files  []string
		reader func(i int) io.Reader
	}{
		{"plain", w.plain, func(i int) io.Reader { return bytes.NewReader(w.content[i]) }},
		{"gzip", w.files, func(i int) io.Reader { return gunzipped(b, w.zipped[i]) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var ratios, tokens, feeds []float64
			for b.Loop() {
				runtime.GC() // each pays for its own garbage only
				start := time.Now()
				var table bart.Table[uint32]
				for i := range w.content {
					tokenise(b, bench.reader(i), &table)
				}
				baseline := time.Since(start)
				runtime.GC()
				start = time.Now()
				w.guide(b, bench.files)
				feed := time.Since(start)
				ratios = append(ratios, float64(feed)/float64(baseline))
				tokens = append(tokens, baseline.Seconds()*1000)
				feeds = append(feeds, feed.Seconds()*1000)
			}
			b.ReportMetric(0, "ns/op") // of both together: says nothing
			b.ReportMetric(median(tokens), "ms-tokens")
			b.ReportMetric(median(feeds), "ms-feed")
			b.ReportMetric(median(ratios), "x-tokens")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkWorldHeap reports what stays in memory: maps, plan and ranking.
func BenchmarkWorldHeap(b *testing.B) {
	w := readWorld(b)
	w.zipped, w.content = nil, nil
	for b.Loop() {
		before := liveHeap()
		router, f := w.guide(b, w.files)
		network := f.Maps().Network
		grown := float64(liveHeap()-before) / float64(network.Prefixes())
		b.ReportMetric(grown, "MB/Mprefix") // bytes for one are megabytes for a million
		runtime.KeepAlive(router)
		runtime.KeepAlive(f)
	}
}

func liveHeap() uint64 {
	var stats runtime.MemStats
	// Twice, for what the first one only moves on to be freed.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// The world map comes in force whole, as far as its own description goes.
func TestWorld(t *testing.T) {
	w := readWorld(t)
	router, f := w.guide(t, w.files)
	m := f.Maps()
	if m.Network.PIDs() != 252 || m.Network.Prefixes() != 1_010_884+2 || router.Maps("own") != m {
		t.Errorf("%d PIDs, %d prefixes", m.Network.PIDs(), m.Network.Prefixes())
	}
	if errs := router.UnknownPIDs("own", m.Network); len(errs) > 0 || !m.Costs[0].Keeps(router.Rows("own", m.Network)) {
		t.Errorf("unknown PIDs %v, or rows are missing", errs)
	}
	if cost, ok := m.Costs[0].Cost("cc-de", "cc-fr"); !ok || cost <= 0 {
		t.Errorf("from Germany to France it costs %v (%v)", cost, ok)
	}
}
