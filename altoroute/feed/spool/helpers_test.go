// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

const source = "https://token@alto.example/directory"

// newSpool returns a spool of the folder with the test's source.
func newSpool(t testing.TB, folder string) *Spool {
	t.Helper()
	s, err := New(Config{Folder: folder, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A draft is a document and its content.
type draft struct {
	Document
	content []byte
}

// drafts are a network map of a version and two cost maps of it, whose content is
// what they are of.
func drafts(version, costs string) []draft {
	tag := alto.VersionTag{ResourceID: "net", Tag: version}
	at := time.Date(2026, 11, 25, 18, 53, 7, 8, time.UTC)
	made := []draft{
		{Document{
			Role: NetworkMap, Name: "https://alto.example/net", ResourceID: "net", MediaType: alto.MediaTypeNetworkMap,
			VersionTag: tag, Validators: alto.Validators{ETag: `"` + version + `"`, LastModified: "Wed, 25 Nov 2026 18:53:07 GMT"}, FetchedAt: at,
		}, []byte(strings.Repeat("network map "+version+"\n", 40))},
	}
	for i, mode := range []string{"num", "ord"} {
		made = append(made, draft{Document{
			Role: CostMap, Name: "https://alto.example/cost/" + mode, ResourceID: mode, MediaType: alto.MediaTypeCostMap,
			DependsOn: tag, FetchedAt: at.Add(time.Duration(i)),
		}, []byte(mode + " costs " + costs + " of network map " + version)})
	}
	return made
}

// put writes all documents and commits them.
func put(s *Spool, made []draft) (*Set, error) {
	var documents []Document
	var writers []*Writer
	defer func() {
		for _, w := range writers {
			w.Discard()
		}
	}()
	for _, d := range made {
		w := s.NewWriter()
		writers = append(writers, w)
		// In two pieces, and as the feed does it.
		r := io.TeeReader(io.MultiReader(bytes.NewReader(d.content[:3]), bytes.NewReader(d.content[3:])), w)
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, fmt.Errorf("writing must not fail: %w", err)
		}
		var err error
		if d.Content, err = w.Keep(); err != nil {
			return nil, err
		}
		documents = append(documents, d.Document)
	}
	return commit(s, documents, Others{})
}

// commit makes a set of the documents.
func commit(s *Spool, documents []Document, others Others) (*Set, error) {
	set := &Set{InForce: time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC), Documents: documents, Others: others}
	if err := s.Commit(set); err != nil {
		return nil, err
	}
	return set, nil
}

func mustPut(t testing.TB, s *Spool, made []draft) *Set {
	t.Helper()
	set, err := put(s, made)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// read returns all content of a set.
func read(s *Spool, set *Set) (string, error) {
	var all strings.Builder
	for _, d := range set.Documents {
		r, err := s.Open(d)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(&all, r)
		if closed := r.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return "", err
		}
	}
	return all.String(), nil
}

func contentOf(made []draft) string {
	var all strings.Builder
	for _, d := range made {
		all.Write(d.content)
	}
	return all.String()
}

// wants checks what sets a new spool of the folder has, newest first, and that
// they are whole.
func wants(t testing.TB, folder string, made ...[]draft) []*Set {
	t.Helper()
	s := newSpool(t, folder)
	sets, unusable := s.Sets()
	if len(sets) != len(made) || len(unusable) > 0 {
		t.Fatalf("there are %d sets, want %d; unusable %v", len(sets), len(made), unusable)
	}
	for i, set := range sets {
		if got, err := read(s, set); err != nil || got != contentOf(made[i]) {
			t.Errorf("set %d of %d has %.80q, error %v", i, len(sets), got, err)
		}
	}
	return sets
}

// names returns the names of the files in a folder that have the prefix.
func names(t testing.TB, folder, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			found = append(found, e.Name())
		}
	}
	return found
}

// newBrittleDisk returns a disk that does so many steps.
func newBrittleDisk(steps int) *brittleDisk {
	return &brittleDisk{steps: steps, unsynced: make(map[string]bool)}
}

// A brittleDisk is the real one until it has done a number of steps. The next
// one fails. If it died then, so do all others, as if the process had ended;
// lose makes of it what a power failure may leave.
type brittleDisk struct {
	realDisk
	steps  int // until it fails
	dies   bool
	failed string // what failed first

	unsynced map[string]bool // files by their present path
	pending  []func() error  // undo what was done in the folder and is not safe
}

var errNoRoom = &fs.PathError{Op: "write", Path: "/of/no/interest", Err: syscall.ENOSPC}

func (d *brittleDisk) step(what string) error {
	if d.steps--; d.steps == -1 || d.dies && d.steps < 0 {
		if d.failed == "" {
			d.failed = what
		}
		return errNoRoom
	}
	return nil
}

func (d *brittleDisk) makeFolder(path string) error {
	if err := d.step("makeFolder"); err != nil {
		return err
	}
	return d.realDisk.makeFolder(path)
}

func (d *brittleDisk) list(path string) ([]fs.DirEntry, error) {
	if err := d.step("list"); err != nil {
		return nil, err
	}
	return d.realDisk.list(path)
}

func (d *brittleDisk) open(path string) (io.ReadCloser, error) {
	if err := d.step("open"); err != nil {
		return nil, err
	}
	return d.realDisk.open(path)
}

func (d *brittleDisk) create(folder string) (file, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	f, err := d.realDisk.create(folder)
	if err != nil {
		return nil, err
	}
	d.unsynced[f.Name()] = true
	return &brittleFile{file: f, disk: d}, nil
}

func (d *brittleDisk) rename(from, to string) error {
	if err := d.step("rename to " + filepath.Base(to)[:4]); err != nil {
		return err
	}
	before, missing := os.ReadFile(to)
	if err := d.realDisk.rename(from, to); err != nil {
		return err
	}
	if d.unsynced[from] {
		delete(d.unsynced, from)
		d.unsynced[to] = true
	}
	d.pending = append(d.pending, func() error {
		if missing != nil {
			return os.Remove(to)
		}
		return os.WriteFile(to, before, 0o600)
	})
	return nil
}

func (d *brittleDisk) remove(path string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d.pending = append(d.pending, func() error { return os.WriteFile(path, before, 0o600) })
	return d.realDisk.remove(path)
}

func (d *brittleDisk) syncFolder(string) error {
	if err := d.step("syncFolder"); err != nil {
		return err
	}
	d.pending = nil
	return nil // the machine does not really fail
}

// maskBits is enough for what is done in a folder until it is synced. What has
// no bit of its own shares one.
const maskBits = 4

// lose empties the files that were not synced, and undoes what the bits of the
// mask say of what was done in the folder since that was.
func (d *brittleDisk) lose(t *testing.T, mask uint) {
	t.Helper()
	for path := range d.unsynced {
		if err := os.Truncate(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for i, undo := range slices.Backward(d.pending) {
		if mask&(1<<(i%maskBits)) == 0 {
			continue
		}
		if err := undo(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

type brittleFile struct {
	file
	disk *brittleDisk
}

func (f *brittleFile) Write(p []byte) (int, error) {
	if err := f.disk.step("write"); err != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	return f.file.Write(p)
}

func (f *brittleFile) Sync() error {
	if err := f.disk.step("sync"); err != nil {
		return err
	}
	delete(f.disk.unsynced, f.Name())
	return nil // as syncFolder
}
