// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bytes"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func encoded(t testing.TB, m altotest.NetworkMap) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := altotest.WriteNetworkMap(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// badFile is content that must be refused, and what the error must say beside
// the name of the file.
type badFile struct {
	name, file string
	content    []byte
	reason     Refusal
	words      []string
}

func badFiles(t testing.TB) []badFile {
	t.Helper()
	goodNetwork, goodCosts := networkDocument("2"), costDocument("1", 2, numerical)
	duplicate, empty, typo := network("2"), network("2"), network("2")
	duplicate.PIDs["c"] = []string{"192.0.2.0/25"}
	empty.PIDs = map[string][]string{"a": nil}
	typo.PIDs = map[string][]string{"a": {"192.0.2.0/33"}}
	var directory, noCosts bytes.Buffer
	_ = altotest.WriteDirectory(&directory, &alto.Directory{DefaultNetworkMap: "net"})
	none := costs("1", 1, numerical)
	none.Costs = nil
	_ = altotest.WriteCostMap(&noCosts, none)
	notNumber := bytes.Replace(goodCosts, []byte(`"b":2`), []byte(`"b":"2"`), 1)
	return []badFile{
		{"truncated", "net", goodNetwork[:len(goodNetwork)/2], Invalid, []string{"network-map", "cut off"}},
		{"truncated", "cost", goodCosts[:len(goodCosts)/2], Invalid, []string{"cut off"}},
		{"truncated gzip", "net", zipped(goodNetwork)[:60], Invalid, []string{"gzip is broken", "unexpected EOF"}},
		{"gzip header alone", "cost", zipped(goodCosts)[:5], Invalid, []string{"gzip is broken"}},
		{"broken gzip", "cost", append(zipped(goodCosts)[:40], make([]byte, 40)...), Invalid, []string{"gzip is broken"}},
		{"nothing", "net", nil, Invalid, []string{"empty"}},
		{"cost map for network map", "net", goodCosts, Invalid, []string{"a cost map, not a network map"}},
		{"network map for cost map", "cost", goodNetwork, Invalid, []string{"a network map, not a cost map"}},
		{"directory", "net", directory.Bytes(), Invalid, []string{"a directory, not a network map"}},
		{"HTML", "net", []byte("<!doctype html><p>Not found"), Invalid, []string{"no valid JSON", "byte 0"}},
		{"HTML", "cost", []byte("<!doctype html><p>Not found"), Invalid, []string{"no valid JSON"}},
		{"duplicate prefix", "net", encoded(t, duplicate), Duplicate, []string{"network-map/", "192.0.2.0/25", `"a" and "c"`, "remove"}},
		{"empty", "net", encoded(t, empty), Empty, []string{"empty"}},
		{"empty", "cost", noCosts.Bytes(), Empty, []string{"empty"}},
		{"not a prefix", "net", encoded(t, typo), Invalid, []string{"network-map/a/ipv4", "192.0.2.0/33"}},
		{"not a number", "cost", notNumber, Invalid, []string{"cost-map/a/b", `"2"`, "not a number"}},
		{"another version's", "cost", costDocument("9", 2, numerical), Mismatch, []string{"net@9", "net@1"}},
	}
}

