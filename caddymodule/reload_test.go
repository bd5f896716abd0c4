// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

const (
	inFra = "203.0.113.9"   // of cc-de
	inPar = "203.0.113.200" // of cc-fr
	atFra = "https://fra.cdn.example.net/a.mp4"
	atPar = "https://par.cdn.example.net/a.mp4"
	edges = "\nedge fra https://fra.cdn.example.net cc-de\nedge par https://par.cdn.example.net cc-fr\n"
)

func (c *running) sends(client, want string) {
	c.t.Helper()
	if at := c.visit(client); at != want {
		c.t.Errorf("%s is sent to %q, want %q", client, at, want)
	}
}

// What has not changed is inherited with its maps, and counts run on, also
// through reloads that are refused.
func TestReloadInherits(t *testing.T) {
	ours := smallest + "geo {{dir}}/geo.mmdb {\ncountry * cc-{country}\n}\n"
	c := start(t, newFolder(t), ours, "")
	decided := func() float64 {
		return c.metric("decisions_total", "pool", "default", "edge", "fra", "placement", "prefix")
	}
	reads := func() float64 {
		return c.metric("document_reads_total", "document", c.file("net.json"), "media_type", "application/alto-networkmap+json") +
			c.metric("document_reads_total", "document", c.file("cost.json"), "media_type", "application/alto-costmap+json")
	}
	c.sends(inFra, atFra)
	before, misses := decided(), c.metric("geo_cache_misses_total")
	if n := reads(); n != 2 {
		t.Errorf("%v reads of two documents", n)
	}
	maps := activeApp().router.Maps("default")

	must(t, c.load(ours+"cdn_id another\n", ""))
	c.sends(inPar, atPar)
	c.sends(inFra, atFra)
	c.visit("2001:db8:c::1")
	if n := decided(); n != before+1 {
		t.Errorf("%v decisions after a reload, %v before", n, before)
	}
	if c.metric("geo_cache_misses_total") != misses+1 {
		t.Error("the database's counts were lost")
	}
	if activeApp().router.Maps("default") != maps {
		t.Error("the maps are others")
	}
	must(t, c.load(strings.Replace(ours, "cost.json", "cost.json {\nonly 203.0.113.0/24\n}", 1), ""))
	if activeApp().router.Maps("default") != maps {
		t.Error("the maps are others where only the source's space has changed")
	}
	must(t, c.load(ours, ""))

	for _, bad := range []string{
		ours + "edge ams https://ams.cdn.example.net cc-at\n",
		ours + "geo {{dir}}/gone.mmdb\n",
		ours + "maps other {{dir}}/net.json {{dir}}/net.json.gz\n",
	} {
		bad = strings.Replace(bad, "geo {{dir}}/geo.mmdb {\ncountry * cc-{country}\n}\n", "", strings.Count(bad, "gone"))
		bad = strings.ReplaceAll(strings.ReplaceAll(bad, " cc-de", " default/cc-de"), " cc-", " default/cc-")
		if err := c.load(bad, ""); err == nil {
			t.Fatalf("accepted: %s", bad)
		}
		c.sends(inFra, atFra)
		if code, _, body := c.ask("GET", "/altoroute/explain?client="+inFra); code != http.StatusOK || !strings.Contains(body, `"edge": "fra"`) {
			t.Errorf("explain after a refused reload: %d %s", code, body)
		}
		if code, _, body := c.ask("GET", "/altoroute/status"); code != http.StatusOK || strings.Contains(body, "ams") {
			t.Errorf("status after a refused reload: %d %s", code, body)
		}
	}
	if n := decided(); n != before+4 {
		t.Errorf("%v decisions after four more, %v before", n, before)
	}
	if n := reads(); n != 2 {
		t.Errorf("%v reads: unchanged documents were read again", n)
	}
	// Prometheus gets them by the registry of the refused configuration.
	if code, _, body := c.ask("GET", "/metrics"); code != http.StatusOK || !strings.Contains(body, `caddy_altoroute_decisions_total{edge="fra",placement="prefix",pool="default"}`) || !strings.Contains(body, `caddy_altoroute_map_prefixes{source="default"} 7`) {
		t.Errorf("metrics after a refused reload: %d, %d bytes", code, len(body))
	}
}

