// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/altoroute/caddy-alto/altoroute"
)

// memory is a storage that outlives operators, and fails on request.
type memory struct {
	certmagic.Storage
	mu              sync.Mutex
	content         map[string][]byte
	loading, saving error
	loads, writes   int
}

func (m *memory) String() string { return fmt.Sprintf("memory %p", m) }

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	if m.loading != nil {
		return nil, m.loading
	}
	if body, ok := m.content[key]; ok {
		return body, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Store(_ context.Context, key string, body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saving != nil {
		return m.saving
	}
	m.writes++
	m.content[key] = body
	return nil
}

// fail has it fail to load, or work again.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loading = err
}

func (m *memory) loaded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loads
}

// remote is the storage module test_remote: a memory, as of another machine.
type remote struct{}

var remoteMemory atomic.Pointer[memory]

func init() { caddy.RegisterModule(remote{}) }

func (remote) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test_remote", New: func() caddy.Module { return new(remote) }}
}

func (remote) CertMagicStorage() (certmagic.Storage, error) { return remoteMemory.Load(), nil }

func (remote) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

// newMemory returns an empty storage of an instance with a name.
func newMemory(t *testing.T) (m *memory, key string) {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	key, err := settingsKey()
	must(t, err)
	return &memory{content: make(map[string][]byte)}, key
}

// Another process with the same storage has all that was set, as it was.
func TestOperatorSurvivesRestart(t *testing.T) {
	disk, key := newMemory(t)
	o, _ := emptyOverrides()
	r := edgesOnly(t, "fra", "par", "ams", "mil")
	config := []*Edge{{Name: "fra"}, {Name: "par"}, {Name: "ams"}, {Name: "mil", Mode: "drain", DrainOver: caddy.Duration(10 * time.Minute)}}
	joined(t, o, disk, r, config, now0).start()
	drain := mode(altoroute.Drain, "alice")
	drain.over = new(10 * time.Minute)
	mustSet(t, o, "fra", drain, now0)
	mustSet(t, o, "par", edgeChange{capacity: new(8000.0), by: "bob"}, now0)
	mustSet(t, o, "ams", mode(altoroute.ForcedUp, "bob"), now0)
	for _, c := range []poolChange{
		{guidance: new(false), by: "carol"},
		{pin: &altoroute.Pin{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Edge: "par"}, by: "carol"},
		{pin: &altoroute.Pin{ASN: 64500, Edge: "fra"}, by: "dave"},
	} {
		_, unstored, err := o.setPool("all", c, now0)
		must(t, err)
		must(t, unstored)
	}

	again, log := emptyOverrides()
	later := edgesOnly(t, "fra", "par", "ams", "mil")
	joined(t, again, disk, later, config, time.Now()).start()
	if log.Len() > 0 {
		t.Errorf("it logs: %s", log)
	}
	for _, edge := range []string{"fra", "par", "ams", "mil"} {
		if was, is := o.edge(edge), again.edge(edge); *was != *is {
			t.Errorf("%s: %+v, was %+v", edge, is, was)
		}
	}
	// What began in March is over, by hand and by the configuration.
	for edge, want := range map[string]string{"fra": altoroute.StateDrained, "par": altoroute.StateUp, "ams": altoroute.StateForcedUp, "mil": altoroute.StateDrained} {
		if state := stateOf(later, edge); state != want {
			t.Errorf("%s is %s, want %s", edge, state, want)
		}
	}
	if _, capacity := later.Traffic(&altoroute.Edge{Name: "par"}); capacity != 8000 {
		t.Errorf("capacity %v", capacity)
	}
	set := again.pool("all")
	if set.Guidance != "off" || set.By != "carol" || !set.At.Equal(now0) || len(set.Pins) != 2 || set.Pins[1].By != "dave" || set.Pins[1].Clients != "AS64500" {
		t.Errorf("the pool is %+v", set)
	}
	if !later.PoolCondition("all").GuidanceOff || later.PoolCondition("first").GuidanceOff {
		t.Error("guidance is not off")
	}
	if edge := pinnedTo(t, later, "198.51.100.9"); edge != "par" {
		t.Errorf("pinned to %q", edge)
	}
	if again.edge("none") != nil || again.pool("none") != nil {
		t.Error("something is set of what there is not")
	}
	if writes := disk.writes; writes != 7 {
		t.Errorf("%d writes of seven changes: %s", writes, disk.content[key])
	}
}

