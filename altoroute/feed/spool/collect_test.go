// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The newest sets are kept with all that they need, and nothing else.
func TestCollect(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	for i := range 10 {
		mustPut(t, s, drafts(strconv.Itoa(i/2), strconv.Itoa(i)))
	}
	wants(t, folder, drafts("4", "9"), drafts("4", "8"), drafts("3", "7"))
	// Two network maps, two cost maps of each set, three manifests.
	if left := names(t, folder, ""); len(left) != 2+6+3 {
		t.Errorf("there is %v", left)
	}
}

// What is held, open or waiting for its set stays whatever is committed, and
// goes afterwards.
func TestHold(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	s.keep = 1
	first := mustPut(t, s, drafts("1", "a"))
	release, err := s.Hold(first)
	if err != nil {
		t.Fatal(err)
	}
	second := mustPut(t, s, drafts("2", "a"))
	opened, err := s.Open(second.Documents[0])
	if err != nil {
		t.Fatal(err)
	}
	waiting := s.NewWriter()
	_, _ = waiting.Write([]byte("network map of another time"))
	if _, err := waiting.Keep(); err != nil {
		t.Fatal(err)
	}
	writing := s.NewWriter()
	_, _ = writing.Write([]byte("not yet"))
	old := time.Now().Add(-2 * leftover)
	for _, name := range names(t, folder, tempPrefix) {
		if err := os.Chtimes(filepath.Join(folder, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, s, drafts("3", "a"))
	if got, err := read(s, first); err != nil || got != contentOf(drafts("1", "a")) {
		t.Errorf("what was held is %.80q, error %v", got, err)
	}
	// Three of each set, but two of the second's are gone.
	if got := len(names(t, folder, documentPrefix)); got != 3*3-2 {
		t.Errorf("there are %d documents", got)
	}
	if got := len(names(t, folder, tempPrefix)); got != 2 {
		t.Errorf("%d documents are being written, want 2", got)
	}
	_ = opened.Close()
	release()
	release() // counts once
	waiting.Discard()
	writing.Discard()
	mustPut(t, s, drafts("3", "a"))
	wants(t, folder, drafts("3", "a"))
	if left := names(t, folder, ""); len(left) != 1+3 || len(s.held) > 0 {
		t.Errorf("there is %v, held %v", left, s.held)
	}
	if _, err := s.Hold(first); !errors.Is(err, ErrDamaged) {
		t.Errorf("what is gone can be held: %v", err)
	}
}

// Leftovers go when they are old enough not to be another process's work.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, age := range map[string]time.Duration{"new-1.tmp": 2 * leftover, "new-2.tmp": leftover / 2, "new-3.tmp": -2 * leftover, "old.tmp": 2 * leftover} {
		path, at := filepath.Join(folder, name), time.Now().Add(-age)
		replaceFile(t, path, []byte("half a document"))
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, newSpool(t, folder), drafts("1", "a"))
	if got := names(t, folder, ""); len(got) != 1+3+2 || got[3] != "new-2.tmp" || got[4] != "old.tmp" {
		t.Errorf("there is %v", got)
	}
}

// Readers that hold a set read it whole, however fast sets come, and whoever
// else writes.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	s.keep = 1
	s.disk = unsafeDisk{}
	mustPut(t, s, drafts("0", "0"))
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for reads := 0; ; {
				select {
				case <-done:
					if reads == 0 {
						t.Error("nothing was read")
					}
					return
				default:
				}
				sets, _ := s.Sets()
				if len(sets) == 0 {
					continue // all were replaced while they were looked at
				}
				release, err := s.Hold(sets[0])
				if err != nil {
					continue // it was replaced since
				}
				tag := sets[0].Documents[0].VersionTag.Tag
				if got, err := read(s, sets[0]); err != nil || got != contentOf(drafts(tag, tag)) {
					t.Errorf("set %d is %.80q, error %v", sets[0].Sequence, got, err)
				}
				release()
				reads++
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for i := range 50 {
				version := strconv.Itoa(i%5 + 10*w)
				if _, err := put(s, drafts(version, version)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if len(s.held)+len(s.kept)+len(s.temps)+len(s.damaged) > 0 {
		t.Errorf("forgotten: %v %v %v %v", s.held, s.kept, s.temps, s.damaged)
	}
	mustPut(t, s, drafts("end", "a"))
	wants(t, folder, drafts("end", "a"))
}

// Two processes that share a folder may lose each other's sets, but what is left
// is whole, and one of them alone puts all in order.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{"one source": source, "two sources": "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			var both sync.WaitGroup
			for _, identity := range []string{source, other} {
				s, err := New(Config{Folder: folder, Source: identity})
				if err != nil {
					t.Fatal(err)
				}
				s.disk, s.keep = unsafeDisk{}, 2
				both.Go(func() {
					for i := range 60 {
						version := strconv.Itoa(i % 3)
						_, err := put(s, drafts(version, version))
						if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, os.ErrNotExist) {
							t.Error(err)
						}
						sets, _ := s.Sets()
						for _, set := range sets {
							tag := set.Documents[0].VersionTag.Tag
							if got, err := read(s, set); err == nil && got != contentOf(drafts(tag, tag)) {
								t.Errorf("set %d is %.80q", set.Sequence, got)
							} else if err != nil && !errors.Is(err, errMissing) {
								t.Error(err)
							}
						}
					}
				})
			}
			both.Wait()
			s := newSpool(t, folder)
			s.keep = 1
			mustPut(t, s, drafts("end", "a"))
			wants(t, folder, drafts("end", "a"))
			if left := names(t, folder, ""); len(left) != 1+3 {
				t.Errorf("there is %v", left)
			}
		})
	}
}

// An unsafeDisk is the real one, but faster.
type unsafeDisk struct{ realDisk }

func (unsafeDisk) syncFolder(string) error { return nil }

func (d unsafeDisk) create(folder string) (file, error) {
	f, err := d.realDisk.create(folder)
	return unsafeFile{f}, err
}

type unsafeFile struct{ file }

func (unsafeFile) Sync() error { return nil }

// A set that comes again takes no other one's place.
func TestCollectTheSame(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	for _, version := range []string{"1", "2", "3", "2", "3", "2", "1"} {
		mustPut(t, s, drafts(version, "a"))
	}
	sets := wants(t, folder, drafts("1", "a"), drafts("2", "a"), drafts("3", "a"))
	if sets[0].Sequence != 7 || sets[1].Sequence != 6 || sets[2].Sequence != 5 {
		t.Errorf("the newest is %d", sets[0].Sequence)
	}
}
