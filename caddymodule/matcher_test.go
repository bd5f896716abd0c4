// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// places is a world of two sources that know the clients of the tests by other
// names, and of two pools that do not see all clients alike.
const places = `
	maps own {{dir}}/net.json {{dir}}/cost.json
	maps peer {{dir}}/net.json {{dir}}/cost.json {
		only 198.51.100.0/24 2001:db8:f::/48
	}
	geo {{dir}}/geo.mmdb {
		country * own/cc-{country}
	}
	default_pid own/cc-fr
	edge fra https://fra.cdn.example.net own/cc-de
	edge lim https://lim.cdn.example.net peer/cc-de
	pool video {
		edges fra
	}
	pool limited {
		edges lim
	}
`

// matcher returns a provisioned matcher by its line in the Caddyfile.
func (s *stage) matcher(line string) *MatchPID {
	s.t.Helper()
	m := new(MatchPID)
	must(s.t, m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(line)))
	must(s.t, m.Provision(s.ctx))
	return m
}

func TestMatcher(t *testing.T) {
	s := newStage(t, places)
	for _, test := range []struct {
		line   string
		client string
		want   bool
	}{
		{"alto_pid own/cc-de", "203.0.113.9", true},
		{"alto_pid own/cc-de", "203.0.113.200", false},
		{"alto_pid own/cc-fr own/cc-de", "203.0.113.9", true},
		{"alto_pid own/cc-de", "2001:db8:a::1", true},
		{"alto_pid own/cc-de", "::ffff:203.0.113.9", true},
		{"alto_pid own/cc-de", "2001:db8:a::1%eth0", true},
		{"alto_pid peer/cc-de", "203.0.113.9", false}, // another source's
		{"alto_pid own/cc-*", "203.0.113.9", true},
		{"alto_pid own/cc-*", "192.0.2.1", false}, // rest
		{"alto_pid own/cc-f*", "203.0.113.9", false},
		{"alto_pid own/*", "192.0.2.1", true},
		{"alto_pid peer/*", "192.0.2.1", false},
		{"alto_pid own/idle own/cc-d* own/rest", "192.0.2.1", true},

		{"alto_pid own/cc-de", "2001:db8:c::1", true},    // by its country
		{"alto_pid own/cc-fr", "2001:db8:dead::1", true}, // by default
		{"alto_pid own/cc-fr", "@", true},                // a unix socket, by default

		// All pools together see the first source's prefix, but the pool limited
		// has a cost from the other's only.
		{"alto_pid own/cc-nl", "198.51.100.1", true},
		{"alto_pid peer/cc-nl", "198.51.100.1", false},
		{"alto_pid own/cc-nl {\npool video\n}", "198.51.100.1", true},
		{"alto_pid peer/cc-nl {\npool limited\n}", "198.51.100.1", true},
		{"alto_pid {\npool limited\npid own/cc-nl\n}", "198.51.100.1", false},
		// No rung has a cost: the first PID found is where it is.
		{"alto_pid own/cc-de {\npool limited\n}", "203.0.113.9", true},
	} {
		m := s.matcher(test.line)
		r, _ := visit{client: test.client}.request(t)
		if got, err := m.MatchWithError(r); err != nil || got != test.want {
			t.Errorf("%s of %s: %v, %v", test.line, test.client, got, err)
		}
		if m.Match(r) != test.want {
			t.Errorf("%s of %s: the other method differs", test.line, test.client)
		}
	}
}

// A client without a PID matches nothing, whatever the pattern.
func TestMatcherWithoutPID(t *testing.T) {
	s := newStage(t, "maps {{dir}}/net.json {{dir}}/cost.json\nedge fra https://fra.cdn.example.net cc-de")
	m := s.matcher("alto_pid *")
	for client, want := range map[string]bool{"203.0.113.9": true, "192.0.2.1": true, "2001:db8:dead::1": false, "@": false} {
		r, _ := visit{client: client}.request(t)
		if got, err := m.MatchWithError(r); err != nil || got != want {
			t.Errorf("%s: %v, %v", client, got, err)
		}
	}
	r, _ := visit{nobody: true}.request(t)
	if got, err := m.MatchWithError(r); err != nil || got {
		t.Errorf("nobody: %v, %v", got, err)
	}
}

