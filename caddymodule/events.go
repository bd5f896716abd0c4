// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/altoroute/caddy-alto/altoroute/feed"
)

// notify tells whoever subscribes to Caddy's events what has happened to a source's
// maps: `alto_map_updated`, `alto_map_held` and `alto_map_stale`, with `source`,
// `resource_id`, `tag` and `reason`. A handler may take its time, which the maps must
// not wait for.
func notify(e feed.Event) {
	app := activeApp()
	if app == nil || app.events == nil {
		return // the maps that a configuration begins with are no event
	}
	go app.events.Emit(app.ctx, "alto_map_"+string(e.Kind), map[string]any{
		"source": e.Source, "resource_id": e.Tag.ResourceID, "tag": e.Tag.Tag, "reason": e.Reason,
	})
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
