// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute_test

import (
	"fmt"
	"log"
	"net/netip"
	"net/url"

	"github.com/altoroute/caddy-alto/altoroute"
)

// A network map and a cost map, made by hand, decide where a client is sent.
func Example() {
	edge := func(name, pid string) altoroute.Edge {
		u, err := altoroute.ParseEdgeURL("https://" + name + ".cdn.example.net")
		if err != nil {
			log.Fatal(err)
		}
		return altoroute.Edge{Name: name, URL: u, PIDs: []altoroute.SourcePID{{PID: pid}}}
	}
	router, err := altoroute.New(altoroute.Config{
		Sources: []altoroute.Source{{Name: "own"}},
		Edges:   []altoroute.Edge{edge("fra", "cc-de"), edge("par", "cc-fr")},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := router.Update("own", maps(router)); err != nil {
		log.Fatal(err)
	}

	request := &url.URL{Path: "/film.mp4", RawQuery: "quality=high"}
	decision, err := router.Route(altoroute.Query{
		Client: netip.MustParseAddr("198.51.100.7"), Path: request.Path, RawQuery: request.RawQuery,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decision.How, decision.PID, decision.Prefix)
	fmt.Println(decision.Reason, decision.Cost, decision.Location(request))
	// Output:
	// prefix cc-nl 198.51.100.0/24
	// cheapest 360 https://fra.cdn.example.net/film.mp4?quality=high
}

// maps says that the clients are in the Netherlands, from where Frankfurt is
// cheaper to reach than Paris.
func maps(router *altoroute.Router) *altoroute.Maps {
	var network altoroute.NetworkMapBuilder
	for pid, prefix := range map[string]string{"cc-de": "192.0.2.0/24", "cc-fr": "203.0.113.0/24", "cc-nl": "198.51.100.0/24"} {
		if err := network.PID(pid); err != nil {
			log.Fatal(err)
		}
		if err := network.Prefix(netip.MustParsePrefix(prefix)); err != nil {
			log.Fatal(err)
		}
	}
	version := altoroute.VersionTag{ResourceID: "own-view", Tag: "1"}
	n, err := network.Build(version)
	if err != nil {
		log.Fatal(err)
	}
	costs := altoroute.NewCostMapBuilder(n, router.Rows("own", n))
	for src, cost := range map[string]float64{"cc-de": 360, "cc-fr": 430} {
		costs.Row(src)
		costs.Cost("cc-nl", cost)
	}
	c, err := costs.Build(altoroute.CostInfo{Mode: "numerical", Metric: "routingcost"}, version, 2)
	if err != nil {
		log.Fatal(err)
	}
	return &altoroute.Maps{Network: n, Costs: []*altoroute.CostMap{c}}
}