// A source that is gone from the configuration is followed no more.
func TestReloadEndsSources(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	isp := "server isp " + server.Directory().String() + "\n"
	own := "maps own {{dir}}/net.json {{dir}}/cost.json\n"
	geo := "geo {{dir}}/geo.mmdb\n"
	edges := "edge fra https://fra.cdn.example.net own/cc-de\nedge par https://par.cdn.example.net own/cc-fr\n"
	c := start(t, newFolder(t), isp+own+geo+edges, "")
	const follow, look = "feed.(*Feed).Start", "geo.(*DB).Start"
	// One that has just been started, or is waited for, may be seen a moment later.
	eventually(t, "both are followed", func() bool { return goroutines(follow) == 2 && goroutines(look) == 1 && pooled() == 3 })
	must(t, c.load(own+edges, ""))
	eventually(t, "isp and geo are gone", func() bool { return goroutines(follow) == 1 && goroutines(look) == 0 && pooled() == 1 })
	if err := c.load(isp+own+edges+"edge ams https://ams.cdn.example.net own/cc-at", ""); err == nil {
		t.Error("accepted")
	}
	if f := goroutines(follow); f != 1 || pooled() != 1 {
		t.Errorf("%d goroutines, %d pooled, after a refused reload", f, pooled())
	}
	c.sends(inPar, atPar)
}

// A pool keeps the guidance of a source until its new server has answered, and
// says so.
func TestReloadToAnotherServer(t *testing.T) {
	one, two := altotest.Start(t), altotest.Start(t)
	one.Publish(guidance("1"))
	two.Publish(guidance("2"))
	open := make(chan struct{})
	two.Misbehave(altotest.NetworkMapPath("net"), altotest.Stall(open))
	edges := edges
	c := start(t, newFolder(t), "server "+one.Directory().String()+edges, "")
	eventually(t, "the first server has answered", func() bool { return c.source("default").State == "fresh" })
	age := *c.source("default").AgeSeconds

	for range 2 { // also if the configuration is loaded again meanwhile
		must(t, c.load("server "+two.Directory().String()+edges, ""))
		eventually(t, "the second server is asked", func() bool { return two.Count(altotest.NetworkMapPath("net")).Requests > 0 })
		c.sends(inFra, atFra)
		c.sends(inPar, atPar)
		at := c.source("default")
		if at.State != "stale" || at.NetworkMap == nil || at.NetworkMap.Tag != "1" || !strings.Contains(at.LastError, "not answered") {
			t.Errorf("the status is %+v", at)
		}
		if at.AgeSeconds == nil || *at.AgeSeconds <= age {
			t.Errorf("the age is %v, was %v", at.AgeSeconds, age)
		}
		if c.metric("source_state", "source", "default", "state", "stale") != 1 || c.metric("map_pids", "source", "default") != 6 {
			t.Error("the metrics do not say what the pool stands on")
		}
		two.Publish(guidance("2"))
		edges += "cdn_id again\n"
	}
	close(open)
	eventually(t, "the second server has answered", func() bool { return c.source("default").State == "fresh" })
	if at := c.source("default"); at.NetworkMap.Tag != "2" || at.LastError != "" {
		t.Errorf("the status is %+v", at)
	}
	c.sends(inPar, atPar)
}

// A local file that breaks while in use does not refuse the next reload: the
// pools stand on the last good maps, and the log says so.
func TestReloadWithABrokenFile(t *testing.T) {
	for name, spoil := range map[string]func(*running){
		"truncated": func(c *running) { c.put("net.json", networkDocument(network("2"))[:100]) },
		"missing":   func(c *running) { must(c.t, os.Remove(c.file("cost.json"))) },
		"mismatch":  func(c *running) { c.put("net.json", networkDocument(network("2"))) },
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, newFolder(t), smallest, "")
			spoil(c)
			// Unchanged, and as another feed of the same files.
			must(t, c.load(smallest+"cdn_id another\n", ""))
			c.sends(inPar, atPar)
			must(t, c.load(strings.Replace(smallest, "cost.json", "cost.json {\nrefresh 1s\n}", 1), ""))
			c.sends(inPar, atPar)
			if err := c.load("maps {{dir}}/gone.json {{dir}}/cost.json"+edges, ""); err == nil {
				t.Error("other files that are not there were accepted")
			}
			if at := c.source("default"); at.State != "stale" || at.NetworkMap.Tag != "1" || at.LastError == "" {
				t.Errorf("the status is %+v", at)
			}
			if lines := c.logged(`"level":"warn"`, "source stands on its last good maps", `"source":"default"`, c.path); len(lines) == 0 {
				t.Error("the log does not say it")
			}
			// Good again, it is taken up by itself.
			c.put("net.json", networkDocument(network("3")))
			c.put("cost.json", costDocument(costs("3")))
			eventually(t, "the new maps are in force", func() bool { return c.source("default").State == "fresh" })
			if at := c.source("default"); at.NetworkMap.Tag != "3" {
				t.Errorf("the status is %+v", at)
			}
		})
	}
}

