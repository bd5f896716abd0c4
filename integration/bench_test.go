// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkRoutedRequest compares the CPU time that Caddy spends on a routed
// request with that of its own redir with the same kind of Location: one
// process, the same load, in turn. It reports the median of the ratios, which
// is what can be compared between machines.
func BenchmarkRoutedRequest(b *testing.B) {
	dir := world(b)
	edges, _ := worldEdges(b, dir)
	rows := worldRows(b, dir)
	routed, plain := listen(b, "127.0.0.1:0"), listen(b, "127.0.0.1:0")
	c := startCaddy(b, fmt.Sprintf(worldCaddyfile, "maps "+dir+"/networkmap.json.gz "+dir+"/costmap.json.gz\n"+edges)+`
http://plain.example.net {
	bind fd/4
	redir https://fra.edge.example.net{uri}
}
`, routed, plain)
	const perRound = 5000
	var ratios, cpu []float64
	for b.Loop() {
		a := c.cpuOf(func() { pipeline(b, routed.Addr().String(), "cdn.example.net", rows, perRound) })
		z := c.cpuOf(func() { pipeline(b, plain.Addr().String(), "plain.example.net", rows, perRound) })
		ratios = append(ratios, a/z)
		cpu = append(cpu, a/perRound*1e6)
	}
	b.ReportMetric(median(ratios), "cpu-vs-redir")
	b.ReportMetric(median(cpu), "cpu-µs/request")
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// cpuOf returns the CPU seconds that the process spends while f runs.
func (c *caddy) cpuOf(f func()) float64 {
	before := c.cpu()
	f()
	return c.cpu() - before
}

// cpu returns the process's CPU time in seconds, by the scheduler's account,
// which is exact to the nanosecond.
func (c *caddy) cpu() float64 {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	var sum float64
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", c.cmd.Process.Pid, task.Name()))
		if err != nil {
			c.t.Fatal(err)
		}
		ns, err := strconv.ParseFloat(strings.Fields(string(stat))[0], 64)
		if err != nil {
			c.t.Fatal(err)
		}
		sum += ns / 1e9
	}
	return sum
}

// BenchmarkSwapUnderLoad measures the latency of requests while the world map
// is read anew without pause, beside that without any update.
func BenchmarkSwapUnderLoad(b *testing.B) {
	dir := world(b)
	edges, _ := worldEdges(b, dir)
	rows := worldRows(b, dir)
	c := newCaddy(b)
	publish := func() {
		for _, name := range []string{"networkmap.json.gz", "costmap.json.gz"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				b.Fatal(err)
			}
			write(b, filepath.Join(c.dir, name), string(content))
		}
	}
	publish()
	l := listen(b, "127.0.0.1:0")
	c.start(c.expand(fmt.Sprintf(worldCaddyfile, "maps {{dir}}/networkmap.json.gz {{dir}}/costmap.json.gz {\nrefresh 1s\n}\n"+edges)), l)
	var idle, swapping []time.Duration
	for b.Loop() {
		idle = append(idle, latencies(b, l.Addr().String(), rows, nil)...)
		swapping = append(swapping, latencies(b, l.Addr().String(), rows, publish)...)
	}
	reads, _ := c.metric("caddy_altoroute_document_reads_total", "networkmap")
	b.ReportMetric(reads-1, "swaps")
	for _, m := range []struct {
		name string
		all  []time.Duration
	}{{"idle", idle}, {"swapping", swapping}} {
		slices.Sort(m.all)
		b.ReportMetric(float64(m.all[len(m.all)*99/100].Microseconds()), "p99-µs-"+m.name)
		b.ReportMetric(float64(m.all[len(m.all)*999/1000].Microseconds()), "p99.9-µs-"+m.name)
	}
	b.ReportMetric(0, "ns/op")
}

// latencies asks for five seconds over one connection, while meanwhile is
// called each second.
func latencies(b *testing.B, addr string, rows []worldRow, meanwhile func()) []time.Duration {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var all []time.Duration
	start := time.Now()
	for next := start; time.Since(start) < 5*time.Second; {
		if meanwhile != nil && time.Now().After(next) {
			meanwhile()
			next = next.Add(time.Second)
		}
		before := time.Now()
		_, err := fmt.Fprintf(conn, "GET /a HTTP/1.1\r\nHost: cdn.example.net\r\nX-Forwarded-For: %s\r\n\r\n", rows[len(all)%len(rows)].client)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != http.StatusFound {
			b.Fatal(answer, err)
		}
		_ = answer.Body.Close()
		all = append(all, time.Since(before))
	}
	return all
}

// pipeline sends requests over one connection, one at a time.
func pipeline(b *testing.B, addr, host string, rows []worldRow, n int) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for i := range n {
		_, err := fmt.Fprintf(conn, "GET /object/%d HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\n\r\n", i, host, rows[i%len(rows)].client)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			b.Fatal(err)
		}
		if answer.StatusCode != http.StatusFound {
			b.Fatal(answer.Status)
		}
		_ = answer.Body.Close()
	}
}
