// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// Global placeholders are filled in when the configuration is loaded; what then
// comes out gets the checks that adapting could not make.
func TestGlobalPlaceholders(t *testing.T) {
	f := newFolder(t)
	t.Setenv("ALTOROUTE_TEST_DIR", f.path)
	t.Setenv("ALTOROUTE_TEST_DOMAIN", "cdn.example.net")
	t.Setenv("ALTOROUTE_TEST_PID", "cc-de")
	t.Setenv("ALTOROUTE_TEST_SPACE", "203.0.113.0/24")
	t.Setenv("ALTOROUTE_TEST_NONE", "410")
	const ours = `
		maps {env.ALTOROUTE_TEST_DIR}/net.json {env.ALTOROUTE_TEST_DIR}/cost.json {
			only {env.ALTOROUTE_TEST_SPACE}
		}
		geo {env.ALTOROUTE_TEST_DIR}/geo.mmdb {
			country * cc-{country}
		}
		default_pid {env.ALTOROUTE_TEST_PID}
		edge fra https://fra.{env.ALTOROUTE_TEST_DOMAIN} {env.ALTOROUTE_TEST_PID}
		pool video {
			url https://{edge}.video.{env.ALTOROUTE_TEST_DOMAIN}
			on_none {env.ALTOROUTE_TEST_NONE}
		}`
	s := newStage(t, ours)
	h := s.handler("altoroute")
	if at := (visit{}).see(t, h).header.Get("Location"); at != "https://fra.video.cdn.example.net/" {
		t.Errorf("Location %q", at)
	}
	if h.lastResort.status != http.StatusGone {
		t.Errorf("on_none is %+v", h.lastResort)
	}
	for name, bad := range map[string]struct {
		value string
		words []string
	}{
		"ALTOROUTE_TEST_DOMAIN": {"cdn.example.net/?a", []string{"edge fra", "must not have a query"}},
		"ALTOROUTE_TEST_PID":    {"cc-at", []string{"edge fra", `"cc-at"`}},
		"ALTOROUTE_TEST_SPACE":  {"everywhere", []string{"source default", "only", `"everywhere"`}},
		"ALTOROUTE_TEST_NONE":   {"nothing", []string{"pool video", "on_none", `"nothing"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, bad.value)
			wants(t, validate(t, f.config(quiet, ours, site)), bad.words...)
		})
	}
}

// Every text is either replaced or one of those that stand for themselves: names, kinds
// and words. The Caddyfile takes placeholders wherever they are replaced.
func TestGlobalPlaceholdersEverywhere(t *testing.T) {
	t.Setenv("ALTOROUTE_TEST", "replaced")
	app := &App{
		Sources: []*Source{{Cost: new(CostType), Auth: new(Auth)}},
		Edges:   []*Edge{{Serves: new(Class)}},
		Pools:   map[string]*Pool{"video": {Pins: []Pin{{}}, Serves: new(Class), Key: new(ContentKey), Parents: [][]string{{""}}}},
		Geo:     &Geo{Rules: []GeoRule{{}}},
		Health:  new(Health),
	}
	eachText(reflect.ValueOf(app).Elem(), "", func(_ string, text reflect.Value) { text.SetString("{env.ALTOROUTE_TEST}") })
	app.expand(caddy.NewReplacer())
	var stay []string
	eachText(reflect.ValueOf(app).Elem(), "", func(path string, text reflect.Value) {
		if text.String() != "replaced" {
			stay = append(stay, path)
		}
	})
	want := strings.Fields(`
		sources.name sources.cost.metric sources.cost.mode sources.auth.scheme
		edges.name edges.family edges.serves.schemes edges.serves.countries edges.mode
		pools.edges pools.parents pools.pins.edge pools.serves.schemes pools.serves.countries pools.key.query pools.key.pattern
		geo.rules.kind geo.rules.match geo.rules.pid
		health.status health.load_header`)
	if !slices.Equal(stay, want) {
		t.Errorf("what stays is\n%s\nwant\n%s", stay, want)
	}

	const ours = `
		server {env.A} {env.B} {
			only {env.X}
			network_map {env.X}
			auth digest {env.X} {env.X}
			auth cert {env.X} {env.X}
			ca {env.X}
			spool {env.X}
		}
		geo {env.X}
		default_pid {env.X}
		cdn_id {env.X}
		edge fra {env.X} {env.X} {
			pid {env.X}
			addr {env.X}
			health {env.X}
			serves host {env.X}
			serves path {env.X}
		}
		health {
			path {env.X}
			host {env.X}
			body {env.X}
		}
		pool video {
			serves host {env.X}
			serves path {env.X}
			pin {env.X} fra
			url {env.X}
			on_none {env.X}
		}`
	_ = newFolder(t).config("", ours, "")
}

// eachText calls a function for each text of a value, with its path in JSON. A list or
// map of texts that is nil gets one.
func eachText(v reflect.Value, path string, do func(path string, text reflect.Value)) {
	switch v.Kind() {
	case reflect.String:
		do(path, v)
	case reflect.Pointer:
		if !v.IsNil() {
			eachText(v.Elem(), path, do)
		}
	case reflect.Slice:
		if v.Len() == 0 && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf([]string{""}))
		}
		for i := range v.Len() {
			eachText(v.Index(i), path, do)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			eachText(v.MapIndex(key), path, do)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" {
				eachText(v.Field(i), strings.TrimPrefix(path+"."+name, "."), do)
			}
		}
	default: // holds no text
	}
}

// Resources may share one URL (RFC 7285 §9.2.2). The metrics must tell them
// apart: one that is told twice would spoil all.
func TestMetricsOfResourcesAtOneURL(t *testing.T) {
	var directory bytes.Buffer
	one := &url.URL{Path: "alto"}
	must(t, altotest.WriteDirectory(&directory, &alto.Directory{
		DefaultNetworkMap: "net",
		CostTypes:         map[string]alto.CostType{"routing": numerical},
		Resources: map[string]alto.Resource{
			"net":  {URI: one, MediaType: alto.MediaTypeNetworkMap},
			"cost": {URI: one, MediaType: alto.MediaTypeCostMap, Uses: []string{"net"}, Capabilities: alto.Capabilities{CostTypeNames: []string{"routing"}}},
		},
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, body := alto.MediaTypeDirectory, directory.Bytes()
		switch accept := r.Header.Get("Accept"); {
		case strings.Contains(accept, alto.MediaTypeNetworkMap):
			kind, body = alto.MediaTypeNetworkMap, networkDocument(network("1"))
		case strings.Contains(accept, alto.MediaTypeCostMap):
			kind, body = alto.MediaTypeCostMap, costDocument(costs("1"))
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	c := start(t, newFolder(t), "server "+server.URL+"/alto"+edges, "")
	eventually(t, "the server has answered", func() bool { return c.source("default").State == "fresh" })
	for document, kind := range map[string]string{"directory": alto.MediaTypeDirectory, "net": alto.MediaTypeNetworkMap, "cost": alto.MediaTypeCostMap} {
		if n := c.metric("document_reads_total", "document", document, "media_type", kind); n != 1 {
			t.Errorf("%s: %v reads", document, n)
		}
	}
}

// A source has several directories where they are nested, and the same documents on
// each of its servers. The metrics tell them together.
func TestMetricsOfNestedDirectories(t *testing.T) {
	one, two := altotest.Start(t), altotest.Start(t)
	g := guidance("1")
	nested := altotest.NetworkMap{ID: "other", Tag: "1", PIDs: map[string][]string{"x": {"192.0.2.0/24"}}}
	g.Directories = []altotest.Directory{{ID: "nested", Guidance: altotest.Guidance{NetworkMaps: []altotest.NetworkMap{nested}}}}
	one.Publish(g)
	two.Publish(guidance("1"))
	for servers, sums := range map[string]struct{ directories, maps float64 }{
		one.Directory().String():                                  {2, 1},
		one.Directory().String() + " " + two.Directory().String(): {3, 2},
	} {
		t.Run(servers, func(t *testing.T) {
			ours := "server " + servers + " {\nrefresh 1s\nguard off\nspool off\n}" + edges
			one.Misbehave("", nil)
			c := start(t, newFolder(t), ours, "")
			eventually(t, "the server has answered", func() bool { return c.source("default").State == "fresh" })
			if strings.Contains(servers, " ") { // the second one is asked, too
				one.Misbehave("", altotest.Status(http.StatusBadGateway))
				eventually(t, "the other server has answered", func() bool { return c.source("default").Server == two.Directory().String() })
			}
			if code, _, body := c.ask("GET", "/metrics"); code != http.StatusOK {
				t.Errorf("/metrics: %d %.500s", code, body)
			}
			var bytes float64
			for _, r := range c.source("default").Resources {
				if r.MediaType == alto.MediaTypeDirectory {
					bytes += float64(r.Bytes)
				}
			}
			labels := []string{"document", "directory", "media_type", alto.MediaTypeDirectory}
			if n := c.metric("document_reads_total", labels...); n != sums.directories {
				t.Errorf("%s: the directories were read %v times, want %v", servers, n, sums.directories)
			}
			if n := c.metric("document_bytes", labels...); n != bytes || n == 0 {
				t.Errorf("%s: the directories have %v bytes, want %v", servers, n, bytes)
			}
			if n := c.metric("document_reads_total", "document", "net", "media_type", alto.MediaTypeNetworkMap); n != sums.maps {
				t.Errorf("%s: the network map was read %v times, want %v", servers, n, sums.maps)
			}
		})
	}
}

// Every option that the documentation of the Caddyfile shows is in a golden
// that adapts.
func TestGoldensShowEveryOption(t *testing.T) {
	var goldens strings.Builder
	files, _ := filepath.Glob(filepath.Join("testdata", "adapt", "*.caddyfiletest"))
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "bad_") {
			continue
		}
		content, err := os.ReadFile(file)
		must(t, err)
		input, _, _ := strings.Cut(string(content), "----------")
		goldens.WriteString(input)
	}
	source, err := goparser.ParseFile(token.NewFileSet(), "caddyfile.go", nil, goparser.ParseComments)
	must(t, err)
	options := 0
	for _, decl := range source.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Name.Name != "UnmarshalCaddyfile" {
			continue
		}
		for line := range strings.Lines(f.Doc.Text()) {
			if !strings.HasPrefix(line, "\t") || strings.TrimSpace(line) == "}" {
				continue
			}
			var words []string
			for word := range strings.FieldsSeq(line) {
				if strings.ContainsAny(word, "<[{|*") {
					break
				}
				words = append(words, word)
			}
			options++
			if option := strings.Join(words, " "); !strings.Contains(goldens.String(), "\t"+option+" ") && !strings.Contains(goldens.String(), "\t"+option+"\n") {
				t.Errorf("no golden has %q", option)
			}
		}
	}
	if options < 20 {
		t.Errorf("only %d options found", options)
	}
}
