// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/altoroute/caddy-alto/altoroute/feed"
)

// notify tells whoever subscribes to Caddy's events what has happened to a source's
// maps: `alto_map_updated`, `alto_map_held` and `alto_map_stale`, with `source`,
// `resource_id`, `tag` and `reason`.
func notify(e feed.Event) {
	app := activeApp()
	if app == nil || app.events == nil {
		return // the maps that a configuration begins with are no event
	}
	if app.queue.add(e, app.emit) {
		app.logger.Warn("events are lost: a handler takes too long", slog.Int("waiting", maxEvents))
	}
}

func (a *App) emit(e feed.Event) {
	a.events.Emit(a.ctx, "alto_map_"+string(e.Kind), map[string]any{
		"source": e.Source, "resource_id": e.Tag.ResourceID, "tag": e.Tag.Tag, "reason": e.Reason,
	})
}

// maxEvents is how many events may wait. One more, and the oldest is lost.
const maxEvents = 100

// eventQueue emits the events of a configuration in order. A handler may take its
// time, which the maps must not wait for: a goroutine waits, one, and only as long as
// there is something to emit.
type eventQueue struct {
	mu      sync.Mutex // guards what follows
	waiting []feed.Event
	running bool
	losing  bool // since the queue was last empty
}

// add has an event emitted after those before it. It reports whether this is the first
// time that one is lost.
func (q *eventQueue) add(e feed.Event, emit func(feed.Event)) (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == maxEvents {
		q.waiting = slices.Delete(q.waiting, 0, 1)
		first, q.losing = !q.losing, true
	}
	q.waiting = append(q.waiting, e)
	if !q.running {
		q.running = true
		go q.run(emit)
	}
	return first
}

func (q *eventQueue) run(emit func(feed.Event)) {
	for {
		e, ok := q.next()
		if !ok {
			return
		}
		emit(e)
	}
}

func (q *eventQueue) next() (e feed.Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running, q.losing = false, false
		return e, false
	}
	e = q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return e, true
}

// attachEvents finds the app of Caddy's events.
func (a *App) attachEvents(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return err
	}
	a.events, _ = app.(*caddyevents.App)
	a.ctx = ctx
	return nil
}