// What cannot be understood is told, left as it is as long as nothing is set, and
// kept aside before it is written over.
func TestOperatorRefusesWhatItCannotRead(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		words []string
	}{
		"cut off":       {`{"version": 1, "edges": {"fra": {"mode": "dis`, []string{"damaged", "unexpected end"}},
		"empty":         {"", []string{"damaged"}},
		"newer":         {`{"version": 2, "regions": {}}`, []string{"version 2", "newer altoroute"}},
		"no version":    {`{"edges": {}}`, []string{"version 0"}},
		"unknown":       {`{"version": 1, "regions": {}}`, []string{"damaged", "regions"}},
		"null":          {`{"version": 1, "edges": {"fra": null}}`, []string{"damaged", "edges: fra: null"}},
		"name":          {`{"version": 1, "edges": {"": {"mode": "up"}}}`, []string{"damaged", "not a name"}},
		"mode":          {`{"version": 1, "edges": {"fra": {"mode": "auto"}}}`, []string{"damaged", "edges: fra: mode", "drain, disable or up"}},
		"config":        {`{"version": 1, "config": {"fra": {"mode": "x"}}}`, []string{"damaged", "config: fra: mode"}},
		"over":          {`{"version": 1, "edges": {"fra": {"mode": "drain", "over": "-1s"}}}`, []string{"damaged", "over"}},
		"over type":     {`{"version": 1, "edges": {"fra": {"mode": "drain", "over": "soon"}}}`, []string{"damaged", "soon"}},
		"capacity":      {`{"version": 1, "edges": {"fra": {"capacity": -1}}}`, []string{"damaged", "capacity -1"}},
		"guidance":      {`{"version": 1, "pools": {"all": {"guidance": "on"}}}`, []string{"damaged", "pools: all: guidance"}},
		"null pool":     {`{"version": 1, "pools": {"all": null}}`, []string{"damaged", "pools: all: null"}},
		"pin":           {`{"version": 1, "pools": {"all": {"pins": [{"clients": "x.y", "edge": "fra"}]}}}`, []string{"damaged", "pin"}},
		"pin's edge":    {`{"version": 1, "pools": {"all": {"pins": [{"clients": "DE", "edge": ""}]}}}`, []string{"damaged", "pin DE"}},
		"half is good":  {`{"version": 1, "edges": {"fra": {"mode": "disable"}, "par": {"mode": "x"}}}`, []string{"damaged", "par"}},
		"not an object": {`[]`, []string{"damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			disk, key := newMemory(t)
			disk.content[key] = []byte(test.body)
			o, log := emptyOverrides()
			r := edgesOnly(t, "fra", "par")
			joined(t, o, disk, r, nil, now0).start()
			for _, word := range append(test.words, "level=ERROR", key) {
				if !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), word) {
					t.Errorf("the log does not say %q: %s", word, log)
				}
			}
			if stateOf(r, "fra") != altoroute.StateUp || o.edge("fra") != nil || disk.writes != 0 {
				t.Errorf("the edge is %s, %d writes", stateOf(r, "fra"), disk.writes)
			}
			mustSet(t, o, "par", mode(altoroute.Disabled, "alice"), now0)
			if aside := string(disk.content[key+".broken"]); aside != test.body {
				t.Errorf("kept aside is %q", aside)
			}
			if !strings.Contains(log.String(), "kept aside") {
				t.Errorf("the log does not say it: %s", log)
			}
			wants(t, o.unreadError(), append(test.words, key+".broken")...)
			again, _ := emptyOverrides()
			joined(t, again, disk, r, nil, now0)
			if again.settings.Edges["par"] == nil {
				t.Error("what was set then is not stored")
			}
		})
	}
}

