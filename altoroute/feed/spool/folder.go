// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/altoroute/caddy-alto/internal/localfile"
)

// The names of files, see the package's comment.
const (
	manifestPrefix, manifestSuffix = "set-", ".json"
	documentPrefix, documentSuffix = "doc-", ".zst"
	tempPrefix, tempSuffix         = "new-", ".tmp"
)

func manifestFile(sequence uint64) string {
	return manifestPrefix + strconv.FormatUint(sequence, 10) + manifestSuffix
}

// A folder is what is found in a spool's folder.
type folder struct {
	manifests []foundManifest // newest first
	documents []string
	temps     []fs.DirEntry
	highest   uint64 // sequence number
}

type foundManifest struct {
	file string
	set  *Set
	err  error // why it cannot be used
}

// sequenceOf returns the sequence number in a manifest's name, 0 if it is not
// one's name.
func sequenceOf(name string) uint64 {
	n, err := strconv.ParseUint(between(name, manifestPrefix, manifestSuffix), 10, 64)
	if err != nil || n > maxSequence || manifestFile(n) != name {
		return 0
	}
	return n
}

func isDocument(name string) bool {
	middle := between(name, documentPrefix, documentSuffix)
	return len(middle) == 2*sha256.Size && strings.Trim(middle, "0123456789abcdef") == ""
}

func isTemp(name string) bool {
	middle := between(name, tempPrefix, tempSuffix)
	return middle != "" && strings.Trim(middle, "0123456789") == ""
}

// between returns what is between a prefix and a suffix, and nothing where they
// are not those of the name.
func between(name, prefix, suffix string) string {
	rest, isPrefix := strings.CutPrefix(name, prefix)
	middle, isSuffix := strings.CutSuffix(rest, suffix)
	if !isPrefix || !isSuffix {
		return ""
	}
	return middle
}

// look lists the folder, reads the manifests in it, and sees that there is a
// file for each of their documents.
func (s *Spool) look() (*folder, error) {
	entries, err := s.disk.list(s.cfg.Folder)
	if err != nil {
		return nil, err
	}
	dir := new(folder)
	for _, e := range entries {
		name := e.Name()
		switch sequence := sequenceOf(name); {
		case sequence > 0:
			m := foundManifest{file: name}
			m.set, m.err = s.readManifest(name, sequence)
			if errors.Is(m.err, fs.ErrNotExist) {
				continue // another process was faster
			}
			if m.err == nil {
				m.err = s.complete(m.set)
			}
			dir.manifests = append(dir.manifests, m)
			dir.highest = max(dir.highest, sequence)
		case isDocument(name):
			dir.documents = append(dir.documents, name)
		case isTemp(name):
			dir.temps = append(dir.temps, e)
		}
	}
	slices.SortFunc(dir.manifests, func(a, b foundManifest) int {
		return cmp.Compare(sequenceOf(b.file), sequenceOf(a.file))
	})
	return dir, nil
}

func (s *Spool) readManifest(name string, sequence uint64) (*Set, error) {
	f, err := s.disk.open(s.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, pathless(err)
	}
	return s.decode(body, sequence)
}

// disk is all that the spool does to the file system; tests have one that
// fails.
type disk interface {
	makeFolder(path string) error
	list(path string) ([]fs.DirEntry, error)
	stat(path string) error // nil for a regular file
	open(path string) (io.ReadCloser, error)
	create(folder string) (file, error) // a temporary one
	rename(from, to string) error
	remove(path string) error
	syncFolder(path string) error // so that what was done in it outlives a power failure
}

type file interface {
	io.WriteCloser
	Name() string
	Sync() error
}

type realDisk struct{}

func (realDisk) list(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }
func (realDisk) rename(from, to string) error            { return os.Rename(from, to) }
func (realDisk) remove(path string) error                { return os.Remove(path) }

// makeFolder makes a folder and those that it is in.
func (d realDisk) makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := d.makeFolder(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // where it is no folder, its use will tell
	}
	if err == nil {
		_ = d.syncFolder(filepath.Dir(path)) // who can make a folder need not be able to open where it is
	}
	return err
}

// create makes a file that only this user can read.
func (realDisk) create(folder string) (file, error) {
	return os.CreateTemp(folder, tempPrefix+"*"+tempSuffix)
}

func (realDisk) stat(path string) error {
	_, err := localfile.Stat(path)
	return err
}

func (realDisk) open(path string) (io.ReadCloser, error) {
	f, _, err := localfile.Open(path)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (realDisk) syncFolder(path string) error {
	if runtime.GOOS == "windows" { // has no such thing
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) { // as on some file servers
		return err
	}
	return nil
}

// pathless drops the paths from an error of the file system: whoever returns it
// names the one that says something.
func pathless(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	if linkError, ok := errors.AsType[*os.LinkError](err); ok {
		return linkError.Err
	}
	return err
}
