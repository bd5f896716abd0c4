// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// memory returns how much memory the process has at present, and has had at most, in MB.
func (c *caddy) memory(t *testing.T) (is, peak float64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Skip("there is no /proc")
	}
	of := func(name string) float64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindStringSubmatch(string(status))
		if m == nil {
			t.Fatalf("no %s", name)
		}
		kB, _ := strconv.ParseFloat(m[1], 64)
		return kB / 1e3
	}
	return of("VmRSS"), of("VmHWM")
}

// TestBadServers goes through the ways in which a server can be bad, under load: no
// request fails, memory stays bounded, the status, one line of the log and a metric name
// the cause, and all is well again without hands when the server is.
func TestBadServers(t *testing.T) {
	isp := altotest.Start(t)
	isp.Publish(guidance("v1", "pid-a"))
	l := listen(t, "127.0.0.1:0")
	c := startCaddy(t, fmt.Sprintf(serverCaddyfile, isp.Directory()), l)
	c.eventually("the first maps are in force", func() bool { return c.source("isp").State == "fresh" })
	load := startLoad(l.Addr().String(), 1, func(to, path string) bool { return strings.HasSuffix(to, ".example.net"+path) })
	before, _ := c.memory(t)
	looks := func() float64 { n, _ := c.metric("caddy_altoroute_map_checks_total", `source="isp"`); return n }
	begun := looks()
	c.eventually("some time has passed in which all was well", func() bool { return looks() > begun+3 })
	wellMedian, wellHigh := load.latencies()
	paths := map[string]string{
		altotest.DirectoryPath: alto.MediaTypeDirectory, altotest.NetworkMapPath("net"): alto.MediaTypeNetworkMap, altotest.CostMapPath("cost"): alto.MediaTypeCostMap,
	}
	ways, at := 0, 0
	for _, fault := range altotest.Faults() {
		// What only ends with the client's own limits takes it minutes, and so does what
		// asks for time; package feed has tests of these. The bomb is here for its memory.
		if fault.NeedsTimeout || fault.NeedsMaxBody && fault.Name != "gzip bomb" || strings.HasPrefix(fault.Name, "retry after") {
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			mediaType := paths[path]
			if !fault.On(mediaType) {
				continue
			}
			// Each takes a second or more: all of them where there is time for a soak.
			if at++; os.Getenv(soakVariable) == "" && at%4 != 0 && !fault.NeedsMaxBody {
				continue
			}
			ways++
			refused, _ := c.metric("caddy_altoroute_map_refusals_total", `source="isp"`)
			lines := strings.Count(c.log.String(), `"msg":"maps refused`)
			isp.Misbehave(path, fault.Behavior)
			c.altoroute("source", "isp", "look")
			c.eventually(fault.Name+" of "+path+" is told", func() bool {
				is := c.source("isp")
				return is.State == "stale" && strings.Contains(is.LastError, isp.URL+path)
			})
			is := c.source("isp")
			if is.NetworkMap.Tag != "v1" {
				t.Errorf("%s of %s: %+v", fault.Name, path, is)
			}
			if n, _ := c.metric("caddy_altoroute_map_refusals_total", `source="isp"`); n != refused+1 {
				t.Errorf("%s of %s is counted %v times", fault.Name, path, n-refused)
			}
			if n := strings.Count(c.log.String(), `"msg":"maps refused`) - lines; n != 1 {
				t.Errorf("%s of %s is told in %d lines", fault.Name, path, n)
			}
			isp.Misbehave(path, nil)
			c.eventually("all is well after "+fault.Name+" of "+path, func() bool { return c.source("isp").State == "fresh" })
		}
	}
	answered(t, load)
	after, peak := c.memory(t)
	median, high := load.latencies()
	t.Logf("%d ways to be bad: memory %.0f MB before, %.0f MB after, %.0f MB at most; latency %s (99.9 %%: %s), and %s (%s) while all was well",
		ways, before, after, peak, median, high, wellMedian, wellHigh)
	if ways < 30 || peak > before+256 {
		t.Errorf("%d ways, memory %.0f MB at most", ways, peak)
	}
}