// Whatever a file holds, the old set stays, one line tells, the file is not read
// again, and a good one puts things right.
func TestBadFilesAreRefused(t *testing.T) {
	for _, bad := range badFiles(t) {
		t.Run(bad.name+" "+bad.file, func(t *testing.T) {
			d, s := twoFiles(t, "a")
			before := s.Maps()
			d.put(bad.file, bad.content)
			for range 3 {
				s.wants("1 num1", Stale, d.file(bad.file)+": ")
			}
			status := s.Status()
			for _, word := range bad.words {
				if !strings.Contains(status.Err.Error(), word) {
					t.Errorf("error %q lacks %q", status.Err, word)
				}
			}
			if strings.Contains(status.Err.Error(), "\n") {
				t.Errorf("error %q is more than one line", status.Err)
			}
			if status.Refusals[bad.reason] != 1 || s.log.count("refused", d.file(bad.file)) != 1 {
				t.Errorf("counted %v, logged %d times; want %s once", status.Refusals, s.log.count("refused"), bad.reason)
			}
			if r := s.reads(); r[0]+r[1] != 3 {
				t.Errorf("read %v times: a broken file is read once", r)
			}
			if s.Maps() != before {
				t.Error("the old set is gone")
			}
			if err := s.more("b"); err != nil {
				t.Errorf("with a last good set to stand on: %v", err)
			}

			good := map[string][]byte{"net": networkDocument("1"), "cost": costDocument("1", 1, numerical)}
			d.put(bad.file, good[bad.file])
			s.wants("1 num1", Fresh, "")
			if !s.Maps().Costs[0].Keeps([]string{"a", "b"}) || s.log.count("recovered") != 1 {
				t.Errorf("rows are missing, or %d recoveries logged", s.log.count("recovered"))
			}
		})
	}
}

// Without a good set to stand on, Watch says what is wrong.
func TestBadFilesAtStart(t *testing.T) {
	for _, bad := range badFiles(t) {
		t.Run(bad.name+" "+bad.file, func(t *testing.T) {
			d := newFolder(t)
			d.put("net", networkDocument("1"))
			d.put("cost", costDocument("1", 1, numerical))
			d.put(bad.file, bad.content)
			f, err := New(Config{Files: []string{d.file("net"), d.file("cost")}})
			d.must(err)
			s := &subject{Feed: f, t: t, log: new(recorder)}
			if err := s.more("a"); err == nil || refusalOf(err) != bad.reason || !strings.Contains(err.Error(), d.file(bad.file)) {
				t.Errorf("error %v", err)
			}
			if status := s.Status(); status.State() != None || !status.Attempted || s.times() != 0 {
				t.Errorf("state %s, told %d times", status.State(), s.times())
			}
			// The watcher has stayed.
			d.put("net", networkDocument("1"))
			d.put("cost", costDocument("1", 1, numerical))
			s.wants("1 num1", Fresh, "")
			if s.times() != 1 {
				t.Errorf("told %d times, want once", s.times())
			}
		})
	}
}

func TestFileRemovedAndComingBack(t *testing.T) {
	for _, name := range []string{"net", "cost"} {
		d, s := twoFiles(t, "a")
		d.must(os.Rename(d.file(name), d.file("away")))
		for range 3 {
			s.wants("1 num1", Stale, d.file(name)+": cannot read the file: ")
		}
		if s.Status().Refusals[Unavailable] != 1 || s.log.count("ERROR") != 1 {
			t.Errorf("counted %v, logged %d times", s.Status().Refusals, s.log.count("ERROR"))
		}
		d.must(os.Rename(d.file("away"), d.file(name)))
		s.wants("1 num1", Fresh, "")
		wantReads(t, s, 1, 1) // it is the one that was read
		d.remove(name)
		s.wants("1 num1", Stale, name)
		d.put(name, map[string][]byte{"net": networkDocument("1"), "cost": costDocument("1", 1, numerical)}[name])
		s.wants("1 num1", Fresh, "")
	}
}

func TestFolderForFile(t *testing.T) {
	d, s := twoFiles(t, "a")
	d.remove("cost")
	d.must(os.Mkdir(d.file("cost"), 0o700))
	s.wants("1 num1", Stale, d.file("cost")+": it is not a regular file")
}

