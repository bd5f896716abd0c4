// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package altotest is the other side: an ALTO server (RFC 7285) in memory for
// tests and examples. What it serves is made of Go values: directories in
// directories, network maps, cost maps, whole and filtered. A test can have any
// resource of it lie, stall or break, have it ask for credentials, take it off
// the network and back, and look at what it was asked.
//
//	server := altotest.Start(t)
//	server.Publish(altotest.Guidance{
//		Default:     "net",
//		NetworkMaps: []altotest.NetworkMap{{ID: "net", Tag: "1", PIDs: map[string][]string{"a": {"192.0.2.0/24"}}}},
//		CostMaps:    []altotest.CostMap{{ID: "cost", DependsOn: alto.VersionTag{ResourceID: "net", Tag: "1"}, …}},
//	})
//	server.Misbehave(altotest.CostMapPath("cost"), altotest.Status(http.StatusServiceUnavailable))
//	server.Authenticate("", &altotest.Digest{User: "cdn", Password: "secret"})
//	server.Stop()
//
// All that can be wrong with a server is in one table, for a test to walk:
//
//	for _, fault := range altotest.Faults() {
//		t.Run(fault.Name, func(t *testing.T) {
//			server.Misbehave(path, fault.Behavior)
//			…
//		})
//	}
package altotest
