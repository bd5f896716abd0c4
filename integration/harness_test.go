// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package integration tests altoroute as its users meet it: a real Caddy
// process, real sockets, real files.
package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take that is waited for.
const patience = 60 * time.Second

// caddyBinary is Caddy with this module, built once for all tests.
var caddyBinary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if name := os.Getenv(edgeVariable); name != "" {
		return beEdge(name)
	}
	dir, err := os.MkdirTemp("", "altoroute")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	caddyBinary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-o", caddyBinary, "../caddymodule/caddy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		log.Printf("building caddy: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// caddy is a running Caddy process.
type caddy struct {
	t     testing.TB
	dir   string // its own, with the admin socket and its files
	cmd   *exec.Cmd
	log   *logBuffer
	admin *http.Client
	ended chan struct{}
}

// startCaddy runs Caddy with a Caddyfile, in which {{dir}} is a folder of its
// own and {{admin}} the option that its admin endpoint needs. The listeners
// are its fd/3, fd/4 and so on.
func startCaddy(t testing.TB, caddyfile string, listeners ...net.Listener) *caddy {
	t.Helper()
	c := newCaddy(t)
	c.start(c.expand(caddyfile), listeners...)
	return c
}

func newCaddy(t testing.TB) *caddy {
	t.Helper()
	dir, err := os.MkdirTemp("", "ar") //nolint:usetesting // short: a socket's path may have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin.sock")
	return &caddy{
		t: t, dir: dir, log: new(logBuffer), ended: make(chan struct{}),
		admin: &http.Client{Timeout: patience, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		}},
	}
}

func (c *caddy) expand(caddyfile string) string {
	caddyfile = strings.ReplaceAll(caddyfile, "{{admin}}", "admin unix/"+filepath.Join(c.dir, "admin.sock"))
	return strings.ReplaceAll(caddyfile, "{{dir}}", c.dir)
}

// command returns a run of the program in the project's root.
func (c *caddy) command(args ...string) *exec.Cmd {
	cmd := exec.Command(caddyBinary, args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+c.dir, "XDG_DATA_HOME="+c.dir, "HOME="+c.dir)
	return cmd
}

func (c *caddy) start(caddyfile string, listeners ...net.Listener) {
	c.t.Helper()
	path := filepath.Join(c.dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(caddyfile), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.cmd = c.command("run", "--config", path)
	c.cmd.Stderr, c.cmd.Stdout = c.log, c.log
	for _, l := range listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			c.t.Fatal(err)
		}
		c.cmd.ExtraFiles = append(c.cmd.ExtraFiles, f)
	}
	err := c.cmd.Start()
	for _, f := range c.cmd.ExtraFiles {
		_ = f.Close() // the process has its own
	}
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.ended:
		case <-time.After(patience):
			_ = c.cmd.Process.Kill()
			c.t.Error("caddy did not end by itself")
		}
		if c.t.Failed() {
			c.t.Logf("caddy's log ends with:\n%s", c.log.tail(4000))
		}
	})
	c.eventually("caddy serves its configuration", func() bool {
		select {
		case <-c.ended:
			c.t.Fatalf("caddy ended:\n%s", c.log.tail(4000))
		default:
		}
		return strings.Contains(c.log.String(), "serving initial configuration")
	})
}

// crash ends the process without a chance to do anything. It can be started
// again, in the same folder.
func (c *caddy) crash() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	<-c.ended
	c.ended, c.log = make(chan struct{}), new(logBuffer)
}

// reload loads a Caddyfile as `caddy reload` does and returns what Caddy says.
func (c *caddy) reload(caddyfile string) (status int, answer string) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://localhost/load", strings.NewReader(c.expand(caddyfile)))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/caddyfile")
	r.Header.Set("Cache-Control", "must-revalidate") // also when nothing has changed
	return c.do(r)
}

func (c *caddy) do(r *http.Request) (status int, body string) {
	c.t.Helper()
	answer, err := c.admin.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, string(all)
}

// get asks the admin endpoint.
func (c *caddy) get(path string) (status int, body string) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do(r)
}

// json asks the admin endpoint for JSON.
func (c *caddy) json(path string, into any) {
	c.t.Helper()
	status, body := c.get(path)
	if status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		c.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// metric returns the sum of the samples whose line begins with the name and
// holds all the labels, and whether there is one.
func (c *caddy) metric(name string, labels ...string) (sum float64, found bool) {
	c.t.Helper()
	_, body := c.get("/metrics")
	for line := range strings.Lines(body) {
		id, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(id, name+"{") {
			if id, value, _ = strings.Cut(strings.TrimSpace(line), " "); id != name {
				continue
			}
		}
		matches := true
		for _, l := range labels {
			matches = matches && strings.Contains(id+"}", l)
		}
		var f float64
		if _, err := fmt.Sscan(value, &f); matches && err == nil {
			sum, found = sum+f, true
		}
	}
	return sum, found
}

// eventually waits until a condition holds.
func (c *caddy) eventually(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %s in vain until %s\n%s", patience, what, c.log.tail(4000))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// logBuffer keeps what a process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}

// listen returns a listener on a free port of the loopback, which the test
// holds and hands to Caddy.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// holdPort returns a free port that nobody else gets as long as the test runs:
// a socket is bound to it, in the way (SO_REUSEPORT) in which Caddy binds too.
func holdPort(t testing.TB) string {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
	}}
	// The listener finds a free port; the socket bound beside it, which never
	// listens, keeps it when the listener is closed.
	l, err := config.Listen(context.Background(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet6{Port: port})
	}
	_ = l.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fmt.Sprint(port)
}

// client sends requests to addr whatever their URL says, and follows nothing.
func client(addr string) *http.Client {
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			},
			MaxIdleConnsPerHost: 64,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// world returns the folder of the world map, or skips the test where there is
// none. CI sets the variable, so that the tests are then required to run.
func world(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ALTOROUTE_WORLD")
	if dir == "" {
		t.Skip("ALTOROUTE_WORLD does not name the folder of the world map")
	}
	return dir
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
