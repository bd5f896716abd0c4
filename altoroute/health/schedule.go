// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"container/heap"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// A subject is a target and what has been learned of it.
type subject struct {
	Target
	site     *site
	watchers []*Watcher
	wanted   int // by how many that have started

	port    uint16
	request []byte
	tls     *tls.Config // nil for http

	lanes     [3]lane // by family; that of AnyFamily looks the host up
	lookupErr string
}

// A site is a host. Several targets may be at one: what makes it fail is no
// evidence against the others.
type site struct {
	host     string
	subjects int
	tally    [3][2]tally // by family, of those that are unknown and up
}

// A lane is one family of a subject: what is probed by itself.
type lane struct {
	Check
	of     *subject
	family Family

	present bool         // there is something to check
	addrs   []netip.Addr // sorted; Addr is the one in use

	active bool               // it is to be checked
	due    time.Time          // when, unless it is being checked
	place  int                // in the queue, -1 if it is not there
	began  time.Time          // the latest check
	cancel context.CancelFunc // not nil while it is being checked
	epoch  int                // counts how often it was ended: older results are void

	strikes int       // the failures that count towards down
	held    time.Time // when it was first kept from being down
}

func (p *Prober) newSubject(t Target) *subject {
	u, _ := url.Parse(t.URL) // canonical: it has been parsed before
	s := &subject{Target: t}
	s.prepare(u, p.cfg.TLS)
	host := u.Hostname()
	s.site = p.sites[host]
	if s.site == nil {
		s.site = &site{host: host}
		p.sites[host] = s.site
	}
	s.site.subjects++
	for f := range s.lanes {
		s.lanes[f] = lane{of: s, family: Family(f), place: -1}
	}
	l := &s.lanes[AnyFamily]
	if addr, err := netip.ParseAddr(host); err == nil {
		l = s.lane(addr)
		l.addrs, l.Addr = []netip.Addr{addr}, addr
	}
	l.present = true
	l.State, l.Since = Unknown, time.Now()
	p.subjects[t] = s
	return s
}

// lane returns the lane of an address.
func (s *subject) lane(addr netip.Addr) *lane {
	if addr.Is4() {
		return &s.lanes[IPv4]
	}
	return &s.lanes[IPv6]
}

func (s *subject) status() Status {
	return Status{
		IPv4:      s.lanes[IPv4].Check,
		IPv6:      s.lanes[IPv6].Check,
		Host:      s.lanes[AnyFamily].Check,
		LookupErr: s.lookupErr,
	}
}

// forget drops a subject that nobody watches. Its lanes have ended.
func (p *Prober) forget(s *subject) {
	delete(p.subjects, s.Target)
	if s.site.subjects--; s.site.subjects == 0 {
		delete(p.sites, s.site.host)
	}
}

// activate has a lane checked from the given time on.
func (p *Prober) activate(l *lane, due time.Time) {
	l.active = true
	p.count(l, +1)
	if l.cancel == nil { // else it is put there when what is left of it ends
		p.push(l, due)
	}
}

// deactivate ends the checks of a lane. What is under way is broken off.
func (p *Prober) deactivate(l *lane) {
	if !l.active {
		return
	}
	p.count(l, -1)
	l.active = false
	l.epoch++
	if l.place >= 0 {
		heap.Remove(&p.queue, l.place)
	}
	if l.cancel != nil {
		l.cancel()
	}
}

func (p *Prober) push(l *lane, due time.Time) {
	l.due = due
	heap.Push(&p.queue, l)
	if l.place == 0 {
		signal(p.wake)
	}
}

// schedule begins checks when they are due until the context ends.
func (p *Prober) schedule(ctx context.Context) {
	timer := time.NewTimer(MaxInterval)
	defer timer.Stop()
	for {
		if wait := p.beginDue(ctx); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
	}
}

// beginDue begins the checks that are due, as far as there is room, and returns
// how long it is to the next. Zero is until the queue has another head or there
// is room again.
func (p *Prober) beginDue(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && p.running < p.cfg.Concurrency && !p.stopped {
		l, now := p.queue[0], time.Now()
		if wait := l.due.Sub(now); wait > 0 {
			return wait
		}
		heap.Pop(&p.queue)
		p.running++
		l.began = now
		var ending context.Context
		ending, l.cancel = context.WithTimeout(ctx, l.of.Timeout)
		addr, epoch := l.Addr, l.epoch
		p.done.Go(func() { p.check(ending, l, addr, epoch) })
	}
	return 0
}

// check makes one check of a lane and takes down its result.
func (p *Prober) check(ctx context.Context, l *lane, addr netip.Addr, epoch int) {
	if l.family == AnyFamily {
		found := p.lookup(ctx, l.of)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.end(l, epoch) {
			p.resolved(l, found)
		}
		return
	}
	report, err := p.probe(ctx, l.of, addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end(l, epoch) {
		p.record(l, report, err)
	}
}

// end gives up a check's place, puts the lane in the queue again, and reports
// whether the result counts.
func (p *Prober) end(l *lane, epoch int) bool {
	l.cancel()
	l.cancel = nil
	p.running--
	if p.running == p.cfg.Concurrency-1 {
		signal(p.wake) // there is room again
	}
	if !l.active || p.stopped {
		return false
	}
	if l.epoch != epoch {
		p.push(l, time.Now())
		return false
	}
	p.push(l, l.began.Add(jitter(l.of.Interval)))
	return true
}

// jitter spreads a wait by a tenth to either side, so that targets that were
// started together, or by many routers, do not stay together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // nothing depends on it being secret
}

// postpone changes when a lane that waits is checked next.
func (p *Prober) postpone(l *lane, due time.Time) {
	if l.place < 0 {
		return
	}
	l.due = due
	heap.Fix(&p.queue, l.place)
	signal(p.wake)
}

// A queue is a heap of the lanes that wait, the one that is due next first.
type queue []*lane

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // nothing else is ever put there
	l.place = len(*q)
	*q = append(*q, l)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q = slices.Delete(*q, last, last+1)
	l.place = -1
	return l
}
