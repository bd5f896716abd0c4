// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestEveryFault: whatever a server does, the set in force stays, the fault is told
// and counted once, by name of the document, and is over when the server is well.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{
		altotest.DirectoryPath: alto.MediaTypeDirectory, netPath: alto.MediaTypeNetworkMap, costPath: alto.MediaTypeCostMap,
	}
	for _, fault := range altotest.Faults() {
		for path, mediaType := range kinds {
			if !fault.On(mediaType) {
				continue
			}
			t.Run(fault.Name+path, func(t *testing.T) {
				t.Parallel()
				server, s := serve(t)
				s.wants("1 num1", Fresh, "")
				before := s.Maps()
				if fault.NeedsMaxBody {
					s.cfg.Client.MaxBody = 1 << 20
				}
				if fault.NeedsTimeout {
					s.cfg.Client.Timeout = 100 * time.Millisecond
				}
				server.Publish(guidance("2", 2))
				server.Misbehave(path, fault.Behavior)
				for range 2 {
					if _, err := s.look(); err == nil {
						t.Fatal("it is taken")
					}
				}
				status := s.Status()
				if s.Maps() != before || status.State() != Stale {
					t.Errorf("in force is %s (%s)", version(s.Maps()), status.State())
				}
				reason := refusalOf(status.Err)
				if fault.Content == (reason == Unavailable) || status.Refusals[reason] != 1 {
					t.Errorf("%v is counted as %v", status.Err, status.Refusals)
				}
				if n := s.log.count("maps refused", server.URL+path); n != 1 {
					t.Errorf("told %d times: %v", n, status.Err)
				}
				server.Misbehave(path, nil)
				s.cfg.Client.Timeout = 0
				// It may have been confirmed that what is wrong is the current one.
				for n := 0; version(s.Maps()) != "2 num2"; n++ {
					if _, err := s.look(); err != nil && n == 2*forgetAfter {
						t.Fatalf("it does not recover: %v", err)
					}
				}
			})
		}
	}
}

// TestTLSFaults: a certificate that is not right is said to be.
func TestTLSFaults(t *testing.T) {
	authority := altotest.NewAuthority(t)
	for name, c := range map[string]struct {
		options altotest.TLSOptions
		trusted bool
		word    string
	}{
		"right":   {altotest.TLSOptions{Authority: authority}, true, ""},
		"expired": {altotest.TLSOptions{Authority: authority, Expired: true}, true, "expired"},
		"name":    {altotest.TLSOptions{Authority: authority, WrongName: true}, true, "cannot validate certificate"},
		"unknown": {altotest.TLSOptions{Authority: authority}, false, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			server := altotest.StartTLS(t, c.options)
			server.Publish(guidance("1", 1))
			transport := alto.NewTransport()
			if c.trusted {
				transport.TLSClientConfig.RootCAs = authority.Pool
			}
			t.Cleanup(transport.CloseIdleConnections)
			cfg := Config{Servers: []*url.URL{server.Directory()}}
			cfg.Client.HTTP = &http.Client{Transport: transport}
			s := watch(t, cfg, "a")
			if c.word == "" {
				s.wants("1 num1", Fresh, "")
				return
			}
			s.wants("none", None, c.word)
		})
	}
}

const interleavings = 10_000

// TestInterleavings has two fetches run into each other in all ways, one of them
// delayed, with new rows, a look by hand and a server that changes: what watchers are
// told is never mixed, and never goes back.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	server, s := serve(t)
	var mu sync.Mutex
	last := 0
	rows := []string{"a"}
	stop, err := s.Watch(&watcherOf{
		rows: func(*altoroute.NetworkMap) []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(rows)
		},
		apply: func(m *altoroute.Maps, _ altoroute.Ramp) {
			mu.Lock()
			defer mu.Unlock()
			n := 0
			if v := version(m); v == "mixed" {
				t.Errorf("told of a mixed set")
			} else if _, err := fmt.Sscan(v, &n); err != nil || n < last {
				t.Errorf("told of %s after %d", v, last)
			}
			last = n
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range interleavings {
		tag := fmt.Sprint(n + 1)
		server.Publish(guidance(tag, float64(n%8+1)))
		gate := make(chan struct{})
		path := []string{altotest.DirectoryPath, netPath, costPath}[random.IntN(3)]
		server.Misbehave(path, altotest.Times(1, altotest.Stall(gate)))
		if random.IntN(4) == 0 { // the old one comes after the new one
			server.Misbehave(path, altotest.Times(1, altotest.Of(guidance(fmt.Sprint(max(n, 1)), float64((n+7)%8+1)))))
		}
		if random.IntN(8) == 0 {
			mu.Lock()
			rows = [][]string{{"a"}, {"a", "b"}}[random.IntN(2)]
			mu.Unlock()
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { _ = s.refresh(t.Context()) })
		}
		if random.IntN(2) == 0 {
			s.Look()
		}
		close(gate)
		both.Wait()
	}
	server.Misbehave(altotest.DirectoryPath, nil)
	server.Misbehave(netPath, nil)
	server.Misbehave(costPath, nil)
	for range 2 * forgetAfter {
		_, _ = s.look()
	}
	if got := s.Maps().Network.Tag().Tag; got != fmt.Sprint(interleavings) || !strings.HasPrefix(version(s.Maps()), got) {
		t.Errorf("in the end version %s is in force of %d", got, interleavings)
	}
}
