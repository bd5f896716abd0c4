// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// seal gives what should be a manifest its checksum.
func seal(body string) []byte {
	sealed := []byte(body)
	copy(sealed[len(headStart):], checksum(sealed))
	return sealed
}

// replaceFile writes a file where there may be one.
func replaceFile(t testing.TB, path string, body []byte) {
	t.Helper()
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// No bit of a manifest can change, and it cannot be shorter or longer.
func TestDamagedManifest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	mustPut(t, s, drafts("1", "a"))
	good := mustRead(t, filepath.Join(folder, "set-1.json"))
	refused := func(what string, at int, body []byte) {
		if set, err := s.decode(body, 1); set != nil || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s at %d: %v, error %v", what, at, set, err)
		}
	}
	for i := range good {
		for bit := range 8 {
			body := bytes.Clone(good)
			body[i] ^= 1 << bit
			refused("bit", i, body)
		}
		refused("end", i, good[:i])
		refused("more", i, append(bytes.Clone(good), good[:i+1]...))
	}
	if _, err := s.decode(good, 1); err != nil {
		t.Error(err)
	}
}

// What has the right checksum was not damaged by a disk, but it is checked all
// the same.
func TestForgedManifest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	first := mustPut(t, s, drafts("1", "a"))
	if _, err := commit(s, first.Documents, Others{Incoming: &NotInForce{Sums: []Sum{0xabc}, Filter: 0xdef, Over: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "set-1.json")
	good := string(mustRead(t, path))
	for _, c := range []struct {
		old, by string
		fault   error
		word    string
	}{
		{`"version": 1`, `"version": 2`, ErrVersion, "the member version is 2, and only 1 is known; was it written by a newer altoroute?"},
		{`"version": 1`, `"version": 0`, ErrVersion, "version is 0"},
		{`"version": 1`, `"version": 9, "unknown": {}`, ErrVersion, "version is 9"},
		{`"version": 1`, `"version": "1"`, ErrDamaged, "version"},
		{`"version": 1`, `"version": 1, "unknown": 1`, ErrDamaged, "unknown field"},
		{`"sequence": 1`, `"sequence": 2`, ErrDamaged, "the member sequence is 2, by its name it is 1"},
		{`"version_tag": {`, `"depends_on": {`, ErrDamaged, "documents[0]/version_tag"},
		{`"role": "network_map"`, `"role": "cost_map"`, ErrDamaged, "no network map"},
		{`"role": "network_map"`, `"role": "directory"`, ErrDamaged, `documents[0]/role is "directory", want network_map or cost_map`},
		{`"role": "cost_map"`, `"role": "x"`, ErrDamaged, `documents[1]/role is "x"`},
		{`"size": 560`, `"size": -560`, ErrDamaged, "documents[0]/content/size is -560"},
		{`"size": 560`, `"size": 1e99`, ErrDamaged, "size"},
		{`"size": 560`, `"size": 1, "size": 560`, nil, ""}, // the last one counts
		{`"size": 560`, `"size": 560, "sha256": "00"`, ErrDamaged, `"00" is no SHA-256, want 64 hexadecimal digits`},
		{"\"sha256\": \"", "\"sha256\": \"..", ErrDamaged, "is no SHA-256"},
		{"\n}\n", "\n}\n{}", ErrDamaged, "after top-level value"},
		{"\n}\n", "\n", ErrDamaged, "JSON"},
		{`"abc"`, `"abg"`, ErrDamaged, `"abg" is no sum, want at most 16 hexadecimal digits`},
		{`"abc"`, `"-1"`, ErrDamaged, `"-1" is no sum`},
		{`"abc"`, `"10000000000000000"`, ErrDamaged, `"10000000000000000" is no sum`},
		{`"abc"`, ``, ErrDamaged, "incoming/sums is missing"},
		{`"def"`, `"xyz"`, ErrDamaged, `"xyz" is no sum`},
		{`3600000000000`, `"1h"`, ErrDamaged, "over_ns"},
		{`3600000000000`, `-1`, ErrDamaged, "incoming/over_ns is -1"},
		{`3600000000000`, `0`, ErrDamaged, "incoming/over_ns is 0"},
		{`3600000000000`, `1e99`, ErrDamaged, "over_ns"},
		{`"tag": "1"`, `"tag": "2"`, ErrDamaged, "documents[1]/depends_on"},
	} {
		i := strings.Index(good[headSize:], c.old)
		if i < 0 {
			t.Fatalf("the manifest has no %s", c.old)
		}
		replaceFile(t, path, seal(good[:headSize]+good[headSize:][:i]+c.by+good[headSize:][i+len(c.old):]))
		sets, unusable := s.Sets()
		if c.fault == nil {
			if len(unusable) > 0 {
				t.Errorf("%s: %v", c.by, unusable)
			}
			continue
		}
		var fault *Error
		if len(sets) > 0 || len(unusable) != 1 || !errors.Is(unusable[0], c.fault) || !errors.As(unusable[0], &fault) || fault.File != path ||
			!strings.Contains(unusable[0].Error(), c.word) || !strings.HasSuffix(unusable[0].Error(), ": it is not used, and the next good set replaces it") {
			t.Errorf("%s: there are %v, %v; want an error with %q", c.by, sets, unusable, c.word)
		}
	}
	replaceFile(t, path, bytes.Repeat([]byte(" "), maxManifest+1))
	if _, unusable := s.Sets(); len(unusable) != 1 || !strings.Contains(unusable[0].Error(), "larger than") {
		t.Errorf("unusable: %v", unusable)
	}
	mustPut(t, s, drafts("2", "a"))
	if got := names(t, folder, ""); len(got) != 1+3 {
		t.Errorf("there is still %v", got)
	}
}

// Whatever happens to the file of a document, what is read to its end is what
// was written, and its last bytes do not come unless it is.
func TestDamagedDocument(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	made := drafts("1", "a")
	set := mustPut(t, s, made)
	d, content := set.Documents[0], made[0].content
	path := filepath.Join(folder, d.Content.file())
	good := mustRead(t, path)
	harmless := 0
	check := func(what string, at int, body []byte) {
		replaceFile(t, path, body)
		r, err := s.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		var fault *Error
		switch {
		case err == nil && bytes.Equal(got, content):
			harmless++
		case err == nil || len(got) >= len(content) && !bytes.Equal(got, content) || !errors.Is(err, ErrDamaged) || !errors.As(err, &fault) || fault.File != path:
			t.Errorf("%s at %d: read %d of %d bytes, error %v", what, at, len(got), len(content), err)
		default:
			if _, again := r.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("%s at %d: after the error comes %v", what, at, again)
			}
		}
	}
	for i := range good {
		for bit := range 8 {
			body := bytes.Clone(good)
			body[i] ^= 1 << bit
			check("bit", i, body)
		}
		check("end", i, good[:i])
		check("zeros", i, append(bytes.Clone(good[:i]), make([]byte, len(good)-i)...))
	}
	// Bits that the format has no use for.
	if harmless > 8 {
		t.Errorf("%d changes do no harm", harmless)
	}
	check("twice", 0, append(bytes.Clone(good), good...))
	check("other content", 0, mustRead(t, filepath.Join(folder, set.Documents[1].Content.file())))
}