// What cannot be stored is in force, says so, and is stored with the next change
// that can.
func TestOperatorUnstored(t *testing.T) {
	disk, key := newMemory(t)
	disk.saving = errors.New("the disk is full")
	o, log := emptyOverrides()
	r := edgesOnly(t, "fra", "par")
	joined(t, o, disk, r, nil, now0).start()
	set, unstored, err := o.setEdge("fra", mode(altoroute.Disabled, "alice"), now0)
	must(t, err)
	wants(t, unstored, "will not survive a restart", key, "the disk is full")
	if set.Mode != "disable" || stateOf(r, "fra") != altoroute.StateDisabled {
		t.Errorf("%+v, %s", set, stateOf(r, "fra"))
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "will not survive a restart") {
		t.Errorf("the log does not say it: %s", log)
	}
	disk.saving = nil
	mustSet(t, o, "par", mode(altoroute.Disabled, "alice"), now0)
	again, _ := emptyOverrides()
	joined(t, again, disk, r, nil, now0)
	if edges := slices.Sorted(maps.Keys(again.settings.Edges)); !slices.Equal(edges, []string{"fra", "par"}) {
		t.Errorf("stored are %v", edges)
	}
}

// A storage that could not be reached at first is read before it is written:
// nothing in it is lost, and what was set since then counts.
func TestOperatorReadsLate(t *testing.T) {
	disk, _ := newMemory(t)
	before, _ := emptyOverrides()
	r := edgesOnly(t, "fra", "par", "ams")
	joined(t, before, disk, r, nil, now0).start()
	mustSet(t, before, "fra", mode(altoroute.Disabled, "alice"), now0)
	mustSet(t, before, "par", mode(altoroute.Disabled, "alice"), now0)

	disk.loading = errors.New("no route to host")
	o, log := emptyOverrides()
	r = edgesOnly(t, "fra", "par", "ams")
	joined(t, o, disk, r, nil, now0).start()
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "no route to host") {
		t.Errorf("the log does not say it: %s", log)
	}
	if _, unstored, err := o.setEdge("par", mode(altoroute.ForcedUp, "bob"), now0); err != nil || unstored == nil {
		t.Errorf("%v, %v", unstored, err)
	}
	disk.loading = nil
	mustSet(t, o, "ams", mode(altoroute.Disabled, "bob"), now0)
	for edge, want := range map[string]string{"fra": altoroute.StateDisabled, "par": altoroute.StateForcedUp, "ams": altoroute.StateDisabled} {
		if state := stateOf(r, edge); state != want {
			t.Errorf("%s is %s, want %s", edge, state, want)
		}
	}
}

// A storage that is away at the start is asked again, and nothing that was set since
// is lost: neither what takes away something, nor what sets but a part.
func TestOperatorRetries(t *testing.T) {
	disk, _ := newMemory(t)
	before, _ := emptyOverrides()
	names := []string{"fra", "par", "ams"}
	joined(t, before, disk, edgesOnly(t, names...), nil, now0).start()
	mustSet(t, before, "fra", mode(altoroute.Disabled, "alice"), now0)
	mustSet(t, before, "par", mode(altoroute.Disabled, "alice"), now0)
	for _, c := range []poolChange{
		{guidance: new(false)},
		{pin: &altoroute.Pin{Country: "DE", Edge: "fra"}},
		{pin: &altoroute.Pin{Country: "FR", Edge: "par"}},
	} {
		_, unstored, err := before.setPool("all", c, now0)
		must(t, errors.Join(unstored, err))
	}

	disk.loading = errors.New("connection refused")
	synctest.Test(t, func(t *testing.T) {
		o, log := emptyOverrides()
		u := joined(t, o, disk, edgesOnly(t, names...), nil, time.Now())
		u.start()
		_, _, err := o.setEdge("par", mode(altoroute.Auto, "bob"), time.Now())
		must(t, err)
		_, _, err = o.setEdge("fra", edgeChange{capacity: new(8000.0), by: "bob"}, time.Now())
		must(t, err)
		_, _, err = o.setPool("all", poolChange{pin: &altoroute.Pin{Country: "FR", Edge: "ams"}}, time.Now())
		must(t, err)
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "is not in force"); n != 1 {
			t.Errorf("the log says it %d times: %s", n, log)
		}
		wants(t, o.unreadError(), "connection refused")
		next := joined(t, o, disk, edgesOnly(t, names...), nil, time.Now())
		next.start() // a reload
		u.stop()
		u.leave()
		disk.fail(nil)
		loads := disk.loaded()
		time.Sleep(lastRetry + time.Second)
		synctest.Wait()
		if disk.loaded() != loads+1 || o.unreadError() != nil || !strings.Contains(log.String(), "could be read after all") {
			t.Errorf("%d loads, %v: %s", disk.loaded()-loads, o.unreadError(), log)
		}
		for edge, want := range map[string]string{"fra": altoroute.StateDisabled, "par": altoroute.StateUp} {
			if state := stateOf(next.router, edge); state != want {
				t.Errorf("%s is %s, want %s", edge, state, want)
			}
		}
	})
	again, _ := emptyOverrides()
	joined(t, again, disk, edgesOnly(t, names...), nil, time.Now())
	if fra := again.settings.Edges["fra"]; len(again.settings.Edges) != 1 || fra.Mode != "disable" || fra.By != "alice" || fra.Capacity != 8000 || fra.CapacityBy != "bob" {
		t.Errorf("stored is %+v", again.settings.Edges)
	}
	all := again.settings.Pools["all"]
	if all.Guidance != "off" || len(all.Pins) != 2 || all.Pins[0].Edge != "fra" || all.Pins[1].Edge != "ams" {
		t.Errorf("stored is %+v", all)
	}
}

