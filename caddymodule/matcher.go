// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddy.RegisterModule(new(MatchPID))
}

// MatchPID matches requests by the PID of the client, as the handler
// `altoroute` would place it: by prefix, by the place that a database knows, by
// a catch-all prefix or by the default PID. A client without a PID matches
// nothing. That guidance is turned off for a pool moves no client.
//
// Global placeholders are replaced in PIDs. A request in TLS early data is
// answered with 425 (Too Early), because its address is not proven yet.
type MatchPID struct {
	// PIDs, as `pid`, or `source/pid` where there are several sources. A `*` at
	// the end stands for whatever may follow: `own/cc-*`.
	PIDs []string `json:"pids,omitempty"`

	// The pool as whose client the client is placed. Where the PID that a
	// prefix gives has no cost from any edge of the pool, another source or
	// another way to place the client may have. Default: the only pool there
	// is, or all together.
	Pool string `json:"pool,omitempty"`

	router *altoroute.Router
	exact  map[altoroute.SourcePID]bool
	begin  []altoroute.SourcePID // what stands before a *
}

// CaddyModule returns the Caddy module information.
func (*MatchPID) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.alto_pid", New: func() caddy.Module { return new(MatchPID) }}
}

// Provision finds the app and the sources of the PIDs.
func (m *MatchPID) Provision(ctx caddy.Context) error {
	app, err := configuredApp(ctx, "the matcher alto_pid")
	if err != nil {
		return err
	}
	m.router = app.router
	if m.Pool != "" {
		if _, err := m.router.PoolName(m.Pool); err != nil {
			return fmt.Errorf("alto_pid: %w", err)
		}
	}
	if len(m.PIDs) == 0 {
		return errors.New("alto_pid: name a PID")
	}
	m.exact = make(map[altoroute.SourcePID]bool)
	repl := caddy.NewReplacer()
	for _, s := range m.PIDs {
		if err := m.add(app, repl.ReplaceKnown(s, "")); err != nil {
			return fmt.Errorf("alto_pid: %w", err)
		}
	}
	return nil
}

// add adds one of PIDs to what matches.
func (m *MatchPID) add(app *App, s string) error {
	pid, wildcard, err := parsePIDPattern(s)
	if err != nil {
		return err
	}
	if pid, err = m.router.Resolve(pid); err != nil {
		return err
	}
	if wildcard {
		m.begin = append(m.begin, pid)
		return nil
	}
	m.exact[pid] = true
	for _, source := range app.Sources {
		if maps := m.router.Maps(pid.Source); source.Name == pid.Source && source.local() && maps != nil && !maps.Network.Has(pid.PID) {
			return fmt.Errorf("source %s has no PID %q in network map %s: name one that it has", pid.Source, pid.PID, maps.Network.Tag())
		}
	}
	return nil
}

// parsePIDPattern reads a PID, or what stands before a * at its end.
func parsePIDPattern(s string) (pid altoroute.SourcePID, wildcard bool, err error) {
	if pid, err = altoroute.ParseSourcePID(s); err != nil {
		return pid, false, err
	}
	if pid.PID, wildcard = strings.CutSuffix(pid.PID, "*"); strings.Contains(pid.String(), "*") {
		return pid, false, fmt.Errorf("%q is not a PID: a * may stand only at the end", s)
	}
	return pid, wildcard, nil
}

// Match is MatchWithError for callers that ask for no error. A client whose
// address is not proven does not match.
func (m *MatchPID) Match(r *http.Request) bool {
	match, _ := m.MatchWithError(r)
	return match
}

// MatchWithError reports whether the request matches. The error is for a
// client whose address is not proven.
func (m *MatchPID) MatchWithError(r *http.Request) (bool, error) {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return false, caddyhttp.Error(http.StatusTooEarly, errors.New("the TLS handshake is not complete: the client's address is not proven"))
	}
	pid, err := m.router.Locate(m.Pool, query(m.Pool, r).Client)
	if err != nil || pid.PID == "" {
		return false, err
	}
	if m.exact[pid] {
		return true, nil
	}
	for _, begin := range m.begin {
		if pid.Source == begin.Source && strings.HasPrefix(pid.PID, begin.PID) {
			return true, nil
		}
	}
	return false, nil
}

// UnmarshalCaddyfile reads the matcher. In one set of matchers it may stand
// several times; the PIDs are taken together.
//
//	alto_pid <pids...>
//
//	alto_pid [<pids...>] {
//		pid  <pids...>
//		pool <name>
//	}
func (m *MatchPID) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	check := func(arg string) error {
		_, _, err := parsePIDPattern(arg)
		return err
	}
	p := newParser(d, nil)
	for d.Next() {
		if d.CountRemainingArgs() > 0 {
			if err := p.list(&m.PIDs, check); err != nil {
				return err
			}
		}
		err := p.block("", func() error {
			switch p.Val() {
			case "pid":
				return p.list(&m.PIDs, check)
			case "pool":
				return p.single(&m.Pool)
			}
			return p.unrecognized()
		})
		if err != nil {
			return err
		}
	}
	if len(m.PIDs) == 0 {
		return p.Err("alto_pid: name a PID")
	}
	return nil
}

// CELLibrary makes the matcher a function of CEL expressions:
//
//	alto_pid('own/cc-de', 'own/cc-fr*')
func (*MatchPID) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl("alto_pid", "alto_pid_match_request_list", []*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			value, err := data.ConvertToNative(reflect.TypeFor[[]string]())
			if err != nil {
				return nil, err
			}
			m := new(MatchPID)
			m.PIDs, _ = value.([]string)
			err = m.Provision(ctx)
			return m, err
		})
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchPID)(nil)
	_ caddyfile.Unmarshaler             = (*MatchPID)(nil)
	_ caddyhttp.RequestMatcher          = (*MatchPID)(nil) //nolint:staticcheck // who still asks for it gets it
	_ caddyhttp.RequestMatcherWithError = (*MatchPID)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchPID)(nil)
)
