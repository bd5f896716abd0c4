// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"
)

var update = flag.Bool("update", false, "write the example's databases anew")

// example runs an example as it stands, but on ports that the test holds, and
// returns them by the port written in the Caddyfile.
func example(t *testing.T, name string) (*caddy, map[string]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "examples", name, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	ports := make(map[string]string)
	caddyfile := regexp.MustCompile(`:(80\d\d)\b`).ReplaceAllStringFunc(string(content), func(port string) string {
		if ports[port[1:]] == "" {
			ports[port[1:]] = holdPort(t)
		}
		return ":" + ports[port[1:]]
	})
	if len(ports) == 0 {
		t.Fatal("the example listens nowhere")
	}
	c := newCaddy(t)
	c.start(strings.Replace(caddyfile, "{\n", "{\n"+c.expand("{{admin}}\n"), 1))
	return c, ports
}

// fetch asks the server on a loopback address for a URL, as a client, and
// follows redirects like `curl -L`.
func fetch(t *testing.T, loopback, port, url, from string) (first *http.Response, content string) {
	t.Helper()
	c := client(loopback + ":" + port)
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	first, err = c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer := first
	if location, err := first.Location(); err == nil {
		edge := client(loopback + ":" + location.Port())
		if answer, err = edge.Get(location.String()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return first, string(all)
}

func TestEveryExampleIsTested(t *testing.T) {
	tested := map[string]bool{"quickstart": true, "isp": true, "edges": true}
	dirs, err := os.ReadDir("../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && !tested[d.Name()] {
			t.Errorf("nothing runs examples/%s", d.Name())
		}
	}
	// As written they validate, and `caddy fmt` leaves them alone: adapting
	// would warn of it.
	c := newCaddy(t)
	for name := range tested {
		path := filepath.Join("examples", name, "Caddyfile")
		if out, err := c.command("validate", "--config", path).CombinedOutput(); err != nil || bytes.Contains(out, []byte("not formatted")) {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

func TestQuickstart(t *testing.T) {
	c, ports := example(t, "quickstart")
	for _, ask := range []struct{ loopback, client, edge, content string }{
		{"127.0.0.1", "53.0.0.1", "8081", "Frankfurt serves /film.mp4\n"},
		{"127.0.0.1", "133.0.0.1", "8083", "Tokyo serves /film.mp4\n"},
		{"127.0.0.1", "177.40.0.1", "8082", "Ashburn serves /film.mp4\n"},
		{"[::1]", "2400:4000::1", "8083", "Tokyo serves /film.mp4\n"},
		{"[::1]", "2003:100::1", "8081", "Frankfurt serves /film.mp4\n"},
	} {
		first, content := fetch(t, ask.loopback, ports["8080"], "http://localhost:8080/film.mp4?quality=high", ask.client)
		want := "http://localhost:" + ports[ask.edge] + "/film.mp4?quality=high"
		if got := first.Header.Get("Location"); first.StatusCode != http.StatusFound || got != want || content != ask.content {
			t.Errorf("%s: %s to %s, %q", ask.client, first.Status, got, content)
		}
	}
	if first, content := fetch(t, "127.0.0.1", ports["8080"], "http://any.host/a", ""); first.StatusCode != http.StatusFound || content == "" {
		t.Errorf("a client that is nowhere on the map: %s, %q", first.Status, content)
	}
	var explained struct {
		Edge       string
		Candidates []struct {
			Edge string
			Cost *float64
		}
	}
	c.json("/altoroute/explain?client=177.40.0.1&uri=/film.mp4", &explained)
	if explained.Edge != "iad" || len(explained.Candidates) != 3 || *explained.Candidates[1].Cost != 9697.5 {
		t.Errorf("%+v", explained)
	}
}

func TestISP(t *testing.T) {
	c, ports := example(t, "isp")
	for _, ask := range []struct{ site, client, how, pid, content string }{
		{"video", "203.0.113.1", "prefix", "isp_a/metro-north", "Frankfurt serves /film/a/1.ts\n"}, // the ISP's prefix is longer than ours
		{"video", "203.0.113.129", "prefix", "isp_a/metro-south", "Paris serves /film/a/1.ts\n"},
		{"video", "2001:db8:a:8000::1", "prefix", "isp_a/metro-south", "Paris serves /film/a/1.ts\n"},
		{"video", "192.0.2.1", "prefix", "own/cc-de", "Frankfurt serves /film/a/1.ts\n"},
		{"files", "233.252.0.1", "prefix", "own/cc-nl", "Amsterdam serves /files/film/a/1.ts\n"}, // placed by its address
		{"files", "198.18.0.1", "geo", "own/partner", "Amsterdam serves /files/film/a/1.ts\n"},
		{"files", "198.19.0.1", "geo", "own/cc-fr", "Paris serves /files/film/a/1.ts\n"},
		{"files", "2001:db8:f::1", "geo", "own/partner", "Amsterdam serves /files/film/a/1.ts\n"},
		{"video", "100.64.0.1", "default", "own/cc-de", "Frankfurt serves /film/a/1.ts\n"}, // isp_a may not speak for the world
	} {
		_, content := fetch(t, "127.0.0.1", ports["8080"], "http://"+ask.site+".localhost:"+ports["8080"]+"/film/a/1.ts", ask.client)
		if content != ask.content {
			t.Errorf("%s of %s: %q, want %q", ask.site, ask.client, content, ask.content)
		}
		var explained struct {
			Placement struct{ How, Source, PID string }
		}
		c.json("/altoroute/explain?pool="+ask.site+"&client="+ask.client, &explained)
		if p := explained.Placement; p.How != ask.how || p.Source+"/"+p.PID != ask.pid {
			t.Errorf("%s is placed by %s at %s/%s, want %s at %s", ask.client, p.How, p.Source, p.PID, ask.how, ask.pid)
		}
	}
	// An edge's own request is a cache fill: the origin answers.
	if first, content := fetch(t, "127.0.0.1", ports["8080"], "http://files.localhost:"+ports["8080"]+"/a", "233.252.0.10"); first.StatusCode != http.StatusOK || content != "the origin serves /a\n" {
		t.Errorf("a cache fill: %s, %q", first.Status, content)
	}
	first, _ := fetch(t, "127.0.0.1", ports["8080"], "http://video.localhost:"+ports["8080"]+"/a", "192.0.2.1")
	if first.Header.Get("Cache-Control") != "private, max-age=30" || first.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", first.Header)
	}
}

// TestISPDatabases holds the example's databases to the list they are made of.
func TestISPDatabases(t *testing.T) {
	f, err := os.Open("../examples/isp/places.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	made := map[string]*mmdbwriter.Tree{}
	for name, kind := range map[string]string{"country.mmdb": "GeoLite2-Country", "asn.mmdb": "GeoLite2-ASN"} {
		made[name], err = mmdbwriter.New(mmdbwriter.Options{
			DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: 1795478400,
			Description: map[string]string{"en": "Places of the example; see places.txt"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		network := netipx.PrefixIPNet(netip.MustParsePrefix(fields[0]))
		asn, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil {
			err = made["country.mmdb"].Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(fields[1])}})
		}
		if err == nil {
			err = made["asn.mmdb"].Insert(network, mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(asn)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tree := range made {
		var b bytes.Buffer
		if _, err := tree.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("..", "examples", "isp", name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, b.Bytes()) {
			t.Errorf("%s is not what places.txt says: run with -update (%v)", name, err)
		}
	}
}

// TestEdgesExample holds what the example's comments say: where clients go, what
// answers name, what a limit and a report are, and the pin.
func TestEdgesExample(t *testing.T) {
	c, ports := example(t, "edges")
	c.eventually("Ashburn reports what it can do", func() bool {
		capacity, _ := c.metric("caddy_altoroute_edge_capacity_requests_per_second", `edge="iad"`)
		return capacity == 8000
	})
	if capacity, _ := c.metric("caddy_altoroute_edge_capacity_requests_per_second", `edge="fra"`); capacity != 2000 {
		t.Errorf("the capacity of fra is %v", capacity)
	}
	url := "http://localhost:" + ports["8080"] + "/film.mp4"
	for _, tt := range []struct{ url, from, content string }{
		{url, "53.0.0.1", "Frankfurt serves /film.mp4\n"},
		{url + "?failed=fra", "53.0.0.1", "Ashburn serves /film.mp4\n"},
		{url + "?failed=fra,iad,nrt", "53.0.0.1", "the origin serves /film.mp4\n"},
		{url, "192.0.2.1", "Tokyo serves /film.mp4\n"},
	} {
		first, content := fetch(t, "127.0.0.1", ports["8080"], tt.url, tt.from)
		if content != tt.content || len(first.Header["Link"]) != 4 {
			t.Errorf("%s from %s: %q, %q", tt.url, tt.from, content, first.Header["Link"])
		}
	}
}
