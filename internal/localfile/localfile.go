// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package localfile tells whether a local file has changed since it was read,
// and whether it was read in one piece, by nothing but what the file system
// notes of it: its identity, size and time of change.
//
// No error names the path: whoever asks names it, once.
package localfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// File systems note the time of a change in ticks. What is changed twice
// within one, to the same size, looks the same after both. A file is therefore
// young for a tick after its change, and content that was read from a young
// file is read once more.
//
// How long a tick is cannot be asked. Most file systems take the kernel's,
// which is 4 to 16 ms, but FAT counts in 2 s and HFS+, ext3 and old file
// servers in whole ones. A time with a fraction of a second proves that
// seconds are not the unit; without one they may be. So a file on a disk of
// today is read a second time only if it was first read within 20 ms of its
// change, and none is that was older than 2 s.
//
// A file server whose clock differs from ours by more than a tick escapes this:
// nothing short of reading every file twice, for ever, would help. Renaming a
// new file over the old one always shows, since it changes the identity.
const (
	tick       = 20 * time.Millisecond
	coarseTick = 2 * time.Second
)

// ErrWritten is the fault of content that is no one version of a file.
var ErrWritten = errors.New("it was written to while it was read: write a new file and rename it over this one")

// Stat returns what is known of a regular file without opening it. Anything
// else is an error: a named pipe, for one, would hold whoever opens it until
// somebody writes to it.
func Stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(err)
	}
	return info, regular(info)
}

// Open opens a regular file for reading and returns the stamp of what will be
// read.
func Open(path string) (*os.File, Stamp, error) {
	if _, err := Stat(path); err != nil {
		return nil, Stamp{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Stamp{}, unreadable(err)
	}
	now := time.Now() // before its time of change is asked for: a pause between them must not age it
	info, err := f.Stat()
	if err != nil {
		err = unreadable(err)
	} else {
		err = regular(info) // what was there a moment ago may have been another
	}
	if err != nil {
		_ = f.Close()
		return nil, Stamp{}, err
	}
	return f, Stamp{info: info, young: young(info, now)}, nil
}

// A Stamp tells the content that was read from a file from later content,
// without reading that. The zero Stamp is that of no content.
type Stamp struct {
	info  fs.FileInfo
	young bool // when it was opened
}

// Same reports whether there is no need to read the file again, whose present
// state is given.
//
// Where a young file has been read there is: at the next look if the tick is
// short, but not before its end where it may be long. So however often the file
// is looked at, it is read at most once more after it has settled, and a change
// that nothing shows is found a little later, not never.
func (s Stamp) Same(info fs.FileInfo) bool {
	if s.info == nil || !unchanged(s.info, info) {
		return false
	}
	return !s.young || coarse(info) && young(info, time.Now())
}

// Check is called with the file still open when it has been read. It returns
// ErrWritten if what was read may be parts of several versions.
func (s Stamp) Check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return unreadable(err)
	}
	if s.info == nil || !unchanged(s.info, info) {
		return ErrWritten
	}
	return nil
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// young reports whether a change now could leave the time of change as it is.
// It may be a little ahead of the clock, but not far: then it was made up, as
// by unpacking an archive, and a change would show.
func young(info fs.FileInfo, now time.Time) bool {
	t := tick
	if coarse(info) {
		t = coarseTick
	}
	return now.Sub(info.ModTime()).Abs() < t
}

func coarse(info fs.FileInfo) bool { return info.ModTime().Nanosecond() == 0 }

func regular(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file: name the file itself")
	}
	return nil
}

// unreadable drops the path from an error of the file system. What should be
// there, only the caller knows.
func unreadable(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	return fmt.Errorf("cannot read the file: %w", err)
}
