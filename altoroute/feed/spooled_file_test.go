// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Where a file is broken at a start, the spool serves, and the log says why.
func TestFilesFromTheSpool(t *testing.T) {
	for name, spoil := range map[string]func(d *folder){
		"broken":            func(d *folder) { d.put("net", []byte("{")) },
		"gone":              func(d *folder) { d.remove("net") },
		"of two versions":   func(d *folder) { d.put("net", networkDocument("2")) },
		"broken cost map":   func(d *folder) { d.put("cost", []byte("[]")) },
		"without cost maps": func(d *folder) { d.remove("cost") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newFolder(t)
			d.put("net", networkDocument("1"))
			d.put("cost", costDocument("1", 1, numerical))
			s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Spool: spoolIn(t, d.file("spool"))}, "a")
			if _, err := os.Stat(d.file("spool")); !os.IsNotExist(err) {
				t.Errorf("something is written before Start: %v", err)
			}
			s.Start()
			s.wants("1 num1", Fresh, "")
			s.Stop()
			if len(s.Versions()) != 1 {
				t.Fatalf("in force is %s, %d versions", version(s.Maps()), len(s.Versions()))
			}
			spoil(d)
			s = s.again("a") // fails the test where Watch returns an error
			status := s.Status()
			if version(status.Maps) != "1 num1" || status.State() != Stale || status.Err == nil || !status.Spooled {
				t.Errorf("in force is %s (%s), error %v", version(status.Maps), status.State(), status.Err)
			}
			if s.log.count("maps are those of the spool") != 1 || s.log.count("refused", d.path) != 1 {
				t.Errorf("said: %q", s.log.lines)
			}
			_, err := s.look()
			if err == nil || s.log.count("refused") != 1 || s.times() != 1 {
				t.Errorf("error %v, told %d times, logged %d times", err, s.times(), s.log.count("refused"))
			}
			d.put("net", networkDocument("1"))
			d.put("cost", costDocument("1", 1, numerical))
			s.wants("1 num1", Fresh, "")
			if s.times() != 1 || s.log.count("ERROR", "spool") != 0 {
				t.Errorf("told %d times, said %q", s.times(), s.log.lines)
			}
			d.put("net", networkDocument("2"))
			d.put("cost", costDocument("2", 2, numerical))
			s.wants("2 num2", Fresh, "")
		})
	}
}

// Without a spool, and with nothing in it, Watch tells what is wrong.
func TestFilesWithoutASpooledSet(t *testing.T) {
	d := newFolder(t)
	f, err := New(Config{Files: []string{d.file("net"), d.file("cost")}, Spool: spoolIn(t, d.file("spool"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Watch(&watcherOf{}); err == nil {
		t.Error("Watch returned no error without any maps")
	}
}

// The last contact outlives the process, also that of a process which began with the
// spool.
func TestLastContactIsSpooled(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		s = s.again("a")
		s.wants("1 num1", Fresh, "")
		for range 3 {
			passes(time.Hour)
			s.wants("1 num1", Fresh, "")
		}
		contact := time.Now()
		w.set(true)
		passes(time.Hour)
		if got := s.again("a").Status().LastContact; !got.Equal(contact) {
			t.Errorf("last contact %v, want %v", got, contact)
		}
	})
}
