// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// hundred is guidance of a hundred client PIDs, of which the first few are cheapest
// from b and all others from a.
func hundred(tag string, fromB int) altotest.Guidance {
	network := altotest.NetworkMap{ID: "net", Tag: tag, PIDs: map[string][]string{"pid-a": {"198.51.100.0/25"}, "pid-b": {"198.51.100.128/25"}}}
	costs := map[string]map[string]float64{"pid-a": {}, "pid-b": {}}
	for i := range 100 {
		pid := fmt.Sprint("clients-", i)
		network.PIDs[pid] = []string{fmt.Sprintf("10.0.%d.0/24", i)}
		costs["pid-a"][pid], costs["pid-b"][pid] = 1, 2
		if i < fromB {
			costs["pid-a"][pid], costs["pid-b"][pid] = 2, 1
		}
	}
	return altotest.Guidance{
		Default: "net", NetworkMaps: []altotest.NetworkMap{network},
		CostMaps: []altotest.CostMap{{ID: "cost", DependsOn: network.Version(), Costs: costs, Type: alto.CostType{Mode: "numerical", Metric: "routingcost"}}},
	}
}

const guardedCaddyfile = `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		server isp %s {
			refresh 1s
			guard moved 20%% 5s
			guard ramp 4s
		}
		edge a https://a.example.net pid-a
		edge b https://b.example.net pid-b
	}
}
http:// {
	bind fd/3
	altoroute
}
`

// sourceStatus is what the status says of a source.
type sourceStatus struct {
	State      string
	FromSpool  bool                 `json:"from_spool"`
	NetworkMap struct{ Tag string } `json:"network_map"`
	Held       *struct {
		Tag     string
		Reasons []string
		Sampled int `json:"sampled_requests"`
		Moved   int `json:"moved_requests"`
	}
	Incoming *struct {
		Tag   string
		Share float64
	}
	SetAside  *struct{ Tag string } `json:"set_aside"`
	LastError string                `json:"last_error"`
}

func (c *caddy) source(name string) sourceStatus {
	c.t.Helper()
	var status struct{ Sources map[string]sourceStatus }
	c.json("/altoroute/status", &status)
	return status.Sources[name]
}

// visitHundred has a client of each of the hundred PIDs ask, and returns how many went to b.
func visitHundred(t *testing.T, at *http.Client) (b int) {
	t.Helper()
	for i := range 100 {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprint("http://cdn.example.net/", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.1", i))
		answer, err := at.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusFound {
			t.Fatal(answer.Status)
		}
		if strings.HasPrefix(answer.Header.Get("Location"), "https://b.") {
			b++
		}
	}
	return b
}

// TestGuard has a map that moves 30 % of the traffic held, and let in by hand, by time
// and by degrees; one that moves 1 % pass; and one put back.
func TestGuard(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(hundred("v1", 0))
	l := listen(t, "127.0.0.1:0")
	c := startCaddy(t, fmt.Sprintf(guardedCaddyfile, isp.Directory()), l)
	c.eventually("the first maps are in force", func() bool { return c.source("isp").NetworkMap.Tag == "v1" })
	at := client(l.Addr().String())
	defer at.CloseIdleConnections()
	visit := func() int { return visitHundred(t, at) }
	if b := visit(); b != 0 {
		t.Fatalf("%d of 100 go to b", b)
	}
	held := func(tag string) func() bool {
		return func() bool { h := c.source("isp").Held; return h != nil && h.Tag == tag }
	}

	isp.Publish(hundred("v2", 30))
	c.eventually("v2 is held", held("v2"))
	is := c.source("isp")
	if is.State != "stale" || is.NetworkMap.Tag != "v1" || is.Held.Moved*100 != 30*is.Held.Sampled || len(is.Held.Reasons) != 1 {
		t.Errorf("%+v, held %+v", is, is.Held)
	}
	if b := visit(); b != 0 {
		t.Errorf("%d of 100 go to b, while v2 is held", b)
	}
	if n, _ := c.metric("caddy_altoroute_map_held", `source="isp"`); n != 1 {
		t.Errorf("the metric says %v", n)
	}
	if text := c.altoroute("source"); !strings.Contains(text, "v2 is held: it moves") {
		t.Errorf("the command shows\n%s", text)
	}
	if text := c.altoroute("source", "isp", "release", "--by", "alice"); !strings.Contains(text, "fresh, tag v2") {
		t.Errorf("the command says %s", text)
	}
	if b := visit(); b != 30 {
		t.Errorf("%d of 100 go to b, after v2 was let in", b)
	}

	isp.Publish(hundred("v3", 31))
	c.eventually("v3 passes", func() bool { return c.source("isp").NetworkMap.Tag == "v3" && visit() == 31 })

	isp.Publish(hundred("v4", 71))
	c.eventually("v4 is held", held("v4"))
	c.eventually("v4 comes in", func() bool { in := c.source("isp").Incoming; return in != nil && in.Tag == "v4" && in.Share > 0 })
	last := visit()
	c.eventually("v4 is in force", func() bool {
		b := visit()
		if b < last {
			t.Errorf("%d go to b after %d: what has moved goes back", b, last)
		}
		last = b
		return c.source("isp").NetworkMap.Tag == "v4" && b == 71
	})

	if text := c.altoroute("source", "isp", "rollback", "--by", "alice"); !strings.Contains(text, "tag v3, tag v4 is set aside") {
		t.Errorf("the command says %s", text)
	}
	if b := visit(); b != 31 {
		t.Errorf("%d of 100 go to b, after v3 was put back", b)
	}
	// A reload changes nothing of it, and neither does the server, which still has v4.
	if code, answer := c.reload(fmt.Sprintf(guardedCaddyfile, isp.Directory()) + "\n# changed\n"); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, answer)
	}
	looks, _ := c.metric("caddy_altoroute_map_checks_total", `source="isp"`)
	c.eventually("it was looked at", func() bool { n, _ := c.metric("caddy_altoroute_map_checks_total", `source="isp"`); return n > looks+1 })
	if is := c.source("isp"); is.NetworkMap.Tag != "v3" || is.SetAside == nil || is.SetAside.Tag != "v4" || visit() != 31 {
		t.Errorf("%+v", is)
	}
}

