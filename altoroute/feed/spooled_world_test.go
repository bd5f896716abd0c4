// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"os"
	"path/filepath"
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
	shortest := func(n int, of func() time.Duration) time.Duration {
		best := of()
		for range n - 1 {
			best = min(best, of())
		}
		return best
	}
	files := shortest(3, func() time.Duration { took, _ := start(cfg); return took })
	for _, file := range cfg.Files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	spooled := shortest(3, func() time.Duration { took, _ := start(inSpool()); return took })
	t.Logf("from files %s, from the spool %s: %.2f times that", files, spooled, float64(spooled)/float64(files))
	if spooled > files*3/2 {
		t.Errorf("the spool takes %s, the files %s", spooled, files)
	}
}
