// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/geo"
)

func Example() {
	dir, err := os.MkdirTemp("", "geo")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "Country.mmdb")
	if err := writeExample(path); err != nil {
		fmt.Println(err)
		return
	}

	db, err := geo.New(geo.Config{
		Files: []string{path},
		Rules: []geo.Rule{
			{Kind: geo.Country, Match: "*", PID: altoroute.SourcePID{Source: "own", PID: "cc-{country}"}},
			{Kind: geo.Continent, Match: "eu", PID: altoroute.SourcePID{Source: "own", PID: "europe"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A server also calls db.Start and, in the end, db.Stop, so that new files are
	// picked up.
	place := db.Snapshot().Locate(netip.MustParseAddr("192.0.2.1"))
	fmt.Println(place.Country, place.Continent, place.PIDs)
	fmt.Println(db.Snapshot().Locate(netip.MustParseAddr("203.0.113.1")))
	// Output:
	// DE EU [own/cc-de own/europe]
	// <nil>
}

// writeExample makes the database that a user would download.
func writeExample(path string) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "GeoLite2-Country", IncludeReservedNetworks: true,
	})
	if err != nil {
		return err
	}
	_, network, err := net.ParseCIDR("192.0.2.0/24")
	if err != nil {
		return err
	}
	if err := tree.Insert(network, mmdbtype.Map{
		"country":   mmdbtype.Map{"iso_code": mmdbtype.String("DE")},
		"continent": mmdbtype.Map{"code": mmdbtype.String("EU")},
	}); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := tree.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}
