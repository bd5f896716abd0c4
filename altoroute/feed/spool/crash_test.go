// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A change is what is written over a spool that has sets of versions 0 and 1.
type change struct {
	keep  int
	after []draft
}

func changes() map[string]change {
	validated := drafts("1", "a")
	validated[0].Validators = alto.Validators{ETag: `"other"`}
	return map[string]change{
		"all":        {1, drafts("2", "b")},
		"cost maps":  {2, drafts("1", "b")},
		"validators": {1, validated},
		"nothing":    {2, drafts("1", "a")},
	}
}

// attempt makes a spool with two sets, and the change on a disk that fails.
func (c change) attempt(t *testing.T, disk *brittleDisk) (folder string, err error) {
	t.Helper()
	folder = t.TempDir()
	s := newSpool(t, folder)
	s.disk = newBrittleDisk(math.MaxInt)
	mustPut(t, s, drafts("0", "a"))
	mustPut(t, s, drafts("1", "a"))
	s.disk, s.keep = disk, c.keep
	_, err = put(s, c.after)
	return folder, err
}

// check returns whether the newest set is the one after the change. It must be
// that or the one before, and whole.
func (c change) check(t *testing.T, folder, when string) bool {
	t.Helper()
	s := newSpool(t, folder)
	sets, _ := s.Sets()
	if len(sets) == 0 {
		t.Fatalf("%s: no set is left", when)
	}
	if dir, err := s.look(); err != nil || dir.highest != sets[0].Sequence {
		t.Errorf("%s: set %d cannot be used (%v)", when, dir.highest, err)
	}
	got, err := read(s, sets[0])
	etag := sets[0].Documents[0].Validators.ETag
	switch {
	case err == nil && got == contentOf(c.after) && etag == c.after[0].Validators.ETag:
		return true
	case err == nil && got == contentOf(drafts("1", "a")) && etag == `"1"`:
		return false
	}
	t.Fatalf("%s: the newest set is %.80q with %s, error %v", when, got, etag, err)
	return false
}

// Wherever the process ends, and whatever a power failure makes then of what is
// not known to be safe, the set before is whole or the new one is, and the next
// one can be written. Once Commit has returned it is the new one.
func TestCrash(t *testing.T) {
	t.Parallel()
	for name, c := range changes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			died := make(map[string]bool)
			for steps := 0; ; steps++ {
				var disk *brittleDisk
				// What is pending is a handful, so that all that may become of
				// it can be tried; -1 is the end of the process alone.
				for mask := -1; mask < 1 || mask < 1<<min(len(disk.pending), maskBits); mask++ {
					disk = newBrittleDisk(steps)
					disk.dies = true
					folder, err := c.attempt(t, disk)
					if mask >= 0 {
						disk.lose(t, uint(mask))
					}
					when := disk.failed + " " + errorText(err)
					if after := c.check(t, folder, when); err == nil && !after && name != "nothing" {
						t.Errorf("%s: it was lost, though Commit had returned", when)
					}
					if _, unusable := newSpool(t, folder).Sets(); mask < 0 && len(unusable) > 0 {
						t.Errorf("%s: %v", when, unusable)
					}
					// Who comes next finds its way, and what was left goes.
					for _, left := range names(t, folder, tempPrefix) {
						old := time.Now().Add(-2 * leftover)
						if err := os.Chtimes(filepath.Join(folder, left), old, old); err != nil {
							t.Fatal(err)
						}
					}
					s := newSpool(t, folder)
					s.disk, s.keep = newBrittleDisk(math.MaxInt), 1
					mustPut(t, s, drafts("3", "c"))
					wants(t, folder, drafts("3", "c"))
					if left := names(t, folder, ""); len(left) != 1+3 {
						t.Errorf("%s: there is still %v", when, left)
					}
				}
				died[disk.failed] = true
				if disk.failed == "" {
					break
				}
			}
			if want := []string{"create", "list", "makeFolder", "rename to doc-", "sync", "syncFolder", "write"}; slices.ContainsFunc(want, func(s string) bool { return !died[s] }) {
				t.Errorf("it died at %v only", died)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return "after Commit"
	}
	return "(" + err.Error() + ")"
}

// Whichever step fails alone, the caller is told, the sets are as before, and
// no room is taken by what came of it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, c := range changes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for steps := 0; ; steps++ {
				disk := newBrittleDisk(steps)
				folder, err := c.attempt(t, disk)
				if disk.failed == "" {
					break
				}
				after := c.check(t, folder, disk.failed)
				if err == nil {
					if name != "nothing" && !after {
						t.Errorf("%s failed, and Commit knows nothing of it", disk.failed)
					}
				} else if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "/of/no/interest") ||
					!strings.HasPrefix(err.Error(), folder+": the maps cannot be spooled: no space left on device: ") {
					t.Errorf("%s: error %v", disk.failed, err)
				}
				if disk.failed == "remove" {
					continue
				}
				if left := names(t, folder, tempPrefix); len(left) > 0 {
					t.Errorf("%s: there is still %v", disk.failed, left)
				}
				if left := names(t, folder, documentPrefix); err != nil && !after && len(left) != 6 {
					t.Errorf("%s: there are %d documents, want the 6 of before", disk.failed, len(left))
				}
			}
		})
	}
}

// A disk that fills up while a large document comes in is no trouble for whoever
// reads it, and has its room back before the end.
func TestFullDiskMidway(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	s.disk = newBrittleDisk(4) // folder, file, two blocks
	content := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	w := s.NewWriter()
	defer w.Discard()
	got, err := io.ReadAll(io.TeeReader(bytes.NewReader(content), w))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, error %v", len(got), err)
	}
	if left := names(t, folder, ""); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	for range 2 {
		if _, err := w.Keep(); !errors.Is(err, syscall.ENOSPC) || strings.Count(err.Error(), folder) != 1 {
			t.Errorf("error %v", err)
		}
	}
}

// A folder that cannot be written to is no trouble for whoever reads the
// document at the same time.
func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{blocked, filepath.Join(blocked, "own")} {
		s := newSpool(t, folder)
		if _, err := put(s, drafts("1", "a")); err == nil || !strings.HasPrefix(err.Error(), folder+": the maps cannot be spooled: not a directory") {
			t.Errorf("error %v", err)
		}
		if sets, unusable := s.Sets(); len(sets) > 0 || len(unusable) != 1 || !strings.HasPrefix(unusable[0].Error(), folder+": cannot read the folder: not a directory") {
			t.Errorf("there are %v, %v", sets, unusable)
		}
	}
}
