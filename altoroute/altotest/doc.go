// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package altotest is the other side: an ALTO server (RFC 7285) in memory for
// tests and examples. What it serves is made of Go values, and a test can have
// any resource of it lie, stall or break.
//
//	server := altotest.Start(t)
//	server.Publish(altotest.Guidance{
//		Default:     "net",
//		NetworkMaps: []altotest.NetworkMap{{ID: "net", Tag: "1", PIDs: map[string][]string{"a": {"192.0.2.0/24"}}}},
//		CostMaps:    []altotest.CostMap{{ID: "cost", DependsOn: alto.VersionTag{ResourceID: "net", Tag: "1"}, …}},
//	})
//	server.Misbehave(altotest.CostMapPath("cost"), altotest.Status(http.StatusServiceUnavailable))
package altotest
