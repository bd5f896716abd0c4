// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed_test

import (
	"fmt"
	"log"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/feed"
)

// A feed reads the maps of a source from files, and keeps a router current for
// as long as it runs.
func Example() {
	u, err := altoroute.ParseEdgeURL("https://fra.cdn.example.net")
	if err != nil {
		log.Fatal(err)
	}
	router, err := altoroute.New(altoroute.Config{
		Sources: []altoroute.Source{{Name: "own"}},
		Edges:   []altoroute.Edge{{Name: "fra", URL: u, PIDs: []altoroute.SourcePID{{PID: "cc-de"}}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	f, err := feed.New(feed.Config{
		Name:  "own",
		Files: []string{"../../examples/quickstart/networkmap.json", "../../examples/quickstart/costmap.json"},
	})
	if err != nil {
		log.Fatal(err)
	}
	stop, err := f.Watch(feed.For(router, "own"))
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	f.Start()
	defer f.Stop()

	d, err := router.Route(altoroute.Query{Client: altoroute.ParseClient("177.40.0.1"), Path: "/film.mp4"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.PID, d.Edge.Name, d.Cost)
	// Output: cc-br fra 9697.5
}
