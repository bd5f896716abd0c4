// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// refresh looks once, and fails unless the look has this outcome.
func refresh(t *testing.T, d *DB, changed bool, want string) {
	t.Helper()
	got, err := d.Refresh()
	if got != changed {
		t.Errorf("changed: got %v, want %v (%v)", got, changed, err)
	}
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want %q", err, want)
	}
}

func expect(t *testing.T, d *DB, addr, want string) {
	t.Helper()
	if got := show(d.Snapshot().Locate(ip(addr))); got != want {
		t.Errorf("%s: got %q, want %q", addr, got, want)
	}
}

func countryDB(t *testing.T, iso string) []byte {
	t.Helper()
	return build(t, "GeoLite2-Country", networks{"192.0.2.0/24": country(iso, "")})
}

func TestReplacement(t *testing.T) {
	var log bytes.Buffer
	path := files(t, countryDB(t, "DE"))[0]
	d := open(t, Config{Files: []string{path}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	old := d.Snapshot()
	refresh(t, d, false, "")
	put(t, path, countryDB(t, "FR"))
	refresh(t, d, true, "")
	refresh(t, d, false, "")
	expect(t, d, "192.0.2.1", "FR//0")
	if got := show(old.Locate(ip("192.0.2.1"))); got != "DE//0" {
		t.Errorf("a snapshot that is held changed to %q", got)
	}
	overwrite(t, path, countryDB(t, "NL"))
	refresh(t, d, true, "")
	expect(t, d, "192.0.2.1", "NL//0")
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	refresh(t, d, false, "") // touched, not changed
	if n := strings.Count(log.String(), "geo database replaced"); n != 2 {
		t.Errorf("%d replacements logged:\n%s", n, &log)
	}
}

func TestBrokenReplacement(t *testing.T) {
	for name, tt := range bad(t) {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			path := files(t, countryDB(t, "DE"))[0]
			d := open(t, Config{Files: []string{path}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			put(t, path, tt.content)
			refresh(t, d, false, "geo database "+path+": ")
			for range 3 {
				refresh(t, d, false, "") // named once
			}
			put(t, path, tt.content) // the same fault in another file
			refresh(t, d, false, "")
			expect(t, d, "192.0.2.1", "DE//0")
			st := d.Status().Files[0]
			if st.LastError == nil || !strings.Contains(st.LastError.Error(), tt.want) {
				t.Errorf("status %+v, want error %q", st, tt.want)
			}
			if n := strings.Count(log.String(), "geo database refused"); n != 1 {
				t.Errorf("refused %d times:\n%s", n, &log)
			}
			put(t, path, countryDB(t, "FR"))
			refresh(t, d, true, "")
			expect(t, d, "192.0.2.1", "FR//0")
			if st := d.Status().Files[0]; st.LastError != nil {
				t.Errorf("status %+v after recovery", st)
			}
		})
	}
}

func TestRemovedFile(t *testing.T) {
	path := files(t, countryDB(t, "DE"))[0]
	d := open(t, Config{Files: []string{path}})
	aside := path + ".aside"
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if changed, err := d.Refresh(); changed || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, %v", changed, err)
	}
	refresh(t, d, false, "")
	expect(t, d, "192.0.2.1", "DE//0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refresh(t, d, false, "it is empty") // another fault
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
	refresh(t, d, false, "")
	if st := d.Status().Files[0]; st.LastError != nil {
		t.Errorf("still %v after the file came back", st.LastError)
	}
}

func TestOneSnapshotForAllFiles(t *testing.T) {
	byASN := func(n uint32) []byte { return build(t, "GeoLite2-ASN", networks{"192.0.2.0/24": asn(n)}) }
	paths := files(t, countryDB(t, "DE"), byASN(64500))
	d := open(t, Config{Files: paths, Rules: anyRules[:2]})
	var seen []string
	stop := d.Watch(func(s *Snapshot) {
		if s != d.Snapshot() {
			t.Error("told of a snapshot that is not current")
		}
		seen = append(seen, show(s.Locate(ip("192.0.2.1"))))
	})
	put(t, paths[0], countryDB(t, "FR"))
	put(t, paths[1], byASN(64501))
	refresh(t, d, true, "")
	put(t, paths[0], countryDB(t, "NL")) // one good, one bad
	put(t, paths[1], []byte("bad"))
	refresh(t, d, true, paths[1])
	stop()
	stop()
	put(t, paths[0], countryDB(t, "JP"))
	refresh(t, d, true, "")
	want := []string{"DE//64500 own/as64500 own/cc-de", "FR//64501 own/cc-fr", "NL//64501 own/cc-nl"}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestReplacementMustAnswerRules(t *testing.T) {
	byASN := build(t, "GeoLite2-ASN", networks{"192.0.2.0/24": asn(64500)})
	paths := files(t, countryDB(t, "DE"), byASN)
	d := open(t, Config{Files: paths, Rules: anyRules[:2]})
	put(t, paths[1], countryDB(t, "FR"))
	refresh(t, d, false, "geo database "+paths[1]+`: with it, geo rule "asn 64500 own/as64500": no database knows AS numbers`)
	refresh(t, d, false, "")
	expect(t, d, "192.0.2.1", "DE//64500 own/as64500 own/cc-de")
	// The first takes over the role of the second: that one fits next time.
	put(t, paths[0], build(t, "GeoIP2-Enterprise", networks{"192.0.2.0/24": country("NL", "")}))
	refresh(t, d, true, "")
	put(t, paths[0], byASN)
	refresh(t, d, true, "")
	expect(t, d, "192.0.2.1", "FR//64500 own/as64500 own/cc-fr")
}

func TestSwappedRoles(t *testing.T) {
	byASN := build(t, "GeoLite2-ASN", networks{"192.0.2.0/24": asn(64500)})
	paths := files(t, countryDB(t, "DE"), byASN)
	d := open(t, Config{Files: paths, Rules: anyRules[:2]})
	put(t, paths[0], byASN)
	put(t, paths[1], countryDB(t, "FR"))
	refresh(t, d, true, "")
	expect(t, d, "192.0.2.1", "FR//64500 own/as64500 own/cc-fr")
}

func TestFileThatChangesWhileRead(t *testing.T) {
	path := files(t, countryDB(t, "DE"))[0]
	// While somebody writes to it without end, it is either whole or refused.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	versions := [][]byte{countryDB(t, "FR"), append(countryDB(t, "NL"), make([]byte, 4096)...)}
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = os.WriteFile(path, versions[i%2], 0o600)
		}
	})
	var d *DB
	for range 300 {
		if d == nil {
			d, _ = New(Config{Files: []string{path}}) // refused while half written
			continue
		}
		_, _ = d.Refresh()
		got := show(d.Snapshot().Locate(ip("192.0.2.1")))
		if !slices.Contains([]string{"DE//0", "FR//0", "NL//0"}, got) {
			t.Errorf("got %q", got)
		}
	}
	cancel()
	wg.Wait()
}