// What is found to be damaged is not used for another set, the older set is
// served, and the next good one mends it.
func TestDamagedNewest(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 20) },
		"folder":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			s := newSpool(t, folder)
			mustPut(t, s, drafts("1", "a"))
			set := mustPut(t, s, drafts("2", "b"))
			path := filepath.Join(folder, set.Documents[0].Content.file())
			if err := breakIt(path); err != nil {
				t.Fatal(err)
			}
			_, err := read(s, set)
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") || name != "folder" && !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
			sets, unusable := s.Sets()
			if len(sets) != 1 || len(unusable) != 1 || !strings.HasPrefix(unusable[0].Error(), filepath.Join(folder, "set-2.json")+": its document https://alto.example/net: doc-") {
				t.Fatalf("there are %v, %v", sets, unusable)
			}
			if got, err := read(s, sets[0]); err != nil || got != contentOf(drafts("1", "a")) {
				t.Errorf("the older set has %.80q, %v", got, err)
			}
			if release, err := s.Hold(set); err == nil || release != nil {
				t.Error("what is damaged can be held")
			}
			if _, err := commit(s, set.Documents, Others{}); err == nil || name != "folder" && !errors.Is(err, ErrDamaged) {
				t.Errorf("what is damaged can be committed: %v", err)
			}
			if name == "folder" {
				return // nothing but a hand can do that, and a hand must mend it
			}
			if mended := mustPut(t, s, drafts("2", "b")); mended.Sequence != 2 {
				t.Errorf("mended it is set %d", mended.Sequence)
			}
			wants(t, folder, drafts("2", "b"), drafts("1", "a"))
		})
	}
}

