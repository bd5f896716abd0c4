// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// command runs `caddy altoroute` with the running Caddy.
func (c *running) command(args ...string) (out, warnings string, err error) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := &cobra.Command{Use: "altoroute", SilenceUsage: true}
	altorouteCommand(cmd)
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append(args, "--address", "unix/"+c.file("admin.sock")))
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

// shows checks what a command prints, times aside.
func (c *running) shows(want string, args ...string) {
	c.t.Helper()
	out, warnings, err := c.command(args...)
	must(c.t, err)
	if warnings != "" {
		c.t.Errorf("%s: %s", args, warnings)
	}
	out = moment8601.ReplaceAllString(out, "2026-01-02T03:04:05Z")
	if want = strings.TrimPrefix(want, "\n"); out != want {
		c.t.Errorf("%s prints\n%swant\n%s", args, out, want)
	}
}

var moment8601 = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func TestCommandRegistered(t *testing.T) {
	if registered, ok := caddycmd.Commands()["altoroute"]; !ok || registered.CobraFunc == nil {
		t.Error("the command is not registered")
	}
}

func TestCommandEdge(t *testing.T) {
	instance(t)
	t.Setenv("USER", "alice")
	t.Setenv("SUDO_USER", "")
	c := start(t, newFolder(t), twoPools, "video")
	c.shows(`
EDGE  POOL   STATE  MODE
par   files  up     auto
fra   video  up     auto
par   video  up     auto
`, "edge")
	c.shows("edge fra: disabled; disable by alice\n", "edge", "fra", "disable")
	c.sends(inFra, atPar)
	c.shows("edge fra: forced_up; up by bob\n", "edge", "fra", "up", "--by", "bob")
	c.shows("edge fra: draining; drain over 1h0m0s by alice\n", "edge", "fra", "drain", "--over", "1h")
	t.Setenv("SUDO_USER", "carol")
	c.shows("edge par: up; capacity 8000 by carol\n", "edge", "par", "capacity", "8000/s")
	c.shows(`
EDGE  POOL   STATE     MODE               BY     SINCE                 CAPACITY  RATE
par   files  up        auto               carol  2026-01-02T03:04:05Z  8000      0
fra   video  draining  drain over 1h0m0s  alice  2026-01-02T03:04:05Z
par   video  up        auto               carol  2026-01-02T03:04:05Z  8000      0
`, "edge")
	c.shows(`
EDGE  POOL   STATE     MODE               BY     SINCE
fra   video  draining  drain over 1h0m0s  alice  2026-01-02T03:04:05Z
`, "edge", "fra")
	must(t, c.load(strings.Replace(strings.ReplaceAll(twoPools, "edges fra par", "edges par"), "edge fra https://fra.cdn.example.net cc-de\n", "", 1), "video"))
	c.shows(`
EDGE  STATE           MODE               BY     SINCE
fra   not configured  drain over 1h0m0s  alice  2026-01-02T03:04:05Z
`, "edge", "fra")
	c.shows("edge fra: not configured; nothing is set by hand\n", "edge", "fra", "auto")
	c.shows("edge par: up; nothing is set by hand\n", "edge", "par", "capacity", "auto")
	c.shows("edge par: up; nothing is set by hand; load 0.9\n", "edge", "par", "load", "0.9")
	c.shows(`
EDGE  POOL   STATE  MODE  LOAD
par   files  up     auto  0.9
par   video  up     auto  0.9
`, "edge")
	c.shows("edge par: up; nothing is set by hand\n", "edge", "par", "load", "0")
}