// TestReplacementUnderLoad replaces the file while requests are answered: each
// has the answer of one of the files, and watchers see snapshots in order.
func TestReplacementUnderLoad(t *testing.T) {
	codes := []string{"DE", "FR", "NL", "JP"}
	var contents [][]byte
	for _, c := range codes {
		contents = append(contents, countryDB(t, c))
	}
	path := files(t, contents[0])[0]
	d := open(t, Config{Files: []string{path}, Rules: anyRules[1:2], CacheSize: 16})
	var order []string
	d.Watch(func(s *Snapshot) { order = append(order, s.Locate(ip("192.0.2.1")).Country) })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answers atomic.Int64
	for g := range 4 {
		wg.Go(func() {
			for i := g; ctx.Err() == nil; i++ {
				p := d.Snapshot().Locate(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
				if p == nil || !slices.Contains(codes, p.Country) || p.PIDs[0].PID != "cc-"+strings.ToLower(p.Country) {
					t.Errorf("got %s", show(p))
					return
				}
				d.Status()
				answers.Add(1)
			}
		})
	}
	wg.Go(func() { d.run(ctx, time.Millisecond) })
	want := codes[:1:1] // that in force when they began
	for i := range 40 {
		put(t, path, contents[(i+1)%4])
		refresh2(t, d)
		want = append(want, codes[(i+1)%4])
		put(t, path, []byte("broken"))
		refresh2(t, d)
	}
	cancel()
	wg.Wait()
	if !slices.Equal(order, want) {
		t.Errorf("watchers saw %q, want %q", order, want)
	}
	if answers.Load() == 0 {
		t.Error("nothing was asked")
	}
}

// refresh2 looks while run does, whose look may be the one that finds it.
func refresh2(t *testing.T, d *DB) {
	t.Helper()
	if _, err := d.Refresh(); err != nil && !strings.Contains(err.Error(), "not a MaxMind database") {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	path := files(t, countryDB(t, "DE"))[0]
	synctest.Test(t, func(t *testing.T) {
		d := open(t, Config{Files: []string{path}})
		put(t, path, countryDB(t, "FR"))
		d.Start()
		d.Start() // does nothing
		synctest.Wait()
		expect(t, d, "192.0.2.1", "FR//0") // the first look is at once
		put(t, path, countryDB(t, "NL"))
		time.Sleep(interval - time.Nanosecond)
		synctest.Wait()
		expect(t, d, "192.0.2.1", "FR//0")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect(t, d, "192.0.2.1", "NL//0")
		d.Stop()
		d.Stop()
		d.Start() // not again
		put(t, path, countryDB(t, "DE"))
		time.Sleep(2 * interval)
		synctest.Wait()
		expect(t, d, "192.0.2.1", "NL//0")
	})
	open(t, Config{Files: []string{path}}).Stop()
}

func TestStatus(t *testing.T) {
	before := time.Now()
	path := files(t, countryDB(t, "DE"))[0]
	d := open(t, Config{Files: []string{path}})
	st := d.Status()
	f := st.Files[0]
	if len(st.Files) != 1 || f.Path != path || f.Type != "GeoLite2-Country" || f.BuildTime.Unix() != 1_800_000_000 ||
		f.LoadedAt.Before(before) || f.LastError != nil {
		t.Errorf("%+v", st)
	}
	if st.Cache != (CacheStatus{Capacity: 65_536}) {
		t.Errorf("%+v", st.Cache)
	}
}
