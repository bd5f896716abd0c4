// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// options returns the page of every option.
func options(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../caddymodule/README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blocks returns the code blocks of a language, of the README and of the page of
// options.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readme(t)+options(t), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("the README has no %s", language)
	}
	return found
}

// TestREADMECommands runs the README's examples and holds what its commands
// print against what it says they do.
func TestREADMECommands(t *testing.T) {
	var c *caddy
	var ports map[string]string
	ran := 0
	for _, block := range blocks(t, "console") {
		for _, command := range strings.Split("\n"+block, "\n$ ")[1:] {
			line, want, _ := strings.Cut(command, "\n")
			if m := regexp.MustCompile(`^go run .* examples/(\w+)/Caddyfile`).FindStringSubmatch(line); m != nil {
				c, ports = example(t, m[1])
				c.eventually("all edges are known", func() bool {
					_, status := c.get("/altoroute/status")
					return !strings.Contains(status, `"state": "unknown"`)
				})
			}
			if args, ok := strings.CutPrefix(line, "go run ./caddymodule/caddy altoroute "); ok {
				ran++
				if got := c.altoroute(strings.Fields(args)...); strings.TrimSpace(got) != strings.TrimSpace(want) {
					t.Errorf("$ %s\nprints\n%s\nnot\n%s", line, got, want)
				}
				continue
			}
			if !strings.HasPrefix(line, "curl ") {
				continue
			}
			ran++
			var got string
			if path, ok := strings.CutPrefix(word(line, "localhost:2019"), "localhost:2019"); ok {
				_, got = c.get(path)
				got = unport(got, ports)
				if !sameJSON(got, want) {
					t.Errorf("$ %s\nprints\n%s\nnot\n%s", line, got, want)
				}
				continue
			}
			got = curl(t, line, ports)
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("$ %s\nprints\n%s\nnot\n%s", line, got, want)
			}
		}
	}
	if ran < 13 {
		t.Errorf("only %d commands were found", ran)
	}
}

// altoroute runs `caddy altoroute` against the running Caddy.
func (c *caddy) altoroute(args ...string) string {
	c.t.Helper()
	args = append([]string{"altoroute"}, args...)
	out, err := c.command(append(args, "--address", "unix/"+filepath.Join(c.dir, "admin.sock"))...).Output()
	if err != nil {
		c.t.Fatalf("caddy %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// word returns the word of a command line that holds a text, unquoted.
func word(line, text string) string {
	for _, w := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1) {
		if w = strings.Trim(w, "'"); strings.Contains(w, text) {
			return w
		}
	}
	return ""
}

// curl does what a curl -sL of the README does: a machine that runs the tests
// need not have it.
func curl(t *testing.T, line string, ports map[string]string) string {
	t.Helper()
	url := word(line, ":8080")
	if !strings.HasPrefix(url, "http") {
		url = "http://" + url
	}
	loopback := "127.0.0.1"
	if strings.Contains(url, "[::1]") {
		loopback = "[::1]"
	}
	if !strings.HasPrefix(line, "curl -sL -H 'X-Forwarded-For: ") {
		t.Fatalf("the test does not know this command: %s", line)
	}
	_, content := fetch(t, loopback, ports["8080"], url, strings.TrimPrefix(word(line, "X-Forwarded-For"), "X-Forwarded-For: "))
	return content
}

// unport puts the ports of the Caddyfile back in the place of the test's.
func unport(s string, ports map[string]string) string {
	for written, held := range ports {
		s = strings.ReplaceAll(s, ":"+held, ":"+written)
	}
	return s
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// TestREADMECaddyfiles adapts the README's configurations.
func TestREADMECaddyfiles(t *testing.T) {
	c := newCaddy(t)
	for i, block := range blocks(t, "caddyfile") {
		path := filepath.Join(c.dir, "Caddyfile")
		write(t, path, block)
		out, err := c.command("adapt", "--config", path).CombinedOutput()
		if err != nil || strings.Contains(string(out), "not formatted") {
			t.Errorf("block %d: %v\n%s", i, err, out)
		}
	}
}

// TestREADMEMetrics holds the table of metrics against what there is.
func TestREADMEMetrics(t *testing.T) {
	c, ports := example(t, "isp")
	_, _ = fetch(t, "127.0.0.1", ports["8080"], "http://video.localhost:"+ports["8080"]+"/", "192.0.2.1")
	_, _ = fetch(t, "127.0.0.1", ports["8080"], "http://files.localhost:"+ports["8080"]+"/", "233.252.0.10") // a cache fill
	name := regexp.MustCompile(`caddy_altoroute_[a-z_]+`)
	_, exposed := c.get("/metrics")
	edges, _ := example(t, "edges")
	edges.eventually("an edge reports its load", func() bool {
		_, found := edges.metric("caddy_altoroute_edge_reported_load")
		return found
	})
	_, more := edges.get("/metrics")
	is, says := unique(name.FindAllString(exposed+more, -1)), unique(name.FindAllString(readme(t), -1))
	if !slices.Equal(is, says) {
		t.Errorf("the README lists\n%v\nbut there are\n%v", says, is)
	}
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// TestREADMEPlaceholders asks for every placeholder that the README names.
func TestREADMEPlaceholders(t *testing.T) {
	names := unique(regexp.MustCompile(`\{http\.altoroute\.[a-z.]+\}`).FindAllString(readme(t), -1))
	if len(names) < 10 {
		t.Fatalf("the README names %v", names)
	}
	l := listen(t, "127.0.0.1:0")
	startCaddy(t, `{
	{{admin}}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	altoroute {
		maps examples/quickstart/networkmap.json examples/quickstart/costmap.json
		edge fra http://localhost:8081 cc-de
	}
}
http:// {
	bind fd/3
	header >X-Told "`+strings.Join(names, "|")+`"
	altoroute
}
`, l)
	r, err := http.NewRequest(http.MethodGet, "http://cdn.example.net/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "53.0.0.1")
	answer, err := client(l.Addr().String()).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	told := strings.Split(answer.Header.Get("X-Told"), "|")
	want := map[string]string{
		"{http.altoroute.cost}": "0", "{http.altoroute.edge}": "fra", "{http.altoroute.edge.url}": "http://localhost:8081/a",
		"{http.altoroute.pid}": "cc-de", "{http.altoroute.placement}": "prefix", "{http.altoroute.pool}": "default",
		"{http.altoroute.prefix}": "53.0.0.0/8", "{http.altoroute.reason}": "cheapest", "{http.altoroute.source}": "default",
		"{http.altoroute.tag}": "2026-11-24",
	}
	for i, name := range names {
		if i >= len(told) || told[i] != want[name] {
			t.Errorf("%s is not %q in %v", name, want[name], told)
		}
	}
}
