// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// twoPools is a configuration with two edges, each cheapest somewhere.
const twoPools = smallest + "pool video {\nedges fra par\n}\npool files {\nedges par\n}\n"

// tell has the admin endpoint change something.
func (c *running) tell(path, body string) (int, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://localhost/altoroute/"+path, strings.NewReader(body))
	must(c.t, err)
	answer, err := do(c.admin, r)
	must(c.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(c.t, err)
	return answer.StatusCode, string(text)
}

// told is tell where all goes well.
func (c *running) told(path, body string) string {
	c.t.Helper()
	code, answer := c.tell(path, body)
	if code != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", path, body, code, answer)
	}
	return answer
}

// instance gives a test's Caddy a name of its own.
func instance(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
}

func TestAdminChangesRefused(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	long := strings.Repeat("x", 65)
	tests := []struct {
		path, body string
		words      []string
	}{
		{"edge", ``, []string{"JSON object"}},
		{"edge", `null`, []string{"JSON object"}},
		{"edge", `["fra"]`, []string{"JSON object"}},
		{"edge", `{"edge": "fra"`, []string{"JSON object"}},
		{"edge", `{"edge": "fra", "mode": "up", "mode": "auto"}`, []string{"JSON object", `duplicate`, `"mode"`}},
		{"edge", `{"edge": "fra", "modus": "up"}`, []string{`"modus" is not a member`, "edge, mode, over, capacity, load, by"}},
		{"edge", `{"mode": "up"}`, []string{"edge is missing", "fra, par"}},
		{"edge", `{"edge": "ams", "mode": "up"}`, []string{`edge: there is no edge "ams"`, "fra, par"}},
		{"edge", `{"edge": "ams", "mode": "auto"}`, []string{`edge: there is no edge "ams"`, "fra, par"}},
		{"edge", `{"edge": 7, "mode": "up"}`, []string{"edge: 7 is not a text", "name of an edge"}},
		{"edge", `{"edge": "fra"}`, []string{"nothing to set", "mode, over, capacity or load"}},
		{"edge", `{"edge": "fra", "mode": "off"}`, []string{`mode: "off"`, "auto, drain, disable or up"}},
		{"edge", `{"edge": "fra", "mode": true}`, []string{"mode: true is not a text", "drain, disable, up or auto"}},
		{"edge", `{"edge": "fra", "mode": "drain", "over": "soon"}`, []string{`over: "soon"`, "10m"}},
		{"edge", `{"edge": "fra", "mode": "drain", "over": "-1m"}`, []string{`over: "-1m"`, "10m"}},
		{"edge", `{"edge": "fra", "mode": "drain", "over": 600}`, []string{"over: 600 is not a text", "10m"}},
		{"edge", `{"edge": "fra", "mode": "disable", "over": "10m"}`, []string{"over 10m", "only a drain takes time"}},
		{"edge", `{"edge": "fra", "over": "10m"}`, []string{"over 10m", `"mode": "drain"`}},
		{"edge", `{"edge": "fra", "capacity": "many"}`, []string{`capacity: "many" is not a number`, "8000"}},
		{"edge", `{"edge": "fra", "capacity": null}`, []string{"capacity: null is not a number"}},
		{"edge", `{"edge": "fra", "capacity": -1}`, []string{"capacity -1 is out of range", "requests per second"}},
		{"edge", `{"edge": "fra", "capacity": 1e300}`, []string{"capacity 1e+300 is out of range"}},
		{"edge", `{"edge": "fra", "load": "high"}`, []string{`load: "high" is not a number`, "0.73"}},
		{"edge", `{"edge": "fra", "load": -0.1}`, []string{"load -0.1 is out of range", "0.73"}},
		{"edge", `{"edge": "ams", "load": 0.5}`, []string{`edge: there is no edge "ams"`, "fra, par"}},
		{"edge", `{"edge": "fra", "mode": "up", "by": ""}`, []string{`by: ""`, "64 characters"}},
		{"edge", `{"edge": "fra", "mode": "up", "by": "\u001b[2J"}`, []string{`by: "\x1b[2J"`, "printable"}},
		{"edge", `{"edge": "fra", "mode": "up", "by": "` + long + `"}`, []string{"by: ", "64 characters"}},
		{"edge", `{"edge": "fra", "mode": "up", "by": 1}`, []string{"by: 1 is not a text"}},
		{"pool", `{"guidance": "off"}`, []string{"pool is missing", "files, video"}},
		{"pool", `{"pool": "music", "guidance": "off"}`, []string{`pool: there is no pool "music"`, "files, video"}},
		{"pool", `{"pool": "music", "guidance": "on"}`, []string{`pool: there is no pool "music"`, "files, video"}},
		{"pool", `{"pool": "video"}`, []string{"nothing to set", "guidance"}},
		{"pool", `{"pool": "video", "guidance": "none"}`, []string{`guidance: "none" is neither on nor off`}},
		{"pool", `{"pool": "video", "guidance": false}`, []string{"guidance: false is not a text", "on or off"}},
		{"pool", `{"pool": "video", "pin": "192.0.2.0/24"}`, []string{"pin and edge belong together"}},
		{"pool", `{"pool": "video", "edge": "par"}`, []string{"pin and edge belong together"}},
		{"pool", `{"pool": "video", "pin": "somewhere", "edge": "par"}`, []string{`pin "somewhere"`, "192.0.2.0/24", "AS64500", "DE"}},
		{"pool", `{"pool": "video", "pin": "DE", "edge": "ams"}`, []string{"pool video", `there is no edge "ams"`, "fra, par"}},
		{"pool", `{"pool": "files", "pin": "DE", "edge": "fra"}`, []string{"pool files", `there is no edge "fra"`, "the edges are par"}},
		{"pool", `{"pool": "video", "pin": "DE", "edge": ""}`, []string{"pin DE", "not pinned by hand"}},
		{"pool", `{"pool": "video", "mode": "up"}`, []string{`"mode" is not a member`, "pool, guidance, pin, edge, by"}},
	}
	for _, test := range tests {
		code, body := c.tell(test.path, test.body)
		var answer struct{ Error string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusBadRequest {
			t.Errorf("%s %s: %d %s", test.path, test.body, code, body)
		}
		for _, word := range test.words {
			if !strings.Contains(answer.Error, word) {
				t.Errorf("%s %s: %q does not say %q", test.path, test.body, answer.Error, word)
			}
		}
	}
	if code, body := c.tell("edge", `{"edge": "`+strings.Repeat("x", maxChange)+`"}`); code != http.StatusRequestEntityTooLarge || !strings.Contains(body, "65536") {
		t.Errorf("%d %s", code, body)
	}
	for _, path := range []string{"edge", "pool"} {
		if code, header, _ := c.ask("GET", "/altoroute/"+path); code != http.StatusMethodNotAllowed || header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow: %q", path, code, header.Get("Allow"))
		}
	}
	c.sends(inFra, atFra)
	if _, err := os.Stat(c.file("storage/altoroute")); err == nil {
		t.Error("something was stored")
	}
	// Another configuration, without the app.
	must(t, caddy.Load([]byte(c.expand(`{"admin": {"listen": "unix/{{dir}}/admin.sock", "config": {"persist": false}}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}}}`)), true))
	if code, body := c.tell("edge", `{"edge": "fra", "mode": "up"}`); code != http.StatusNotFound || !strings.Contains(body, "not configured") {
		t.Errorf("%d %s", code, body)
	}
}

