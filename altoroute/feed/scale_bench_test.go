// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bufio"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// BenchmarkFlowDirectorSize updates maps of the size that the largest ALTO
// deployment known has published: 250,000 prefixes in 1,700 PIDs and a cost map
// of 1.3 million pairs. It reports by how much the heap grows meanwhile.
func BenchmarkFlowDirectorSize(b *testing.B) {
	const pids, prefixes, pairs = 1700, 250_000, 1_300_000
	dir := b.TempDir()
	network, costs := filepath.Join(dir, "network.json"), filepath.Join(dir, "cost.json")
	version := 0
	publish := func() {
		version++
		writeNetwork(b, network, version, pids, prefixes)
		writeCosts(b, costs, version, pids, pairs)
	}
	publish()
	var edges []altoroute.Edge
	for i := range 20 {
		name := fmt.Sprintf("e%d", i)
		edges = append(edges, altoroute.Edge{Name: name, URL: &url.URL{Scheme: "https", Host: name + ".example.net"}, PIDs: []altoroute.SourcePID{{PID: fmt.Sprintf("pid-aggregation-%d", 80*i)}}})
	}
	r, err := altoroute.New(altoroute.Config{Sources: []altoroute.Source{{Name: "own"}}, Edges: edges})
	if err != nil {
		b.Fatal(err)
	}
	f, err := New(Config{Name: "own", Files: []string{network, costs}})
	if err != nil {
		b.Fatal(err)
	}
	_, err = f.Watch(For(r, "own"))
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	idle := heap()
	var peak uint64
	for b.Loop() {
		b.StopTimer()
		publish()
		runtime.GC()
		stop := watchHeap(&peak)
		b.StartTimer()
		if err := turn(b.Context(), f); err != nil {
			b.Fatal(err)
		}
		stop()
	}
	for _, path := range []string{network, costs} {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, filepath.Base(path)+"-MB")
	}
	b.ReportMetric(float64(peak-idle)/1e6, "peak-MB-over-idle")
	b.ReportMetric(float64(idle)/1e6, "idle-MB")
	runtime.KeepAlive(r)
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// watchHeap notes the greatest heap seen until it is stopped.
func watchHeap(peak *uint64) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(time.Millisecond); ; {
			*peak = max(*peak, heap())
			select {
			case <-quit:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

func writeNetwork(b *testing.B, path string, version, pids, prefixes int) {
	writeDocument(b, path, func(w *bufio.Writer) {
		fmt.Fprintf(w, `{"meta":{"vtag":{"resource-id":"net","tag":"%d"}},"network-map":{`, version)
		for pid := range pids {
			if pid > 0 {
				w.WriteByte(',')
			}
			fmt.Fprintf(w, `"pid-aggregation-%d":{"ipv4":[`, pid)
			for i := pid; i < prefixes; i += pids {
				if i > pid {
					w.WriteByte(',')
				}
				a := netip.AddrFrom4([4]byte{byte(1 + i>>16), byte(i >> 8), byte(i)})
				fmt.Fprintf(w, `"%s/24"`, a)
			}
			w.WriteString("]}")
		}
		w.WriteString("}}")
	})
}

func writeCosts(b *testing.B, path string, version, pids, pairs int) {
	writeDocument(b, path, func(w *bufio.Writer) {
		fmt.Fprintf(w, `{"meta":{"dependent-vtags":[{"resource-id":"net","tag":"%d"}],"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}},"cost-map":{`, version)
		for src := range pids {
			if src > 0 {
				w.WriteByte(',')
			}
			fmt.Fprintf(w, `"pid-aggregation-%d":{`, src)
			for i := range pairs / pids {
				if i > 0 {
					w.WriteByte(',')
				}
				dst := (src + 2*i) % pids
				fmt.Fprintf(w, `"pid-aggregation-%d":%d.%06d`, dst, (src*7+dst*13+version)%5000, (src*dst)%1_000_000)
			}
			w.WriteByte('}')
		}
		w.WriteString("}}")
	})
}

func writeDocument(b *testing.B, path string, content func(*bufio.Writer)) {
	b.Helper()
	file, err := os.Create(path + ".new")
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(file)
	content(w)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		b.Fatal(err)
	}
}
