// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder keeps log lines.
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

// field is a prober of servers that are not there: what a probe finds is what a
// test says.
type field struct {
	*Prober
	t   testing.TB
	log *recorder

	mu     sync.Mutex                              // held while these two are called
	broken func(s *subject, addr netip.Addr) error // nil is that all is well
	report func(s *subject) Report
	slow   time.Duration // how long a probe that fails takes
	probes map[string][]time.Time
	open   map[probed]int
}

type probed struct {
	url  string
	addr netip.Addr
}

var errBroken = errors.New("connection refused")

func newField(t testing.TB, cfg Config) *field {
	t.Helper()
	f := &field{t: t, log: new(recorder), probes: make(map[string][]time.Time), open: make(map[probed]int)}
	cfg.Logger = slog.New(f.log)
	f.Prober = New(cfg)
	f.probe = f.answer
	t.Cleanup(f.Stop)
	return f
}

func (f *field) answer(ctx context.Context, s *subject, addr netip.Addr) (Report, error) {
	f.mu.Lock()
	slow := f.slow
	var err error
	if f.broken != nil {
		err = f.broken(s, addr)
	}
	var report Report
	if f.report != nil {
		report = f.report(s)
	}
	key := probed{s.URL, addr}
	f.probes[s.URL] = append(f.probes[s.URL], time.Now())
	if f.open[key]++; f.open[key] > 1 {
		f.t.Errorf("%v is probed twice at the same time", key)
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open[key]--
	}()
	if err == nil {
		return report, nil
	}
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	<-ctx.Done()
	return Report{}, err
}

// breaks has the probes fail for which the function is true; nil is none.
func (f *field) breaks(which func(s *subject, addr netip.Addr) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = nil
	if which != nil {
		f.broken = func(s *subject, addr netip.Addr) error {
			if which(s, addr) {
				return errBroken
			}
			return nil
		}
	}
}

func everything(*subject, netip.Addr) bool { return true }

// asked returns when a URL was probed, at any address.
func (f *field) asked(url string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.probes[url])
}

// begin has targets watched and probed.
func (f *field) begin(targets ...Target) *Watcher {
	f.t.Helper()
	w, err := f.Watch(targets, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	w.Start()
	return w
}

func (f *field) status(t Target) Status {
	f.t.Helper()
	s, ok := f.Status(t)
	if !ok {
		f.t.Fatalf("%s is not watched", t.URL)
	}
	return s
}

// states counts the targets in each state.
func (f *field) states(targets []Target) (counts [4]int) {
	f.t.Helper()
	for _, t := range targets {
		s := f.status(t)
		counts[s.State(AnyFamily)]++
	}
	return counts
}

// literal is a target with an address for a host.
func literal(i int) Target {
	addr := netip.MustParseAddr("2001:db8::").As16()
	addr[14], addr[15] = byte(i>>8), byte(i)
	return Target{URL: fmt.Sprintf("http://[%s]/health", netip.AddrFrom16(addr))}
}

func literals(n int) []Target {
	all := make([]Target, n)
	for i := range all {
		all[i] = literal(i + 1)
	}
	return all
}

// within reports whether a subject is one of the first n literals.
func within(n int) func(s *subject, _ netip.Addr) bool {
	first := make(map[string]bool)
	for _, t := range literals(n) {
		first[t.URL] = true
	}
	return func(s *subject, _ netip.Addr) bool { return first[s.URL] }
}

// pass lets time go by, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func newDice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
