// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is some clients that ask without pause.
type load struct {
	halt    atomic.Bool
	wg      sync.WaitGroup
	answers atomic.Int64
	mu      sync.Mutex
	failed  []string
	took    []time.Duration // each answer
	last    sync.Map        // when each location's host was last sent to
	right   func(location, path string) bool
	// Now and then Caddy, with or without us, closes a connection that was made while
	// it reloads, before an answer. Where it does reload, such a request is repeated.
	reloads atomic.Bool
	closed  atomic.Int64
}

// startLoad has clients ask the router at an address. An answer that is no
// redirect, or to a location that is not right, is a failure.
func startLoad(addr string, clients int, right func(location, path string) bool) *load {
	l := &load{right: right}
	for i := range clients {
		l.wg.Go(func() {
			c := client(addr)
			defer c.CloseIdleConnections()
			for n := 0; !l.halt.Load(); n++ {
				from := []string{"192.0.2.1", "2001:db8::1", "203.0.113.7", "198.51.100.1"}[n%4]
				err := l.ask(c, from, fmt.Sprintf("/%d/%d", i, n))
				if errors.Is(err, io.EOF) && l.reloads.Load() {
					l.closed.Add(1)
					err = l.ask(c, from, fmt.Sprintf("/%d/%d", i, n))
				}
				if err != nil {
					l.mu.Lock()
					if len(l.failed) < 10 {
						l.failed = append(l.failed, err.Error())
					}
					l.mu.Unlock()
				}
				l.answers.Add(1)
			}
		})
	}
	return l
}

func (l *load) ask(c *http.Client, from, path string) error {
	r, err := http.NewRequest(http.MethodGet, "http://cdn.example.net"+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Forwarded-For", from)
	begin := time.Now()
	answer, err := c.Do(r) // repeats a GET where a kept-alive connection was closed
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	to, err := answer.Location()
	if err != nil || answer.StatusCode != http.StatusFound || !l.right(to.String(), path) {
		return errors.New(answer.Status + " " + answer.Header.Get("Location"))
	}
	l.last.Store(to.Host, time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(begin))
	return nil
}

// latencies returns the median and the 99.9th percentile of the answers since the
// last call.
func (l *load) latencies() (median, high time.Duration) {
	l.mu.Lock()
	took := l.took
	l.took = nil
	l.mu.Unlock()
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*999/1000]
}

// sent returns when somebody was last sent to a host.
func (l *load) sent(host string) time.Time {
	at, _ := l.last.Load(host)
	t, _ := at.(time.Time)
	return t
}

func (l *load) stop() int64 {
	l.halt.Store(true)
	l.wg.Wait()
	return l.answers.Load()
}

func (l *load) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
