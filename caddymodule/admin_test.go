// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
	"github.com/altoroute/caddy-alto/altoroute/health"
)

func TestExplain(t *testing.T) {
	c := start(t, newFolder(t), world, "video")
	const maps = `"network_map": {"resource_id": "net", "tag": "1"}, "cost_maps": [{"cost_mode": "numerical", "cost_metric": "routingcost"}]`
	tests := []struct{ name, query, want string }{
		{"prefix", "client=203.0.113.9&pool=video&uri=/a.mp4%3Fb", `{
			"client": "203.0.113.9", "pool": "video", "uri": "/a.mp4?b",
			"placement": {"how": "prefix", "source": "default", "pid": "cc-de", "prefix": "203.0.113.0/25", ` + maps + `},
			"edge": "fra", "location": "https://fra.cdn.example.net/a.mp4?b", "reason": "cheapest",
			"candidates": [
				{"edge": "fra", "pid": "cc-de", "cost": 0, "rank": 1, "state": "up", "chosen": true, "why": "the least cost"},
				{"edge": "par", "pid": "cc-fr", "cost": 10, "rank": 2, "state": "up", "why": "costs 10; fra costs 0"}]}`},
		{"failed", "client=203.0.113.9&pool=video&failed=fra", `{
			"client": "203.0.113.9", "pool": "video", "uri": "/",
			"placement": {"how": "prefix", "source": "default", "pid": "cc-de", "prefix": "203.0.113.0/25", ` + maps + `},
			"edge": "par", "location": "https://par.cdn.example.net:8443/cdn/", "reason": "next_cheapest",
			"candidates": [
				{"edge": "fra", "pid": "cc-de", "cost": 0, "rank": 1, "state": "up", "why": "the client says that it could not reach it"},
				{"edge": "par", "pid": "cc-fr", "cost": 10, "rank": 2, "state": "up", "chosen": true, "why": "the least cost among the edges that are eligible"}]}`},
		{"undefined cost", "client=198.51.100.1&pool=video", `{
			"client": "198.51.100.1", "pool": "video", "uri": "/",
			"placement": {"how": "prefix", "source": "default", "pid": "cc-nl", "prefix": "198.51.100.0/24", ` + maps + `},
			"edge": "fra", "location": "https://fra.cdn.example.net/", "reason": "cheapest",
			"candidates": [
				{"edge": "fra", "pid": "cc-de", "cost": 2.5, "rank": 1, "state": "up", "chosen": true, "why": "the least cost"},
				{"edge": "par", "pid": "cc-fr", "rank": 2, "state": "up", "why": "has no defined cost to the client's PID"}]}`},
		{"geo", "client=2001:db8:c::1%25eth0&pool=video", `{
			"client": "2001:db8:c::1", "pool": "video", "uri": "/",
			"placement": {"how": "geo", "source": "default", "pid": "cc-de", "country": "DE", ` + maps + `},
			"edge": "fra", "location": "https://fra.cdn.example.net/", "reason": "cheapest",
			"candidates": [
				{"edge": "fra", "pid": "cc-de", "cost": 0, "rank": 1, "state": "up", "chosen": true, "why": "the least cost"},
				{"edge": "par", "pid": "cc-fr", "cost": 10, "rank": 2, "state": "up", "why": "costs 10; fra costs 0"}]}`},
		{"catch-all", "client=::ffff:192.0.2.1&pool=named", `{
			"client": "192.0.2.1", "pool": "named", "uri": "/",
			"placement": {"how": "catch_all", "source": "default", "pid": "rest", "prefix": "0.0.0.0/0", ` + maps + `},
			"edge": "fra", "location": "https://fra.video.example.net/v/", "reason": "cheapest",
			"candidates": [
				{"edge": "fra", "pid": "cc-de", "cost": 7, "rank": 1, "state": "up", "chosen": true, "why": "the least cost"},
				{"edge": "par", "pid": "cc-fr", "cost": 9, "rank": 2, "state": "up", "why": "costs 9; fra costs 7"}]}`},
		{"default", "client=2001:db8:dead::1&pool=video", `{
			"client": "2001:db8:dead::1", "pool": "video", "uri": "/",
			"placement": {"how": "default", "source": "default", "pid": "cc-fr", ` + maps + `},
			"edge": "par", "location": "https://par.cdn.example.net:8443/cdn/", "reason": "cheapest",
			"candidates": [
				{"edge": "par", "pid": "cc-fr", "cost": 0, "rank": 1, "state": "up", "chosen": true, "why": "the least cost"},
				{"edge": "fra", "pid": "cc-de", "cost": 10, "rank": 2, "state": "up", "why": "costs 10; par costs 0"}]}`},
		{"none", "client=2001:db8:f::1&pool=six", `{
			"client": "2001:db8:f::1", "pool": "six", "uri": "/",
			"placement": {"how": "none", "source": "default", "pid": "lonely", "prefix": "2001:db8:f::/48", ` + maps + `},
			"edge": "six", "location": "https://six.cdn.example.net/", "reason": "no_guidance",
			"candidates": [
				{"edge": "six", "pid": "idle", "rank": 1, "state": "up", "chosen": true, "why": "no edge has a cost to the client's PID; the content key falls to this edge"}]}`},
		{"no edge", "client=203.0.113.9&pool=old&uri=https://cdn.example.net/a", `{
			"client": "203.0.113.9", "pool": "old", "uri": "https://cdn.example.net/a",
			"placement": {"how": "none", "source": "default", "pid": "cc-de", "prefix": "203.0.113.0/25", ` + maps + `},
			"reason": "no_edge",
			"candidates": [
				{"edge": "old", "pid": "cc-nl", "rank": 1, "state": "up", "why": "the client came by https and must not be sent to http"}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, header, body := c.ask("GET", "/altoroute/explain?"+test.query)
			if code != http.StatusOK || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s", code, header.Get("Content-Type"))
			}
			same(t, "explain", body, test.want)
		})
	}
}

func TestAdminRefusals(t *testing.T) {
	c := start(t, newFolder(t), world, "video")
	tests := []struct {
		method, path string
		code         int
		words        []string
	}{
		{"GET", "/altoroute/explain", 400, []string{"client=", "203.0.113.9"}},
		{"GET", "/altoroute/explain?client=host.example&pool=video", 400, []string{"host.example", "not an IP address"}},
		{"GET", "/altoroute/explain?client=203.0.113.9&pool=music", 400, []string{"pool", "music", "fallback, gone, late, named, near, next, old, six, unsafe, video"}},
		{"GET", "/altoroute/explain?client=203.0.113.9", 400, []string{"pool", "fallback, gone"}},
		{"GET", "/altoroute/explain?client=203.0.113.9&pool=video&uri=a", 400, []string{"uri", "path or URL"}},
		{"GET", "/altoroute/explain?client=203.0.113.9&pool=video&failed=ams", 400, []string{"failed: there is no edge", "ams", "the edges are fra"}},
		{"GET", "/altoroute/explain?client=203.0.113.9&pool=video&bogus=zz", 400, []string{"bogus", "not a parameter", "client, pool, uri, failed"}},
		{"GET", "/altoroute/status?pool=video", 400, []string{"pool", "not a parameter", "there are none"}},
		{"GET", "/altoroute/explain?client=203.0.113.9;pool=video", 400, []string{"query"}},
		{"POST", "/altoroute/explain?client=203.0.113.9&pool=video", 405, []string{"method"}},
		{"POST", "/altoroute/status", 405, []string{"method"}},
		{"DELETE", "/altoroute/ready", 405, []string{"method"}},
		{"GET", "/altoroute/nothing", 404, nil},
		{"HEAD", "/altoroute/status", 200, nil},
	}
	for _, test := range tests {
		code, header, body := c.ask(test.method, test.path)
		if code != test.code {
			t.Errorf("%s %s: %d, want %d: %s", test.method, test.path, code, test.code, body)
		}
		if code == http.StatusMethodNotAllowed && header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s: Allow: %q", test.method, test.path, header.Get("Allow"))
		}
		for _, word := range test.words {
			if !strings.Contains(body, word) {
				t.Errorf("%s %s: %q does not say %q", test.method, test.path, body, word)
			}
		}
	}
	// Another configuration, without the app.
	must(t, caddy.Load([]byte(c.expand(`{"admin": {"listen": "unix/{{dir}}/admin.sock", "config": {"persist": false}}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}}}`)), true))
	for _, path := range []string{"explain?client=203.0.113.9", "status", "ready"} {
		if code, _, body := c.ask("GET", "/altoroute/"+path); code != http.StatusNotFound || !strings.Contains(body, "not configured") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestStatus(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("7"))
	c := start(t, newFolder(t), `
		server isp `+server.Directory().String()+` {
			only 198.51.100.0/24
			spool off
		}
		server silent http://127.0.0.1:1/directory
		maps own {{dir}}/net.json {{dir}}/cost.json
		geo {{dir}}/geo.mmdb
		edge fra https://fra.cdn.example.net own/cc-de isp/cc-fr
		edge par https://par.cdn.example.net {
			addr 198.51.100.1
		}
		pool video {
			edges fra
			url https://{edge}.video.example.net
		}
		pool files`, "video")
	eventually(t, "both servers were asked", func() bool {
		isp, silent := c.source("isp"), c.source("silent")
		return isp.State == "fresh" && isp.NextLook != nil && silent.LastError != "" && silent.NextLook != nil &&
			c.status().Pools["files"].Edges["fra"].PIDs["isp"] != "" // what is fresh is in force a moment later
	})
	code, header, body := c.ask("GET", "/altoroute/status")
	if code != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", code, header.Get("Content-Type"))
	}
	document := func(id, location, kind string) string {
		http := `, "http_status": 200`
		if strings.HasPrefix(location, "{{dir}}") {
			http = ""
		}
		return `{` + id + `"location": "` + location + `", "media_type": "application/alto-` + kind + `+json", "bytes": null, "reads": 1, "read_at": null, "read_seconds": null` + http + `}`
	}
	same(t, "status", body, c.expand(`{
		"sources": {
			"own": {
				"kind": "files", "state": "fresh",
				"network_map": {"resource_id": "net", "tag": "1", "pids": 6, "prefixes": 7},
				"cost_maps": [{"cost_mode": "numerical", "cost_metric": "routingcost", "costs": 7, "ranks": true}],
				"resources": [`+document("", "{{dir}}/net.json", "networkmap")+`, `+document("", "{{dir}}/cost.json", "costmap")+`],
				"not_covered": ["edge par: the cost map of source own has no cost from its PID \"cc-nl\""],
				"age_seconds": null, "last_contact": null, "next_look": null},
			"isp": {
				"kind": "server", "state": "fresh",
				"network_map": {"resource_id": "net", "tag": "7", "pids": 6, "prefixes": 7},
				"cost_maps": [{"resource_id": "cost", "cost_mode": "numerical", "cost_metric": "routingcost", "costs": 7, "ranks": true}],
				"resources": [
					`+document("", server.Directory().String(), "directory")+`,
					`+document(`"resource_id": "net", `, server.URL+"/networkmap/net", "networkmap")+`,
					`+document(`"resource_id": "cost", `, server.URL+"/costmap/cost", "costmap")+`],
				"age_seconds": null, "last_contact": null, "next_look": null, "prefixes_beyond_only": 5,
				"not_covered": ["edge par: the cost map of source isp has no cost from its PID \"cc-nl\""]},
			"silent": {
				"kind": "server", "state": "none",
				"resources": [{"location": "http://127.0.0.1:1/directory", "media_type": "application/alto-directory+json", "reads": 0}],
				"last_error": null, "next_look": null}},
		"pools": {
			"files": {"guided": true, "edges_up": 2, "edges": {
				"fra": {"state": "up", "url": "https://fra.cdn.example.net", "pids": {"own": "cc-de", "isp": "cc-fr"}},
				"par": {"state": "up", "url": "https://par.cdn.example.net", "pids": {"own": "cc-nl", "isp": "cc-nl"}}}},
			"video": {"guided": true, "edges_up": 1, "edges": {
				"fra": {"state": "up", "url": "https://fra.video.example.net", "pids": {"own": "cc-de", "isp": "cc-fr"}}}}},
		"geo": {
			"databases": [{"file": "{{dir}}/geo.mmdb", "type": "GeoLite2-Country", "built": null, "loaded_at": null}],
			"cache": {"entries": 0, "capacity": 65536, "hits": 0, "misses": 0}}}`))
	if at := c.source("silent"); !strings.Contains(at.LastError, "127.0.0.1:1") {
		t.Errorf("the error does not name the server: %s", at.LastError)
	}
	for _, state := range []struct {
		source, state string
		want          float64
	}{{"own", "fresh", 1}, {"own", "stale", 0}, {"isp", "fresh", 1}, {"silent", "none", 1}, {"silent", "fresh", 0}} {
		if v := c.metric("source_state", "source", state.source, "state", state.state); v != state.want {
			t.Errorf("source_state of %s, %s: %v", state.source, state.state, v)
		}
	}
	if c.metric("map_prefixes", "source", "isp") != 7 || c.metric("map_pids", "source", "isp") != 6 || c.metric("map_costs", "source", "own") != 7 {
		t.Error("the metrics of size are wrong")
	}
	if c.metric("map_refusals_total", "source", "silent", "reason", "unavailable") != 1 {
		t.Error("the refusal was not counted")
	}
}

// A pool that waits for a server's first answer is not ready. Once it was, it
// stays so: a reload is no reason to take the router out.
func TestReady(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	open := make(chan struct{})
	server.Misbehave(altotest.DirectoryPath, altotest.Stall(open))
	isp := "server isp " + server.Directory().String()
	edge := "\nedge fra https://fra.cdn.example.net isp/cc-de\n"
	c := start(t, newFolder(t), isp+edge, "")
	ready := func(want int, says string) {
		t.Helper()
		code, _, body := c.ask("GET", "/altoroute/ready")
		if code != want {
			t.Errorf("%d %s", code, body)
		}
		same(t, "ready", body, says)
	}
	ready(503, `{"ready": false, "waiting_for": ["isp"]}`)
	if at := c.visit("203.0.113.9"); at != "https://fra.cdn.example.net/a.mp4" {
		t.Errorf("without guidance the client is sent to %q", at)
	}
	close(open)
	eventually(t, "ready", func() bool {
		code, _, _ := c.ask("GET", "/altoroute/ready")
		return code == http.StatusOK
	})
	ready(200, `{"ready": true}`)

	server.Misbehave(altotest.DirectoryPath, altotest.Stall(nil))
	must(t, c.load("server other "+server.Directory().String()+strings.ReplaceAll(edge, "isp/", ""), ""))
	ready(200, `{"ready": true, "waiting_for": ["other"]}`)
}

// A first attempt that has failed is an answer too: there is nothing to wait for.
func TestReadyAfterFailure(t *testing.T) {
	c := start(t, newFolder(t), "server http://127.0.0.1:1/directory\nedge fra https://fra.cdn.example.net cc-de\n", "")
	eventually(t, "ready", func() bool {
		code, _, _ := c.ask("GET", "/altoroute/ready")
		return code == http.StatusOK
	})
}

// That the host of an edge cannot be looked up is in the status, and shown by the
// command: as long as no address is known, and when those known before are in use.
func TestFailedLookup(t *testing.T) {
	c := start(t, newFolder(t), "maps {{dir}}/net.json {{dir}}/cost.json\nhealth\nedge fra https://fra.invalid cc-de\n", "")
	var edge edgeBody
	eventually(t, "a look-up has failed", func() bool {
		edge = c.status().Pools["default"].Edges["fra"]
		return edge.Lookup != nil && edge.Lookup.Failures > 0
	})
	if edge.Lookup.Error == "" || edge.IPv4 != nil {
		t.Errorf("the status has %+v", edge)
	}
	out, _, err := c.command("edge", "fra")
	must(t, err)
	if !strings.Contains(out, "look-up: ") {
		t.Errorf("the command shows %s", out)
	}

	edge = edgeBody{}
	edge.describe(&health.Status{IPv4: health.Check{State: health.Up}, LookupErr: "server misbehaving"})
	body, err := json.Marshal(edge)
	must(t, err)
	if !strings.Contains(string(body), `"lookup_error":"server misbehaving"`) || !strings.HasSuffix(edge.note(), "look-up fails: server misbehaving") {
		t.Errorf("the status has %s, the note is %q", body, edge.note())
	}
}
