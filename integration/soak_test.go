// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// soakVariable says for how long TestSoak runs; by default it is a short one.
const (
	soakVariable = "ALTOROUTE_SOAK"
	soakDefault  = 20 * time.Second
	soakPIDs     = 50
)

var soakEdges = []string{"a", "b", "c", "d"}

// soakCost is the cost from an edge to a client PID in a version: no two edges' are
// equal.
func soakCost(tag string, edge, pid int) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, tag, " ", edge, " ", pid) // a hash takes all
	return float64(h.Sum64()%1000)*10 + float64(edge)
}

// soakOracle returns the cheapest edge.
func soakOracle(tag string, pid int) string {
	best := 0
	for e := range soakEdges {
		if soakCost(tag, e, pid) < soakCost(tag, best, pid) {
			best = e
		}
	}
	return soakEdges[best]
}

func soakGuidance(tag string) altotest.Guidance {
	network := altotest.NetworkMap{ID: "net", Tag: tag, PIDs: make(map[string][]string)}
	costs := make(map[string]map[string]float64)
	for e, name := range soakEdges {
		network.PIDs["edge-"+name] = []string{fmt.Sprintf("198.51.100.%d/32", e)}
		costs["edge-"+name] = make(map[string]float64)
	}
	for i := range soakPIDs {
		pid := fmt.Sprint("clients-", i)
		network.PIDs[pid] = []string{fmt.Sprintf("10.0.%d.0/24", i)}
		for e, name := range soakEdges {
			costs["edge-"+name][pid] = soakCost(tag, e, i)
		}
	}
	return altotest.Guidance{
		Default: "net", NetworkMaps: []altotest.NetworkMap{network},
		CostMaps: []altotest.CostMap{{ID: "cost", DependsOn: network.Version(), Costs: costs, Type: alto.CostType{Mode: "numerical", Metric: "routingcost"}}},
	}
}

const soakCaddyfile = `{
	{{admin}}
	metrics
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		server isp %s {
			refresh 1s
			guard off
		}
		edge a https://a.example.net edge-a
		edge b https://b.example.net edge-b
		edge c https://c.example.net edge-c
		edge d https://d.example.net edge-d
	}
}
http:// {
	bind fd/3
	log {
		output file {{dir}}/access.log {
			roll_disabled
		}
	}
	altoroute
}
`

