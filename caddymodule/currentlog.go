// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// sharedLog is where what outlives a configuration logs: to the one in force.
var sharedLog = new(currentLog) //nolint:gochecknoglobals // outlives every configuration

// currentLog looks up the log of the configuration in force for each record.
// One kept from Provision or Start could be that of a configuration that was
// rejected, whose writers Caddy has closed.
type currentLog struct {
	first atomic.Pointer[slog.Handler] // as long as no configuration is in force
}

// offer gives the log of a configuration that is being provisioned.
func (l *currentLog) offer(h slog.Handler) { l.first.Store(&h) }

func (l *currentLog) current() slog.Handler {
	if app := activeApp(); app != nil {
		return app.logger.Handler()
	}
	if h := l.first.Load(); h != nil {
		return *h
	}
	return slog.DiscardHandler
}

// Enabled implements slog.Handler.
func (l *currentLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.current().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *currentLog) Handle(ctx context.Context, r slog.Record) error {
	return l.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler. Loggers of what is shared are not derived:
// a derived one would be bound to one configuration.
func (l *currentLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler, see WithAttrs.
func (l *currentLog) WithGroup(string) slog.Handler { return l }
