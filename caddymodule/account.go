// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute"
)

// account tells of a decision to the rest of the request: to placeholders and
// to the access log. Nothing is put into words before somebody asks.
type account struct {
	altoroute.Decision
	location string
}

const placeholderPrefix = "http.altoroute."

// accountVar is the request's variable that holds its account.
const accountVar = "altoroute.account"

// publish makes the account known to the request.
func (a *account) publish(r *http.Request) {
	ctx := r.Context()
	if earlier, ok := caddyhttp.GetVar(ctx, accountVar).(*account); ok {
		// From a handler that passed the request on: the last word counts.
		*earlier = *a
		return
	}
	caddyhttp.SetVar(ctx, accountVar, a)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(a.placeholder)
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Object("altoroute", a))
	}
}

// placeholder returns the value of a placeholder of ours.
func (a *account) placeholder(key string) (any, bool) {
	name, ours := strings.CutPrefix(key, placeholderPrefix)
	if !ours {
		return nil, false
	}
	switch name {
	case "pool":
		return a.Pool, true
	case "edge":
		return a.edge(), true
	case "edge.url":
		return a.location, true
	case "source":
		return a.Source, true
	case "pid":
		return a.PID, true
	case "prefix":
		return a.prefix(), true
	case "placement":
		return a.How.String(), true
	case "cost":
		if math.IsNaN(a.Cost) {
			return "", true
		}
		return strconv.FormatFloat(a.Cost, 'f', -1, 64), true
	case "tag":
		return a.tag(), true
	case "reason":
		return string(a.Reason), true
	}
	return nil, false
}

func (a *account) edge() string {
	if a.Edge == nil {
		return ""
	}
	return a.Edge.Name
}

func (a *account) prefix() string {
	if !a.Prefix.IsValid() {
		return ""
	}
	return a.Prefix.String()
}

func (a *account) tag() string {
	if a.Maps == nil {
		return ""
	}
	return a.Maps.Network.Tag().Tag
}

// MarshalLogObject writes the access log's object. Members without a value are
// left out.
func (a *account) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, member := range [...]struct{ name, value string }{
		{"pool", a.Pool},
		{"edge", a.edge()},
		{"reason", string(a.Reason)},
		{"placement", a.How.String()},
		{"source", a.Source},
		{"pid", a.PID},
		{"prefix", a.prefix()},
		{"tag", a.tag()},
	} {
		if member.value != "" {
			enc.AddString(member.name, member.value)
		}
	}
	if !math.IsNaN(a.Cost) {
		enc.AddFloat64("cost", a.Cost)
	}
	return nil
}
