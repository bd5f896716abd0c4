// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"
)

// versioned returns a pair of maps of one version: clients in 192.0.2.0/24 are
// cheapest from pid-a in odd versions and from pid-b in even ones.
func versioned(version int) (network, costs string) {
	tag := fmt.Sprintf(`{"resource-id":"net","tag":"v%d"}`, version)
	network = `{"meta":{"vtag":` + tag + `},"network-map":{
		"pid-a":{"ipv4":["198.51.100.0/25"]},"pid-b":{"ipv4":["198.51.100.128/25"]},
		"clients":{"ipv4":["192.0.2.0/24"],"ipv6":["2001:db8::/32"]},"placed":{}}}`
	a, b := 1, 2
	if version%2 == 0 {
		a, b = b, a
	}
	costs = fmt.Sprintf(`{"meta":{"dependent-vtags":[%s],"cost-type":{"cost-mode":"numerical","cost-metric":"routingcost"}},
		"cost-map":{"pid-a":{"clients":%d,"placed":%[2]d},"pid-b":{"clients":%d,"placed":%[3]d}}}`, tag, a, b)
	return network, costs
}

// countryDB returns a database in which 203.0.113.0/24 is a country.
func countryDB(t testing.TB, country string) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-Country", RecordSize: 24, IncludeReservedNetworks: true, Description: map[string]string{"en": "test"}})
	if err == nil {
		record := mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}
		err = tree.Insert(netipx.PrefixIPNet(netip.MustParsePrefix("203.0.113.0/24")), record)
	}
	var b strings.Builder
	if err == nil {
		_, err = tree.WriteTo(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const reloadCaddyfile = `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		maps own {{dir}}/net.json {{dir}}/cost.json
		maps still {{dir}}/still-net.json {{dir}}/still-cost.json {
			only 233.252.0.0/24
		}
		geo {{dir}}/country.mmdb {
			country de own/placed
			country fr own/placed
		}
		edge a https://a.example.net own/pid-a still/pid-a
		edge b https://b.example.net own/pid-b still/pid-b
		%s
	}
}
http:// {
	bind fd/3
	altoroute
	header X-Config %d
}
`

func TestReloadsUnderLoad(t *testing.T) {
	const reloads, replacements = 30, 10
	c := newCaddy(t)
	publish := func(version int) {
		network, costs := versioned(version)
		write(t, filepath.Join(c.dir, "net.json"), network)
		write(t, filepath.Join(c.dir, "cost.json"), costs)
		write(t, filepath.Join(c.dir, "country.mmdb"), countryDB(t, []string{"FR", "DE"}[version%2]))
	}
	publish(1)
	network, costs := versioned(1)
	write(t, filepath.Join(c.dir, "still-net.json"), network)
	write(t, filepath.Join(c.dir, "still-cost.json"), costs)
	l := listen(t, "127.0.0.1:0")
	c.start(c.expand(fmt.Sprintf(reloadCaddyfile, "", 0)), l)

	config := 0
	reloadOnce := func(i int) {
		if i%5 == 4 {
			if status, answer := c.reload(fmt.Sprintf(reloadCaddyfile, "edge a https://twice.example.net own/pid-a", -1)); status == http.StatusOK || !strings.Contains(answer, "edge a is already specified") {
				t.Errorf("a broken configuration was answered with %d %s", status, answer)
			}
			return
		}
		config = i + 1
		if status, answer := c.reload(fmt.Sprintf(reloadCaddyfile, "", config)); status != http.StatusOK {
			t.Errorf("reload %d: %d %s", i, status, answer)
		}
	}
	reloadOnce(0) // what a first reload leaves behind is not growth
	goroutines, descriptors := c.goroutines(), c.descriptors()
	load := startLoad(l.Addr().String(), 4, func(to, path string) bool {
		return to == "https://a.example.net"+path || to == "https://b.example.net"+path
	})
	load.reloads.Store(true)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	version := 1
	for i := 1; i <= reloads; i++ {
		<-tick.C
		reloadOnce(i)
		if i%(reloads/replacements) == 0 {
			version++
			publish(version)
		}
	}
	c.eventually("the last maps are in force", func() bool {
		var status struct {
			Sources map[string]struct {
				State      string
				NetworkMap struct{ Tag string } `json:"network_map"`
			}
		}
		c.json("/altoroute/status", &status)
		own := status.Sources["own"]
		return own.NetworkMap.Tag == fmt.Sprintf("v%d", version) && own.State == "fresh"
	})
	answers := load.stop()
	t.Logf("%d requests, %d reloads, %d replacements of the maps", answers, reloads, version-1)
	for _, failure := range load.failures() {
		t.Error(failure)
	}
	if n := load.closed.Load(); n > reloads/10 {
		t.Errorf("%d connections were closed before an answer", n)
	}
	for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
		var decision struct{ Edge string }
		c.json("/altoroute/explain?client="+from, &decision)
		if want := []string{"b", "a"}[version%2]; decision.Edge != want {
			t.Errorf("%s goes to %s by the last maps, want %s", from, decision.Edge, want)
		}
	}
	if answers < 1000 {
		t.Errorf("only %d requests: no load", answers)
	}
	c.checkReads(t, version)
	c.eventually("goroutines and file descriptors are back to what they were", func() bool {
		return c.goroutines() <= goroutines && c.descriptors() <= descriptors
	})
	t.Logf("goroutines: %d then %d, file descriptors: %d then %d", goroutines, c.goroutines(), descriptors, c.descriptors())
	if total, _ := c.metric("caddy_altoroute_decisions_total"); total < float64(answers) {
		t.Errorf("%v decisions counted for %d answers: a counter was lost with a reload", total, answers)
	}
}

// checkReads holds that maps were read when they had changed, and then only.
func (c *caddy) checkReads(t *testing.T, versions int) {
	t.Helper()
	// A file written in the very moment in which it is opened is read once more.
	const again = 3
	for document, most := range map[string]int{
		"/net.json": versions + again, "/still-net.json": 1, "/still-cost.json": 1,
		// Once more each time where we came between two renames.
		"/cost.json": 2*versions + again,
	} {
		reads, _ := c.metric("caddy_altoroute_document_reads_total", document+`"`)
		t.Logf("%s was read %v times", document, reads)
		if int(reads) > most || reads == 0 {
			t.Errorf("%s was read %v times, want at most %d", document, reads, most)
		}
	}
}

func (c *caddy) goroutines() int {
	_, body := c.get("/debug/pprof/goroutine?debug=1")
	match := regexp.MustCompile(`total (\d+)`).FindStringSubmatch(body)
	if match == nil {
		c.t.Fatalf("no goroutine profile: %.200s", body)
	}
	n, _ := strconv.Atoi(match[1])
	return n
}

func (c *caddy) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	return len(entries)
}