// A drain of the configuration is not begun anew because the storage is late.
func TestOperatorReadsLateWhatIsConfigured(t *testing.T) {
	disk, _ := newMemory(t)
	drains := []*Edge{{Name: "fra", Mode: "drain", DrainOver: caddy.Duration(time.Hour)}}
	before, _ := emptyOverrides()
	joined(t, before, disk, edgesOnly(t, "fra"), drains, now0).start()
	disk.loading = errors.New("connection refused")
	o, _ := emptyOverrides()
	joined(t, o, disk, edgesOnly(t, "fra"), drains, time.Now()).start()
	disk.fail(nil)
	joined(t, o, disk, edgesOnly(t, "fra"), drains, time.Now()).start()
	if set := o.edge("fra"); !set.Since.Equal(plain(now0)) {
		t.Errorf("%+v", set)
	}
}

// Validating asks no storage of another machine. A first request has it asked,
// whichever app starts first, and what could not be read is told.
func TestRemoteStorage(t *testing.T) {
	disk, _ := newMemory(t)
	remoteMemory.Store(disk)
	before, _ := emptyOverrides()
	joined(t, before, disk, edgesOnly(t, "fra", "par"), nil, now0).start()
	mustSet(t, before, "fra", mode(altoroute.Disabled, "alice"), now0)
	was := byHand
	t.Cleanup(func() { byHand = was })
	options := strings.Replace(quiet, "file_system {{dir}}/storage", "test_remote", 1)
	f := newFolder(t)

	byHand, _ = emptyOverrides()
	loads := disk.loaded()
	must(t, validate(t, f.config(options, smallest, site)))
	if n := disk.loaded() - loads; n != 0 {
		t.Errorf("validating has asked %d times", n)
	}
	t.Run("first request", func(t *testing.T) {
		s := newStageOf(t, f.config(options, smallest, ""))
		if at := (visit{}).see(t, s.handler("altoroute")).header.Get("Location"); !strings.Contains(at, "par.") {
			t.Errorf("it is sent to %q", at)
		}
	})

	byHand, _ = emptyOverrides()
	disk.fail(errors.New("connection refused"))
	loudly := strings.Replace(loud, "file_system {{dir}}/storage", "test_remote", 1)
	c := startOf(t, f, loudly, smallest, strings.ReplaceAll(video, "{{pool}}", ""))
	c.sends(inFra, atFra)
	if s := c.status(); !strings.Contains(s.SettingsError, "connection refused") || c.metric("overrides_unread") != 1 {
		t.Errorf("the status says %q", s.SettingsError)
	}
	if out, _, err := c.command("status"); err != nil || !strings.HasPrefix(out, "What was set by hand before is not in force, as it cannot be read: loading altoroute/operator/") {
		t.Errorf("%v: %s", err, out)
	}
	disk.fail(nil)
	must(t, c.run(loudly, smallest+"cdn_id another\n", strings.ReplaceAll(video, "{{pool}}", "")))
	c.sends(inFra, atPar)
	if s := c.status(); s.SettingsError != "" || c.metric("overrides_unread") != 0 {
		t.Errorf("the status says %q", s.SettingsError)
	}
}

