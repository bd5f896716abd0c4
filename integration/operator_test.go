// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// twoEdgesCaddyfile has a near edge and a far one, which nobody checks.
const twoEdgesCaddyfile = `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		maps {{dir}}/net.json {{dir}}/cost.json
		edge near http://%s here
		edge far http://%s there
	}
}
http:// {
	bind fd/3
	altoroute {
		alternates 1
		retry query failed
	}
}
`

func twoEdges(t *testing.T, near, far string) (*caddy, string) {
	t.Helper()
	c := newCaddy(t)
	write(t, filepath.Join(c.dir, "net.json"), `{"meta":{"vtag":{"resource-id":"n","tag":"1"}},"network-map":{"here":{"ipv4":["192.0.2.0/24"]},"there":{"ipv4":["198.51.100.0/24"]}}}`)
	write(t, filepath.Join(c.dir, "cost.json"), `{"meta":{"dependent-vtags":[{"resource-id":"n","tag":"1"}],"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}},"cost-map":{"here":{"here":1,"there":9},"there":{"here":9,"there":1}}}`)
	return c, fmt.Sprintf(c.expand(twoEdgesCaddyfile), near, far)
}

// sentTo returns where a client in the PID "here" is sent.
func sentTo(t *testing.T, at *http.Client, uri string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://cdn.example.net"+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	answer, err := at.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusFound {
		t.Fatalf("%s: %s", uri, answer.Status)
	}
	return answer
}

// TestSetByHandSurvivesACrash: what an operator has set is on disk when the answer
// comes.
func TestSetByHandSurvivesACrash(t *testing.T) {
	c, caddyfile := twoEdges(t, "near.example.net", "far.example.net")
	l := listen(t, "127.0.0.1:0")
	c.start(caddyfile, l)
	goes := func(want string) {
		t.Helper()
		at := client(l.Addr().String())
		defer at.CloseIdleConnections()
		if to := sentTo(t, at, "/a").Header.Get("Location"); to != "http://"+want+".example.net/a" {
			t.Errorf("sent to %s, want %s", to, want)
		}
	}
	goes("near")
	c.altoroute("edge", "near", "disable", "--by", "alice")
	c.altoroute("edge", "far", "capacity", "8000", "--by", "bob")
	c.altoroute("pool", "default", "pin", "203.0.113.0/24", "far", "--by", "carol")
	goes("far")
	before := c.altoroute("edge") + c.altoroute("pool")

	c.crash()
	c.start(caddyfile, l)
	goes("far")
	if after := c.altoroute("edge") + c.altoroute("pool"); after != before {
		t.Errorf("before the crash:\n%s\nafter it:\n%s", before, after)
	}
	for _, by := range []string{"alice", "bob", "carol"} {
		if !strings.Contains(before, by) {
			t.Errorf("%s is not named in\n%s", by, before)
		}
	}
	c.altoroute("edge", "near", "auto")
	goes("near")
}

// TestSecondTry: a client whose first edge refuses connections reaches another, by
// telling so and by the alternate that it was given at first.
func TestSecondTry(t *testing.T) {
	// The port is held and nobody listens.
	refuses := net.JoinHostPort("127.0.0.1", holdPort(t))
	far := startEdge(t, "far", "127.0.0.1:0")
	c, caddyfile := twoEdges(t, refuses, far.addr)
	l := listen(t, "127.0.0.1:0")
	c.start(caddyfile, l)
	at := client(l.Addr().String())
	defer at.CloseIdleConnections()

	first := sentTo(t, at, "/film?quality=high")
	to := first.Header.Get("Location")
	if _, err := http.Get(to); err == nil || !strings.Contains(to, refuses) {
		t.Fatalf("the first try, at %s, must fail: %v", to, err)
	}
	second := sentTo(t, at, "/film?quality=high&failed=near").Header.Get("Location")
	var alternate string
	for _, link := range first.Header.Values("Link") {
		if url, params, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">"); strings.Contains(params, "pri=2") {
			alternate = url
		}
	}
	for how, url := range map[string]string{"told": second, "alternate": alternate} {
		if want := "http://" + far.addr + "/film?quality=high"; url != want {
			t.Errorf("%s: %s, want %s", how, url, want)
		}
		answer, err := http.Get(url)
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", how, answer.Status)
		}
	}
	// The others are none the wiser: one client steers nobody.
	if to := sentTo(t, at, "/film?quality=high").Header.Get("Location"); !strings.Contains(to, refuses) {
		t.Errorf("one client had the edge lowered: %s", to)
	}
}
