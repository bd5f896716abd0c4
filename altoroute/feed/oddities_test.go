// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"net/http"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// A map that calls itself by another id than the directory is another map.
func TestForeignMapIsRefused(t *testing.T) {
	server, s := serve(t)
	s.wants("1 num1", Fresh, "")
	foreign := network("1")
	foreign.ID = "evil"
	server.Misbehave(netPath, func(w http.ResponseWriter, _ *http.Request, _ altotest.Exchange) {
		w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
		_ = altotest.WriteNetworkMap(w, foreign)
	})
	s.wants("1 num1", Stale, `"evil"`)
	server.Misbehave(netPath, nil)
	s.wants("1 num1", Fresh, "")
}

// While a file is written in place it is cut off elsewhere at each look. That
// is one fault, told once and with its remedy.
func TestFileWrittenSlowly(t *testing.T) {
	d, s := twoFiles(t, "a")
	s.wants("1 num1", Fresh, "")
	whole := networkDocument("2")
	for n := 40; n < 90; n += 10 {
		d.put("net", whole[:n])
		s.wants("1 num1", Stale, "write a new file and rename it")
	}
	if n := s.log.count("maps refused"); n != 1 || s.Status().Refusals[Invalid] != 1 {
		t.Errorf("told %d times, counted %v", n, s.Status().Refusals)
	}
}

// Costs of PIDs that there are not may be misspelt: they are ignored, and told.
func TestMisspeltRowsAreTold(t *testing.T) {
	d, s := twoFiles(t, "a")
	misspelt := costs("1", 2, numerical)
	misspelt.Costs["misspelt"] = map[string]float64{"a": 1}
	var b strings.Builder
	d.must(altotest.WriteCostMap(&b, misspelt))
	d.put("cost", []byte(b.String()))
	s.wants("1 num2", Fresh, "")
	if s.log.count("oddities", `"misspelt"`) != 1 && s.log.count("oddities", "misspelt") != 1 {
		t.Error("the row of an unknown PID was not told")
	}
}
