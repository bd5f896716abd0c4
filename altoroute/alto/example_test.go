// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// printer prints a network map, or the costs from PID3, while they are read.
type printer struct{}

func (printer) PID(name string) error         { fmt.Println(name); return nil }
func (printer) Prefix(p netip.Prefix) error   { fmt.Println("  ", p); return nil }
func (printer) Row(src string) bool           { return src == "PID3" }
func (printer) Cost(dst string, cost float64) { fmt.Println("PID3 to", dst, "costs", cost) }

func ExampleReadNetworkMap() {
	info, err := alto.ReadNetworkMap(strings.NewReader(`{
	  "meta": {"vtag": {"resource-id": "my-map", "tag": "da65eca2eb7a10ce"}},
	  "network-map": {
	    "PID1": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"]},
	    "PID2": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}
	  }
	}`), printer{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", info.VersionTag.Tag)
	// Output:
	// PID1
	//    192.0.2.0/24
	//    198.51.100.0/25
	// PID2
	//    0.0.0.0/0
	//    ::/0
	// version da65eca2eb7a10ce
}

func ExampleReadNetworkMap_error() {
	_, err := alto.ReadNetworkMap(strings.NewReader(`{"network-map": {"cc-de": {"ipv4": ["10.0.0.0/33"]}}}`), printer{})
	fmt.Println(err)
	// Output:
	// cc-de
	// network-map/cc-de/ipv4: "10.0.0.0/33" is not an IPv4 prefix: prefix length out of range
}

func ExampleReadCostMap() {
	info, err := alto.ReadCostMap(strings.NewReader(`{
	  "meta": {
	    "dependent-vtags": [{"resource-id": "my-map", "tag": "da65eca2eb7a10ce"}],
	    "cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"}
	  },
	  "cost-map": {
	    "PID1": {"PID1": 1, "PID2": 5},
	    "PID3": {"PID1": 20, "PID2": 15}
	  }
	}`), printer{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Pairs, "pairs in all, for", info.DependentVersionTag)
	// Output:
	// PID3 to PID1 costs 20
	// PID3 to PID2 costs 15
	// 4 pairs in all, for {my-map da65eca2eb7a10ce}
}

func ExampleReadDirectory() {
	base := &url.URL{Scheme: "https", Host: "alto.example.com", Path: "/directory"}
	directory, err := alto.ReadDirectory(strings.NewReader(`{
	  "meta": {"default-alto-network-map": "my-map"},
	  "resources": {
	    "my-map": {"uri": "networkmap", "media-type": "application/alto-networkmap+json"},
	    "old-map": {"uri": "gopher://old.example.com/", "media-type": "application/alto-networkmap+json"}
	  }
	}`), base)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(directory.Resources[directory.DefaultNetworkMap].URI)
	fmt.Println("skipped:", directory.Skipped[0])
	// Output:
	// https://alto.example.com/networkmap
	// skipped: resources/old-map/uri: "gopher://old.example.com/" has the scheme "gopher", only http and https are known
}

func ExampleClient_Get() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
		fmt.Fprint(w, `{"meta":{"vtag":{"resource-id":"m","tag":"1"}},"network-map":{"PID1":{}}}`)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		log.Fatal(err)
	}

	client := &alto.Client{UserAgent: "example"}
	var held alto.Validators
	for range 2 {
		res, err := client.Get(context.Background(), u, alto.MediaTypeNetworkMap, held)
		if err != nil {
			log.Fatal(err)
		}
		held = res.Validators
		if res.NotModified {
			_ = res.Body.Close()
			fmt.Println("still the same")
			continue
		}
		_, err = alto.ReadNetworkMap(res.Body, printer{})
		_ = res.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// PID1
	// still the same
}
