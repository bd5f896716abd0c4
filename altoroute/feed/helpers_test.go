// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var (
	numerical = alto.CostType{Mode: "numerical", Metric: "routingcost"}
	ordinal   = alto.CostType{Mode: "ordinal", Metric: "routingcost"}
)

// network is a network map of PIDs a, b and c. Its tag is also in the name of a
// PID, so that what a set was read from can be told from the set.
func network(tag string) altotest.NetworkMap {
	return altotest.NetworkMap{ID: "net", Tag: tag, PIDs: map[string][]string{
		"a":           {"192.0.2.0/25", "2001:db8:a::/48"},
		"b":           {"192.0.2.128/25", "2001:db8:b::/48"},
		"c":           {"198.51.100.0/24"},
		"v" + tag:     {"203.0.113.0/24"},
		"addressless": nil,
	}}
}

// costs is a cost map of a version of that network map; the cost from a to b is
// the given one.
func costs(tag string, ab float64, t alto.CostType) altotest.CostMap {
	return altotest.CostMap{
		ID: "cost", DependsOn: alto.VersionTag{ResourceID: "net", Tag: tag}, Type: t,
		Costs: map[string]map[string]float64{
			"a": {"a": 0, "b": ab, "v" + tag: 5},
			"b": {"a": 1, "b": 0, "c": 3},
		},
	}
}

func networkDocument(tag string) []byte {
	var b bytes.Buffer
	_ = altotest.WriteNetworkMap(&b, network(tag)) // a buffer takes all
	return b.Bytes()
}

func costDocument(tag string, ab float64, t alto.CostType) []byte {
	var b bytes.Buffer
	_ = altotest.WriteCostMap(&b, costs(tag, ab, t))
	return b.Bytes()
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

// folder is where a test's files are. What it writes looks as if it had been
// there for a while, each file at another time, so that the clock's tick
// does not decide what is read again.
type folder struct {
	t    testing.TB
	path string
	time time.Time
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	return &folder{t: t, path: t.TempDir(), time: time.Now().Add(-24 * time.Hour)}
}

func (d *folder) file(name string) string { return filepath.Join(d.path, name) }

func (d *folder) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// put replaces a file by renaming.
func (d *folder) put(name string, data []byte) {
	d.t.Helper()
	d.must(os.WriteFile(d.file(".new"), data, 0o600))
	d.touch(".new")
	d.must(os.Rename(d.file(".new"), d.file(name)))
}

// touch gives a file another time of change.
func (d *folder) touch(name string) {
	d.t.Helper()
	d.time = d.time.Add(time.Second)
	d.must(os.Chtimes(d.file(name), d.time, d.time))
}

func (d *folder) remove(name string) {
	d.t.Helper()
	d.must(os.Remove(d.file(name)))
}

// recorder is a log that can be read.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	line := record.Level.String() + " " + record.Message
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	return nil
}

// count returns how many lines hold all the words.
func (r *recorder) count(words ...string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, line := range r.lines {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// subject is a feed under test with one watcher.
type subject struct {
	*Feed
	t   testing.TB
	log *recorder

	mu    sync.Mutex
	told  []*altoroute.Maps
	ramps []altoroute.Ramp // that they were told with
	shift altoroute.Shift  // what any other set would move
}

// watch makes a feed of the configuration and watches it for the rows.
func watch(t testing.TB, cfg Config, rows ...string) *subject {
	t.Helper()
	s := &subject{t: t, log: new(recorder)}
	cfg.Name, cfg.Logger = "test", slog.New(s.log)
	var err error
	if s.Feed, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if err := s.more(rows...); err != nil {
		t.Fatal(err)
	}
	return s
}

// watcherOf is a watcher that wants rows, and whose traffic nothing moves.
type watcherOf struct {
	rows  func(*altoroute.NetworkMap) []string
	shift func(*altoroute.Maps) altoroute.Shift
	apply func(*altoroute.Maps, altoroute.Ramp)
}

func (w *watcherOf) Rows(m *altoroute.NetworkMap) []string {
	if w.rows == nil {
		return nil
	}
	return w.rows(m)
}

func (w *watcherOf) Shift(m *altoroute.Maps) altoroute.Shift {
	if w.shift == nil {
		return altoroute.Shift{}
	}
	return w.shift(m)
}

func (w *watcherOf) Apply(m *altoroute.Maps, ramp altoroute.Ramp) {
	if w.apply != nil {
		w.apply(m, ramp)
	}
}

// these wants the rows.
func these(rows ...string) func(*altoroute.NetworkMap) []string {
	return func(*altoroute.NetworkMap) []string { return rows }
}

// more adds a watcher.
func (s *subject) more(rows ...string) error {
	stop, err := s.Watch(&watcherOf{rows: these(rows...), apply: func(m *altoroute.Maps, ramp altoroute.Ramp) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, m)
		s.ramps = append(s.ramps, ramp)
	}, shift: func(*altoroute.Maps) altoroute.Shift {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.shift
	}})
	s.t.Cleanup(stop)
	return err
}

// times returns how many sets the watchers were told of.
func (s *subject) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told)
}

// turn is what a Feed that follows its source does when it is time to look.
func turn(ctx context.Context, f *Feed) error {
	err := f.refresh(ctx)
	f.elapse()
	return err
}

// look refreshes and returns what is in force.
func (s *subject) look() (string, error) {
	err := turn(s.t.Context(), s.Feed)
	return version(s.Maps()), err
}

// reads returns how often each document was read, in order.
func (s *subject) reads() []uint64 {
	var reads []uint64
	for _, r := range s.Status().Resources {
		reads = append(reads, r.Reads)
	}
	return reads
}

// wants looks and checks the set in force, the state, and a word of the error;
// no word is no error.
func (s *subject) wants(set, state, word string) {
	s.t.Helper()
	got, err := s.look()
	status := s.Status()
	if got != set || status.State() != state {
		s.t.Errorf("in force is %s (%s), want %s (%s); error %v", got, status.State(), set, state, err)
	}
	if (err == nil) != (word == "") || err != nil && !strings.Contains(err.Error(), word) {
		s.t.Errorf("error %v, want one with %q", err, word)
	}
}

// version names what a set was read from: the network map's tag, and the cost
// from a to b of each cost map. It is "mixed" if the parts do not belong
// together.
func version(m *altoroute.Maps) string {
	if m == nil {
		return "none"
	}
	tag := m.Network.Tag().Tag
	v := tag
	if !m.Network.Has("v" + tag) {
		return "mixed"
	}
	for _, c := range m.Costs {
		if !c.Of(m.Network) {
			return "mixed"
		}
		if _, ok := c.Cost("a", "v"+tag); c.Keeps([]string{"a"}) && !ok {
			return "mixed"
		}
		if cost, ok := c.Cost("a", "b"); ok {
			v += " " + c.Info().Mode[:3] + string('0'+rune(cost))
		}
	}
	return v
}

// eventually waits for a condition that others bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("it never came to pass: %s", what)
		case <-tick.C:
		}
	}
}
