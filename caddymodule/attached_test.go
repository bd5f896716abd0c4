// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
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
