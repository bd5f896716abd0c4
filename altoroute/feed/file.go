// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// fileOrigin serves documents from local files.
type fileOrigin struct{ docs []*document }

func newFileOrigin(paths []string) *fileOrigin {
	o := new(fileOrigin)
	for i, path := range paths {
		mediaType := alto.MediaTypeCostMap
		if i == 0 {
			mediaType = alto.MediaTypeNetworkMap
		}
		o.docs = append(o.docs, &document{name: path, mediaType: mediaType, open: &fileOpener{path: path}})
	}
	return o
}

func (o *fileOrigin) documents(context.Context) (*document, []*document, error) {
	return o.docs[0], o.docs[1:], nil
}

func (o *fileOrigin) all() []*document { return o.docs }

// fileOpener opens a local file. Whether it has changed is told by its
// identity, size and time of change: a stat each time it is looked at.
type fileOpener struct {
	path string
	file *os.File
	now  os.FileInfo // of the file just opened
	warm bool        // it had been written in the tick of the clock in which it was opened
	kept os.FileInfo // of the content kept
}

func (o *fileOpener) open(_ context.Context, conditional bool) (io.ReadCloser, error) {
	info, err := os.Stat(o.path)
	switch {
	case err != nil:
		return nil, bare(err)
	case !info.Mode().IsRegular():
		// Before it is opened: a pipe would hold us until somebody writes.
		return nil, errors.New("it is not a regular file")
	case conditional && o.kept != nil && sameFile(info, o.kept):
		return nil, errUnchanged
	}
	file, err := os.Open(o.path)
	if err != nil {
		return nil, bare(err)
	}
	if info, err = file.Stat(); err != nil { // that of the file opened, should it be another
		_ = file.Close()
		return nil, bare(err)
	}
	age := time.Since(info.ModTime())
	o.file, o.now, o.warm = file, info, age >= 0 && age < clockTick
	return struct {
		io.Reader
		io.Closer
	}{gunzip(file), file}, nil
}

// clockTick is how coarsely file systems note the time of a change, at most:
// those of today take the kernel's tick.
const clockTick = 20 * time.Millisecond

// keep is called with the file still open. What is wrong with a file stays
// wrong until it is written anew.
func (o *fileOpener) keep(bool) error {
	info, err := o.file.Stat()
	if err != nil {
		return bare(err)
	}
	if !sameFile(info, o.now) {
		return errors.New("it was written to while it was read: write a new file and rename it")
	}
	o.kept = o.now
	if o.warm {
		// Another change in that tick, while or after we read, would not show:
		// the next look reads once more.
		o.kept = nil
	}
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// bare drops the path from an error of the file system: the caller names it.
func bare(err error) error {
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("cannot read the file: %w", pathError.Err)
	}
	return err
}
