// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Start begins to follow the source until Stop. It returns at once. A Feed is
// started once; further calls do nothing.
func (f *Feed) Start() {
	var events []Event
	defer func() { f.notify(events) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		return
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	f.stopped = make(chan struct{})
	var wait time.Duration
	if f.local() {
		wait = f.cfg.Refresh // Watch has read them
	}
	now := time.Now()
	f.status.Next = now.Add(wait)
	if f.status.Expired { // those of the spool
		events = append(events, f.stale(f.tooOld(now)))
	}
	go f.follow(ctx, wait)
}

// Stop ends what Start began and waits for it. The last set of maps stays
// with those who have it. Stop may be called without Start.
func (f *Feed) Stop() {
	f.mu.Lock()
	stop, stopped := f.stop, f.stopped
	f.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-stopped
	if f.cfg.Spool == nil {
		return
	}
	f.cycle.Lock()
	defer f.cycle.Unlock()
	f.mu.Lock()
	isStored := f.isStored()
	f.mu.Unlock()
	if !isStored { // as what was done by hand just now; else another Feed may have gone on
		f.store(time.Now())
	}
	f.cfg.Spool.DiscardExcept(nil)
}

// follow looks for changes until the context ends, and does what happens by time alone
// between two looks.
func (f *Feed) follow(ctx context.Context, wait time.Duration) {
	defer close(f.stopped)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		due := true
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s := f.Status()
			due = !time.Now().Before(s.Next)
		case <-f.wake:
		}
		f.elapse() // what was done by hand is stored before the source is asked, which may take its time
		if due {
			err := f.refresh(ctx)
			if err != nil && ctx.Err() != nil {
				return // stopped: another Feed may go on with the spool
			}
			f.elapse()
			f.schedule(time.Now(), err)
		}
		timer.Reset(f.wait(time.Now()))
	}
}

// elapse does what happens by time alone, tells of what there is, and stores it.
func (f *Feed) elapse() {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	now := time.Now()
	f.pass(now)
	f.publish()
	f.store(now)
}

// schedule decides when the source is looked at next.
func (f *Feed) schedule(now time.Time, err error) {
	wait := f.cfg.Refresh
	switch {
	case f.local():
	case err == nil:
		wait = f.fresh(now)
		wait = min(wait+upTo(wait/10), max(f.cfg.MaxRefresh, f.cfg.MinRefresh))
	default:
		wait = f.retry(now)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Next = now.Add(wait)
}

// upTo returns a time by chance, for routers that were started together not to ask
// together.
func upTo(most time.Duration) time.Duration {
	return rand.N(most + 1) //nolint:gosec // nothing depends on it being secret
}

// retry returns how long to wait after a failure of all origins: none of them is asked
// before the time that it has asked for.
func (f *Feed) retry(now time.Time) time.Duration {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	wait := min(firstRetry<<min(max(f.failures-1, 0), 16), f.cfg.Refresh)
	wait = wait - wait/10 + upTo(wait/5)
	first := slices.MinFunc(f.origins, func(a, b *triedOrigin) int { return a.notBefore.Compare(b.notBefore) })
	return max(wait, first.notBefore.Sub(now))
}

// wait returns how long it is until something is to be done.
func (f *Feed) wait(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := f.status.Next.Sub(now)
	for _, at := range []time.Time{f.heldUntil(), f.settled(), f.status.expires(f.cfg.Expire), f.staleFrom()} {
		if at.After(f.passed) {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, 0)
}

// fresh returns how long it is until the first document of the server in use is to
// be asked for again.
func (f *Feed) fresh(now time.Time) time.Duration {
	f.cycle.Lock()
	defer f.cycle.Unlock()
	wait := f.cfg.MaxRefresh
	for _, d := range f.origins[f.at].all() {
		if fresh := d.server.kept.fresh; fresh.IsZero() {
			wait = min(wait, f.cfg.Refresh) // it does not say
		} else {
			wait = min(wait, max(fresh.Sub(now), 0))
		}
	}
	return max(wait, min(f.cfg.MinRefresh, f.cfg.Refresh))
}
