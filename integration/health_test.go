// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkedCaddyfile has edges of equal cost, so that each gets content.
func checkedCaddyfile(edges ...*edgeProcess) string {
	var lines strings.Builder
	for _, e := range edges {
		fmt.Fprintf(&lines, "\t\tedge %s http://%s here\n", e.name, e.addr)
	}
	return `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		maps {{dir}}/net.json {{dir}}/cost.json
		health {
			path /health
			interval 1s
			timeout 500ms
			down 3
			up 2
			ramp 0s
		}
` + lines.String() + `	}
}
http:// {
	bind fd/3
	altoroute
}
`
}

// startChecked runs a router over edges.
func startChecked(t *testing.T, edges ...*edgeProcess) (*caddy, string) {
	t.Helper()
	c := newCaddy(t)
	write(t, filepath.Join(c.dir, "net.json"), `{"meta":{"vtag":{"resource-id":"n","tag":"1"}},"network-map":{"here":{"ipv4":["192.0.2.0/24"]}}}`)
	write(t, filepath.Join(c.dir, "cost.json"), `{"meta":{"dependent-vtags":[{"resource-id":"n","tag":"1"}],"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}},"cost-map":{"here":{"here":1}}}`)
	l := listen(t, "127.0.0.1:0")
	c.start(c.expand(checkedCaddyfile(edges...)), l)
	for _, e := range edges {
		c.eventually(e.name+" is up", func() bool { return c.state(e.name) == "up" })
	}
	return c, l.Addr().String()
}

func toAnEdge(to, path string) bool {
	return strings.HasPrefix(to, "http://127.0.0.") && strings.HasSuffix(to, path)
}

// answered ends a load of which every request must have been answered.
func answered(t *testing.T, l *load) {
	t.Helper()
	n := l.stop()
	t.Logf("%d requests, %d of them failed", n, len(l.failures()))
	if n == 0 || len(l.failures()) > 0 {
		t.Errorf("of %d requests some failed: %q", n, l.failures())
	}
}

// TestUnwellEdges makes edges unwell one after the other, under load, and
// measures how long they get requests after that.
func TestUnwellEdges(t *testing.T) {
	edges := []*edgeProcess{startEdge(t, "a", "127.0.0.1:0"), startEdge(t, "b", "127.0.0.2:0"), startEdge(t, "c", "127.0.0.3:0")}
	c, addr := startChecked(t, edges...)
	load := startLoad(addr, 2, toAnEdge)
	// Three intervals with their jitter, a timeout, and a second for the machine.
	const limit = 3*1100*time.Millisecond + 500*time.Millisecond + 2*time.Second
	for _, unwell := range []struct {
		edge    *edgeProcess
		name    string
		on, off func(*edgeProcess)
	}{
		{edges[0], "stopped", func(e *edgeProcess) { e.signal(syscall.SIGSTOP) }, func(e *edgeProcess) { e.signal(syscall.SIGCONT) }},
		{edges[1], "answers 500", func(e *edgeProcess) { e.be("broken") }, func(e *edgeProcess) { e.be("well") }},
		{edges[2], "slow", func(e *edgeProcess) { e.be("slow") }, func(e *edgeProcess) { e.be("well") }},
	} {
		unwell.on(unwell.edge)
		began := time.Now()
		c.eventually(unwell.edge.name+" is down", func() bool { return c.state(unwell.edge.name) == "down" })
		took := time.Since(began)
		c.eventually("it gets nothing any more", func() bool {
			return time.Since(load.sent(unwell.edge.addr)) > 300*time.Millisecond
		})
		unwell.off(unwell.edge)
		began = time.Now()
		c.eventually(unwell.edge.name+" is up again", func() bool { return c.state(unwell.edge.name) == "up" })
		t.Logf("%-12s down after %4d ms, up again after %4d ms", unwell.name, took.Milliseconds(), time.Since(began).Milliseconds())
		if took > limit {
			t.Errorf("an edge that is %s was down only after %s", unwell.name, took)
		}
		c.eventually("it gets content again", func() bool {
			return load.sent(unwell.edge.addr).After(began)
		})
	}
	answered(t, load)
	if is, _ := c.metric("caddy_altoroute_edge_state", `edge="a"`, `family="ipv4"`, `state="up"`); is != 1 {
		t.Error("the metric does not show that a is up")
	}
}

// TestCutOff closes every edge: the router goes on, says so, and is back to
// normal by itself. With three sites it suspects itself; with one it panics.
func TestCutOff(t *testing.T) {
	for _, tt := range []struct {
		name, metric, line string
		addresses          []string
	}{
		{"three sites", "caddy_altoroute_suspect_self", "suspect", []string{"127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"}},
		{"one site", "caddy_altoroute_pool_panic", "too few edges are up", []string{"127.0.0.1:0", "127.0.0.1:0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var edges []*edgeProcess
			for i, address := range tt.addresses {
				edges = append(edges, startEdge(t, fmt.Sprintf("e%d", i), address))
			}
			c, addr := startChecked(t, edges...)
			load := startLoad(addr, 2, toAnEdge)
			for _, e := range edges {
				e.kill()
			}
			c.eventually(tt.metric+" is 1", func() bool { is, _ := c.metric(tt.metric); return is == 1 })
			c.eventually("the log says so", func() bool { return strings.Contains(c.log.String(), tt.line) })
			for _, e := range edges {
				_ = startEdge(t, e.name, e.addr)
			}
			c.eventually("all is as before", func() bool {
				is, _ := c.metric(tt.metric)
				up := true
				for _, e := range edges {
					up = up && c.state(e.name) == "up"
				}
				return is == 0 && up
			})
			answered(t, load)
		})
	}
}
