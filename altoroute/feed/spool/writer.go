// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"crypto/sha256"
	"errors"
	"hash"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A Writer takes the content of one document, of any size, and compresses it to
// a temporary file. It is for one goroutine.
//
//	w := s.NewWriter()
//	defer w.Discard()
//	… parse(io.TeeReader(answer, w)) …
//	content, err := w.Keep()
//	… s.Commit(set) …
type Writer struct {
	spool    *Spool
	file     file // nil before the first byte and when it is no longer ours
	encoder  *zstd.Encoder
	sum      hash.Hash
	content  Content // what was kept
	size     int64
	finished bool  // kept or discarded
	err      error // the first fault; nothing is written after it
}

var errFinished = errors.New("the document was kept or discarded before")

// NewWriter returns a Writer. It does no I/O before the first byte is written.
func (s *Spool) NewWriter() *Writer { return &Writer{spool: s, sum: sha256.New()} }

// Write never fails, so that a document that cannot be spooled can be read all
// the same: Keep tells what went wrong. Only writing after Keep or Discard is
// an error.
func (w *Writer) Write(p []byte) (int, error) {
	if w.finished {
		return 0, errFinished
	}
	if w.begin(); w.err == nil {
		_, _ = w.sum.Write(p) // never fails
		w.size += int64(len(p))
		if _, err := w.encoder.Write(p); err != nil {
			w.fail(err)
		}
	}
	return len(p), nil
}

// begin makes the file and the encoder, once.
func (w *Writer) begin() {
	if w.err != nil || w.file != nil {
		return
	}
	s := w.spool
	if err := s.disk.makeFolder(s.cfg.Folder); err != nil {
		w.err = err
		return
	}
	if w.file, w.err = s.createTemp(); w.err != nil {
		return
	}
	// The fastest level and a small window: for the world's network map of 21 MB
	// the default level takes half as long again and saves 6 % of the file, the
	// best one takes ten times as long and saves 23 %. A larger window saves
	// nothing and takes more memory than these 1.7 MB. Without goroutines of its
	// own the encoder needs no end when a Writer is forgotten.
	w.encoder, w.err = zstd.NewWriter(w.file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(512<<10),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if w.err != nil {
		w.fail(w.err)
	}
}

// fail gives the room on disk back at once.
func (w *Writer) fail(err error) {
	w.err = err
	w.drop()
}

// drop removes the temporary file, if there is one.
func (w *Writer) drop() {
	if w.file != nil {
		_ = w.file.Close()
		w.spool.removeTemp(w.file)
	}
	w.file, w.encoder = nil, nil
}

// Keep ends the document. Its content can then be used in a [Document] for
// Commit, until Discard. Any number of calls returns the same.
//
// An error means that the document cannot be spooled; nothing is left of it on
// disk.
func (w *Writer) Keep() (Content, error) {
	if w.finished {
		if w.err != nil {
			return Content{}, w.err
		}
		return w.content, nil
	}
	w.finished = true
	if w.begin(); w.err == nil {
		if err := w.encoder.Close(); err != nil {
			w.fail(err)
		}
	}
	if w.err != nil {
		w.err = w.spool.cannotWrite(w.err)
		return Content{}, w.err
	}
	w.encoder = nil
	w.content = Content{SHA256: [sha256.Size]byte(w.sum.Sum(nil)), Size: w.size}
	s := w.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[w.content] = append(s.kept[w.content], w)
	return w.content, nil
}

// Discard removes the document unless it has been committed. It may be called
// at any time, and more than once.
func (w *Writer) Discard() {
	if !w.finished {
		w.finished = true
		w.fail(errFinished)
		return
	}
	s := w.spool
	s.mu.Lock()
	i := slices.Index(s.kept[w.content], w)
	if i >= 0 {
		s.unkeep(w.content, i)
	}
	s.mu.Unlock()
	if i >= 0 { // else it was committed, or never kept
		w.fail(errFinished)
	}
}

// DiscardExcept discards what was kept and not committed, but for contents that are
// still needed and that the spool does not have: those stay, once each.
func (s *Spool) DiscardExcept(needed map[Content]bool) {
	s.mu.Lock()
	kept := make(map[Content][]*Writer)
	for c, writers := range s.kept {
		kept[c] = slices.Clone(writers)
	}
	s.mu.Unlock()
	for c, useless := range kept {
		if needed[c] && s.has(c) != nil {
			useless = useless[1:]
		}
		for _, w := range useless {
			w.Discard()
		}
	}
}

func (s *Spool) isKept(c Content) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept[c]) > 0
}

// claim returns a writer that has kept the content, nil if there is none.
// Whoever has claimed it sees to its file.
func (s *Spool) claim(c Content) *Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept[c]) == 0 {
		return nil
	}
	w := s.kept[c][0]
	s.unkeep(c, 0)
	return w
}

// unkeep is called with the lock held.
func (s *Spool) unkeep(c Content, i int) {
	if s.kept[c] = slices.Delete(s.kept[c], i, i+1); len(s.kept[c]) == 0 {
		delete(s.kept, c)
	}
}

// createTemp makes a temporary file that is not taken for a leftover.
func (s *Spool) createTemp() (file, error) {
	f, err := s.disk.create(s.cfg.Folder)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.temps[filepath.Base(f.Name())] = true
	return f, nil
}

// removeTemp removes a temporary file that was closed.
func (s *Spool) removeTemp(f file) {
	_ = s.disk.remove(f.Name()) // else it is a leftover
	s.forgetTemp(f)
}

func (s *Spool) forgetTemp(f file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.temps, filepath.Base(f.Name()))
}

// settle makes a temporary file safe and gives it its name. It is gone from
// under its own name either way.
func (s *Spool) settle(f file, name string) error {
	err := f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = s.disk.rename(f.Name(), s.path(name))
	}
	if err != nil {
		s.removeTemp(f)
		return err
	}
	s.forgetTemp(f)
	return nil
}
