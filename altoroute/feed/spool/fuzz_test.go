// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// Whatever is in a manifest, it is refused by name, or it is a set that comes
// back the same when it is written.
func FuzzManifest(f *testing.F) {
	folder := f.TempDir()
	s := newSpool(f, folder)
	mustPut(f, s, drafts("1", "a"))
	good := mustRead(f, filepath.Join(folder, "set-1.json"))
	f.Add(good, false)
	f.Add(good, true)
	f.Add(bytes.Replace(good, []byte(`"version": 1`), []byte(`"version": 2`), 1), true)
	f.Add(bytes.Replace(good, []byte(`"size": 560`), []byte(`"size": -1`), 1), true)
	f.Add(good[:headSize], true)
	f.Add(bytes.Replace(good, []byte("\n\t]\n}"), []byte(`], "held": {"sums": ["ff", "0"], "reasons": [""]}, "incoming": {"sums": ["1"], "over_ns": 1}}`), 1), true)
	f.Fuzz(func(t *testing.T, body []byte, sealed bool) {
		if sealed && len(body) >= headSize { // else nothing gets past the checksum
			body = bytes.Clone(body)
			copy(body, headStart)
			copy(body[headSize-len(headEnd):], headEnd)
			copy(body[len(headStart):], checksum(body))
		}
		set, err := s.decode(body, 1)
		if err != nil {
			if set != nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrOtherSource) {
				t.Errorf("%v, error %v", set, err)
			}
			return
		}
		if again, err := s.encode(set); err == nil { // not of a time with seconds in its zone, for one
			if got, err := s.decode(again, 1); err != nil || !sameSet(got, set) {
				t.Errorf("%+v is written as %s and read as %+v, error %v", set, again, got, err)
			}
		}
	})
}

// sameSet compares times as such: they may be written in other zones.
func sameSet(a, b *Set) bool {
	if len(a.Documents) != len(b.Documents) || len(a.each()) != len(b.each()) || !a.InForce.Equal(b.InForce) {
		return false
	}
	for _, pair := range [][2]*NotInForce{{a.Aside, b.Aside}, {a.Incoming, b.Incoming}, {a.Held, b.Held}} {
		x, y := pair[0], pair[1]
		if x == nil && y == nil {
			continue
		}
		if x == nil || y == nil || x.VersionTag != y.VersionTag || !x.Since.Equal(y.Since) || !slices.Equal(x.Sums, y.Sums) || x.Filter != y.Filter || x.Over != y.Over || !slices.Equal(x.Reasons, y.Reasons) {
			return false
		}
	}
	for i := range a.Documents {
		x, y := a.Documents[i], b.Documents[i]
		if !x.FetchedAt.Equal(y.FetchedAt) {
			return false
		}
		x.FetchedAt = y.FetchedAt
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// Whatever is in the file of a document, what is read to its end is what was
// written.
func FuzzDocument(f *testing.F) {
	folder := f.TempDir()
	s := newSpool(f, folder)
	made := drafts("1", "a")
	set := mustPut(f, s, made)
	for _, name := range names(f, folder, documentPrefix) {
		f.Add(mustRead(f, filepath.Join(folder, name)))
	}
	f.Add([]byte{})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 19 << 3, 0x02, 0x00, 0x10, 'x'})
	want := made[0].content
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newSpool(t, folder)
		s.disk = memoryFile{body: body}
		r, err := s.Open(set.Documents[0])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		// No more may come than was written, whatever it is.
		got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
		if len(got) >= len(want) && !bytes.Equal(got, want) || len(got) < len(want) && err == nil || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("read %q, error %v", got, err)
		}
	})
}

// A memoryFile is a disk on which all files are the same.
type memoryFile struct {
	realDisk
	body []byte
}

func (m memoryFile) open(string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.body)), nil
}
