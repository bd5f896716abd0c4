// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// edgeVariable makes this test program an edge, of the name that it holds.
const edgeVariable = "ALTOROUTE_TEST_EDGE"

// beEdge serves content and health checks on the listener that is fd 3, and
// can be told to be unwell by a POST of how.
func beEdge(name string) int {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var how atomic.Value
	how.Store("well")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /how", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		how.Store(string(b))
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		switch how.Load() {
		case "broken":
			http.Error(w, "broken", http.StatusInternalServerError)
		case "slow":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "well")
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s serves %s", name, r.URL.Path) })
	fmt.Fprintln(os.Stderr, http.Serve(l, mux))
	return 1
}

// An edgeProcess is an edge in a process of its own.
type edgeProcess struct {
	t    *testing.T
	name string
	addr string
	cmd  *exec.Cmd
}

// startEdge runs an edge on a port of an address of the loopback. The process
// alone has the port, so that it is closed when the process ends.
func startEdge(t *testing.T, name, address string) *edgeProcess {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	e := &edgeProcess{t: t, name: name, addr: l.Addr().String()}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	e.cmd = exec.Command(os.Args[0])
	e.cmd.Env = append(os.Environ(), edgeVariable+"="+name)
	e.cmd.ExtraFiles = []*os.File{f}
	e.cmd.Stderr = os.Stderr
	err = e.cmd.Start()
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.kill)
	return e
}

func (e *edgeProcess) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edgeProcess) kill() {
	if e.cmd.ProcessState == nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
	}
}

// be tells the edge how to be.
func (e *edgeProcess) be(how string) {
	e.t.Helper()
	answer, err := http.Post("http://"+e.addr+"/how", "text/plain", strings.NewReader(how))
	if err != nil {
		e.t.Fatal(err)
	}
	_ = answer.Body.Close()
}

// state asks the router for the state of an edge.
func (c *caddy) state(edge string) string {
	c.t.Helper()
	var status struct {
		Pools map[string]struct {
			Edges map[string]struct{ State string }
		}
	}
	c.json("/altoroute/status", &status)
	return status.Pools["default"].Edges[edge].State
}
