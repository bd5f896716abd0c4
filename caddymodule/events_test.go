// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
	"github.com/altoroute/caddy-alto/altoroute/feed"
)

func init() { caddy.RegisterModule(eventRecorder{}) }

// eventRecorder hands events to a test.
type eventRecorder struct{}

var recordedEvents = make(chan string, 100)

func (eventRecorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.record", New: func() caddy.Module { return new(eventRecorder) }}
}

func (*eventRecorder) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*eventRecorder) Handle(_ context.Context, e caddy.Event) error {
	recordedEvents <- fmt.Sprintf("%s %v %v %v", e.Name(), e.Data["source"], e.Data["tag"], e.Data["reason"])
	return nil
}

// heard returns the next event that was recorded.
func heard(t *testing.T) string {
	t.Helper()
	select {
	case event := <-recordedEvents:
		return event
	case <-time.After(20 * time.Second):
		t.Fatal("there is no further event")
		return ""
	}
}

var _ caddyevents.Handler = (*eventRecorder)(nil)

// TestEvents: what happens to maps is told to who subscribes to Caddy's events.
func TestEvents(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	c := start(t, newFolder(t), "server isp "+server.Directory().String()+` {
		refresh 1s
		spool off
	}
	edge fra https://fra.cdn.example.net cc-de
	edge par https://par.cdn.example.net cc-fr`, "")
	next := func(words ...string) {
		t.Helper()
		event := heard(t)
		for _, word := range words {
			if !strings.Contains(event, word) {
				t.Errorf("%q does not say %q", event, word)
			}
		}
	}
	eventually(t, "the first maps are in force", func() bool { return c.source("isp").State == "fresh" })
	must(t, c.run(loud+`
	events {
		on alto_map_updated record
		on alto_map_held record
		on alto_map_stale record
	}
	`, "server isp "+server.Directory().String()+` {
		refresh 1s
		spool off
	}
	edge fra https://fra.cdn.example.net cc-de
	edge par https://par.cdn.example.net cc-fr`, strings.ReplaceAll(video, "{{pool}}", "")))

	server.Publish(guidance("2"))
	next("alto_map_updated isp 2")
	g := guidance("3")
	for row := range g.CostMaps[0].Costs { // no edge has a cost any more, and there is one
		if row != "cc-nl" {
			delete(g.CostMaps[0].Costs, row)
		}
	}
	g.CostMaps[0].Costs["cc-nl"] = map[string]float64{"cc-nl": 1}
	server.Publish(g)
	next("alto_map_held isp 3", "without any cost: fra")
	server.Misbehave(altotest.DirectoryPath, altotest.Status(http.StatusBadGateway))
	next("alto_map_stale isp 2", "502")
}

// TestEventsInOrder: events come in order. Where a handler hangs, one goroutine waits
// for it and so many events; then the oldest are lost, which the log tells once.
func TestEventsInOrder(t *testing.T) {
	f := newFolder(t)
	c := start(t, f, smallest, "")
	must(t, c.run(loud+`
	events {
		on alto_map_updated record
	}
	`, smallest, strings.ReplaceAll(video, "{{pool}}", "")))
	next := 0
	happen := func(n int) {
		for range n {
			notify(feed.Event{Kind: feed.MapUpdated, Source: "default", Tag: altoroute.VersionTag{Tag: strconv.Itoa(next)}})
			next++
		}
	}
	queue := &activeApp().queue
	waiting := func() int {
		queue.mu.Lock()
		defer queue.mu.Unlock()
		return len(queue.waiting)
	}
	hears := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if event, want := heard(t), fmt.Sprintf("alto_map_updated default %d ", i); event != want {
				t.Fatalf("event %d is %q", i, event)
			}
		}
	}
	happen(cap(recordedEvents))
	eventually(t, "all are recorded", func() bool { return len(recordedEvents) == cap(recordedEvents) })
	happen(1)
	eventually(t, "the handler hangs", func() bool { return waiting() == 0 })
	happen(maxEvents + 50)
	if n := waiting(); n != maxEvents {
		t.Errorf("%d events wait", n)
	}
	if n := goroutines("caddymodule.(*eventQueue).run"); n != 1 {
		t.Errorf("%d goroutines wait", n)
	}
	if n := len(c.logged(`"level":"warn"`, "events are lost")); n != 1 {
		t.Errorf("the log tells %d times that events are lost", n)
	}
	hears(0, cap(recordedEvents)+1)
	hears(next-maxEvents, next)
	eventually(t, "nobody waits", func() bool { return goroutines("caddymodule.(*eventQueue).run") == 0 })
	happen(20)
	hears(next-20, next)
}
