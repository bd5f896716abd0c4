// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a document's file can ask for. Every decoder
// should take that much (RFC 8878 §3.1.1.1.2), so that what is written may
// change without a new version of the format.
const maxWindow = 8 << 20

// Open opens a document of a set for reading. Reading ends in io.EOF only if
// the content is what was written, and the last bytes are not handed out before
// that is known. Where it is damaged the error is an [Error] that wraps
// ErrDamaged. As long as it is open the document is held.
//
// Reading takes about 2 MB of memory, whatever the size, and at most a few
// times 8 MiB whatever is in the file. The caller closes it.
func (s *Spool) Open(d Document) (io.ReadCloser, error) {
	path := s.path(d.Content.file())
	s.hold(d.Content, 1)
	f, err := s.disk.open(path)
	if err != nil {
		s.hold(d.Content, -1)
		if errors.Is(err, fs.ErrNotExist) {
			err = errMissing
		}
		return nil, &Error{File: path, Err: err}
	}
	r := &reader{spool: s, want: d.Content, path: path, file: watchedFile{ReadCloser: f}, sum: sha256.New()}
	// Without goroutines of its own it reads nothing ahead.
	r.decoder, err = zstd.NewReader(&r.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		_ = r.Close()
		return nil, &Error{File: path, Err: err}
	}
	return r, nil
}

type reader struct {
	spool   *Spool
	want    Content
	path    string
	file    watchedFile
	decoder *zstd.Decoder
	sum     hash.Hash
	size    int64
	err     error // what all further reading returns
	closed  bool
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.decoder.Read(p)
	_, _ = r.sum.Write(p[:n]) // never fails
	r.size += int64(n)
	switch {
	case err != nil && err != io.EOF: //nolint:errorlint // a wrapped EOF is not the end, see io.Reader
		if r.file.err != nil {
			r.err = &Error{File: r.path, Err: fmt.Errorf("cannot read the file: %w", pathless(r.file.err))}
			return 0, r.err
		}
		return r.damaged(err.Error())
	case r.size > r.want.Size:
		return r.damaged(fmt.Sprintf("it is longer than %d bytes", r.want.Size))
	case r.size < r.want.Size && err != nil:
		return r.damaged(fmt.Sprintf("it ends after %d of %d bytes", r.size, r.want.Size))
	case r.size == r.want.Size && [sha256.Size]byte(r.sum.Sum(nil)) != r.want.SHA256:
		return r.damaged("the checksum is not that of the content")
	}
	r.err = err
	return n, err
}

// damaged remembers what is wrong, so that no set is made of it again.
func (r *reader) damaged(how string) (int, error) {
	r.spool.mu.Lock()
	r.spool.damaged[r.want] = true
	r.spool.mu.Unlock()
	r.err = &Error{File: r.path, Err: fmt.Errorf("%w: %s", ErrDamaged, how)}
	return 0, r.err
}

// Close implements io.Closer. It may be called more than once.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.err == nil {
		r.err = fs.ErrClosed
	}
	if r.decoder != nil {
		r.decoder.Close()
	}
	err := r.file.Close()
	r.spool.hold(r.want, -1)
	return err
}

// A watchedFile remembers a failure to read, to tell it from a fault of the
// content.
type watchedFile struct {
	io.ReadCloser
	err error
}

func (w *watchedFile) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
