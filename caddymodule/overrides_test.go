// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/altoroute/caddy-alto/altoroute"
)

// emptyOverrides returns overrides as of a process that has just begun, and their log.
func emptyOverrides() (*overrides, *bytes.Buffer) {
	var log bytes.Buffer
	return newOverrides(slog.New(slog.NewTextHandler(&log, nil))), &log
}

// joined joins as a configuration of whose sites one has been asked already.
func joined(t *testing.T, o *overrides, s certmagic.Storage, r *altoroute.Router, edges []*Edge, now time.Time) *overridden {
	t.Helper()
	u := o.join(s, r, edges, now)
	t.Cleanup(func() { u.stop() })
	u.await()
	return u
}

func allWork(string, pinSetting) bool { return true }

// edgesOnly returns a Router with these edges, and the pools all and first, of
// which the latter has but the first edge.
func edgesOnly(t testing.TB, names ...string) *altoroute.Router {
	t.Helper()
	cfg := altoroute.Config{Pools: []altoroute.Pool{{Name: "all"}, {Name: "first", Edges: names[:1]}}}
	for _, name := range names {
		cfg.Edges = append(cfg.Edges, altoroute.Edge{
			Name: name, URL: &url.URL{Scheme: "https", Host: name + ".example.net"}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		})
	}
	r, err := altoroute.New(cfg)
	must(t, err)
	return r
}

func stateOf(r *altoroute.Router, edge string) string {
	return r.State(&altoroute.Edge{Name: edge}, netip.Addr{})
}

// pinnedTo returns the edge to which a client of the pool all is pinned.
func pinnedTo(t *testing.T, r *altoroute.Router, client string) string {
	t.Helper()
	d, err := r.Route(altoroute.Query{Pool: "all", Client: netip.MustParseAddr(client)})
	must(t, err)
	if d.Reason != altoroute.Pinned {
		return ""
	}
	return d.Edge.Name
}

// mode is a change of an edge's mode.
func mode(m altoroute.Mode, by string) edgeChange { return edgeChange{mode: &m, by: by} }

// now0 is in the past, so that what began then is over.
var now0 = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func mustSet(t testing.TB, o *overrides, edge string, c edgeChange, now time.Time) *edgeSetting {
	t.Helper()
	set, unstored, err := o.setEdge(edge, c, now)
	must(t, err)
	must(t, unstored)
	return set
}

// Edges and pools that a configuration does not have are kept for one that has,
// and may be let go.
func TestOperatorKeepsUnknownNames(t *testing.T) {
	disk, _ := newMemory(t)
	o, _ := emptyOverrides()
	r := edgesOnly(t, "fra", "par")
	first := joined(t, o, disk, r, nil, now0)
	first.start()
	mustSet(t, o, "par", mode(altoroute.Disabled, "alice"), now0)
	for _, pool := range []string{"all", "first"} {
		_, _, err := o.setPool(pool, poolChange{pin: &altoroute.Pin{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Edge: "par"}}, now0)
		must(t, err)
	}
	if unused := o.unused(r, allWork); unused.Edges != nil || unused.Pools != nil {
		t.Errorf("unused: %+v", unused)
	}
	// To a configuration without the edge, and a restart with it.
	second := joined(t, o, disk, edgesOnly(t, "fra"), nil, now0)
	second.start()
	first.leave()
	if unused := o.unused(second.router, allWork); len(unused.Edges) != 1 || unused.Edges["par"].By != "alice" || len(unused.Pools) != 0 {
		t.Errorf("unused: %+v", unused)
	}
	third := joined(t, o, disk, edgesOnly(t, "fra", "par"), nil, now0)
	third.start()
	second.leave()
	if stateOf(third.router, "par") != altoroute.StateDisabled {
		t.Errorf("par is %s", stateOf(third.router, "par"))
	}
	mustSet(t, o, "par", mode(altoroute.Auto, "alice"), now0)
	if edge := pinnedTo(t, third.router, "198.51.100.9"); edge != "par" {
		t.Errorf("pinned to %q", edge)
	}
	again, _ := emptyOverrides()
	joined(t, again, disk, third.router, nil, now0)
	if len(again.settings.Edges) != 0 || len(again.settings.Pools) != 2 {
		t.Errorf("stored is %+v", again.settings)
	}
}

