// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// A Watcher is one configuration's interest in some targets.
type Watcher struct {
	p        *Prober
	subjects []*subject
	changed  func()
	started  bool
	stopped  bool
	dirty    bool // changed is to be called
}

// tellPause is the least time between two calls of a Watcher's changed function:
// where 10,000 edges report their load, something changes all the time.
const tellPause = 200 * time.Millisecond

// Watch declares interest in targets, so that what is known of them, if anything
// is, stays and can be read. Nothing is probed before the Watcher starts. The
// error tells which target is not valid.
//
// After Start, changed is called soon, and again after every change of a state,
// a reported load, or what Suspect tells: from one goroutine, one call at a time,
// once for all that has changed meanwhile. It may read but must neither start
// nor stop anything, nor wait for someone who does. It may be nil.
//
// The Watcher must be stopped in the end, whether it was started or not.
func (p *Prober) Watch(targets []Target, changed func()) (*Watcher, error) {
	canonical := make([]Target, len(targets))
	for i, t := range targets {
		c, err := t.Canonical()
		if err != nil {
			return nil, fmt.Errorf("target %d: %w", i+1, err)
		}
		canonical[i] = c
	}
	w := &Watcher{p: p, changed: changed}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range canonical {
		s := p.subjects[t]
		if s == nil {
			s = p.newSubject(t)
		}
		if !slices.Contains(s.watchers, w) {
			s.watchers = append(s.watchers, w)
			w.subjects = append(w.subjects, s)
		}
	}
	p.watchers = append(p.watchers, w)
	return w, nil
}

// Start begins to probe those of the targets that are not probed already. It
// returns at once. It does nothing on a Watcher that has been started or
// stopped, or after Prober.Stop.
func (w *Watcher) Start() {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.started || w.stopped || p.stopped {
		return
	}
	p.start()
	w.started, w.dirty = true, true
	signal(p.news)
	var fresh []*subject
	for _, s := range w.subjects {
		if s.wanted++; s.wanted == 1 {
			fresh = append(fresh, s)
		}
	}
	// All begin at once if they are few. Many are spread, so that they are no
	// burst, neither now nor at the next interval.
	now := time.Now()
	for i, s := range fresh {
		spread := min(s.Interval, time.Second) * time.Duration(i) / time.Duration(len(fresh))
		due := now.Add(min(spread, time.Duration(i)*time.Millisecond))
		for f := range s.lanes {
			if s.lanes[f].present {
				p.activate(&s.lanes[f], due)
			}
		}
	}
}

// Stop ends the interest. Targets that no one else is interested in are not
// probed again, and what was known of them is forgotten; what is under way is
// broken off. When Stop has returned, changed is not called again. Stop must not
// be called by a changed function. Further calls do nothing.
func (w *Watcher) Stop() {
	p := w.p
	p.telling.Lock() // waits for a call that is under way
	defer p.telling.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.stopped {
		return
	}
	w.stopped = true
	itself := func(o *Watcher) bool { return o == w }
	p.watchers = slices.DeleteFunc(p.watchers, itself)
	for _, s := range w.subjects {
		s.watchers = slices.DeleteFunc(s.watchers, itself)
		if w.started {
			if s.wanted--; s.wanted == 0 {
				for f := range s.lanes {
					p.deactivate(&s.lanes[f])
				}
			}
		}
		if len(s.watchers) == 0 {
			p.forget(s)
		}
	}
	// The targets that stay may be most of them, and may fail.
	for f := range p.suspicion {
		p.reconsider(Family(f))
	}
}

// An event writes a line of the log. That may take its time, and is done without
// holding mu.
type event func(context.Context, *slog.Logger)

func (p *Prober) log(e event) {
	p.events = append(p.events, e)
	signal(p.news)
}

// noteChange has all started watchers of a subject told; nil is of every one.
func (p *Prober) noteChange(s *subject) {
	watchers := p.watchers
	if s != nil {
		watchers = s.watchers
	}
	for _, w := range watchers {
		w.dirty = true
	}
	signal(p.news)
}

// tell writes the log and calls the watchers until the context ends.
func (p *Prober) tell(ctx context.Context) {
	pause := time.NewTimer(tellPause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			p.flush(ctx)
			return
		case <-p.news:
		}
		p.flush(ctx)
		pause.Reset(tellPause)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// flush tells what is new. After the end that is for the log only.
func (p *Prober) flush(ctx context.Context) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.mu.Lock()
	events := p.events
	p.events = nil
	var dirty []*Watcher
	for _, w := range p.watchers {
		if w.dirty && w.started {
			dirty = append(dirty, w)
			w.dirty = false
		}
	}
	p.mu.Unlock()
	for _, e := range events {
		e(ctx, p.cfg.Logger)
	}
	for _, w := range dirty {
		if w.changed != nil && ctx.Err() == nil {
			w.changed()
		}
	}
}