// What is set by hand is in force at once, is shown and logged.
func TestAdminChangesEdge(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	c.sends(inFra, atFra)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "drain", "over": "0s", "by": "alice"}`),
		`{"edge": "fra", "state": "drained", "set": {"mode": "drain", "since": null, "by": "alice", "at": null}}`)
	c.sends(inFra, atPar)
	c.told("edge", `{"edge": "fra", "mode": "auto"}`)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "drain", "over": "1h", "by": "bob"}`),
		`{"edge": "fra", "state": "draining", "set": {"mode": "drain", "over": "1h0m0s", "since": null, "by": "bob", "at": null}}`)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "disable"}`),
		`{"edge": "fra", "state": "disabled", "set": {"mode": "disable", "by": "admin API", "at": null}}`)
	c.sends(inFra, atPar)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "up", "capacity": 8000, "by": "alice"}`),
		`{"edge": "fra", "state": "forced_up", "set": {"mode": "up", "by": "alice", "at": null, "capacity": 8000, "capacity_by": "alice", "capacity_at": null}}`)
	c.sends(inFra, atFra)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "auto", "by": "bob"}`),
		`{"edge": "fra", "state": "up", "set": {"capacity": 8000, "capacity_by": "alice", "capacity_at": null}}`)
	same(t, "the answer", c.told("edge", `{"edge": "fra", "capacity": 0}`), `{"edge": "fra", "state": "up"}`)
	if lines := c.logged(`"level":"info"`, "edge set by hand", `"edge":"fra"`); len(lines) != 7 || !strings.Contains(lines[0], `"by":"alice"`) || !strings.Contains(lines[0], `"mode":"drain"`) {
		t.Errorf("the log has %d lines: %s", len(lines), lines)
	}
}

func TestAdminChangesPool(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	same(t, "the answer", c.told("pool", `{"pool": "video", "pin": "203.0.113.9", "edge": "par", "by": "alice"}`),
		`{"pool": "video", "guidance": "on", "set": {"pins": [{"clients": "203.0.113.9/32", "edge": "par", "by": "alice", "at": null}]}}`)
	c.sends(inFra, atPar)
	c.sends("203.0.113.10", atFra)
	same(t, "the answer", c.told("pool", `{"pool": "video", "guidance": "off", "pin": "203.0.113.9/32", "edge": "fra", "by": "bob"}`),
		`{"pool": "video", "guidance": "off", "set": {"guidance": "off", "by": "bob", "at": null, "pins": [{"clients": "203.0.113.9/32", "edge": "fra", "by": "bob", "at": null}]}}`)
	c.sends(inFra, atFra)
	if one, other := c.visit(inPar), c.visit("203.0.113.10"); one != other {
		t.Errorf("without guidance, one content is at %q and %q", one, other)
	}
	c.told("pool", `{"pool": "video", "pin": "203.0.113.9", "edge": ""}`)
	same(t, "the answer", c.told("pool", `{"pool": "video", "guidance": "on"}`), `{"pool": "video", "guidance": "on"}`)
	c.sends(inPar, atPar)
	if lines := c.logged(`"level":"info"`, "pool set by hand", `"pool":"video"`); len(lines) != 4 {
		t.Errorf("the log has %d lines: %s", len(lines), lines)
	}
}

// What is set by hand survives reloads, refused ones too, and a restart, and is
// shown with who and when.
func TestOperatorSurvivesReloads(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	c.told("edge", `{"edge": "fra", "mode": "disable", "by": "alice"}`)
	c.told("pool", `{"pool": "files", "guidance": "off", "by": "bob"}`)
	check := func(what string) {
		t.Helper()
		c.sends(inFra, atPar)
		_, _, body := c.ask("GET", "/altoroute/status")
		var s statusBody
		must(t, json.Unmarshal([]byte(body), &s))
		fra, files := s.Pools["video"].Edges["fra"], s.Pools["files"]
		if fra.State != "disabled" || fra.Set == nil || fra.Set.Mode != "disable" || fra.Set.By != "alice" || fra.Set.At.IsZero() {
			t.Errorf("%s: fra is %+v", what, fra)
		}
		if !files.GuidanceOff || files.Set == nil || files.Set.By != "bob" {
			t.Errorf("%s: files is %+v", what, files)
		}
	}
	check("before")
	must(t, c.load(twoPools+"cdn_id another\n", "video"))
	check("after a reload")
	if err := c.load(twoPools+"edge ams https://ams.cdn.example.net cc-at\n", "video"); err == nil {
		t.Error("accepted")
	}
	check("after a refused reload")
	// The edge leaves the configuration and comes back.
	par := strings.Replace(strings.ReplaceAll(twoPools, "edges fra par", "edges par"), "edge fra https://fra.cdn.example.net cc-de\n", "", 1)
	must(t, c.load(par, "video"))
	if _, _, body := c.ask("GET", "/altoroute/status"); !strings.Contains(body, `"unused_settings"`) || !strings.Contains(body, `"alice"`) {
		t.Errorf("the status does not say it: %s", body)
	}
	must(t, c.load(twoPools, "video"))
	check("after the edge was gone")
	// Another process.
	must(t, caddy.Load([]byte(`{"admin": {"disabled": true, "config": {"persist": false}}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}}}`), true))
	was := byHand
	byHand, _ = emptyOverrides()
	t.Cleanup(func() { byHand = was })
	must(t, c.load(twoPools, "video"))
	check("after a restart")
	must(t, c.load(par, "video"))
	same(t, "the answer", c.told("edge", `{"edge": "fra", "mode": "auto"}`), `{"edge": "fra"}`)
	must(t, c.load(twoPools, "video"))
	c.sends(inFra, atFra)
	if code, body := c.tell("pool", `{"pool": "files", "guidance": "on"}`); code != http.StatusOK || strings.Contains(body, "set") {
		t.Errorf("%d %s", code, body)
	}
}

// A storage that cannot be written is told in the answer.
func TestAdminWarnsOfWhatIsNotStored(t *testing.T) {
	instance(t)
	c := start(t, newFolder(t), twoPools, "video")
	must(t, os.MkdirAll(c.file("storage"), 0o700))
	must(t, os.WriteFile(c.file("storage/altoroute"), nil, 0o600))
	answer := c.told("edge", `{"edge": "fra", "mode": "disable", "by": "alice"}`)
	if !strings.Contains(answer, `"warning": "what was set by hand will not survive a restart: storing altoroute/operator/`) {
		t.Error(answer)
	}
	c.sends(inFra, atPar)
	if lines := c.logged(`"level":"error"`, "will not survive a restart"); len(lines) != 1 {
		t.Errorf("the log has %d lines", len(lines))
	}
}
