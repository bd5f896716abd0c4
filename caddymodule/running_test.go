// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// running is the one Caddy of this process, with its admin endpoint and its
// sites on sockets in a folder.
type running struct {
	*folder
	admin, sites *http.Client
	loads        atomic.Int64 // configurations that came in force
}

// socket returns the path of the sites' socket. Each configuration has one of its
// own: on a socket that two share, the earlier one may take one connection more
// after a reload.
func (c *running) socket(load int64) string { return c.file(fmt.Sprintf("http%d.sock", load)) }

// loud are the options of a running Caddy. Whoever asks by a socket may say
// which client it stands for.
const loud = `
	admin unix/{{dir}}/admin.sock
	persist_config off
	storage file_system {{dir}}/storage
	log {
		output file {{dir}}/caddy.log
	}
	servers {
		trusted_proxies_unix
	}
`

// video is a site that uses the pool video, or the only one.
const video = `
http:// {
	bind unix/{{socket}}
	log
	altoroute {{pool}}
}
`

func start(t *testing.T, f *folder, ours, pool string) *running {
	t.Helper()
	return startOf(t, f, loud, ours, strings.ReplaceAll(video, "{{pool}}", pool))
}

func startOf(t *testing.T, f *folder, options, ours, site string) *running {
	t.Helper()
	client := func(socket func() string) *http.Client {
		return &http.Client{
			Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket())
			}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	c := &running{folder: f, admin: client(func() string { return f.file("admin.sock") })}
	c.sites = client(func() string { return c.socket(c.loads.Load()) })
	wasReady.Store(false)
	t.Cleanup(func() {
		must(t, caddy.Load([]byte(`{"admin": {"disabled": true}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}}}`), true))
		must(t, caddy.Stop())
		if n := pooled(); n != 0 {
			t.Errorf("%d feeds and databases are left in the pools", n)
		}
		// One that has said that it has ended is there for a moment longer.
		eventually(t, "no goroutines are left", func() bool { return goroutines("altoroute/feed.", "caddy-alto/geo.") == 0 })
	})
	must(t, c.run(options, ours, site))
	return c
}

// load puts another configuration in force, as `caddy reload` does.
func (c *running) load(ours, pool string) error {
	c.t.Helper()
	return c.run(loud, ours, strings.ReplaceAll(video, "{{pool}}", pool))
}

// run puts a configuration of these options and this site in force.
func (c *running) run(options, ours, site string) error {
	c.t.Helper()
	next := c.loads.Load() + 1
	err := caddy.Load(c.config(options, ours, strings.ReplaceAll(site, "{{socket}}", c.socket(next))), true)
	if err == nil {
		c.loads.Store(next)
	}
	return err
}

// goroutines returns how many goroutines run functions of these names.
func goroutines(names ...string) (n int) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, name := range names {
			if strings.Contains(stack, name) && !strings.Contains(stack, "caddymodule.goroutines") {
				n++
				break
			}
		}
	}
	return n
}

// do sends a request. One connection in some hundreds that are made right after
// a reload is closed before an answer, by Caddy with or without this module:
// such a request is repeated.
func do(client *http.Client, r *http.Request) (*http.Response, error) {
	for tries := 0; ; tries++ {
		again := r.Clone(r.Context())
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
		}
		answer, err := client.Do(again)
		if !errors.Is(err, io.EOF) || tries == 10 {
			return answer, err
		}
	}
}

// ask has the admin endpoint answer.
func (c *running) ask(method, path string) (int, http.Header, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://localhost"+path, http.NoBody)
	must(c.t, err)
	answer, err := do(c.admin, r)
	must(c.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(c.t, err)
	return answer.StatusCode, answer.Header, string(body)
}

// visit has the site answer a client, and returns where it is sent.
func (c *running) visit(client string) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://cdn.example.net/a.mp4", http.NoBody)
	must(c.t, err)
	r.Header.Set("X-Forwarded-For", client)
	answer, err := do(c.sites, r)
	must(c.t, err)
	defer answer.Body.Close()
	return answer.Header.Get("Location")
}

// metric returns a metric of those that the configuration in force shows.
func (c *running) metric(name string, labels ...string) float64 {
	c.t.Helper()
	ctx := caddy.ActiveContext()
	v, ok := value(c.t, ctx.GetMetricsRegistry(), "caddy_altoroute_"+name, labels...)
	if !ok {
		c.t.Errorf("there is no metric %s%v", name, labels)
	}
	return v
}

// source returns what the status says of a source.
func (c *running) source(name string) sourceBody {
	c.t.Helper()
	return c.status().Sources[name]
}

func (c *running) status() (s statusBody) {
	c.t.Helper()
	code, _, body := c.ask("GET", "/altoroute/status")
	if code != http.StatusOK {
		c.t.Fatalf("status: %d %s", code, body)
	}
	must(c.t, json.Unmarshal([]byte(body), &s))
	return s
}

// logged returns the lines of the log that hold all the words.
func (c *running) logged(words ...string) (lines []string) {
	c.t.Helper()
	content, err := os.ReadFile(c.file("caddy.log"))
	must(c.t, err)
next:
	for line := range strings.Lines(string(content)) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// same compares two JSON texts by what they say. What changes from run to run
// is null in what is wanted.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	must(t, json.Unmarshal([]byte(want), &w))
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s is not JSON: %v: %s", what, err, got)
	}
	mask(g, w)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

func mask(got, want any) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name := range w {
			if _, ok := g[name]; ok && w[name] == nil {
				g[name] = nil
			}
			mask(g[name], w[name])
		}
	case []any:
		g, _ := got.([]any)
		for i := range min(len(w), len(g)) {
			mask(g[i], w[i])
		}
	}
}