// TestSoak has a server change all the time and break at random, under load: no request
// fails, each decision is right for the version that it says it is of, and memory does
// not grow.
func TestSoak(t *testing.T) {
	last := soakDefault
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		if last, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	isp := altotest.Start(t)
	isp.Publish(soakGuidance("v0"))
	l := listen(t, "127.0.0.1:0")
	c := startCaddy(t, fmt.Sprintf(soakCaddyfile, isp.Directory()), l)
	c.eventually("the first maps are in force", func() bool { return c.source("isp").State == "fresh" })

	load := startSoak(t, l.Addr().String())
	random := rand.New(rand.NewPCG(1, 2))
	paths := map[string]string{
		altotest.DirectoryPath: alto.MediaTypeDirectory, altotest.NetworkMapPath("net"): alto.MediaTypeNetworkMap, altotest.CostMapPath("cost"): alto.MediaTypeCostMap,
	}
	names := make([]string, 0, len(paths))
	for path := range paths {
		names = append(names, path)
	}
	slices.Sort(names)
	// Without those that take a client minutes, because it waits or is asked to.
	faults := slices.DeleteFunc(altotest.Faults(), func(f altotest.Fault) bool {
		return f.NeedsTimeout || f.NeedsMaxBody || strings.HasPrefix(f.Name, "retry after")
	})
	var heaps []float64 // at the end of each minute
	versions, broken := 0, 0
	begin := time.Now()
	change := time.NewTicker(700 * time.Millisecond)
	defer change.Stop()
	for range change.C {
		took := time.Since(begin)
		if took > last {
			break
		}
		if int(took/time.Minute) > len(heaps) {
			heaps = append(heaps, c.heap())
		}
		versions++
		isp.Publish(soakGuidance(fmt.Sprint("v", versions)))
		for _, path := range names {
			isp.Misbehave(path, nil)
		}
		path := names[random.IntN(len(names))]
		if fault := faults[random.IntN(len(faults))]; random.IntN(2) == 0 && fault.On(paths[path]) {
			broken++
			isp.Misbehave(path, fault.Behavior)
		}
	}
	answered(t, load)
	for _, path := range names {
		isp.Misbehave(path, nil)
	}
	isp.Publish(soakGuidance("end"))
	c.eventually("the last version is in force", func() bool { return c.source("isp").NetworkMap.Tag == "end" })
	heaps = append(heaps, c.heap())
	checked, tags := c.checkSoak(t)
	updates, _ := c.metric("caddy_altoroute_map_updates_total", `source="isp"`)
	refusals, _ := c.metric("caddy_altoroute_map_refusals_total", `source="isp"`)
	t.Logf("%s: %d versions, %d times broken; %v updates, %v refusals; %d decisions of %d versions are right; heap at each minute %.1f MB",
		last, versions, broken, updates, refusals, checked, tags, heaps)
	if tags < int(last.Seconds())/10 || refusals == 0 {
		t.Errorf("%d versions decided, %v were refused", tags, refusals)
	}
	if len(heaps) > 4 && heaps[len(heaps)-1] > 1.1*heaps[2] {
		t.Errorf("the heap grows: %.1f MB", heaps)
	}
}

// startSoak has clients of all PIDs ask.
func startSoak(t *testing.T, addr string) *load {
	t.Helper()
	made := &load{right: func(to, path string) bool { return strings.HasSuffix(to, ".example.net"+path) }}
	for i := range 2 {
		made.wg.Go(func() {
			at := client(addr)
			defer at.CloseIdleConnections()
			for n := i; !made.halt.Load(); n++ {
				if err := made.ask(at, fmt.Sprintf("10.0.%d.%d", n%soakPIDs, n%200+1), fmt.Sprint("/", n)); err != nil {
					made.mu.Lock()
					made.failed = append(made.failed, err.Error())
					made.mu.Unlock()
				}
				made.answers.Add(1)
				time.Sleep(2 * time.Millisecond) // the log of ten minutes has to be read, too
			}
		})
	}
	return made
}

// heap returns the heap of the process in MB, after a collection.
func (c *caddy) heap() float64 {
	c.t.Helper()
	if status, _ := c.get("/debug/pprof/heap?gc=1&debug=1"); status != http.StatusOK {
		c.t.Fatal(status)
	}
	bytes, found := c.metric("go_memstats_heap_alloc_bytes")
	if !found {
		c.t.Fatal("the heap is not told")
	}
	return bytes / 1e6
}

// checkSoak compares what the log says of each request with the oracle.
func (c *caddy) checkSoak(t *testing.T) (checked, tags int) {
	t.Helper()
	file, err := os.Open(filepath.Join(c.dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := make(map[string]bool)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Request struct {
				ClientIP string `json:"client_ip"`
			}
			Altoroute struct{ Edge, Tag, PID string }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		var pid, host int
		if _, err := fmt.Sscanf(line.Request.ClientIP, "10.0.%d.%d", &pid, &host); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		is := line.Altoroute
		if want := soakOracle(is.Tag, pid); is.Edge != want || is.PID != fmt.Sprint("clients-", pid) {
			t.Errorf("a client in %d goes to %s by version %s, want %s: %s", pid, is.Edge, is.Tag, want, lines.Bytes())
		}
		checked++
		seen[is.Tag] = true
	}
	if err := lines.Err(); err != nil || checked == 0 {
		t.Errorf("%d lines, %v", checked, err)
	}
	return checked, len(seen)
}