// TestEdgeCells: what is particular about an edge has a place in its line.
func TestEdgeCells(t *testing.T) {
	up, down := &checkBody{State: "up"}, &checkBody{State: "down"}
	for _, c := range []struct {
		edge edgeBody
		want string
	}{
		{edgeBody{State: "up", IPv4: up, IPv6: up}, "up"},
		{edgeBody{State: "up", IPv4: down, IPv6: up}, "up, IPv4 down"},
		{edgeBody{State: "draining", IPv4: up, IPv6: down}, "draining, IPv6 down"},
		{edgeBody{State: "down", IPv4: down, IPv6: down}, "down"},
		{edgeBody{State: "disabled", IPv4: down, IPv6: up}, "disabled"},
	} {
		if got := c.edge.state(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	set := edgeSetting{
		Mode: "drain", Over: span(time.Hour), Since: now0, By: "alice", At: now0.Add(time.Minute),
		Capacity: 8000, CapacityBy: "carol", CapacityAt: now0.Add(time.Hour),
	}
	s := statusBody{Pools: map[string]poolBody{"all": {Edges: map[string]edgeBody{"fra": {State: "draining", Set: &set}}}}}
	s.Unused.Edges = map[string]*edgeSetting{"par": &set}
	want := `EDGE  POOL  STATE           MODE               BY     SINCE                 CAPACITY  NOTE
fra   all   draining        drain over 1h0m0s  alice  2026-03-01T12:00:00Z            capacity 8000 by carol since 2026-03-01T13:00:00Z
par         not configured  drain over 1h0m0s  alice  2026-03-01T12:00:00Z  8000      capacity 8000 by carol since 2026-03-01T13:00:00Z
`
	if got := s.edges().text(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCommandPool(t *testing.T) {
	instance(t)
	t.Setenv("SUDO_USER", "alice")
	c := start(t, newFolder(t), twoPools, "video")
	c.shows(`
POOL   EDGES  GUIDANCE
files  1      on
video  2      on
`, "pool")
	c.shows("pool video: guidance on; 203.0.113.0/24 pinned to par by alice\n", "pool", "video", "pin", "203.0.113.9/24", "par")
	c.sends(inFra, atPar)
	c.shows("pool files: guidance off; guidance off by bob\n", "pool", "files", "guidance", "off", "--by", "bob")
	c.shows(`
POOL   EDGES  GUIDANCE  PIN                    BY     SINCE
files  1      off                              bob    2026-01-02T03:04:05Z
video  2      on
video                   203.0.113.0/24 to par  alice  2026-01-02T03:04:05Z
`, "pool")
	// The edge leaves the configuration, and its pins have nothing to act on.
	must(t, c.load(strings.Replace(strings.ReplaceAll(twoPools, "edges fra par", "edges fra"), "edges par", "edges fra", 1), "video"))
	c.shows(`
POOL   EDGES  GUIDANCE        PIN                    BY     SINCE
files  1      off                                    bob    2026-01-02T03:04:05Z
video  1      on
video         not configured  203.0.113.0/24 to par  alice  2026-01-02T03:04:05Z
`, "pool")
	if s := c.status(); s.Pools["video"].Set != nil || len(s.Unused.Pools["video"].Pins) != 1 {
		t.Errorf("the status has %+v, unused %+v", s.Pools["video"].Set, s.Unused.Pools)
	}
	must(t, c.load(twoPools, "video"))
	if _, _, err := c.command("source", "default", "rollback", "3x"); err == nil || !strings.Contains(err.Error(), "a number that") {
		t.Errorf("rollback 3x: %v", err)
	}
	c.shows("pool video: guidance on; nothing is set by hand\n", "pool", "video", "unpin", "203.0.113.0/24")
	c.shows("pool files: guidance on; nothing is set by hand\n", "pool", "files", "guidance", "on")
	c.sends(inFra, atFra)
}

func TestCommandShows(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	c.shows(`
client     203.0.113.9
pool       video
placed in  default/cc-de (prefix 203.0.113.0/25)
reason     cheapest
sent to    https://fra.cdn.example.net/a.mp4

   EDGE  PID    COST  RANK  STATE  WHY
*  fra   cc-de  0     1     up     the least cost
   par   cc-fr  10    2     up     costs 10; fra costs 0
`, "explain", inFra, "--pool", "video", "--uri", "/a.mp4")
	out, _, err := c.command("status")
	must(t, err)
	out = regexp.MustCompile(`fresh  \w+ `).ReplaceAllString(out, "fresh  0s ")
	if want := `SOURCE   KIND   STATE  AGE  TAG  PREFIXES
default  files  fresh  0s   1    7

POOL   EDGES  GUIDANCE
files  1      on
video  2      on

EDGE  POOL   STATE  MODE
par   files  up     auto
fra   video  up     auto
par   video  up     auto
`; out != want {
		t.Errorf("status prints\n%swant\n%s", out, want)
	}
	for _, args := range [][]string{{"status"}, {"edge"}, {"pool"}, {"explain", inFra, "--pool", "video"}, {"edge", "fra", "up"}, {"pool", "video", "guidance", "off"}} {
		out, _, err := c.command(append(args, "--json")...)
		must(t, err)
		if !json.Valid([]byte(out)) {
			t.Errorf("%s: not JSON: %s", args, out)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	for _, test := range []struct {
		args  string
		words []string
	}{
		{"edge ams", []string{`there is no edge "ams"; the edges are fra, par`}},
		{"edge ams up", []string{`edge: there is no edge "ams"; the edges are fra, par`}},
		{"edge fra off", []string{`mode: "off" is not a mode: write auto, drain, disable or up`}},
		{"edge fra up --over 1h", []string{"only a drain takes time"}},
		{"edge fra drain --over soon", []string{`over: "soon"`}},
		{"edge fra capacity many", []string{`capacity "many": write requests per second`}},
		{"edge fra capacity NaN", []string{`capacity "NaN"`}},
		{"edge fra capacity 1e30", []string{"up to 1000000000000, or auto"}},
		{"edge fra capacity", []string{"usage: altoroute edge"}},
		{"edge fra load", []string{"usage: altoroute edge"}},
		{"edge fra load full", []string{`load "full": write the share`}},
		{"edge fra up down", []string{"usage: altoroute edge"}},
		{"pool music", []string{`there is no pool "music"; the pools are files, video`}},
		{"pool video guidance none", []string{`guidance: "none"`}},
		{"pool video pin DE", []string{"usage: altoroute pool"}},
		{"pool video pin DE ams", []string{"pool video: edge: there is no edge \"ams\""}},
		{"pool video unpin DE", []string{"pin DE: these clients are not pinned by hand"}},
		{"explain", []string{"usage: altoroute explain"}},
		{"explain there --pool video", []string{`client="there" is not an IP address`}},
		{"explain " + inFra, []string{"pool", "files, video"}},
		{"status now", []string{"usage: altoroute status"}},
		{"dance", []string{`unknown command "dance"`}},
		{"status --config {{dir}}/gone.json", nil},
	} {
		_, _, err := c.command(strings.Fields(c.expand(test.args))...)
		if test.words != nil {
			wants(t, err, test.words...)
		}
		if err != nil && strings.ContainsAny(err.Error(), "{}") {
			t.Errorf("%s: the error is JSON: %v", test.args, err)
		}
	}
	// No Caddy is there.
	cmd := &cobra.Command{Use: "altoroute", SilenceUsage: true}
	altorouteCommand(cmd)
	cmd.SetArgs([]string{"status", "--address", "unix/" + c.file("none.sock")})
	wants(t, cmd.Execute(), "none.sock")
}

// The address may come from the configuration. What will not survive a restart is
// a warning beside the answer.
func TestCommandWarns(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	must(t, os.MkdirAll(c.file("storage"), 0o700))
	must(t, os.WriteFile(c.file("storage/altoroute"), nil, 0o600))
	out, warnings, err := c.command("edge", "fra", "disable", "--by", "alice")
	must(t, err)
	if out != "edge fra: disabled; disable by alice\n" || !strings.HasPrefix(warnings, "warning: what was set by hand will not survive a restart: ") {
		t.Errorf("%q, %q", out, warnings)
	}
	must(t, os.WriteFile(c.file("admin.json"), []byte(c.expand(`{"admin": {"listen": "unix/{{dir}}/admin.sock"}}`)), 0o600))
	cmd := &cobra.Command{Use: "altoroute"}
	altorouteCommand(cmd)
	var stdout bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetArgs([]string{"edge", "fra", "--config", c.file("admin.json")})
	must(t, cmd.Execute())
	if !strings.Contains(stdout.String(), "disabled") {
		t.Error(stdout.String())
	}
}

// What comes from far does nothing in a terminal.
func TestCommandTable(t *testing.T) {
	got := table{{"A", "B", "C"}, {"\x1b[2J", "", "é"}, {"x", "", "y\nz"}}.text()
	if want := "A     C\n?[2J  é\nx     y?z\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got = (table{{"A", "B"}}).text(); got != "A  B\n" {
		t.Errorf("%q", got)
	}
}
