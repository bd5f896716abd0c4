// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/altoroute/caddy-alto/altoroute/health"
)

// A prober tells whether an edge is up, and what load it reports.
func Example() {
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"load": 0.73, "capacity": 8000}`)
	}))
	defer edge.Close()

	prober := health.New(health.Config{})
	defer prober.Stop()
	target := health.Target{URL: edge.URL + "/health"}
	changed := make(chan struct{}, 1)
	watcher, err := prober.Watch([]health.Target{target}, func() {
		select {
		case changed <- struct{}{}:
		default: // it is going to look anyway
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Stop()
	watcher.Start()

	for range changed {
		status, _ := prober.Status(target)
		if status.State(health.AnyFamily) == health.Up {
			report := status.Report()
			fmt.Println(status.IPv4.State, report.Load, report.Capacity)
			break
		}
	}
	// Output: up 0.73 8000
}