// Validating is told by local files alone: it speaks to no server and starts
// nothing, and so does adapting.
func TestValidateKeepsQuiet(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	var connections atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	f := newFolder(t)
	server := "http://" + listener.Addr().String() + "/directory"
	ours := "server isp " + server + "\nmaps own {{dir}}/net.json {{dir}}/cost.json\ngeo {{dir}}/geo.mmdb\nedge fra https://fra.cdn.example.net own/cc-de isp/any\n"
	must(t, validate(t, f.config(quiet, ours, site)))
	stage := newStage(t, strings.ReplaceAll(ours, "{{dir}}", f.path))
	if n := goroutines("altoroute/feed.", "caddy-alto/geo."); n != 0 {
		t.Errorf("%d goroutines run", n)
	}
	if s := stage.app.sources[0].feed.Status(); s.Attempted {
		t.Error("the server was asked")
	}
	must(t, listener.Close()) // what had connected would have been accepted by now
	<-ended
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// The access log has the decision.
func TestAccessLog(t *testing.T) {
	c := start(t, newFolder(t), smallest, "")
	c.sends(inFra, atFra)
	var lines []string
	eventually(t, "the request is in the log", func() bool {
		lines = c.logged(`"logger":"http.log.access`)
		return len(lines) > 0
	})
	var line struct{ Altoroute json.RawMessage }
	must(t, json.Unmarshal([]byte(lines[0]), &line))
	same(t, "the log", string(line.Altoroute), `{"pool": "default", "edge": "fra", "reason": "cheapest", "placement": "prefix",
		"source": "default", "pid": "cc-de", "prefix": "203.0.113.0/25", "tag": "1", "cost": 0}`)
}

// A source whose options change, but not where its maps come from, goes on where it was:
// what is in force stays, what was put aside or is held is so still, and since when it
// was.
func TestReloadWithOtherOptions(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	ours := func(options string) string {
		return "server " + server.Directory().String() + " {\nrefresh 1s\nspool {{dir}}/spool\n" + options + "\n}" + edges
	}
	c := start(t, newFolder(t), ours(""), "")
	is := func() sourceBody { return c.source("default") }
	eventually(t, "the first is stored", func() bool { return len(is().Versions) == 1 })
	server.Publish(withFewPIDs("2"))
	eventually(t, "the second is held", func() bool { return is().Held != nil })
	since := is().Held.Since
	must(t, c.load(ours("guard ramp 7s"), ""))
	eventually(t, "the second is held again", func() bool { return is().Held != nil })
	if held := is().Held; !held.Since.Equal(*since) || is().NetworkMap.Tag != "1" {
		t.Errorf("held since %v, want %v; in force is %s", held.Since, since, is().NetworkMap.Tag)
	}

	server.Stop()
	eventually(t, "the server is away", func() bool { return is().LastError != "" })
	c.told("source", `{"source": "default", "do": "release"}`)
	must(t, c.load(ours("guard ramp 8s"), ""))
	if s := is(); s.NetworkMap.Tag != "2" || s.FromSpool || s.State != "stale" {
		t.Errorf("in force is %s (%s), from the spool %v", s.NetworkMap.Tag, s.State, s.FromSpool)
	}

	server.Resume()
	eventually(t, "the server is back", func() bool { return is().LastError == "" && len(is().Versions) == 2 })
	more := func(n int) {
		t.Helper()
		asked := server.Count(altotest.NetworkMapPath("net")).Requests
		eventually(t, "the server is asked", func() bool { return server.Count(altotest.NetworkMapPath("net")).Requests >= asked+n })
	}
	sent := func() int {
		got := server.Count(altotest.NetworkMapPath("net"))
		return got.Requests - got.NotModified
	}
	before := sent()
	must(t, c.load(ours("guard ramp 9s"), ""))
	more(2)
	eventually(t, "what has not changed is confirmed, not sent", func() bool { return sent() == before })

	c.told("source", `{"source": "default", "do": "rollback"}`)
	must(t, c.load(ours("guard ramp 10s"), ""))
	more(2)
	if s := is(); s.SetAside == nil || s.SetAside.Tag != "2" || s.NetworkMap.Tag != "1" || s.Held != nil {
		t.Errorf("in force is %s, set aside %v, held %v", s.NetworkMap.Tag, s.SetAside, s.Held)
	}
}

// A source whose list of servers changes, but for one, goes on where it was, as with other
// options: what is held is held still, what has not changed is not sent again, and all of
// it is in the spool.
func TestReloadWithOtherServers(t *testing.T) {
	instance(t)
	one, two := altotest.Start(t), altotest.Start(t)
	one.Publish(guidance("1"))
	ours := func(servers ...*altotest.Server) string {
		list := ""
		for _, s := range servers {
			list += " " + s.Directory().String()
		}
		return "server" + list + " {\nrefresh 1s\n}" + edges
	}
	c := start(t, newFolder(t), ours(one), "")
	is := func() sourceBody { return c.source("default") }
	eventually(t, "the first is stored", func() bool { return len(is().Versions) == 1 })
	one.Publish(withFewPIDs("2"))
	eventually(t, "the second is held", func() bool { return is().Held != nil })
	since := is().Held.Since
	sent := func() int {
		got := one.Count(altotest.NetworkMapPath("net"))
		return got.Requests - got.NotModified
	}
	before := sent()
	for _, list := range [][]*altotest.Server{{one, two}, {one}} {
		must(t, c.load(ours(list...), ""))
		asked := one.Count(altotest.NetworkMapPath("net")).Requests
		eventually(t, "the server is asked again", func() bool { return one.Count(altotest.NetworkMapPath("net")).Requests >= asked+2 })
		s := is()
		if s.Held == nil || !s.Held.Since.Equal(*since) || s.NetworkMap.Tag != "1" || len(s.Versions) != 1 || s.SpoolError != "" {
			t.Errorf("%d servers: held %v since %v before, in force %s, %d versions, %s", len(list), s.Held, since, s.NetworkMap.Tag, len(s.Versions), s.SpoolError)
		}
	}
	// What is held is read once by each feed, as with other options, and once more where
	// a reload breaks the reading off. A feed that began anew would read it each second.
	if n := sent() - before; n > 4 {
		t.Errorf("the network map was sent %d times more", n)
	}
}

// withFewPIDs is guidance that a guard holds.
func withFewPIDs(tag string) altotest.Guidance {
	g := guidance(tag)
	for _, pid := range []string{"cc-nl", "lonely", "rest", "idle"} {
		delete(g.NetworkMaps[0].PIDs, pid)
	}
	return g
}

// A user name and password do not say where maps come from: with others, what is held
// is held still, although no spool remembers it.
func TestReloadWithAnotherPassword(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	ours := func(user string) string {
		url := strings.Replace(server.Directory().String(), "://", "://"+user, 1)
		return "server " + url + " {\nrefresh 1s\nspool off\n}" + edges
	}
	c := start(t, newFolder(t), ours("u5er:0ld@"), "")
	is := func() sourceBody { return c.source("default") }
	eventually(t, "the first is in force", func() bool { return is().State == "fresh" })
	server.Publish(withFewPIDs("2"))
	eventually(t, "the second is held", func() bool { return is().Held != nil })
	since := is().Held.Since
	for _, user := range []string{"u5er:n3w@", ""} {
		must(t, c.load(ours(user), ""))
		asked := server.Count(altotest.NetworkMapPath("net")).Requests
		eventually(t, "the server is asked again", func() bool { return server.Count(altotest.NetworkMapPath("net")).Requests > asked+1 })
		if s := is(); s.Held == nil || !s.Held.Since.Equal(*since) || s.NetworkMap.Tag != "1" {
			t.Errorf("in force is %s, held %v, since %v before", s.NetworkMap.Tag, s.Held, since)
		}
	}
}
