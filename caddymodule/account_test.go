// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// told returns what became of the visit in the words of all placeholders.
func (o outcome) told() string {
	return o.repl.ReplaceAll("{http.altoroute.pool} {http.altoroute.edge} {http.altoroute.edge.url} {http.altoroute.reason} "+
		"{http.altoroute.placement} {http.altoroute.source} {http.altoroute.pid} {http.altoroute.prefix} {http.altoroute.cost} {http.altoroute.tag}", "-")
}

// logged returns the object altoroute as the access log has it. That it gets
// there is for TestAccessLog.
func (o outcome) logged(t *testing.T) string {
	t.Helper()
	a, _ := caddyhttp.GetVar(o.asked.Context(), accountVar).(*account)
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{SkipLineEnding: true})
	line, err := enc.EncodeEntry(zapcore.Entry{}, []zap.Field{zap.Object("altoroute", a)})
	must(t, err)
	var fields struct{ Altoroute json.RawMessage }
	must(t, json.Unmarshal(line.Bytes(), &fields))
	return string(fields.Altoroute)
}

func TestAccount(t *testing.T) {
	s := newStage(t, world)
	tests := []struct {
		name  string
		pools []string // one handler for each
		visit visit
		told  string
		log   string
	}{
		{
			"prefix",
			[]string{"video"},
			visit{line: "GET /a?b"},
			"video fra https://fra.cdn.example.net/a?b cheapest prefix default cc-de 203.0.113.0/25 0 1",
			`{"pool":"video","edge":"fra","reason":"cheapest","placement":"prefix","source":"default","pid":"cc-de","prefix":"203.0.113.0/25","tag":"1","cost":0}`,
		},
		{
			"geo",
			[]string{"video"},
			visit{client: "2001:db8:c::1"},
			"video fra https://fra.cdn.example.net/ cheapest geo default cc-de - 0 1",
			`{"pool":"video","edge":"fra","reason":"cheapest","placement":"geo","source":"default","pid":"cc-de","tag":"1","cost":0}`,
		},
		{
			"catch-all",
			[]string{"video"},
			visit{client: "192.0.2.1"},
			"video fra https://fra.cdn.example.net/ cheapest catch_all default rest 0.0.0.0/0 7 1",
			`{"pool":"video","edge":"fra","reason":"cheapest","placement":"catch_all","source":"default","pid":"rest","prefix":"0.0.0.0/0","tag":"1","cost":7}`,
		},
		{
			"a fraction",
			[]string{"video"},
			visit{client: "198.51.100.1"},
			"video fra https://fra.cdn.example.net/ cheapest prefix default cc-nl 198.51.100.0/24 2.5 1",
			`{"pool":"video","edge":"fra","reason":"cheapest","placement":"prefix","source":"default","pid":"cc-nl","prefix":"198.51.100.0/24","tag":"1","cost":2.5}`,
		},
		{
			"undefined",
			[]string{"six"},
			visit{client: "2001:db8:f::1"},
			"six six https://six.cdn.example.net/ no_guidance none default lonely 2001:db8:f::/48 - 1",
			`{"pool":"six","edge":"six","reason":"no_guidance","placement":"none","source":"default","pid":"lonely","prefix":"2001:db8:f::/48","tag":"1"}`,
		},
		{
			"no edge",
			[]string{"gone"},
			visit{tls: true},
			"gone - - no_edge none default cc-de 203.0.113.0/25 - 1",
			`{"pool":"gone","reason":"no_edge","placement":"none","source":"default","pid":"cc-de","prefix":"203.0.113.0/25","tag":"1"}`,
		},
		{
			"fill",
			[]string{"video"},
			visit{client: "198.51.100.77"},
			"video - - cache_fill none - - - - -",
			`{"pool":"video","reason":"cache_fill","placement":"none"}`,
		},
		{
			"the last of two pools",
			[]string{"next", "video"},
			visit{tls: true},
			"video fra https://fra.cdn.example.net/ cheapest prefix default cc-de 203.0.113.0/25 0 1",
			`{"pool":"video","edge":"fra","reason":"cheapest","placement":"prefix","source":"default","pid":"cc-de","prefix":"203.0.113.0/25","tag":"1","cost":0}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var handlers []*Handler
			for _, pool := range test.pools {
				handlers = append(handlers, s.handler("altoroute "+pool))
			}
			o := test.visit.see(t, handlers...)
			if got := o.told(); got != test.told {
				t.Errorf("placeholders:\n got %s\nwant %s", got, test.told)
			}
			if got := o.logged(t); got != test.log {
				t.Errorf("log:\n got %s\nwant %s", got, test.log)
			}
			if got := o.repl.ReplaceKnown("{http.altoroute.nothing}", ""); got != "{http.altoroute.nothing}" {
				t.Errorf("an unknown placeholder is %q", got)
			}
		})
	}
}

// Later handlers see the decision, as with on_none next.
func TestPlaceholdersInLaterHandlers(t *testing.T) {
	h := newStage(t, world).handler("altoroute next")
	r, repl := visit{tls: true}.request(t)
	var seen string
	must(t, h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		seen = repl.ReplaceAll("{http.altoroute.reason} {http.altoroute.pid}", "")
		return nil
	})))
	if seen != "no_edge cc-de" {
		t.Errorf("a later handler sees %q", seen)
	}
}

// value returns a metric of a registry, and whether there is one with these
// labels, given as name and value in turn.
func value(t testing.TB, registry prometheus.Gatherer, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			has := make(map[string]string)
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && has[labels[i]] == labels[i+1]
			}
			if matches {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestCounters(t *testing.T) {
	s := newStage(t, world)
	registry := s.ctx.GetMetricsRegistry()
	for _, test := range []struct {
		pool   string
		visit  visit
		name   string
		labels []string
	}{
		{"video", visit{}, "decisions", []string{"pool", "video", "edge", "fra", "placement", "prefix"}},
		{"video", visit{client: "2001:db8:c::1"}, "decisions", []string{"pool", "video", "edge", "fra", "placement", "geo"}},
		{"video", visit{client: "192.0.2.1"}, "decisions", []string{"pool", "video", "edge", "fra", "placement", "catch_all"}},
		{"video", visit{nobody: true}, "decisions", []string{"pool", "video", "edge", "par", "placement", "default"}},
		{"six", visit{client: "2001:db8::1"}, "decisions", []string{"pool", "six", "edge", "six", "placement", "none"}},
		{"gone", visit{tls: true}, "decisions", []string{"pool", "gone", "edge", "", "placement", "none"}},
		{"video", visit{client: "198.51.100.77"}, "cache_fills", []string{"pool", "video"}},
		{"video", visit{line: "OPTIONS /"}, "", nil},
	} {
		total := func() (all float64) {
			for _, name := range []string{"decisions", "cache_fills"} {
				families, err := registry.Gather()
				must(t, err)
				for _, family := range families {
					if family.GetName() != "caddy_altoroute_"+name+"_total" {
						continue
					}
					for _, m := range family.GetMetric() {
						all += m.GetCounter().GetValue()
					}
				}
			}
			return all
		}
		one, all := 0.0, total()
		if test.name != "" {
			one, _ = value(t, registry, "caddy_altoroute_"+test.name+"_total", test.labels...)
		}
		h := s.handler("altoroute " + test.pool)
		for range 3 {
			test.visit.see(t, h)
		}
		if test.name == "" {
			if now := total(); now != all {
				t.Errorf("%s: counted %v", test.visit.line, now-all)
			}
			continue
		}
		if now, _ := value(t, registry, "caddy_altoroute_"+test.name+"_total", test.labels...); now-one != 3 || total()-all != 3 {
			t.Errorf("%s %v: %v more, %v more in all, want 3", test.name, test.labels, now-one, total()-all)
		}
	}
}
