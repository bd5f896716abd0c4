// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpu returns the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// probeAll watches targets that are always due, until there were b.N probes. It
// reports the CPU time of each, and the heap of a target at rest.
func probeAll(b *testing.B, cfg Config, probe func(*Prober) func(context.Context, *subject, netip.Addr) (Report, error), targets []Target) {
	before := liveHeap()
	p := New(cfg)
	defer p.Stop()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	inner := probe(p)
	var failed atomic.Pointer[error]
	p.probe = func(ctx context.Context, s *subject, addr netip.Addr) (Report, error) {
		report, err := inner(ctx, s, addr)
		if err != nil && ctx.Err() == nil {
			failed.Store(&err)
		}
		switch n := left.Add(-1); {
		case n == 0:
			close(done)
		case n < 0:
			<-ctx.Done()
		}
		return report, err
	}
	w, err := p.Watch(targets, func() {})
	if err != nil {
		b.Fatal(err)
	}
	perTarget := float64(liveHeap()-before) / float64(len(targets))
	for _, s := range w.subjects {
		s.Interval = 1
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	w.Start()
	<-done
	b.StopTimer()
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(perTarget, "B/target")
	if err := failed.Load(); err != nil {
		b.Error(*err)
	}
	w.Stop()
}

func own(p *Prober) func(context.Context, *subject, netip.Addr) (Report, error) { return p.get }

// BenchmarkPlan is the cost of a probe without the probe: of planning it and of
// what it changes, for 10,000 targets that all report load.
func BenchmarkPlan(b *testing.B) {
	var n atomic.Int64
	probeAll(b, Config{}, func(*Prober) func(context.Context, *subject, netip.Addr) (Report, error) {
		return func(context.Context, *subject, netip.Addr) (Report, error) {
			return Report{Load: float64(n.Add(1))}, nil
		}
	}, literals(10_000))
}

const canned = ok + "Content-Type: application/json\r\nContent-Length: 32\r\nConnection: close\r\n\r\n" + `{"load": 0.73, "capacity": 8000}`

// BenchmarkPiped is the cost of a probe with all but the kernel's part, and that
// of a server that does nearly nothing.
func BenchmarkPiped(b *testing.B) {
	probeAll(b, Config{Concurrency: 64, Dial: piped(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, canned)
	})}, own, literals(10_000))
}

// BenchmarkLoopback is the whole cost of a probe, and that of a server that does
// nearly nothing.
func BenchmarkLoopback(b *testing.B) {
	var targets []Target
	for range 8 {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					r := bufio.NewReaderSize(conn, 1024)
					for line := ""; line != "\r\n"; line, err = r.ReadString('\n') {
						if err != nil {
							return
						}
					}
					_, _ = io.WriteString(conn, canned)
				}()
			}
		}()
		for i := range 125 {
			targets = append(targets, Target{URL: fmt.Sprintf("http://%s/%d", listener.Addr(), i)})
		}
	}
	probeAll(b, Config{Concurrency: 64}, own, targets)
}

// BenchmarkTLS is the same with a real server by https. Much of it is the
// server's part of the handshake.
func BenchmarkTLS(b *testing.B) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "alive") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the last probes are broken off
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	var targets []Target
	for i := range 1000 {
		targets = append(targets, Target{URL: strings.Join([]string{server.URL, fmt.Sprint(i)}, "/")})
	}
	probeAll(b, Config{Concurrency: 64, TLS: &tls.Config{RootCAs: roots}}, own, targets)
}

// BenchmarkStatus is what a watcher pays to read the state of 10,000 targets.
func BenchmarkStatus(b *testing.B) {
	p := New(Config{})
	var targets []Target
	for _, t := range literals(10_000) {
		c, err := t.Canonical()
		if err != nil {
			b.Fatal(err)
		}
		targets = append(targets, c)
	}
	w, err := p.Watch(targets, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range targets {
			if _, ok := p.Status(t); !ok {
				b.Fatal(t.URL)
			}
		}
	}
}
