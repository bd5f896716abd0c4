// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// wants checks for one line with all the words, or for no error if there are
// no words.
func wants(t *testing.T, err error, words ...string) {
	t.Helper()
	switch {
	case err == nil && len(words) > 0:
		t.Fatalf("accepted, want an error with %q", words)
	case err == nil:
		return
	case len(words) == 0:
		t.Fatalf("refused: %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

const smallest = `
	maps {{dir}}/net.json {{dir}}/cost.json
	edge fra https://fra.cdn.example.net cc-de
	edge par https://par.cdn.example.net cc-fr
`

const site = "http://127.0.0.1:0 {\n\taltoroute\n}\n"

// What only a look at the files shows. Each message names the file, the member
// and the value, or the edge, rule or option that does not fit the maps.
func TestValidateFiles(t *testing.T) {
	tests := []struct {
		name  string
		files map[string][]byte // nil: as they are
		ours  string            // empty: the smallest
		words []string          // none: accepted
	}{
		{name: "in order"},
		{name: "network map missing", ours: strings.Replace(smallest, "net.json", "gone.json", 1), words: []string{"source default", "/gone.json", "no such file"}},
		{name: "network map truncated", files: map[string][]byte{"net.json": networkDocument(network("1"))[:150]}, words: []string{"source default", "/net.json", "unexpected EOF"}},
		{name: "network map of nothing", files: map[string][]byte{"net.json": nil}, words: []string{"/net.json", "empty"}},
		{name: "cost map truncated", files: map[string][]byte{"cost.json": costDocument(costs("1"))[:200]}, words: []string{"source default", "/cost.json", "unexpected EOF"}},
		{name: "cost map for a network map", files: map[string][]byte{"net.json": costDocument(costs("1"))}, words: []string{"/net.json", "cost map", "network map"}},
		{name: "network map for a cost map", files: map[string][]byte{"cost.json": networkDocument(network("1"))}, words: []string{"/cost.json", "cost map", "network map"}},
		{name: "directory for a network map", files: map[string][]byte{"net.json": []byte(`{"meta": {"cost-types": {}}, "resources": {}}`)}, words: []string{"/net.json", "directory"}},
		{name: "HTML for a network map", files: map[string][]byte{"net.json": []byte("<!DOCTYPE html><html>")}, words: []string{"/net.json", "no valid JSON", "'<'"}},
		{name: "network map without prefixes", files: map[string][]byte{"net.json": networkDocument(altotest.NetworkMap{ID: "net", Tag: "1", PIDs: map[string][]string{"cc-de": nil}})}, words: []string{"/net.json", "the map is empty"}},
		{name: "network map without PIDs", files: map[string][]byte{"net.json": networkDocument(altotest.NetworkMap{ID: "net", Tag: "1"})}, words: []string{"/net.json", "the map is empty"}},
		{name: "cost map without costs", files: map[string][]byte{"cost.json": costDocument(altotest.CostMap{DependsOn: costs("1").DependsOn, Type: numerical})}, words: []string{"/cost.json", "the map is empty"}},
		{name: "prefix twice", files: map[string][]byte{"net.json": networkDocument(altotest.NetworkMap{ID: "net", Tag: "1", PIDs: map[string][]string{"cc-de": {"192.0.2.0/24"}, "cc-fr": {"192.0.2.7/24"}}})}, words: []string{"/net.json", "192.0.2.0/24", `"cc-de"`, `"cc-fr"`, "remove it"}},
		{name: "cost map of another version", files: map[string][]byte{"cost.json": costDocument(costs("2"))}, words: []string{"/cost.json", "net", "1", "2", "depends"}},
		{name: "cost type that is not there", ours: strings.Replace(smallest, "cost.json", "cost.json {\ncost hopcount\n}", 1), words: []string{"source default", "hopcount", "routingcost"}},
		{name: "edge in a PID that is not there", ours: smallest + "edge ams https://ams.cdn.example.net cc-at", words: []string{"edge ams", "source default", `"cc-at"`, "net@1"}},
		{name: "two faults", ours: smallest + "edge ams https://ams.cdn.example.net cc-at\ndefault_pid cc-be", words: []string{"edge ams", `"cc-at"`, "default_pid", `"cc-be"`}},
		{name: "edge in a PID without addresses", ours: smallest + "edge ams https://ams.cdn.example.net idle"},
		{name: "edge placed by an address", ours: smallest + "edge ams https://ams.cdn.example.net {\naddr 198.51.100.1\n}"},
		{name: "default PID that is not there", ours: smallest + "default_pid cc-at", words: []string{"default_pid", "source default", `"cc-at"`}},
		{name: "default PID without addresses", ours: smallest + "default_pid idle"},
		{name: "rule for a PID that is not there", ours: smallest + "geo {{dir}}/geo.mmdb {\ncountry at cc-at\n}", words: []string{"geo", "country at", `"cc-at"`}},
		{name: "rule for any PID", ours: smallest + "geo {{dir}}/geo.mmdb {\ncountry * cc-{country}\n}"},
		{name: "database missing", ours: smallest + "geo {{dir}}/gone.mmdb", words: []string{"geo database", "/gone.mmdb", "no such file", "put a MaxMind database there"}},
		{name: "database that is none", ours: smallest + "geo {{dir}}/net.json", words: []string{"geo database", "/net.json", "not a MaxMind database"}},
		{name: "database of another kind", files: map[string][]byte{"geo.mmdb": database(t, "GeoIP2-Anonymous-IP", map[string]mmdbtype.Map{"192.0.2.0/24": {"is_anonymous": mmdbtype.Bool(true)}})}, ours: smallest + "geo {{dir}}/geo.mmdb", words: []string{"/geo.mmdb", "GeoIP2-Anonymous-IP", "use a"}},
		{name: "database without a usable field", files: map[string][]byte{"geo.mmdb": database(t, "GeoLite2-Country", map[string]mmdbtype.Map{"192.0.2.0/24": {"colour": mmdbtype.String("green")}})}, ours: smallest + "geo {{dir}}/geo.mmdb", words: []string{"/geo.mmdb", "none of its records", "use a"}},
		{name: "rule that no database answers", ours: smallest + "geo {{dir}}/geo.mmdb {\nasn 64500 cc-de\n}", words: []string{"asn 64500", "no database knows AS numbers", "add an ASN"}},
		{name: "database twice", ours: smallest + "geo {{dir}}/geo.mmdb {{dir}}/geo.mmdb", words: []string{"/geo.mmdb", "twice"}},
		{name: "server that nobody asks", ours: "server https://alto.example.net/directory\nedge fra https://fra.cdn.example.net cc-at"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			for name, content := range test.files {
				f.put(name, content)
			}
			ours := test.ours
			if ours == "" {
				ours = smallest
			}
			wants(t, validate(t, f.config(quiet, ours, site)), test.words...)
		})
	}
}

// JSON has the power of the Caddyfile and gets the same checks, which name the
// source, edge or pool.
func TestValidateJSON(t *testing.T) {
	const sources = `"sources": [{"files": ["{{dir}}/net.json", "{{dir}}/cost.json"]}]`
	const edges = `"edges": [{"name": "fra", "url": "https://fra.cdn.example.net", "pids": ["cc-de"]}]`
	edge := func(members string) string {
		return `{` + sources + `, "edges": [{"name": "fra", "url": "https://fra.cdn.example.net", "pids": ["cc-de"], ` + members + `}]}`
	}
	source := func(source string) string { return `{"sources": [` + source + `], ` + edges + `}` }
	more := func(members string) string { return `{` + sources + `, ` + edges + `, ` + members + `}` }
	const files = `"files": ["{{dir}}/net.json", "{{dir}}/cost.json"]`
	tests := []struct {
		name  string
		app   string
		words []string
	}{
		{"smallest", more(`"cdn_id": "x"`), nil},
		{"null pool", more(`"pools": {"video": null}`), nil},
		{"no source", `{"edges": [{"name": "fra", "url": "https://fra.cdn.example.net", "addresses": ["192.0.2.1"]}]}`, nil},
		{"nothing", `{}`, []string{"no edges"}},
		{"null source", source(`null`), []string{"sources", "null"}},
		{"null edge", `{` + sources + `, "edges": [null]}`, []string{"edges", "null"}},
		{"source of nothing", source(`{"name": "own"}`), []string{"source own", "files or a server"}},
		{"source of both", source(`{` + files + `, "servers": ["https://alto.example.net/"]}`), []string{"source default", "files or a server"}},
		{"one file", source(`{"files": ["{{dir}}/net.json"]}`), []string{"source default", "/net.json", "cost map must follow"}},
		{"file twice", source(`{"files": ["{{dir}}/net.json", "{{dir}}/net.json"]}`), []string{"source default", "/net.json", "twice"}},
		{"a server twice", source(`{"servers": ["https://alto.example.net/", "https://alto.example.net/"]}`), []string{"source default", "named twice", "remove one"}},
		{"guard off and more", source(`{"servers": ["https://alto.example.net/"], "guard": {"off": true, "moved": 0.2}}`), []string{"source default", "guard off", "remove it"}},
		{"port", source(`{"servers": ["https://alto.example.net:99999/"]}`), []string{"source default", "alto.example.net:99999", "port"}},
		{"guard share", source(`{"servers": ["https://alto.example.net/"], "guard": {"moved": 20}}`), []string{"source default", "guard moved 20", "0 to 1"}},
		{"auth of files", source(`{"files": ["{{dir}}/net.json", "{{dir}}/cost.json"], "auth": {"scheme": "bearer", "token": "s3cret"}}`), []string{"source default", "auth", "for servers"}},
		{"certificate without key", source(`{"servers": ["https://alto.example.net/"], "auth": {"certificate": "client.pem"}}`), []string{"source default", "auth", "belong together"}},
		{"no authorities", source(`{"servers": ["https://alto.example.net/"], "ca": "{{dir}}/net.json"}`), []string{"source default", "ca", "net.json", "PEM"}},
		{"authorities missing", source(`{"servers": ["https://alto.example.net/"], "ca": "{{dir}}/gone.pem"}`), []string{"source default", "ca", "/gone.pem", "no such file"}},
		{"a server twice, by a user", source(`{"servers": ["https://alto.example.net/", "https://me:s3cret@alto.example.net/"]}`), []string{"source default", `"https://alto.example.net/" is named twice`, "remove one"}},
		{"user in the URL and auth", source(`{"servers": ["https://me:s3cret@alto.example.net/a@b"], "auth": {"scheme": "bearer", "token": "s3cret"}}`), []string{"source default", `"https://alto.example.net/a@b" has a user name`, "auth bearer", "remove one"}},
		{"two users in URLs of one host", source(`{"servers": ["https://me:s3cret@alto.example.net/a", "https://you:s3cret@alto.example.net/b"]}`), []string{"source default", "two user names", "https://alto.example.net:443", "give one"}},
		{"spool of two", `{"sources": [{"name": "a", "servers": ["https://a.example.net/"], "spool": "{{dir}}/spool"}, {"name": "b", "servers": ["https://b.example.net/"], "spool": "{{dir}}/x/../spool/"}], ` + edges + `}`, []string{"source b", "/spool", "source a", "folder of its own"}},
		{"no spool of two", `{"sources": [{"name": "a", "servers": ["https://a.example.net/"], "spool": "off"}, {"name": "b", "servers": ["https://b.example.net/"], "spool": "off"}], "edges": [{"name": "fra", "url": "https://fra.cdn.example.net", "pids": ["a/cc-de"]}]}`, nil},
		{"server URL", source(`{"servers": ["alto.example.net/directory"]}`), []string{"source default", "alto.example.net/directory", "https://host/path"}},
		{"network_map of files", source(`{` + files + `, "network_map": "net"}`), []string{"source default", "network_map"}},
		{"source name", source(`{"name": "a/b", ` + files + `}`), []string{"source", `"a/b"`, "not a name"}},
		{"source twice", `{"sources": [{` + files + `}, {` + files + `}], ` + edges + `}`, []string{"default", "twice"}},
		{"only", source(`{` + files + `, "only": ["192.0.2.0/33"]}`), []string{"source default", "only", `"192.0.2.0/33"`, "203.0.113.0/24"}},
		{"refresh", source(`{` + files + `, "refresh": "10ms"}`), []string{"source default", "refresh 10ms", "1s"}},
		{"edge nowhere", `{` + sources + `, "edges": [{"name": "fra", "url": "https://fra.cdn.example.net"}]}`, []string{"edge fra", "neither a PID nor an address"}},
		{"edge twice", `{` + sources + `, "edges": [{"name": "fra", "url": "https://a.example.net", "pids": ["cc-de"]}, {"name": "fra", "url": "https://b.example.net", "pids": ["cc-de"]}]}`, []string{"edge fra", "twice"}},
		{"edge without name", `{` + sources + `, "edges": [{"url": "https://a.example.net", "pids": ["cc-de"]}]}`, []string{"edge", `""`, "not a name"}},
		{"edge URL", edge(`"url": "https://fra.cdn.example.net/?a=b"`), []string{"edge fra", "must not have a query"}},
		{"edge without URL", `{` + sources + `, "edges": [{"name": "fra", "pids": ["cc-de"]}]}`, []string{"edge fra", "URL"}},
		{"edge address", edge(`"addresses": ["192.0.2.256"]`), []string{"edge fra", `"192.0.2.256"`, "not an IP address"}},
		{"edge address with a zone", edge(`"addresses": ["fe80::1%eth0"]`), []string{"edge fra", "fe80::1%eth0"}},
		{"edge weight", edge(`"weight": -1`), []string{"edge fra", "weight -1", "1 to 65536"}},
		{"edge family", edge(`"family": "inet"`), []string{"edge fra", `"inet"`, "ipv4 or ipv6"}},
		{"edge of an unknown source", edge(`"pids": ["isp/cc-de"]`), []string{"edge fra", "isp/cc-de", "no such source"}},
		{"edge of no source among two", `{"sources": [{` + files + `}, {"name": "isp", "servers": ["https://alto.example.net/"]}], ` + edges + `}`, []string{"edge fra", "cc-de", "names no source", "source/cc-de"}},
		{"edge with two PIDs", edge(`"pids": ["cc-de", "default/cc-fr"]`), []string{"edge fra", "default/cc-de", "default/cc-fr"}},
		{"default_pid", more(`"default_pid": "isp/rest"`), []string{"default PID", "isp/rest", "no such source"}},
		{"pool with an unknown edge", more(`"pools": {"video": {"edges": ["fra", "par"]}}`), []string{"pool video", "no edge par"}},
		{"pool with an edge twice", more(`"pools": {"video": {"edges": ["fra", "fra"]}}`), []string{"pool video", "edge fra twice"}},
		{"only with bits beyond its length", source(`{` + files + `, "only": ["10.0.0.1/8"]}`), []string{"source default", "only", `"10.0.0.1/8"`, "10.0.0.0/8", "10.0.0.1 for the one address"}},
		{"server with a fragment", source(`{"servers": ["https://me:s3cret@alto.example.net/#top"]}`), []string{"source default", `"https://alto.example.net/"`, "behind #"}},
		{"load header", more(`"health": {"load_header": "X Load"}`), []string{"load_header", `"X Load"`, "X-Load"}},
		{"pool name", more(`"pools": {"vi deo": {}}`), []string{"pool", `"vi deo"`, "not a name"}},
		{"pool URL", more(`"pools": {"video": {"url": "https://{pool}.example.net"}}`), []string{"pool video", "{edge} is the only placeholder"}},
		{"pool tolerance", more(`"pools": {"video": {"tolerance": -0.1}}`), []string{"pool video", "tolerance -0.1"}},
		{"pool key", more(`"pools": {"video": {"key": {"pattern": "("}}}`), []string{"pool video", "key", "missing closing"}},
		{"pool query", more(`"pools": {"video": {"key": {"query": [""]}}}`), []string{"pool video", "key", "no name"}},
		{"pool on_none", more(`"pools": {"video": {"on_none": "200"}}`), []string{"pool video", `on_none "200"`, "400 to 599"}},
		{"pin by country without geo", more(`"pools": {"video": {"pins": [{"clients": "FR", "edge": "fra"}]}}`), []string{"pool video", "pin FR", "add geo"}},
		{"class by country without geo", more(`"pools": {"video": {"serves": {"countries": ["FR"]}}}`), []string{"pool video", "serves country", "add geo"}},
		{"pinned twice", more(`"pools": {"video": {"pins": [{"clients": "192.0.2.0/24", "edge": "fra"}, {"clients": "192.0.2.0/24", "edge": "fra"}]}}`), []string{"pool video", "192.0.2.0/24", "pinned twice", "remove one"}},
		{"pinned twice, with geo", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"]}, "pools": {"video": {"pins": [{"clients": "192.0.2.0/24", "edge": "fra"}, {"clients": "192.0.2.9/24", "edge": "fra"}]}}`), []string{"pool video", "192.0.2.0/24", "pinned twice", "remove one"}},
		{"geo without database", more(`"geo": {}`), []string{"geo", "name a database"}},
		{"geo cache", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"], "cache_size": -1}`), []string{"geo", "cache_size -1"}},
		{"geo rule kind", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"], "rules": [{"kind": "city", "match": "*", "pid": "cc-de"}]}`), []string{"geo", `"city"`, "asn, country or continent"}},
		{"geo rule match", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"], "rules": [{"kind": "country", "match": "germany", "pid": "cc-de"}]}`), []string{"geo", `"germany"`, "not a country"}},
		{"geo rule source", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"], "rules": [{"kind": "country", "match": "*", "pid": "isp/{country}"}]}`), []string{"geo", "country *", "isp/{country}", "no source"}},
		{"geo rule twice", more(`"geo": {"databases": ["{{dir}}/geo.mmdb"], "rules": [{"kind": "country", "match": "de", "pid": "cc-de"}, {"kind": "country", "match": "DE", "pid": "cc-de"}]}`), []string{"geo", "country", "remove one"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			err := validate(t, f.app(t, test.app))
			wants(t, err, test.words...)
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret shows: %v", err)
			}
		})
	}
}
