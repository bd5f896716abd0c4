// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

func newSpool(t testing.TB, folder string) *spool.Spool {
	t.Helper()
	s, err := spool.New(spool.Config{Folder: folder, Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spooling returns a server with version 1 whose set is in the spool.
func spooling(t *testing.T) (server *altotest.Server, folder string) {
	t.Helper()
	server, folder = altotest.Start(t), filepath.Join(t.TempDir(), "spool")
	server.Publish(guidance("1", 1))
	follow(t, server, Config{Spool: newSpool(t, folder)}).wants("1 num1", Fresh, "")
	return server, folder
}

// TestColdStart: with every server down, the maps of before serve; with it up, it is
// only asked whether they are still the current ones.
func TestColdStart(t *testing.T) {
	server, folder := spooling(t)
	server.Stop()
	s := follow(t, server, Config{Spool: newSpool(t, folder)})
	if is := s.Status(); version(is.Maps) != "1 num1" || is.State() != Stale || !is.Spooled || time.Since(is.LastContact) > time.Minute || s.times() != 1 {
		t.Fatalf("%s, %+v", version(is.Maps), is)
	}
	s.wants("1 num1", Stale, "connection refused")
	server.Resume()
	before := s.Maps()
	s.wants("1 num1", Fresh, "")
	if s.Maps() != before || s.Status().Spooled {
		t.Error("the server's confirmation is news")
	}
	for _, path := range []string{netPath, costPath} {
		if n := server.Count(path); n.NotModified != 1 {
			t.Errorf("%s: %+v", path, n)
		}
	}
	server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	if n := s.log.count("maps are those of the spool"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestRowsOfTheSpool: what is on disk is whole, so that an edge that is new
// needs no server.
func TestRowsOfTheSpool(t *testing.T) {
	server, folder := spooling(t)
	server.Stop()
	s := follow(t, server, Config{Spool: newSpool(t, folder)})
	if err := s.more("b"); err != nil {
		t.Fatal(err)
	}
	again := watch(t, Config{Servers: s.cfg.Servers, Spool: newSpool(t, folder)}, "a", "b")
	if m := again.Maps(); m == nil || !m.Costs[0].Keeps([]string{"a", "b"}) {
		t.Error("a row is missing")
	}
}

// TestDamagedSpool: what is damaged is refused by name, and what is whole serves.
func TestDamagedSpool(t *testing.T) {
	server, folder := spooling(t)
	s := follow(t, server, Config{Spool: newSpool(t, folder)})
	s.wants("1 num1", Fresh, "")
	server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	if v := s.Versions(); len(v) != 2 || v[0].Tag.Tag != "2" || v[1].Tag.Tag != "1" {
		t.Fatalf("versions %+v", v)
	}
	server.Stop()
	flip := func(pattern string) string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		file := files[len(files)-1]
		content, err := os.ReadFile(file)
		if err == nil {
			content[len(content)/2] ^= 0xff
			err = os.WriteFile(file, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	newest := flip("set-2.json")
	older := follow(t, server, Config{Spool: newSpool(t, folder)})
	if got := version(older.Maps()); got != "1 num1" || older.log.count("spool cannot be used", newest) != 1 {
		t.Errorf("in force is %s", got)
	}
	for range 8 {
		flip("doc-*.zst")
		flip("set-1.json")
	}
	for _, file := range []string{"set-1.json", "set-2.json"} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := follow(t, server, Config{Spool: newSpool(t, folder)})
	if none.Maps() != nil || none.log.count("ERROR", "spool cannot be used") == 0 {
		t.Error("a damaged spool serves, or is not told of")
	}
	server.Resume()
	none.wants("2 num2", Fresh, "")
}

// TestFilesOfTheSpool: a local file that is broken at a start is no reason to have no
// maps.
func TestFilesOfTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, folder := newFolder(t), filepath.Join(t.TempDir(), "spool")
		d.put("net", networkDocument("1"))
		d.put("cost", costDocument("1", 1, numerical))
		cfg := Config{Files: []string{d.file("net"), d.file("cost")}, Spool: newSpool(t, folder)}
		s := watch(t, cfg, "a")
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("something is written before Start: %v", err)
		}
		s.Start()
		time.Sleep(5 * time.Second)
		s.Stop()
		d.put("cost", []byte("<html>"))
		cfg.Spool = newSpool(t, folder)
		again := watch(t, cfg, "a")
		if is := again.Status(); version(is.Maps) != "1 num1" || is.State() != Stale || !strings.Contains(is.Err.Error(), d.file("cost")) {
			t.Errorf("%s, %s, %v", version(is.Maps), is.State(), is.Err)
		}
		d.put("cost", costDocument("1", 3, numerical))
		again.wants("1 num3", Fresh, "")
	})
}

// TestPutBack: an earlier version comes in force, and the one that it replaces stays
// aside until the source has another.
func TestPutBack(t *testing.T) {
	server, folder := spooling(t)
	s := follow(t, server, Config{Spool: newSpool(t, folder)})
	s.wants("1 num1", Fresh, "")
	if err := s.PutBack(0); err == nil || !strings.Contains(err.Error(), "1 are kept") {
		t.Errorf("went back to nothing: %v", err)
	}
	server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	if err := s.PutBack(0); err != nil {
		t.Fatal(err)
	}
	if got := version(s.Maps()); got != "1 num1" {
		t.Errorf("in force is %s", got)
	}
	for range 3 {
		s.wants("1 num1", Stale, "")
	}
	if is := s.Status(); is.Aside.Tag != "2" {
		t.Errorf("aside is %v", is.Aside)
	}
	// The one put back is the newest on disk.
	if v := s.Versions(); v[0].Tag.Tag != "1" {
		t.Errorf("versions %+v", v)
	}
	server.Publish(guidance("3", 3))
	s.wants("3 num3", Fresh, "")
	if is := s.Status(); is.Aside != (altoroute.VersionTag{}) {
		t.Errorf("aside is %v", is.Aside)
	}
	versions := s.Versions()
	oldest := versions[len(versions)-1]
	if err := s.PutBack(oldest.Sequence); err != nil || s.Maps().Network.Tag() != oldest.Tag {
		t.Errorf("%v, in force is %s, want %v", err, version(s.Maps()), oldest)
	}
	if err := s.PutBack(4711); err == nil {
		t.Error("there is no such version")
	}
	if err := watch(t, Config{Servers: s.cfg.Servers}).PutBack(0); err == nil {
		t.Error("went back without a spool")
	}
}

// TestSpoolThatCannotBeWritten: the maps serve all the same.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1", 1))
	folder := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	s := follow(t, server, Config{Spool: newSpool(t, folder)})
	s.wants("1 num1", Fresh, "")
	if s.log.count("ERROR", "spool", folder) == 0 {
		t.Error("it is not told")
	}
}
