// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestServersChange: a source of which servers come and go keeps its guidance, also when
// none of them answers and the process crashes. Maps of one whose servers are all others
// stay in force, but do not survive, and that is shown.
func TestServersChange(t *testing.T) {
	var servers [3]*altotest.Server
	for i := range servers {
		servers[i] = altotest.Start(t)
		servers[i].Publish(guidance("1", "pid-b"))
	}
	down := func(i int) { servers[i].Misbehave("", altotest.Status(http.StatusBadGateway)) }
	down(1)
	down(2)
	c := newCaddy(t)
	caddyfile := func(list ...int) string {
		var urls []string
		for _, i := range list {
			urls = append(urls, servers[i].Directory().String())
		}
		return fmt.Sprintf(c.expand(serverCaddyfile), strings.Join(urls, " "))
	}
	l := listen(t, "127.0.0.1:0")
	failing := func() float64 {
		n, _ := c.metric("caddy_altoroute_spool_failing", `source="isp"`)
		return n
	}
	guided := func(when string, want bool) {
		t.Helper()
		var status struct {
			Pools map[string]struct{ Guided bool }
		}
		c.json("/altoroute/status", &status)
		if is := status.Pools["default"].Guided; is != want {
			t.Errorf("%s: guided is %v", when, is)
		}
	}
	reload := func(list ...int) {
		t.Helper()
		asked := servers[list[0]].Count("/directory").Requests
		if status, answer := c.reload(caddyfile(list...)); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		c.eventually("the first server is asked", func() bool { return servers[list[0]].Count("/directory").Requests > asked })
	}
	restart := func(list ...int) {
		t.Helper()
		c.crash()
		c.start(caddyfile(list...), l)
	}
	c.start(caddyfile(0), l)
	kept := func() bool {
		var status struct {
			Sources map[string]struct{ Versions []any }
		}
		c.json("/altoroute/status", &status)
		return len(status.Sources["isp"].Versions) == 1 && failing() == 0
	}
	c.eventually("the maps are kept", kept)

	down(0)
	for _, list := range [][]int{{0, 1}, {1, 0}, {1}, {1, 2}, {2}} {
		what := fmt.Sprint(list)
		reload(list...)
		guided("after a reload to "+what, true)
		if n := failing(); n != 0 {
			t.Errorf("%s: the spool fails", what)
		}
		restart(list...)
		guided("after a crash with "+what, true)
	}

	reload(0)
	guided("with another server", true)
	if out := c.altoroute("source", "isp"); !strings.Contains(out, "would not survive a restart") || failing() != 1 {
		t.Errorf("spool_failing %v: %s", failing(), out)
	}
	restart(0)
	guided("after a crash with another server", false)
	servers[0].Misbehave("", nil)
	restart(0)
	c.eventually("the server has answered", kept)
	guided("at the end", true)
}
