// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

func spoolIn(t *testing.T, folder string) *spool.Spool {
	t.Helper()
	s, err := spool.New(spool.Config{Folder: folder, Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// again returns a feed as another process would make it of the same spool.
func (s *subject) again(rows ...string) *subject {
	s.t.Helper()
	cfg, h := s.cfg, new(heard)
	cfg.Notify = h.add
	return watch(s.t, cfg, rows...)
}

func TestColdStartFromTheSpool(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
		since := s.Status().Since
		passes(time.Hour)
		s.wants("1 num1", Fresh, "")
		contact := time.Now()
		w.set(true)
		passes(time.Hour)
		s.wants("1 num1", Stale, "no route to host")

		s = s.again("b")
		status := s.Status()
		if version(status.Maps) != "1" || !status.Maps.Costs[0].Keeps([]string{"b"}) || status.State() != Stale || !status.Spooled {
			t.Fatalf("in force is %s (%s)", version(status.Maps), status.State())
		}
		if !status.LastContact.Equal(contact) || !status.Since.Equal(since) || s.log.count("WARN", "maps are those of the spool", "tag=1") != 1 {
			t.Errorf("last contact %v, want %v, since %v, want %v", status.LastContact, contact, status.Since, since)
		}
		s.wants("1", Stale, "no route to host")
		if got := s.Status().LastContact; !got.Equal(contact) {
			t.Errorf("last contact %v without any", got)
		}

		before := w.server.Counts()
		w.set(false)
		maps := s.Maps()
		s.wants("1", Fresh, "")
		for _, path := range []string{netPath, costPath} {
			got := w.server.Count(path)
			if got.Requests != before[path].Requests+1 || got.NotModified != before[path].NotModified+1 {
				t.Errorf("%s: %+v after %+v, want one more of 304", path, got, before[path])
			}
		}
		if status := s.Status(); status.Spooled || status.LastContact != time.Now() || s.Maps() != maps || s.times() != 1 || status.Updates != 0 {
			t.Errorf("spooled %v, told %d times", status.Spooled, s.times())
		}
		w.server.Publish(few("2", 2)) // is judged by what was spooled
		s.wantsHeld("1", "2")
	})
}

// What is too old is not used for a moment.
func TestColdStartFromATooOldSpool(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder), Expire: time.Hour})
		w.set(true)
		passes(2 * time.Hour)
		s = s.again("a")
		if status := s.Status(); status.Maps != nil || !status.Expired || s.times() != 0 || s.log.count("ERROR", "too old") != 1 {
			t.Fatalf("in force is %s, told %d times", version(status.Maps), s.times())
		}
		s.must(s.more("a"))
		s.wants("none", None, "no route to host")
		if got := s.log.count("those of the spool"); got != 1 {
			t.Errorf("the spool was read %d times", got)
		}
		w.set(false)
		s.wants("1 num1", Fresh, "")
		if s.times() != 2 {
			t.Errorf("two watchers were told %d times", s.times())
		}
	})
}

// documentFile returns the name of a document's file in a spool.
func documentFile(sum [sha256.Size]byte) string { return "doc-" + hex.EncodeToString(sum[:]) + ".zst" }