// TestGuardOutlivesCrashes: what is held stays held, and what was put aside stays aside,
// though a Caddy that has just started has seen no traffic to judge by.
func TestGuardOutlivesCrashes(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(hundred("v1", 0))
	l := listen(t, "127.0.0.1:0")
	c := newCaddy(t)
	caddyfile := c.expand(strings.Replace(fmt.Sprintf(guardedCaddyfile, isp.Directory()), "guard moved 20% 5s", "guard hold forever", 1))
	c.start(caddyfile, l)
	looks := func() float64 { n, _ := c.metric("caddy_altoroute_map_checks_total", `source="isp"`); return n }
	looked := func() { // what was found is on disk when the next look begins
		t.Helper()
		before := looks()
		c.eventually("it was looked at twice", func() bool { return looks() >= before+2 })
	}
	c.eventually("the first maps are in force", func() bool { return c.source("isp").NetworkMap.Tag == "v1" })
	at := client(l.Addr().String())
	if b := visitHundred(t, at); b != 0 {
		t.Fatalf("%d of 100 go to b", b)
	}
	at.CloseIdleConnections()
	isp.Publish(hundred("v2", 60))
	c.eventually("v2 is held", func() bool { return c.source("isp").Held != nil })
	looked()
	c.crash()
	c.start(caddyfile, l)
	c.eventually("v2 is held again", func() bool { return c.source("isp").Held != nil })
	if is := c.source("isp"); is.NetworkMap.Tag != "v1" || !strings.HasPrefix(is.Held.Reasons[0], "it moves 60 of 100") {
		t.Errorf("in force is %s, held %+v", is.NetworkMap.Tag, is.Held)
	}

	c.altoroute("source", "isp", "release")
	looked()
	if text := c.altoroute("source", "isp", "rollback"); !strings.Contains(text, "tag v1, tag v2 is set aside") {
		t.Errorf("the command says %s", text)
	}
	looked()
	c.crash()
	c.start(caddyfile, l)
	c.eventually("the server was asked", func() bool { is := c.source("isp"); return !is.FromSpool && is.State != "none" })
	looked()
	if is := c.source("isp"); is.NetworkMap.Tag != "v1" || is.SetAside == nil || is.SetAside.Tag != "v2" {
		t.Errorf("in force is %s, set aside %v", is.NetworkMap.Tag, is.SetAside)
	}
	if text := c.altoroute("source", "isp"); !strings.Contains(text, "v2 is set aside") || !strings.Contains(text, "VERSION  TAG") {
		t.Errorf("the command shows\n%s", text)
	}
}

