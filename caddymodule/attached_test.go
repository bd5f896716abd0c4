// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// What maps do not cover is told by one line, and again when it is something else.
func TestMapsThatDoNotCover(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	var away strings.Builder
	for i := range 8 {
		fmt.Fprintf(&away, "edge away%d https://away%d.cdn.example.net new%d\n", i, i, i)
	}
	c := start(t, newFolder(t), "server "+server.Directory().String()+" {\nrefresh 1s\nspool off\nguard off\n}"+edges+away.String(), "")
	told := func() []string { return c.logged(`"level":"warn"`, "do not cover") }
	eventually(t, "it is told", func() bool { return len(told()) > 0 })
	publish := func(tag string, pids ...string) {
		g := guidance(tag)
		for i, pid := range pids {
			g.NetworkMaps[0].PIDs[pid] = []string{fmt.Sprintf("192.0.2.%d/32", i)}
			g.CostMaps[0].Costs[pid] = map[string]float64{"cc-de": 1}
		}
		server.Publish(g)
		// Two looks later, all is told that is to be told of it.
		count := server.Count(altotest.DirectoryPath).Requests
		eventually(t, tag+" is in force", func() bool {
			return c.source("default").NetworkMap.Tag == tag && server.Count(altotest.DirectoryPath).Requests > count+1
		})
	}
	publish("2")
	lines := told()
	if len(lines) != 1 || !contains(lines[0], `"source":"default"`, `"count":8`, "edge away0", `\"new4\"`) || strings.Contains(lines[0], "new5") {
		t.Errorf("the log has %q", lines)
	}
	if is := c.source("default").NotCovered; len(is) != maxWarnings || !contains(is[0], "edge away0") {
		t.Errorf("the status has %q", is)
	}
	publish("3", "new0")
	if lines = told(); len(lines) != 2 || !contains(lines[1], `"count":7`, `\"new1\"`) || strings.Contains(lines[1], "new0") {
		t.Errorf("the log has %q", lines)
	}
	publish("4")
	if lines = told(); len(lines) != 3 {
		t.Errorf("the log has %q", lines)
	}
}

// A spool is that of the servers by whole URLs, but for a user name and password.
func TestSpoolOfAnotherServer(t *testing.T) {
	one, two := altotest.Start(t), altotest.Start(t)
	one.Publish(guidance("1"))
	one.Authenticate("", altotest.Basic{User: "u5er", Password: "s3cret"})
	f := newFolder(t)
	ours := func(server *altotest.Server, user string) string {
		url := strings.Replace(server.Directory().String(), "://", "://"+user, 1) + "?to=a@b"
		return "server " + url + " {\nspool {{dir}}/spool\n}" + edges
	}
	versions := func(c *running) int { return len(c.source("default").Versions) }
	c := start(t, f, ours(one, "u5er:s3cret@"), "")
	eventually(t, "the maps are kept", func() bool { return versions(c) == 1 })
	must(t, c.load(ours(one, ""), ""))
	if n := versions(c); n != 1 {
		t.Errorf("without the user's name there are %d versions", n)
	}
	must(t, c.load(ours(two, ""), ""))
	if n := versions(c); n != 0 {
		t.Errorf("%d versions of one server are those of another", n)
	}
}

// A source that was configured otherwise before begins without its maps, and says so,
// once.
func TestSpoolOfAnotherConfiguration(t *testing.T) {
	instance(t)
	server := altotest.Start(t)
	server.Publish(guidance("1"))
	ours := func(options string) string {
		return "server isp " + server.Directory().String() + " {\n" + options + "\n}" + edges
	}
	c := start(t, newFolder(t), ours(""), "")
	eventually(t, "the maps are kept", func() bool { return len(c.source("isp").Versions) == 1 })
	told := func() int {
		return len(c.logged(`"level":"warn"`, "configured otherwise", `"source":"isp"`, "/spool/isp-"))
	}
	must(t, c.load(ours("refresh 1m"), ""))
	if n := told(); n != 0 {
		t.Errorf("it is told %d times that the maps are elsewhere", n)
	}
	must(t, c.load(ours("network_map net"), ""))
	if n := told(); n != 1 {
		t.Errorf("it is told %d times that the maps are elsewhere, want once", n)
	}
}

// Which server stands in and why, and that the maps would not survive a restart, is in
// the status, in the metrics, and shown by the command.
func TestWhatIsAmissIsShown(t *testing.T) {
	one, two := altotest.Start(t), altotest.Start(t)
	one.Publish(guidance("1"))
	two.Publish(guidance("1"))
	one.Misbehave("", altotest.Status(http.StatusServiceUnavailable))
	f := newFolder(t)
	f.put("in-the-way", nil)
	c := start(t, f, "server isp "+one.Directory().String()+" "+two.Directory().String()+" {\nspool {{dir}}/in-the-way/spool\n}"+edges+"edge away https://away.cdn.example.net nowhere\n", "")
	eventually(t, "the maps are in force, but not stored", func() bool { is := c.source("isp"); return is.State == "fresh" && is.SpoolError != "" })
	is := c.source("isp")
	if is.Server != two.Directory().String() || !contains(is.PassedOver, one.URL, "503") || !contains(is.SpoolError, f.file("in-the-way/spool")) {
		t.Errorf("it is %+v", is)
	}
	if n := c.metric("source_server", "source", "isp"); n != 2 {
		t.Errorf("server %v is in use by the metric", n)
	}
	if n := c.metric("spool_failing", "source", "isp"); n != 1 {
		t.Errorf("the spool fails by the metric: %v", n)
	}
	out, _, err := c.command("source")
	must(t, err)
	if !contains(out, two.Directory().String()+" stands in: "+one.URL, "503", "in-the-way/spool", "edge away") {
		t.Errorf("the command shows %s", out)
	}
}