// flip damages the last bytes of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range min(len(data), 20) {
		data[len(data)-1-i] ^= 0x55
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedSpool(t *testing.T) {
	document := func(s *spool.Spool, set, at int) string {
		sets, _ := s.Sets()
		sum := sets[set].Documents[at].Content.SHA256
		return documentFile(sum)
	}
	for name, test := range map[string]struct {
		damaged func(s *spool.Spool) string // a pattern
		want    string
	}{
		"nothing":              {func(*spool.Spool) string { return "none" }, "2 num2"},
		"network map":          {func(s *spool.Spool) string { return document(s, 0, 0) }, "1 num1"},
		"cost map":             {func(s *spool.Spool) string { return document(s, 0, 1) }, "1 num1"},
		"manifest":             {func(*spool.Spool) string { return "set-2.json" }, "1 num1"},
		"an older network map": {func(s *spool.Spool) string { return document(s, 1, 0) }, "2 num2"},
		"every manifest":       {func(*spool.Spool) string { return "set-*" }, "none"},
		"every document":       {func(*spool.Spool) string { return "doc-*" }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
			w.server.Publish(guidance("2", 2))
			s.wants("2 num2", Fresh, "")
			files, err := filepath.Glob(filepath.Join(folder, test.damaged(s.cfg.Spool)))
			s.must(err)
			for _, path := range files {
				flip(t, path)
			}
			w.set(true)
			s.cfg.Spool = spoolIn(t, folder)
			s = s.again("a")
			if got := version(s.Maps()); got != test.want {
				t.Errorf("in force is %s, want %s", got, test.want)
			}
			if said := s.log.count("ERROR", "the spool cannot be used whole") > 0; said != (test.want != "2 num2") {
				t.Errorf("said in the log: %v", said)
			}
			// The server heals it.
			w.set(false)
			s.wants("2 num2", Fresh, "")
			w.set(true)
			s.cfg.Spool = spoolIn(t, folder)
			if got := version(s.again("a").Maps()); got != "2 num2" {
				t.Errorf("after a contact %s is in the spool", got)
			}
		})
	}
}

func TestPutBack(t *testing.T) {
	folder := t.TempDir()
	_, s, _ := unwired(t, Config{})
	if err := s.PutBack(0); err == nil || s.Versions() != nil {
		t.Error("something was put back without a spool")
	}
	w, s, h := unwired(t, Config{Spool: spoolIn(t, folder)})
	if err := s.PutBack(0); err == nil || !strings.Contains(err.Error(), "there is no version before") {
		t.Errorf("error %v where there is one version", err)
	}
	w.server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	s.must(s.more("b"))
	s.wants("2 num2", Fresh, "")
	h.kinds()
	versions := s.Versions()
	if len(versions) != 2 || versions[0].Tag.Tag != "2" || versions[1].Tag.Tag != "1" || versions[0].Sequence <= versions[1].Sequence {
		t.Fatalf("versions %+v", versions)
	}
	if err := s.PutBack(77); err == nil {
		t.Error("a version was put back that there is not")
	}

	s.must(s.PutBack(0))
	back := func() {
		t.Helper()
		status := s.Status()
		if version(status.Maps) != "1 num1" || status.State() != Stale || status.Aside.Tag != "2" || !status.Maps.Costs[0].Keeps([]string{"a", "b"}) {
			t.Errorf("in force is %s (%s), aside %v", version(status.Maps), status.State(), status.Aside)
		}
	}
	back()
	s.wants("1 num1", Stale, "")
	s.wants("1 num1", Stale, "")
	back()
	if got := h.kinds(); got != "updated 1" || version(s.told[len(s.told)-1]) != "1 num1" {
		t.Errorf("events %s", got)
	}
	if versions := s.Versions(); versions[0].Tag.Tag != "1" {
		t.Errorf("versions %+v", versions)
	}

	// By its number, to what the source has.
	s.must(s.PutBack(versions[0].Sequence))
	s.wants("2 num2", Fresh, "")
	s.must(s.PutBack(0))
	back()
	w.server.Publish(guidance("3", 3))
	s.wants("3 num3", Fresh, "")
	if got := s.Status().Aside; got != (altoroute.VersionTag{}) {
		t.Errorf("aside is %v", got)
	}
}

// What is held is put aside by going back, and a ramp is over.
func TestPutBackWhatIsHeld(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	w.server.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	w.server.Publish(few("3", 3))
	s.wantsHeld("2 num2", "3 num3")
	s.must(s.PutBack(0))
	s.wantsHeld("1 num1", "none")
	if got := s.Status().Aside.Tag; got != "3" {
		t.Errorf("aside is %q", got)
	}
	if got := s.Versions(); len(got) != 2 || !slices.IsSortedFunc(got, func(a, b Version) int { return int(b.Sequence) - int(a.Sequence) }) {
		t.Errorf("versions %+v", got)
	}
	w.server.Publish(guidance("1", 1))
	s.wants("1 num1", Fresh, "")
	if got := s.Status().Aside.Tag; got != "" {
		t.Errorf("aside is %q", got)
	}
}

