// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// guidance is a server's: clients in 192.0.2.0/24 are cheapest from the named
// edge's PID.
func guidance(tag, cheapest string) altotest.Guidance {
	network := altotest.NetworkMap{ID: "net", Tag: tag, PIDs: map[string][]string{
		"pid-a": {"198.51.100.0/25"}, "pid-b": {"198.51.100.128/25"}, "clients": {"192.0.2.0/24", "2001:db8::/32"},
	}}
	costs := map[string]map[string]float64{"pid-a": {"clients": 2}, "pid-b": {"clients": 2}}
	costs[cheapest]["clients"] = 1
	return altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{network},
		CostMaps: []altotest.CostMap{{
			ID: "cost", DependsOn: network.Version(), Costs: costs,
			Type: alto.CostType{Mode: "numerical", Metric: "routingcost"},
		}},
	}
}

const serverCaddyfile = `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		server isp %s {
			refresh 1s
			guard off # the test moves all it has
		}
		edge a https://a.example.net pid-a
		edge b https://b.example.net {
			addr 198.51.100.200
		}
	}
}
http:// {
	bind fd/3
	altoroute
}
`

// where asks where a client of the provider is sent, by a real request.
func where(t *testing.T, addr string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://cdn.example.net/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	answer, err := client(addr).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusFound {
		t.Fatalf("answered %s", answer.Status)
	}
	return answer.Header.Get("Location")
}

func TestServerFollowed(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(guidance("v1", "pid-a"))
	release := make(chan struct{})
	isp.Misbehave(altotest.DirectoryPath, altotest.Stall(release))
	l := listen(t, "127.0.0.1:0")
	c := startCaddy(t, fmt.Sprintf(serverCaddyfile, isp.Directory()), l)

	// Nothing is known yet, which is no reason not to serve.
	_ = where(t, l.Addr().String())
	if status, body := c.get("/altoroute/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "isp") {
		t.Errorf("ready before the server has answered: %d %s", status, body)
	}
	close(release)
	isp.Misbehave(altotest.DirectoryPath, nil)
	goesTo := func(edge string) func() bool {
		return func() bool { return where(t, l.Addr().String()) == "https://"+edge+".example.net/a" }
	}
	var explained struct{ Placement struct{ How string } }
	c.eventually("the server's guidance is in force", func() bool {
		c.json("/altoroute/explain?client=192.0.2.1", &explained)
		return explained.Placement.How == "prefix" && goesTo("a")()
	})
	if status, body := c.get("/altoroute/ready"); status != http.StatusOK {
		t.Errorf("not ready: %d %s", status, body)
	}

	c.eventually("unchanged documents are confirmed", func() bool { return isp.Count(altotest.CostMapPath("cost")).NotModified >= 2 })
	if reads, _ := c.metric("caddy_altoroute_document_reads_total", `document="cost"`); reads != 1 {
		t.Errorf("the unchanged cost map was read %v times", reads)
	}

	isp.Publish(guidance("v2", "pid-b"))
	c.eventually("the new version is in force", goesTo("b"))

	// The server lies: the last good set stays, and the fault is told.
	isp.Publish(guidance("v3", "pid-a"))
	isp.Misbehave(altotest.CostMapPath("cost"), altotest.HTML())
	var status struct {
		Sources map[string]struct {
			State      string
			LastError  string               `json:"last_error"`
			NetworkMap struct{ Tag string } `json:"network_map"`
		}
	}
	c.eventually("the fault is told", func() bool {
		c.json("/altoroute/status", &status)
		return status.Sources["isp"].State == "stale"
	})
	if s := status.Sources["isp"]; s.NetworkMap.Tag != "v2" || !strings.Contains(s.LastError, altotest.CostMapPath("cost")) || !strings.Contains(s.LastError, "text/html") {
		t.Errorf("status %+v", s)
	}
	if !goesTo("b")() {
		t.Error("the last good set does not serve")
	}
	if n, _ := c.metric("caddy_altoroute_map_refusals_total", `source="isp"`); n == 0 {
		t.Error("no refusal was counted")
	}
	isp.Misbehave(altotest.CostMapPath("cost"), nil)
	c.eventually("the source has recovered by itself", func() bool {
		c.json("/altoroute/status", &status)
		return status.Sources["isp"].State == "fresh" && goesTo("a")()
	})

	// A reload takes over what was learned.
	before := isp.Count(altotest.NetworkMapPath("net"))
	if code, answer := c.reload(fmt.Sprintf(serverCaddyfile, isp.Directory()) + "\n# changed\n"); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, answer)
	}
	if !goesTo("a")() {
		t.Error("the guidance was lost with the reload")
	}
	c.eventually("the network map is confirmed again", func() bool { return isp.Count(altotest.NetworkMapPath("net")).NotModified > before.NotModified })
	if after := isp.Count(altotest.NetworkMapPath("net")); after.Requests-after.NotModified != before.Requests-before.NotModified {
		t.Errorf("the reload fetched an unchanged map: %+v, then %+v", before, after)
	}
}

func TestValidateTouchesNoNetwork(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(guidance("v1", "pid-a"))
	c := newCaddy(t)
	path := filepath.Join(c.dir, "Caddyfile")
	write(t, path, strings.ReplaceAll(c.expand(fmt.Sprintf(serverCaddyfile, isp.Directory())), "fd/3", "127.0.0.1"))
	for _, command := range []string{"validate", "adapt"} {
		if out, err := c.command(command, "--config", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if counts := isp.Counts(); len(counts) > 0 {
		t.Errorf("the server was asked: %v", counts)
	}
}
