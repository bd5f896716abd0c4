// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// TestColdStartOnTheWorldMap: a start from the spool takes at most half as long again as
// one from the files themselves.
func TestColdStartOnTheWorldMap(t *testing.T) {
	world := os.Getenv("ALTOROUTE_WORLD")
	if world == "" {
		t.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	dir := t.TempDir()
	cfg := Config{Name: "world"}
	for _, name := range []string{"networkmap.json.gz", "costmap.json.gz"} {
		to := filepath.Join(dir, name)
		if err := os.Link(filepath.Join(world, name), to); err != nil {
			content, err := os.ReadFile(filepath.Join(world, name))
			if err == nil {
				err = os.WriteFile(to, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		cfg.Files = append(cfg.Files, to)
	}
	start := func(cfg Config) (took time.Duration, f *Feed) {
		t.Helper()
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		stop, err := f.Watch(&watcherOf{rows: these("cc-de")})
		took = time.Since(begin)
		if err != nil || f.Maps() == nil {
			t.Fatalf("no maps: %v", err)
		}
		t.Cleanup(stop)
		return took, f
	}
	inSpool := func() Config {
		c := cfg
		c.Files = slices.Clone(cfg.Files)
		var err error
		if c.Spool, err = spool.New(spool.Config{Folder: filepath.Join(dir, "spool"), Source: "world"}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, f := start(inSpool())
	f.Start()
	if err := turn(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	if len(f.Versions()) != 1 {
		t.Fatal("nothing is in the spool")
	}
	gone := inSpool()
	for i, file := range gone.Files {
		gone.Files[i] = file + ".gone"
	}
	// The shortest of some counts, and more of them where somebody else keeps the
	// machine busy.
	files, spooled := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for round := 0; round < 3 || round < 12 && spooled > files*3/2; round++ {
		took, _ := start(cfg)
		files = min(files, took)
		took, _ = start(gone)
		spooled = min(spooled, took)
	}
	t.Logf("from files %s, from the spool %s: %.2f times that", files, spooled, float64(spooled)/float64(files))
	if spooled > files*3/2 {
		t.Errorf("the spool takes %s, the files %s", spooled, files)
	}
}