func TestMatcherEarlyData(t *testing.T) {
	m := newStage(t, places).matcher("alto_pid own/cc-de")
	r, _ := visit{tls: true}.request(t) // the handshake goes on
	got, err := m.MatchWithError(r)
	var refusal caddyhttp.HandlerError
	if got || !errors.As(err, &refusal) || refusal.StatusCode != http.StatusTooEarly {
		t.Errorf("early data: %v, %v", got, err)
	}
	if m.Match(r) {
		t.Error("early data matches")
	}
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	if got, err := m.MatchWithError(r); err != nil || !got {
		t.Errorf("after the handshake: %v, %v", got, err)
	}
}

func TestMatcherProvision(t *testing.T) {
	s := newStage(t, places)
	t.Setenv("ALTOROUTE_TEST_PID", "own/cc-de")
	for _, test := range []struct {
		matcher MatchPID
		words   []string
	}{
		{MatchPID{PIDs: []string{"own/cc-de", "peer/cc-*"}}, nil},
		{MatchPID{PIDs: []string{"own/idle"}, Pool: "video"}, nil},
		{MatchPID{PIDs: []string{"{env.ALTOROUTE_TEST_PID}"}}, nil},
		{MatchPID{}, []string{"alto_pid", "name a PID"}},
		{MatchPID{PIDs: []string{"own/cc-de"}, Pool: "music"}, []string{"alto_pid", `"music"`, "limited, video"}},
		{MatchPID{PIDs: []string{"cc-de"}}, []string{"alto_pid", "cc-de", "names no source", "source/cc-de"}},
		{MatchPID{PIDs: []string{"isp/cc-de"}}, []string{"alto_pid", "isp/cc-de", "no such source"}},
		{MatchPID{PIDs: []string{"isp/*"}}, []string{"alto_pid", "no such source"}},
		{MatchPID{PIDs: []string{"own/cc-at"}}, []string{"alto_pid", "source own", `"cc-at"`, "net@1"}},
		{MatchPID{PIDs: []string{"own/cc-at*"}}, nil}, // there may be one some day
		{MatchPID{PIDs: []string{"own/*-de"}}, []string{"alto_pid", "own/*-de", "only at the end"}},
		{MatchPID{PIDs: []string{"*"}}, []string{"alto_pid", "names no source"}},
		{MatchPID{PIDs: []string{"own/"}}, []string{"alto_pid", "own/", "source/pid"}},
	} {
		wants(t, test.matcher.Provision(s.ctx), test.words...)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	must(t, err)
	wants(t, (&MatchPID{PIDs: []string{"own/cc-de"}}).Provision(ctx), "the matcher alto_pid needs the global option altoroute")
}

func TestMatcherExpression(t *testing.T) {
	s := newStage(t, places)
	for expression, want := range map[string]bool{
		`alto_pid('own/cc-de')`:                               true,
		`alto_pid('own/cc-fr')`:                               false,
		`alto_pid('own/cc-fr', 'own/cc-d*') && method('GET')`: true,
		`!alto_pid('own/cc-de')`:                              false,
	} {
		m := &caddyhttp.MatchExpression{Expr: expression}
		must(t, m.Provision(s.ctx))
		r, _ := visit{}.request(t)
		if got, err := m.MatchWithError(r); err != nil || got != want {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
	}
	m := &caddyhttp.MatchExpression{Expr: `alto_pid('isp/cc-de')`}
	wants(t, m.Provision(s.ctx), "alto_pid", "isp/cc-de", "no such source")
	// Expressions that do not ask for it need no app.
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	must(t, err)
	must(t, (&caddyhttp.MatchExpression{Expr: `method('GET')`}).Provision(ctx))
}
