// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// worldRow is a row of the world's oracle: the edges that may serve a client,
// none where no cost is defined.
type worldRow struct {
	client, pid string
	edges       []string
}

func worldRows(t testing.TB, dir string) []worldRow {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "clients.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []worldRow
	for _, r := range all[1:] {
		rows = append(rows, worldRow{client: r[0], pid: r[1], edges: strings.Fields(r[3])})
	}
	return rows
}

func worldEdges(t testing.TB, dir string) (lines string, names []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "edges.json"))
	if err != nil {
		t.Fatal(err)
	}
	var edges []struct{ Name, URL, PID string }
	if err := json.Unmarshal(b, &edges); err != nil {
		t.Fatal(err)
	}
	for _, e := range edges {
		lines += fmt.Sprintf("edge %s %s %s\n", e.Name, e.URL, e.PID)
		names = append(names, e.Name)
	}
	return lines, names
}

const worldCaddyfile = `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32 ::1/128
	}
	altoroute {
		%s
	}
}
http:// {
	bind fd/3
	altoroute
}
`

// askWorld asks for every row's client and returns how it was placed in
// all, by the edge chosen.
func askWorld(t *testing.T, addr string, rows []worldRow, names []string) (chosen []string) {
	t.Helper()
	c := client(addr)
	mismatches := 0
	for i, row := range rows {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://cdn.example.net/object/%d?v=1", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", row.client)
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		to, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || answer.StatusCode != http.StatusFound {
			t.Fatalf("%s: %d, %v", row.client, answer.StatusCode, err)
		}
		edge, _, _ := strings.Cut(to.Host, ".")
		may := row.edges
		if len(may) == 0 {
			may = names
		}
		if !slices.Contains(may, edge) || to.RequestURI() != r.URL.RequestURI() {
			if mismatches++; mismatches <= 5 {
				t.Errorf("%s (%s) goes to %s, want one of %v", row.client, row.pid, to, may)
			}
		}
		chosen = append(chosen, edge)
	}
	if mismatches > 0 {
		t.Errorf("%d of %d rows mismatch", mismatches, len(rows))
	}
	return chosen
}

func TestWorldByPrefix(t *testing.T) {
	dir := world(t)
	rows := worldRows(t, dir)
	edges, names := worldEdges(t, dir)
	l := listen(t, "127.0.0.1:0")
	caddyfile := fmt.Sprintf(worldCaddyfile, "maps "+dir+"/networkmap.json.gz "+dir+"/costmap.json.gz\n"+edges)
	c := startCaddy(t, caddyfile, l)
	first := askWorld(t, l.Addr().String(), rows, names)
	if again := askWorld(t, l.Addr().String(), rows, names); !slices.Equal(first, again) {
		t.Error("the same requests were answered differently the second time")
	}
	for placement, want := range map[string]bool{"prefix": true, "geo": false} {
		if n, _ := c.metric("caddy_altoroute_decisions_total", `placement="`+placement+`"`); n > 0 != want {
			t.Errorf("%v decisions by %s", n, placement)
		}
	}
	// Another process chooses the same edges.
	l2 := listen(t, "[::1]:0")
	startCaddy(t, caddyfile, l2)
	if other := askWorld(t, l2.Addr().String(), rows, names); !slices.Equal(first, other) {
		t.Error("two processes disagree")
	}
	// Ties are split by content key and a key stays where it is.
	seen := make(map[string]bool)
	for i, row := range rows {
		if slices.Equal(row.edges, []string{"iad", "sjc"}) {
			seen[first[i]] = true
		}
	}
	if !seen["iad"] || !seen["sjc"] {
		t.Errorf("the tie of iad and sjc is not split: %v", seen)
	}
}

func TestWorldByGeo(t *testing.T) {
	dir := world(t)
	rows := worldRows(t, dir)
	edges, names := worldEdges(t, dir)
	var document struct {
		Meta       json.RawMessage                `json:"meta"`
		NetworkMap map[string]map[string][]string `json:"network-map"`
	}
	readGzip(t, filepath.Join(dir, "networkmap.json.gz"), &document)
	for pid, addresses := range document.NetworkMap {
		for family, prefixes := range addresses {
			addresses[family] = slices.DeleteFunc(prefixes, func(p string) bool { return !strings.HasSuffix(p, "/0") })
		}
		document.NetworkMap[pid] = addresses
	}
	emptied, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, "127.0.0.1:0")
	c := newCaddy(t)
	write(t, filepath.Join(c.dir, "networkmap.json"), string(emptied))
	c.start(c.expand(fmt.Sprintf(worldCaddyfile, "maps {{dir}}/networkmap.json "+dir+"/costmap.json.gz\n"+
		"geo "+dir+"/country.mmdb {\ncountry * cc-{country}\n}\n"+edges)), l)
	first := askWorld(t, l.Addr().String(), rows, names)
	hits, _ := c.metric("caddy_altoroute_geo_cache_hits_total")
	misses, _ := c.metric("caddy_altoroute_geo_cache_misses_total")
	if again := askWorld(t, l.Addr().String(), rows, names); !slices.Equal(first, again) {
		t.Error("the second pass differs from the first")
	}
	hitsAfter, _ := c.metric("caddy_altoroute_geo_cache_hits_total")
	missesAfter, _ := c.metric("caddy_altoroute_geo_cache_misses_total")
	if missesAfter != misses || hitsAfter-hits < float64(len(rows)) {
		t.Errorf("the second pass made %v hits and %v misses, want %d and 0", hitsAfter-hits, missesAfter-misses, len(rows))
	}
	if n, _ := c.metric("caddy_altoroute_decisions_total", `placement="geo"`); n == 0 {
		t.Error("no decision by geo")
	}
	if n, _ := c.metric("caddy_altoroute_decisions_total", `placement="prefix"`); n != 0 {
		t.Errorf("%v decisions by prefix", n)
	}
}
