// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"time"

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

func ExampleClient_Post() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.Method, string(body))
		w.Header().Set("Content-Type", alto.MediaTypeCostMap)
		w.Header().Set("Cache-Control", "max-age=300")
		fmt.Fprint(w, `{"meta":{"dependent-vtags":[{"resource-id":"m","tag":"1"}],
			"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}},"cost-map":{"PID3":{"PID1":20}}}`)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		log.Fatal(err)
	}

	filter := alto.CostMapFilter{
		CostType: alto.CostType{Mode: "numerical", Metric: "routingcost"},
		Sources:  []string{"PID3"}, Destinations: []string{"PID2", "PID1"},
	}
	body, err := filter.Body()
	if err != nil {
		log.Fatal(err)
	}
	client := &alto.Client{Credentials: &alto.Credentials{
		Scheme: alto.AuthDigest, Username: "router", Password: "secret", For: []*url.URL{u},
	}}
	res, err := client.Post(context.Background(), u, body, alto.MediaTypeCostMapFilter, alto.MediaTypeCostMap, alto.Validators{})
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := alto.ReadCostMap(res.Body, printer{}); err != nil {
		log.Fatal(err)
	}
	fresh, _ := res.FreshFor(time.Now())
	fmt.Println("fresh for", fresh.Round(time.Minute))
	// Output:
	// POST {"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"},"pids":{"srcs":["PID3"],"dsts":["PID1","PID2"]}}
	// PID3 to PID1 costs 20
	// fresh for 5m0s
}

func ExampleReadClosure() {
	documents := map[string]string{
		"https://alto.example.com/directory": `{"meta": {"default-alto-network-map": "my-map"}, "resources": {
			"my-map": {"uri": "networkmap", "media-type": "application/alto-networkmap+json"},
			"more": {"uri": "https://custom.example.com/maps", "media-type": "application/alto-directory+json"},
			"old": {"uri": "https://old.example.com/", "media-type": "application/alto-directory+json"}}}`,
		"https://custom.example.com/maps": `{"meta": {"cost-types": {"hops": {"cost-mode": "numerical", "cost-metric": "hopcount"}}}, "resources": {
			"my-costs": {"uri": "costmap", "media-type": "application/alto-costmap+json", "uses": ["my-map"],
				"capabilities": {"cost-type-names": ["hops"]}}}}`,
	}
	// Commonly the method Directory of a Client, or one that remembers.
	read := func(_ context.Context, u *url.URL) (*alto.Directory, error) {
		document, ok := documents[u.String()]
		if !ok {
			return nil, errors.New("the answer has status 404 Not Found")
		}
		return alto.ReadDirectory(strings.NewReader(document), u)
	}
	root := &url.URL{Scheme: "https", Host: "alto.example.com", Path: "/directory"}
	closure, err := alto.ReadClosure(context.Background(), root, read)
	if err != nil {
		log.Fatal(err)
	}
	for _, costs := range closure.CostMaps(closure.DefaultNetworkMap, alto.CostType{Mode: "numerical", Metric: "hopcount"}) {
		fmt.Println(costs.URI)
	}
	fmt.Println("skipped:", closure.Skipped[0])
	// Output:
	// https://custom.example.com/costmap
	// skipped: directory https://alto.example.com/directory: resources/old: the nested directory is left out: the answer has status 404 Not Found
}