// A file that is written in place, and slowly, is seen in every state it has
// on the way. None but the whole may come in force.
func TestFileWrittenInPlace(t *testing.T) {
	for _, name := range []string{"net", "cost"} {
		t.Run(name, func(t *testing.T) {
			d, s := twoFiles(t, "a")
			content := map[string][]byte{"net": networkDocument("1"), "cost": costDocument("1", 2, numerical)}[name]
			want := map[string]string{"net": "1 num1", "cost": "1 num2"}[name]
			file, err := os.OpenFile(d.file(name), os.O_WRONLY|os.O_TRUNC, 0)
			d.must(err)
			defer file.Close()
			for i := range content {
				if i%16 == 0 {
					s.wants("1 num1", Stale, d.file(name))
				}
				_, err := file.Write(content[i : i+1])
				d.must(err)
			}
			s.wants(want, Fresh, "")
		})
	}
}

// A change while a file is read is noticed, whatever was made of it.
func TestFileChangedWhileRead(t *testing.T) {
	d, s := twoFiles(t, "a")
	d.put("cost", costDocument("1", 2, numerical))
	o := s.origins[0].all()[1].open.(*fileOpener)
	body, err := o.open(t.Context(), true)
	d.must(err)
	defer body.Close()
	d.must(os.WriteFile(d.file("cost"), costDocument("1", 33, numerical), 0o600))
	if err := o.keep(true); err == nil || !strings.Contains(err.Error(), "written to while it was read") {
		t.Errorf("error %v", err)
	}
	s.wants("1 numQ", Fresh, "") // 33 after '0' is 'Q'
}

// Two changes within a tick of the file system's clock look the same. The
// second must not be missed.
func TestChangesWithinOneTick(t *testing.T) {
	d, s := twoFiles(t, "a")
	write := func(cost float64, at time.Time) {
		// In place, of the same size and at the same time.
		d.must(os.WriteFile(d.file("cost"), costDocument("1", cost, numerical), 0o600))
		d.must(os.Chtimes(d.file("cost"), at, at))
	}
	eventually(t, "a look within one tick", func() bool {
		now := time.Now()
		write(2, now)
		s.wants("1 num2", Fresh, "")
		if time.Since(now) > 10*time.Millisecond {
			return false // too slow to be within one tick; once more
		}
		write(3, now)
		s.wants("1 num3", Fresh, "")
		return true
	})
}

// Where the file system notes whole seconds, the second change is not missed
// either, and the file is not read at every look for that.
func TestChangesWithinOneSecond(t *testing.T) {
	d, s := twoFiles(t, "a")
	synctest.Test(t, func(t *testing.T) { // where time begins with a whole second
		start := time.Now()
		write := func(cost float64) {
			d.must(os.WriteFile(d.file("cost"), costDocument("1", cost, numerical), 0o600))
			d.must(os.Chtimes(d.file("cost"), start, start))
		}
		write(2)
		s.wants("1 num2", Fresh, "")
		write(3)
		for time.Since(start) < 2*time.Second {
			s.wants("1 num2", Fresh, "")
			time.Sleep(100 * time.Millisecond)
		}
		wantReads(t, s, 1, 2)
		for range 50 {
			s.wants("1 num3", Fresh, "")
			time.Sleep(100 * time.Millisecond)
		}
		wantReads(t, s, 1, 3)
	})
}

// A file that was just put in place is read once more, and is then no news.
func TestYoungFileIsNoNews(t *testing.T) {
	d, s := twoFiles(t, "a")
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		d.put("cost", costDocument("1", 2, numerical))
		d.must(os.Chtimes(d.file("cost"), now, now))
		s.wants("1 num2", Fresh, "")
		before := s.Maps()
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			s.wants("1 num2", Fresh, "")
		}
		if s.Maps() != before || s.Status().Updates != 2 {
			t.Errorf("a new set of the same content: %d updates", s.Status().Updates)
		}
		wantReads(t, s, 1, 3)
	})
}

// Rows of PIDs that the network map does not have are nobody's fault here.
func TestRowsOfUnknownPIDs(t *testing.T) {
	_, s := twoFiles(t, "unheard-of")
	s.wants("1", Fresh, "")
	wantReads(t, s, 1, 1)
}
