// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// readWorld returns a document of the world map, gzipped and as it is. It skips
// where the folder is not known; where it is, all must be there.
func readWorld(tb testing.TB, name string) (zipped, content []byte) {
	tb.Helper()
	folder := os.Getenv("ALTOROUTE_WORLD")
	if folder == "" {
		tb.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	zipped = mustRead(tb, filepath.Join(folder, name+".json.gz"))
	content, err := io.ReadAll(gunzip(tb, zipped))
	if err != nil {
		tb.Fatal(err)
	}
	return zipped, content
}

func gunzip(tb testing.TB, zipped []byte) io.Reader {
	tb.Helper()
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// The world map comes back to the byte, and takes about the room that it takes
// gzipped.
func TestWorld(t *testing.T) {
	t.Parallel()
	zippedNetwork, network := readWorld(t, "networkmap")
	zippedCosts, costs := readWorld(t, "costmap")
	tag := alto.VersionTag{ResourceID: "world", Tag: "1"}
	folder := t.TempDir()
	made := []draft{
		{Document{Role: NetworkMap, Name: "networkmap.json.gz", VersionTag: tag}, network},
		{Document{Role: CostMap, Name: "costmap.json.gz", DependsOn: tag}, costs},
	}
	mustPut(t, newSpool(t, folder), made)
	wants(t, folder, made)
	size := 0
	for _, name := range names(t, folder, "") {
		size += len(mustRead(t, filepath.Join(folder, name)))
	}
	if most := (len(zippedNetwork) + len(zippedCosts)) * 5 / 4; size > most {
		t.Errorf("it takes %d bytes, want at most %d", size, most)
	}
}

// BenchmarkWorld writes and reads the world's network map, the latter beside
// gunzip of the same content. Bytes are those of the content.
//
//	ALTOROUTE_WORLD=… go test -run=NONE -bench=World -benchtime=20x ./altoroute/feed/spool
func BenchmarkWorld(b *testing.B) {
	zipped, content := readWorld(b, "networkmap")
	s := newSpool(b, b.TempDir())
	d := Document{Role: NetworkMap, Name: "networkmap.json", VersionTag: alto.VersionTag{ResourceID: "world", Tag: "1"}}
	write := func(b *testing.B) *Writer {
		b.Helper()
		w := s.NewWriter()
		// As it is read from the network.
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(content)}, make([]byte, 16<<10)); err != nil {
			b.Fatal(err)
		}
		var err error
		if d.Content, err = w.Keep(); err != nil {
			b.Fatal(err)
		}
		return w
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			write(b).Discard()
		}
	})
	b.Run("commit", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			write(b)
			if _, err := commit(s, []Document{d}, Others{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	write(b)
	if _, err := commit(s, []Document{d}, Others{}); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			r, err := s.Open(d)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(content)) {
				b.Fatal(n, err)
			}
			_ = r.Close()
		}
	})
	b.Run("gunzip", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			if n, err := io.Copy(io.Discard, gunzip(b, zipped)); err != nil || n != int64(len(content)) {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("sets", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if sets, _ := s.Sets(); len(sets) != 1 {
				b.Fatal(sets)
			}
		}
	})
}