// A drain of the configuration goes on where it was, whatever becomes of other
// configurations. By hand comes before it, and auto gives it back.
func TestOperatorConfigured(t *testing.T) {
	disk, _ := newMemory(t)
	o, _ := emptyOverrides()
	drains := []*Edge{{Name: "fra", Mode: "drain", DrainOver: caddy.Duration(time.Hour)}, {Name: "par", Mode: "disable"}, {Name: "ams", Mode: "auto"}}
	r := edgesOnly(t, "fra", "par", "ams")
	began := time.Now().Add(-30 * time.Minute)
	refused := joined(t, o, disk, edgesOnly(t, "fra"), drains, now0)
	refused.leave()
	if disk.writes != 0 {
		t.Error("validating writes")
	}
	first := joined(t, o, disk, r, drains, began)
	first.start()
	at := func(what string, since time.Time) {
		t.Helper()
		set := o.edge("fra")
		if set == nil || set.Mode != "drain" || !set.Since.Equal(since) || set.By != "config" || time.Duration(set.Over) != time.Hour {
			t.Errorf("%s: %+v, want since %s", what, set, since)
		}
	}
	at("at first", began)
	if states := []string{stateOf(r, "fra"), stateOf(r, "par"), stateOf(r, "ams")}; !slices.Equal(states, []string{"draining", "disabled", "up"}) {
		t.Errorf("%v", states)
	}

	// Refused ones, one of them after it had started, that do not say it.
	for _, starts := range []bool{false, true} {
		refused := joined(t, o, disk, edgesOnly(t, "fra", "par"), nil, time.Now())
		if starts {
			refused.start()
		}
		refused.leave()
		at("after a refusal", began)
	}
	// A reload and a restart.
	second := joined(t, o, disk, edgesOnly(t, "fra", "par"), drains, time.Now())
	second.start()
	first.leave()
	at("after a reload", began)
	second.leave()
	again, _ := emptyOverrides()
	o = again
	third := joined(t, o, disk, edgesOnly(t, "fra", "par"), drains, time.Now())
	third.start()
	at("after a restart", began)

	// By hand, it goes on from where it was too.
	if set := mustSet(t, o, "fra", mode(altoroute.Drain, "alice"), time.Now()); !set.Since.Equal(began) || set.By != "alice" {
		t.Errorf("%+v", set)
	}
	mustSet(t, o, "fra", mode(altoroute.ForcedUp, "alice"), time.Now())
	if stateOf(third.router, "fra") != altoroute.StateForcedUp {
		t.Errorf("fra is %s", stateOf(third.router, "fra"))
	}
	set := mustSet(t, o, "fra", edgeChange{mode: new(altoroute.Auto), capacity: new(5.0), by: "bob"}, time.Now())
	if set.CapacityBy != "bob" || set.Capacity != 5 {
		t.Errorf("%+v", set)
	}
	at("given back", began)
	mustSet(t, o, "fra", edgeChange{capacity: new(0.0)}, time.Now())

	// One that says it no longer, then one that says it anew.
	fourth := joined(t, o, disk, edgesOnly(t, "fra", "par"), nil, time.Now())
	fourth.start()
	third.leave()
	if o.edge("fra") != nil || stateOf(fourth.router, "fra") != altoroute.StateUp {
		t.Errorf("%+v, %s", o.edge("fra"), stateOf(fourth.router, "fra"))
	}
	anew := plain(time.Now())
	joined(t, o, disk, edgesOnly(t, "fra", "par"), drains, anew).start()
	at("anew", anew)
}

// What a Router has inherited and is set no more is taken from it.
func TestOperatorTakesBackWhatWasInherited(t *testing.T) {
	disk, _ := newMemory(t)
	o, _ := emptyOverrides()
	before := edgesOnly(t, "fra", "par")
	joined(t, o, disk, before, []*Edge{{Name: "fra", Mode: "disable"}}, now0).start()
	next := edgesOnly(t, "fra", "par")
	next.Inherit(before, now0)
	if stateOf(next, "fra") != altoroute.StateDisabled {
		t.Fatal("nothing was inherited")
	}
	joined(t, o, disk, next, nil, now0)
	if state := stateOf(next, "fra"); state != altoroute.StateUp {
		t.Errorf("fra is %s", state)
	}
}

// Changes and reloads at the same time lose nothing, neither in force nor in the
// storage.
func TestOperatorConcurrently(t *testing.T) {
	disk, _ := newMemory(t)
	o, _ := emptyOverrides()
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	last := joined(t, o, disk, edgesOnly(t, names...), nil, now0)
	last.start()
	var work sync.WaitGroup
	for _, name := range names {
		work.Go(func() {
			for i := range 20 {
				m := altoroute.Disabled
				if i%2 == 1 {
					m = altoroute.ForcedUp
				}
				if _, unstored, err := o.setEdge(name, mode(m, "alice"), now0); unstored != nil || err != nil {
					t.Error(unstored, err)
				}
			}
			if _, _, err := o.setPool("all", poolChange{pin: &altoroute.Pin{Country: strings.ToUpper(name + name), Edge: name}}, now0); err != nil {
				t.Error(err)
			}
		})
	}
	for range 50 {
		next := edgesOnly(t, names...)
		next.Inherit(last.router, now0)
		u := joined(t, o, disk, next, nil, now0)
		u.start()
		last.leave()
		last = u
	}
	work.Wait()
	again, _ := emptyOverrides()
	joined(t, again, disk, edgesOnly(t, names...), nil, now0)
	for _, name := range names {
		if state := stateOf(last.router, name); state != altoroute.StateForcedUp {
			t.Errorf("%s is %s", name, state)
		}
		if set := again.settings.Edges[name]; set == nil || set.Mode != "up" {
			t.Errorf("stored of %s is %+v", name, set)
		}
	}
	if n := len(again.settings.Pools["all"].Pins); n != len(names) {
		t.Errorf("%d pins are stored", n)
	}
}
