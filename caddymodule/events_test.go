// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
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
		event := <-recordedEvents
		for _, word := range words {
			if !strings.Contains(event, word) {
				t.Errorf("%q does not say %q", event, word)
			}
		}
	}
	eventually(t, "the first maps are in force", func() bool { return c.source("isp").State == "fresh" })
	must(t, caddy.Load(c.config(loud+`
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
	edge par https://par.cdn.example.net cc-fr`, strings.ReplaceAll(video, "{{pool}}", "")), true))

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
