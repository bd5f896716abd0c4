// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestMain gives all tests a data directory of their own.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ar")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_DATA_HOME", dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A folder holds a test's files. What is put there looks as if it had been
// there for a while, each version at another time, so that the file system's
// clock does not decide whether it is read again.
type folder struct {
	t    testing.TB
	path string
	time time.Time
}

// newFolder returns a folder with maps, net.json and cost.json, and a database,
// geo.mmdb.
func newFolder(t testing.TB) *folder {
	t.Helper()
	// Not t.TempDir, whose path is too long for a socket and holds the test's
	// name, in which words are found that errors should say.
	path, err := os.MkdirTemp("", "ar") //nolint:usetesting // see above
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	f := &folder{t: t, path: path, time: time.Now().Add(-24 * time.Hour)}
	f.put("net.json", networkDocument(network("1")))
	f.put("cost.json", costDocument(costs("1")))
	f.put("geo.mmdb", database(t, "GeoLite2-Country", map[string]mmdbtype.Map{
		"192.0.2.128/25":  {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}},
		"2001:db8:c::/48": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
	}))
	return f
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// put replaces a file by renaming.
func (f *folder) put(name string, content []byte) {
	f.t.Helper()
	f.time = f.time.Add(time.Second)
	fresh := f.file(".new")
	must(f.t, os.WriteFile(fresh, content, 0o600))
	must(f.t, os.Chtimes(fresh, f.time, f.time))
	must(f.t, os.Rename(fresh, f.file(name)))
}

// expand puts the folder's path in the place of {{dir}}.
func (f *folder) expand(s string) string { return strings.ReplaceAll(s, "{{dir}}", f.path) }

// quiet are options for a Caddy that leaves nothing behind and says nothing.
const quiet = `
	admin off
	persist_config off
	storage file_system {{dir}}/storage
	log {
		output discard
	}
`

// config returns the configuration of a Caddyfile with a global block of
// options and of ours, and a site that uses the latter by a directive.
func (f *folder) config(options, ours, site string) []byte {
	f.t.Helper()
	input := "{\n" + options + "altoroute {\n" + ours + "\n}\n}\n" + site
	made, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(f.expand(input)), nil)
	must(f.t, err)
	return made
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var numerical = alto.CostType{Mode: "numerical", Metric: "routingcost"}

// network is the network map of most tests. The PID idle has no addresses, and
// no costs; those of lonely have no costs either.
func network(tag string) altotest.NetworkMap {
	return altotest.NetworkMap{ID: "net", Tag: tag, PIDs: map[string][]string{
		"cc-de":  {"203.0.113.0/25", "2001:db8:a::/48"},
		"cc-fr":  {"203.0.113.128/25", "2001:db8:b::/48"},
		"cc-nl":  {"198.51.100.0/24"},
		"lonely": {"2001:db8:f::/48"},
		"rest":   {"0.0.0.0/0"},
		"idle":   {},
	}}
}

// costs is the cost map of that network map.
func costs(tag string) altotest.CostMap {
	return altotest.CostMap{
		ID: "cost", DependsOn: alto.VersionTag{ResourceID: "net", Tag: tag}, Type: numerical,
		Costs: map[string]map[string]float64{
			"cc-de": {"cc-de": 0, "cc-fr": 10, "cc-nl": 2.5, "rest": 7},
			"cc-fr": {"cc-de": 10, "cc-fr": 0, "rest": 9},
		},
	}
}

func guidance(tag string) altotest.Guidance {
	return altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{network(tag)},
		CostMaps:    []altotest.CostMap{costs(tag)},
	}
}

func networkDocument(m altotest.NetworkMap) []byte {
	var b bytes.Buffer
	_ = altotest.WriteNetworkMap(&b, m) // a buffer takes all
	return b.Bytes()
}

func costDocument(m altotest.CostMap) []byte {
	var b bytes.Buffer
	_ = altotest.WriteCostMap(&b, m)
	return b.Bytes()
}

// database returns a MaxMind database.
func database(t testing.TB, kind string, networks map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true})
	must(t, err)
	for cidr, record := range networks {
		_, n, err := net.ParseCIDR(cidr)
		must(t, err)
		must(t, tree.Insert(n, record))
	}
	var b bytes.Buffer
	_, err = tree.WriteTo(&b)
	must(t, err)
	return b.Bytes()
}

// pooled returns how many feeds and databases are in the pools.
func pooled() (n int) {
	count := func(any, any) bool { n++; return true }
	feeds.Range(count)
	geoDBs.Range(count)
	return n
}

// validate does what `caddy validate` does with a configuration in JSON.
func validate(t testing.TB, config []byte) error {
	t.Helper()
	var cfg caddy.Config
	must(t, caddy.StrictUnmarshalJSON(config, &cfg))
	before := pooled()
	err := caddy.Validate(&cfg)
	if after := pooled(); after != before {
		t.Errorf("%d feeds and databases are left in the pools, %d before", after, before)
	}
	return err
}

// app is a configuration with the app only, in JSON.
func (f *folder) app(t testing.TB, app string) []byte {
	t.Helper()
	config := f.expand(`{"admin": {"disabled": true}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}}, "apps": {"altoroute": ` + app + `}}`)
	if !json.Valid([]byte(config)) {
		t.Fatalf("not JSON: %s", config)
	}
	return []byte(config)
}

// eventually waits for a condition that others bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("it never came to pass: %s", what)
		case <-tick.C:
		}
	}
}