// TestColdStart: after a crash, with the server down, the first request is guided, and
// when the server is back it is asked only whether the maps are still the current ones.
func TestColdStart(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(hundred("v1", 50))
	l := listen(t, "127.0.0.1:0")
	c := newCaddy(t)
	caddyfile := c.expand(fmt.Sprintf(guardedCaddyfile, isp.Directory()))
	c.start(caddyfile, l)
	c.eventually("the maps are in force and on disk", func() bool {
		var status struct {
			Sources map[string]struct{ Versions []struct{ Tag string } }
		}
		c.json("/altoroute/status", &status)
		return len(status.Sources["isp"].Versions) == 1
	})
	isp.Stop()
	c.crash()
	c.start(caddyfile, l)
	var explained struct {
		Edge      string
		Placement struct{ How, PID string }
	}
	c.json("/altoroute/explain?client=10.0.3.1", &explained)
	if explained.Edge != "b" || explained.Placement.How != "prefix" {
		t.Errorf("%+v", explained)
	}
	if is := c.source("isp"); is.State != "stale" || !is.FromSpool {
		t.Errorf("%+v", is)
	}
	isp.Resume()
	c.eventually("the server has confirmed them", func() bool { is := c.source("isp"); return is.State == "fresh" && !is.FromSpool })
	for _, path := range []string{altotest.NetworkMapPath("net"), altotest.CostMapPath("cost")} {
		if n := isp.Count(path); n.Requests-n.NotModified != 1 {
			t.Errorf("%s was sent %d times", path, n.Requests-n.NotModified)
		}
	}
}

// TestTwoProviders: each is asked only about its own clients, however much it claims.
func TestTwoProviders(t *testing.T) {
	claim := func(prefixes ...string) altotest.Guidance {
		g := guidance("v1", "pid-a")
		g.NetworkMaps[0].PIDs["clients"] = prefixes
		return g
	}
	one, two := altotest.Start(t), altotest.Start(t)
	one.Publish(claim("203.0.113.0/24"))
	greedy := claim("203.0.113.0/25", "192.0.2.0/24")
	greedy.CostMaps[0].Costs = map[string]map[string]float64{"pid-a": {"clients": 9}, "pid-b": {"clients": 1}}
	two.Publish(greedy)
	l := listen(t, "127.0.0.1:0")
	c := startCaddy(t, fmt.Sprintf(`{
	{{admin}}
	altoroute {
		server one %s {
			only 203.0.113.0/24
		}
		server two %s {
			only 192.0.2.0/24
		}
		edge a https://a.example.net one/pid-a two/pid-a
		edge b https://b.example.net one/pid-b two/pid-b
	}
}
http:// {
	bind fd/3
	altoroute
}
`, one.Directory(), two.Directory()), l)
	c.eventually("both are in force", func() bool { return c.source("one").State == "fresh" && c.source("two").State == "fresh" })
	var e struct {
		Edge      string
		Placement struct {
			Source, Prefix string
			Ignored        []struct{ Source, PID, Prefix, Why string }
		}
	}
	c.json("/altoroute/explain?client=203.0.113.5", &e)
	if e.Edge != "a" || e.Placement.Source != "one" || e.Placement.Prefix != "203.0.113.0/24" {
		t.Errorf("%+v", e)
	}
	if len(e.Placement.Ignored) != 1 || e.Placement.Ignored[0].Source != "two" || e.Placement.Ignored[0].Prefix != "203.0.113.0/25" || !strings.Contains(e.Placement.Ignored[0].Why, "only") {
		t.Errorf("ignored %+v", e.Placement.Ignored)
	}
	if n, _ := c.metric("caddy_altoroute_map_prefixes_beyond_only", `source="two"`); n != 3 {
		t.Errorf("%v prefixes are counted as ignored", n)
	}
	e.Placement.Ignored = nil
	c.json("/altoroute/explain?client=192.0.2.5", &e)
	if e.Edge != "b" || e.Placement.Source != "two" {
		t.Errorf("%+v", e)
	}
}
