// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// Whatever can be wrong with any document: the set in force stays, the fault is
// counted and logged once, with the document's name, and it is over when the server is
// honest again.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	kinds := []struct{ name, path, mediaType string }{
		{"directory", altotest.DirectoryPath, alto.MediaTypeDirectory},
		{"network map", netPath, alto.MediaTypeNetworkMap},
		{"cost map", costPath, alto.MediaTypeCostMap},
		{"filtered cost map", filteredPath, alto.MediaTypeCostMap},
	}
	met := 0
	for _, fault := range altotest.Faults() {
		for _, kind := range kinds {
			if !fault.On(kind.mediaType) {
				continue
			}
			met++
			t.Run(fault.Name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				meetFault(t, &fault, kind.path)
			})
		}
	}
	if met < 200 {
		t.Errorf("only %d faults were met", met)
	}
}

func meetFault(t *testing.T, fault *altotest.Fault, path string) {
	t.Helper()
	publish := guidance
	if path == filteredPath {
		publish = func(tag string, ab float64) altotest.Guidance {
			g := filtered(tag, ab)
			g.CostMaps = nil // which would stand in for it
			return g
		}
	}
	server, h := altotest.Start(t), new(heard)
	server.Publish(publish("1", 1))
	s := follow(t, server, Config{Notify: h.add})
	s.wants("1 num1", Fresh, "")
	before := s.Maps()

	server.Publish(publish("2", 2))
	server.Misbehave(path, fault.Behavior)
	if fault.NeedsTimeout {
		s.cfg.Client.Timeout = 300 * time.Millisecond
	}
	if fault.NeedsMaxBody {
		s.cfg.Client.MaxBody = 1 << 20
	}
	for range 2 {
		s.wants("1 num1", Stale, server.URL+path)
	}
	status := s.Status()
	if s.Maps() != before || s.times() != 1 || status.Held != nil || h.kinds() != "updated 1" {
		t.Errorf("told %d times, held %v", s.times(), status.Held)
	}
	counted := uint64(0)
	for _, n := range status.Refusals {
		counted += n
	}
	if reason := refusalOf(status.Err); counted != 1 || status.Refusals[reason] != 1 || !fault.Content && reason.ofContent() {
		t.Errorf("counted %v", status.Refusals)
	}
	// A directory may tell more of its entries.
	n := s.log.count("ERROR", server.URL+path) + s.log.count("WARN", server.URL+path) - s.log.count("WARN directory is not in order")
	if n != 1 || s.log.count("maps refused", server.URL+path) != 1 {
		t.Errorf("%d lines: %s", n, strings.Join(s.log.lines, "\n"))
	}

	server.Misbehave(path, nil)
	s.forced.Store(true) // whatever it has said of when to ask again
	s.cfg.Client.Timeout, s.cfg.Client.MaxBody = 0, 0
	for range 2 {
		s.wants("2 num2", Fresh, "")
	}
	if s.times() != 2 || s.log.count("recovered") != 1 {
		t.Errorf("told %d times, %d recoveries", s.times(), s.log.count("recovered"))
	}
}