// A spool that cannot be written is told, and nothing else.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Spool: spoolIn(t, filepath.Join(path, "spool"))})
		for range 5 {
			s.wants("1 num1", Fresh, "")
		}
		if s.log.count("ERROR", "cannot be written to the spool") != 2 || s.log.count("ERROR", "not in the spool") != 1 {
			t.Errorf("told %d times", s.log.count("ERROR"))
		}
		if got, want := w.server.Count(netPath), (altotest.Count{Requests: 6, NotModified: 5}); got != want {
			t.Errorf("asked %+v, want %+v", got, want)
		}
		w.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		s.must(os.Remove(path))
		for range 4 { // it finds that nothing was written, reads all anew, and writes that
			passes(restoreAfter)
			s.wants("2 num2", Fresh, "")
		}
		if got := s.Versions(); len(got) != 1 || got[0].Tag.Tag != "2" {
			t.Errorf("versions %+v, once there is room", got)
		}
		if got := s.reads()[1]; got != 3 {
			t.Errorf("the network map was read %d times", got)
		}
	})
}

// However often a source says the same, what is on disk does not grow.
func TestSpoolDoesNotGrow(t *testing.T) {
	folder := t.TempDir()
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	w.server.Misbehave("", altotest.WithoutValidators())
	files := func() int {
		found, err := filepath.Glob(filepath.Join(folder, "*"))
		s.must(err)
		return len(found)
	}
	for i := range 20 {
		if i%5 == 4 {
			w.server.Misbehave(costPath, altotest.StringCosts())
		} else {
			w.server.Misbehave(costPath, nil)
		}
		_, _ = s.look()
		if n := files(); n > 3+2 {
			t.Fatalf("%d files after %d looks", n, i)
		}
	}
	if got := w.server.Count(netPath).NotModified; got != 0 {
		t.Errorf("%d answers were 304", got)
	}
	s.Start()
	s.Stop()
	if n := files(); n != 3 {
		t.Errorf("%d files are left, want a manifest and two documents", n)
	}
}

// Files get into a spool once it can be written.
func TestFilesOnceTheSpoolCanBeWritten(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("cost", costDocument("1", 1, numerical))
	d.put("in-the-way", nil)
	s := watch(t, Config{Files: []string{d.file("net"), d.file("cost")}, Spool: spoolIn(t, d.file("in-the-way/spool"))}, "a")
	s.Start()
	s.wants("1 num1", Fresh, "")
	for range 5 {
		s.wants("1 num1", Fresh, "")
	}
	if s.log.count("ERROR", "spool") != 1 || s.Status().SpoolErr == nil || !slices.Equal(s.reads(), []uint64{1, 1}) {
		t.Errorf("said %q, spool error %v", s.log.lines, s.Status().SpoolErr)
	}
	s.must(os.Remove(d.file("in-the-way")))
	s.Stop()
	s.storedAt = time.Now().Add(-restoreAfter)
	s.wants("1 num1", Fresh, "")
	s.storedAt = time.Now().Add(-restoreAfter)
	s.wants("1 num1", Fresh, "")
	if got := s.Versions(); len(got) != 1 || got[0].Tag.Tag != "1" {
		t.Errorf("versions %+v", got)
	}
}

// What the spool has lost is read again, and written at once, not after a while.
func TestLostContentIsWrittenAgain(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, s := unwiredHeld(t, folder)
		sets, _ := s.cfg.Spool.Sets()
		for _, d := range sets[0].Held.Documents {
			s.must(os.Remove(filepath.Join(folder, documentFile(d.Content.SHA256))))
		}
		s.must(s.Release())
		for range 3 {
			s.wants("2 num2", Fresh, "")
		}
		if got := s.Versions(); len(got) != 2 || got[0].Tag.Tag != "2" || s.Status().SpoolErr != nil {
			t.Errorf("versions %+v, error %v", got, s.Status().SpoolErr)
		}
		if got := s.log.count("ERROR", "not in the spool"); got != 1 {
			t.Errorf("it is told %d times", got)
		}
	})
}
