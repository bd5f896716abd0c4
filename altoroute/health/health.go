// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package health tells which edges are up: it asks each for a URL at intervals,
// in IPv4 and IPv6 apart, and reads what load the answers report.
//
// There is one Prober for a process, however many configurations come and go.
// Each watches its targets; a target that several want is probed once, and what
// has been learned of it stays for as long as anyone watches it.
//
// No error text names the target: whoever asks names it, once.
package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
)

// Config says how targets are probed. The zero value is a good one.
type Config struct {
	// Logger may be nil.
	Logger *slog.Logger
	// Concurrency is how many probes may be under way at once; zero is
	// DefaultConcurrency. When it is reached, further ones wait. Targets that
	// nobody answers for hold a place for their timeout, so that n of them are
	// probed in time if n × timeout / interval is no more than this.
	Concurrency int
	// TLS is how https targets are spoken to, for example with other root
	// certificates than the system's. The server's name is filled in.
	TLS *tls.Config
	// Dial connects to an address; nil is a net.Dialer's DialContext. The
	// network is "tcp4" or "tcp6"; or "udp4" or "udp6", with nothing sent, to
	// learn whether there is a route.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve looks up a host's addresses of the network "ip4" or "ip6"; nil is
	// the LookupNetIP of net.DefaultResolver. That there are none is told by a
	// net.DNSError with IsNotFound, anything else is a failure to find out.
	Resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DefaultConcurrency is how many probes may be under way at once where the
// configuration does not say.
const DefaultConcurrency = 1024

// A Prober probes targets and tells their state. Make it with New.
type Prober struct {
	cfg     Config
	probe   func(context.Context, *subject, netip.Addr) (Report, error) // tests replace it
	readers sync.Pool                                                   // of *bufio.Reader

	telling sync.Mutex // held while watchers are told, one at a time; taken before mu

	mu        sync.Mutex // guards what follows, subjects and all
	subjects  map[Target]*subject
	sites     map[string]*site
	watchers  []*Watcher
	queue     queue
	running   int
	suspicion [3]suspicion // by family
	events    []event
	stop      context.CancelFunc
	stopped   bool

	wake chan struct{} // the queue has another head, or there is room for a probe
	news chan struct{} // there are events, or watchers to be told
	done sync.WaitGroup
}

// New returns a Prober that does nothing until a Watcher starts.
func New(cfg Config) *Prober {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.Dial == nil {
		// Connections are short: nothing has to keep them alive.
		cfg.Dial = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}).DialContext
	}
	if cfg.Resolve == nil {
		cfg.Resolve = net.DefaultResolver.LookupNetIP
	}
	p := &Prober{
		cfg:      cfg,
		subjects: make(map[Target]*subject),
		sites:    make(map[string]*site),
		wake:     make(chan struct{}, 1),
		news:     make(chan struct{}, 1),
	}
	p.probe = p.get
	p.readers.New = func() any { return bufio.NewReaderSize(nil, readBuffer) }
	return p
}

// Status returns what is known of a target, and false if nobody watches it. It
// is quicker for a target in canonical form.
func (p *Prober) Status(t Target) (Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.subjects[t]
	if s == nil {
		if canonical, err := t.Canonical(); err == nil {
			s = p.subjects[canonical]
		}
	}
	if s == nil {
		return Status{}, false
	}
	return s.status(), true
}

// Suspect reports whether the prober suspects that the fault is on its own side,
// because most sites, three at least, failed at once. While it does, no target
// becomes down, but for those that have been spared for five minutes. It tells so
// only once a target is about to be down, and by family of addresses.
func (p *Prober) Suspect() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.suspicion {
		if !p.suspicion[i].since.IsZero() {
			return true
		}
	}
	return false
}

// Stop ends all probing for good, and waits until it has ended. Watchers may
// still read the last states, and stop. It must not be called by a Watcher's
// changed function.
func (p *Prober) Stop() {
	p.mu.Lock()
	p.stopped = true
	stop := p.stop
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
	p.done.Wait()
}

// start makes the goroutines of a prober that has none yet.
func (p *Prober) start() {
	if p.stop != nil || p.stopped {
		return
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.done.Go(func() { p.schedule(ctx) })
	p.done.Go(func() { p.tell(ctx) })
}

// signal makes a channel's reader look again, unless it is going to anyway.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
