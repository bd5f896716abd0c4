// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package localfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, content string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// read opens a file and returns the stamp of its content.
func read(t *testing.T, path string) Stamp {
	t.Helper()
	f, stamp, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := stamp.Check(f); err != nil {
		t.Fatal(err)
	}
	return stamp
}

func old() time.Time { return time.Now().Add(-time.Hour) }

func TestChangesShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	at := old()
	write(t, path, "one", at)
	before := read(t, path)
	if !before.Same(stat(t, path)) {
		t.Error("a file that nobody touched has changed")
	}
	if (Stamp{}).Same(stat(t, path)) {
		t.Error("the zero stamp is that of a file")
	}
	for name, change := range map[string]func(){
		"size": func() { write(t, path, "four", at) },
		"time": func() { write(t, path, "two", at.Add(time.Nanosecond)) },
		"identity": func() {
			write(t, path+".new", "two", at)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		write(t, path, "one", at)
		stamp := read(t, path)
		change()
		if stamp.Same(stat(t, path)) {
			t.Errorf("another %s does not show", name)
		}
	}
}

// TestYoungFile looks at a file every millisecond: while two changes can look
// the same, what was read is not trusted for ever.
func TestYoungFile(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	every := func(from, to time.Duration) (looks []time.Duration) {
		for ; from <= to; from += ms {
			looks = append(looks, from)
		}
		return looks
	}
	tests := map[string]struct {
		fine  bool            // its time of change has a fraction of a second
		age   time.Duration   // since its change when it is first read
		again []time.Duration // when it is read again, since its change
	}{
		"fine, at once":        {true, 0, every(1*ms, 20*ms)},
		"fine, late":           {true, 19 * ms, every(20*ms, 20*ms)},
		"fine, settled":        {true, 20 * ms, nil},
		"fine, a bit ahead":    {true, -1 * ms, every(0, 20*ms)},
		"fine, far ahead":      {true, -500*ms + 1, nil},
		"coarse, at once":      {false, 0, every(2*s, 2*s)},
		"coarse, late":         {false, 2*s - ms, every(2*s, 2*s)},
		"coarse, settled":      {false, 2 * s, nil},
		"coarse, a bit ahead":  {false, -1 * s, every(2*s, 2*s)},
		"coarse, hours ahead":  {false, -3600 * s, nil},
		"coarse, written long": {false, 3600 * s, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			synctest.Test(t, func(t *testing.T) {
				// Time begins with a whole second here; the file's is to be one or not.
				time.Sleep((tt.age%s + s) % s)
				if tt.fine {
					time.Sleep(s / 4)
				}
				changed := time.Now().Add(-tt.age)
				write(t, path, "content", changed)
				stamp := read(t, path)
				var again []time.Duration
				for range 3500 {
					time.Sleep(ms)
					if !stamp.Same(stat(t, path)) {
						again = append(again, time.Since(changed))
						stamp = read(t, path)
					}
				}
				if !slices.Equal(again, tt.again) {
					t.Errorf("read again after %v, want %v", again, tt.again)
				}
			})
		})
	}
}

func TestWrittenWhileRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, write := range map[string]func() error{
		"grown": func() error { return os.WriteFile(path, []byte("longer"), 0o600) },
		"cut":   func() error { return os.Truncate(path, 1) },
		"same size": func() error {
			return errors.Join(os.WriteFile(path, []byte("two"), 0o600), os.Chtimes(path, time.Time{}, time.Now()))
		},
	} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old(), old()); err != nil {
			t.Fatal(err)
		}
		f, stamp, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := stamp.Check(f); err != nil {
			t.Errorf("%s: %v before it was", name, err)
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if err := stamp.Check(f); !errors.Is(err, ErrWritten) {
			t.Errorf("%s: got %v", name, err)
		}
		_ = f.Close()
		if err := stamp.Check(f); err == nil || errors.Is(err, ErrWritten) {
			t.Errorf("%s: got %v of a closed file", name, err)
		}
	}
	// A file that is replaced while it is read is still one version.
	f, stamp, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, path+".new", "new", time.Now())
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if err := stamp.Check(f); err != nil {
		t.Errorf("replaced: %v", err)
	}
	if stamp.Same(stat(t, path)) {
		t.Error("replaced: it does not show")
	}
}

// refused checks that neither way leads to what is at the path, and what both
// say of it.
func refused(t *testing.T, path, want string) {
	t.Helper()
	_, errStat := Stat(path)
	_, _, errOpen := Open(path)
	for _, err := range []error{errStat, errOpen} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %q without the path", err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	refused(t, dir, "it is not a regular file: name the file itself")
	none := filepath.Join(dir, "none")
	refused(t, none, "cannot read the file: ")
	if _, err := Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
