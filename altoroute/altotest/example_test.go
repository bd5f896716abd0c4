// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// A server serves what it is given, until it is told to misbehave.
func Example() {
	server := altotest.New()
	server.Publish(altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{{ID: "net", Tag: "1", PIDs: map[string][]string{"cc-de": {"192.0.2.0/24"}}}},
	})
	ask := func() {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, altotest.NetworkMapPath("net"), nil))
		fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	}
	ask()
	server.Misbehave(altotest.NetworkMapPath("net"), altotest.HTML())
	ask()
	// Output:
	// 200 application/alto-networkmap+json
	// 200 text/html; charset=utf-8
}