// A manifest under another's name is not taken for it, and others' files are
// none of ours.
func TestStrangeFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	mustPut(t, s, drafts("1", "a"))
	body := mustRead(t, filepath.Join(folder, "set-1.json"))
	strange := []string{
		"set-01.json", "set-0.json", "set-+1.json", "set--1.json", "set-.json", "set-9007199254740992.json", "set-18446744073709551616.json", "set-1.json~",
		"doc-.zst", "doc-00.zst", "doc-" + strings.Repeat("G", 64) + ".zst", "new-.tmp", "new-a.tmp", "notes.txt",
	}
	for _, name := range strange {
		replaceFile(t, filepath.Join(folder, name), body)
	}
	wants(t, folder, drafts("1", "a"))
	replaceFile(t, filepath.Join(folder, "set-7.json"), body)
	if sets, unusable := s.Sets(); len(sets) != 1 || len(unusable) != 1 || !errors.Is(unusable[0], ErrDamaged) {
		t.Errorf("there are %v, %v", sets, unusable)
	}
	if set := mustPut(t, s, drafts("2", "a")); set.Sequence != 8 {
		t.Errorf("it is set %d, want 8", set.Sequence)
	}
	for _, name := range strange {
		mustRead(t, filepath.Join(folder, name))
	}
	// The last number there is.
	replaceFile(t, filepath.Join(folder, "set-9007199254740991.json"), body)
	if _, err := put(s, drafts("3", "a")); err == nil || !strings.Contains(err.Error(), "set-9007199254740991.json, which should not be there: remove it") {
		t.Errorf("error %v", err)
	}
	wants2, unusable := s.Sets()
	if len(wants2) != 2 || len(unusable) != 1 {
		t.Errorf("there are %v, %v", wants2, unusable)
	}
}

// A hostile file gets no more memory than it needs, and no more time than its
// document has bytes.
func TestHostileDocument(t *testing.T) {
	folder := t.TempDir()
	s := newSpool(t, folder)
	made := drafts("1", "a")
	set := mustPut(t, s, made)
	path := filepath.Join(folder, set.Documents[0].Content.file())
	var bomb bytes.Buffer
	e, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(maxWindow))
	if err != nil {
		t.Fatal(err)
	}
	for range 256 {
		_, _ = e.Write(make([]byte, 1<<20))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"a quarter of a gigabyte": bomb.Bytes(),
		// RFC 8878 §3.1.1.1: a window of 512 MB; a single segment of 2^62 bytes.
		"window":      {0x28, 0xb5, 0x2f, 0xfd, 0x00, 19 << 3, 0x02, 0x00, 0x10, 'x'},
		"one segment": {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x02, 0x00, 0x10, 'x'},
		"skipped":     {0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff},
	} {
		replaceFile(t, path, body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := s.Open(set.Documents[0])
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		_ = r.Close()
		runtime.ReadMemStats(&after)
		if n >= set.Documents[0].Content.Size || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: read %d bytes, error %v", name, n, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4*maxWindow {
			t.Errorf("%s: it took %d MB of memory", name, took>>20)
		}
	}
}

// A disk that fails says nothing of the content.
func TestFailingRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	set := mustPut(t, s, drafts("1", "a"))
	s.disk = failingReads{}
	_, err := read(s, set)
	if err == nil || errors.Is(err, ErrDamaged) || !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), ".zst: cannot read the file: ") {
		t.Errorf("error %v", err)
	}
	if sets, unusable := s.Sets(); len(sets) > 0 || len(unusable) != 1 || errors.Is(unusable[0], ErrDamaged) {
		t.Errorf("there are %v, %v", sets, unusable)
	}
	// Nor does it cost what may be good.
	if _, err := put(s, drafts("2", "a")); err != nil {
		t.Error(err)
	}
	s.disk = realDisk{}
	wants(t, folder, drafts("2", "a"), drafts("1", "a"))
	// One that is another user's is in nobody's way.
	s.disk = newBrittleDisk(math.MaxInt)
	if !isUseless(fs.ErrPermission) || isUseless(fs.ErrInvalid) {
		t.Error("isUseless")
	}
}

type failingReads struct{ realDisk }

func (d failingReads) open(path string) (io.ReadCloser, error) {
	f, err := d.realDisk.open(path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(f, 10), failingReader{}), f}, nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "/of/no/interest", Err: fs.ErrInvalid}
}