// In another storage, what is in memory replaces what was left there.
func TestOperatorMoves(t *testing.T) {
	one, _ := newMemory(t)
	two := &memory{content: make(map[string][]byte)}
	before, _ := emptyOverrides()
	joined(t, before, two, edgesOnly(t, "fra", "par"), nil, now0).start()
	mustSet(t, before, "fra", mode(altoroute.Disabled, "alice"), now0)

	o, log := emptyOverrides()
	first := joined(t, o, one, edgesOnly(t, "fra", "par"), nil, now0)
	first.start()
	mustSet(t, o, "par", mode(altoroute.Disabled, "alice"), now0)
	second := joined(t, o, two, edgesOnly(t, "fra", "par"), nil, now0)
	if stateOf(second.router, "fra") != altoroute.StateUp || stateOf(second.router, "par") != altoroute.StateDisabled {
		t.Error("the other storage counts")
	}
	second.start()
	first.leave()
	if !strings.Contains(log.String(), "replaces what was set in this storage") {
		t.Errorf("the log does not say it: %s", log)
	}
	again, _ := emptyOverrides()
	joined(t, again, two, second.router, nil, now0)
	if edges := slices.Sorted(maps.Keys(again.settings.Edges)); !slices.Equal(edges, []string{"par"}) {
		t.Errorf("stored are %v", edges)
	}
	// Where nothing stands on it, another storage is read.
	second.leave()
	fresh := &memory{content: make(map[string][]byte)}
	if joined(t, o, fresh, second.router, nil, now0); len(o.settings.Edges) != 0 {
		t.Errorf("%+v", o.settings)
	}
}

// TestStorageName: each configuration has its own value of the same storage.
func TestStorageName(t *testing.T) {
	type cluster struct {
		certmagic.Storage
		Address string
	}
	one, same, other := &cluster{Address: "a"}, &cluster{Address: "a"}, &cluster{Address: "b"}
	if storageName(one) != storageName(same) {
		t.Errorf("%s and %s are one storage", storageName(one), storageName(same))
	}
	if storageName(one) == storageName(other) {
		t.Errorf("%s is two storages", storageName(one))
	}
}

// TestNothingSetNeedsNoStorage: where nothing is set, a storage that fails is not
// waited for a second time.
func TestNothingSetNeedsNoStorage(t *testing.T) {
	disk, _ := newMemory(t)
	disk.loading = errors.New("no route to the storage")
	o, log := emptyOverrides()
	u := joined(t, o, disk, edgesOnly(t, "fra", "par"), nil, now0)
	reads := strings.Count(log.String(), "no route")
	u.start()
	u.leave()
	if n := strings.Count(log.String(), "no route"); reads != 1 || n != 1 {
		t.Errorf("%d complaints, then %d:\n%s", reads, n, log)
	}
}

// A drain of an edge that has nothing gives it nothing, in another process neither.
func TestDrainOfWhatHasNothing(t *testing.T) {
	drain := mode(altoroute.Drain, "alice")
	drain.over = new(10 * time.Minute)
	now := time.Now()
	for name, before := range map[string]func(*overrides){
		"disabled by the configuration": func(*overrides) {},
		"disabled":                      func(o *overrides) { mustSet(t, o, "fra", mode(altoroute.Disabled, "bob"), now.Add(-time.Minute)) },
		"drained":                       func(o *overrides) { mustSet(t, o, "fra", mode(altoroute.Drain, "bob"), now.Add(-time.Minute)) },
	} {
		disk, _ := newMemory(t)
		var config []*Edge
		if strings.HasSuffix(name, "configuration") {
			config = []*Edge{{Name: "fra", Mode: "disable"}}
		}
		o, _ := emptyOverrides()
		joined(t, o, disk, edgesOnly(t, "fra", "par"), config, now).start()
		before(o)
		mustSet(t, o, "fra", drain, now)
		again, _ := emptyOverrides()
		r := edgesOnly(t, "fra", "par")
		joined(t, again, disk, r, config, now.Add(time.Second)).start()
		if is := stateOf(r, "fra"); is != altoroute.StateDrained {
			t.Errorf("%s: it is %s", name, is)
		}
	}
}
