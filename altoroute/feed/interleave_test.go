// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// A chaos is a network that delays requests and answers, and a source behind it whose
// versions only grow.
type chaos struct {
	t       *testing.T
	server  *altotest.Server
	publish func(tag string, ab float64) altotest.Guidance
	feed    *Feed
	calm    atomic.Bool // nothing is lost or held any more

	mu        sync.Mutex
	random    *rand.Rand
	published int
	// How often putting a version back has begun, and has ended: all watchers have been
	// told then.
	begun, ended int
	done         map[string]int // what has happened, how often
}

func (c *chaos) intN(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

func (c *chaos) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[what]++
}

// delay lets some time pass, or none. It is real time: in a bubble, time stands still
// where somebody waits for a mutex.
func (c *chaos) delay() {
	if d := c.intN(1000) - 900; d > 0 {
		time.Sleep(time.Duration(d) * time.Microsecond)
	} else {
		runtime.Gosched()
	}
}

// RoundTrip answers as the server would have at some time on the way.
func (c *chaos) RoundTrip(r *http.Request) (*http.Response, error) {
	c.delay()
	if !c.calm.Load() && c.intN(20) == 0 {
		c.count("lost")
		return nil, errors.New("lost on the way")
	}
	answer := httptest.NewRecorder()
	asked := r.Clone(r.Context())
	asked.Header.Del("Accept-Encoding") // zipping takes most of the time
	c.server.ServeHTTP(answer, asked)
	c.delay()
	response := answer.Result()
	response.Request = r
	return response, nil
}

// next publishes the next version.
func (c *chaos) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published++
	c.server.Publish(c.publish(fmt.Sprint(c.published), float64(c.published%10)))
	c.done["published"]++
}

// Shift has one in three versions held.
func (c *chaos) Shift(m *altoroute.Maps) altoroute.Shift {
	if tagOf(m)%3 == 0 && !c.calm.Load() {
		return altoroute.Shift{Moved: 100, Sampled: 100}
	}
	return altoroute.Shift{}
}

// A listener is a watcher that checks what it is told.
type listener struct {
	*chaos
	rows  []string
	last  int
	ended int // chaos.ended when it was told last
}

func (l *listener) Rows(*altoroute.NetworkMap) []string { return l.rows }

func (l *listener) Apply(m *altoroute.Maps, ramp altoroute.Ramp) {
	l.check(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	is := tagOf(m)
	if is < l.last {
		if l.begun == l.ended {
			l.t.Errorf("version %d after %d", is, l.last)
		}
		l.done["went back"]++
	}
	if ramp.Over > 0 {
		l.done["came in by a ramp"]++
	}
	l.last, l.ended = is, l.chaos.ended
	l.done["told"]++
}

// check checks that maps are of one version.
func (c *chaos) check(m *altoroute.Maps) {
	if m == nil {
		return
	}
	if got, want := version(m), fmt.Sprintf("%d num%d", tagOf(m), tagOf(m)%10); got != want {
		c.t.Errorf("%s, want %s", got, want)
	}
}

// listen adds a watcher.
func (c *chaos) listen(rows ...string) (stop func()) {
	c.mu.Lock()
	l := &listener{chaos: c, rows: append(rows, "a"), ended: c.ended}
	c.mu.Unlock()
	stop, err := c.feed.Watch(l)
	if err != nil {
		c.t.Error(err)
	}
	return stop
}

// act does one thing that people do.
func (c *chaos) act() {
	c.delay()
	switch c.intN(9) {
	case 0:
		stop := c.listen([]string{"b", "c", "addressless"}[c.intN(3)])
		c.delay()
		stop()
	case 1:
		c.feed.Look()
	case 2:
		if c.feed.Release() == nil {
			c.count("released")
		}
	case 3:
		if c.feed.Drop() == nil {
			c.count("dropped")
		}
	case 4:
		c.mu.Lock()
		c.begun++
		c.mu.Unlock()
		if c.feed.PutBack(0) == nil {
			c.count("put back")
		}
		c.mu.Lock()
		c.ended++
		c.mu.Unlock()
	case 5:
		status := c.feed.Status()
		c.check(status.Maps)
		c.check(status.Incoming)
		if status.Held != nil {
			c.check(status.Held.Maps)
		}
	case 6:
		heir, err := New(c.feed.cfg)
		if err != nil {
			c.t.Error(err)
			return
		}
		heir.Inherit(c.feed)
		c.check(heir.Maps())
		c.check(heir.Status().Incoming)
		c.count("inherited")
	default:
		c.next()
	}
}

// interleave has two looks at once, and other things between their requests.
func (c *chaos) interleave() {
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			c.delay()
			_ = turn(c.t.Context(), c.feed)
		})
		all.Go(c.act)
	}
	all.Wait()
}

// end has the newest version in force, once all is well.
func (c *chaos) end() {
	c.calm.Store(true)
	c.next()
	if err := turn(c.t.Context(), c.feed); err != nil {
		c.t.Error(err)
	}
	if s := c.feed.Status(); tagOf(s.Maps) != c.published && tagOf(s.Incoming) != c.published {
		c.t.Errorf("in force is %d, published %d, error %v", tagOf(s.Maps), c.published, s.Err)
	}
}

// interleavings is how many are tried.
const interleavings = 10_000

// run makes a feed of the source and has it go through interleavings.
func (c *chaos) run(seed uint64) {
	c.random, c.publish, c.done = rand.New(rand.NewPCG(seed, 4)), guidance, make(map[string]int)
	if seed%2 == 1 {
		c.publish = filtered
	}
	cfg := Config{Refresh: 5 * time.Millisecond, Guard: Guard{Hold: 30 * time.Millisecond, Ramp: 10 * time.Millisecond}}
	cfg.Servers = []*url.URL{mustURL("http://first.example/directory"), mustURL("http://second.example/directory")}
	cfg.Client.HTTP = &http.Client{Transport: c}
	const spooled = interleavings / 250 // for each of four feeds: each set waits for the disk
	times := (interleavings - 4*spooled) / 12
	if seed%4 == 0 {
		cfg.Spool, times = spoolIn(c.t, c.t.TempDir()), spooled
	}
	var err error
	if c.feed, err = New(cfg); err != nil {
		c.t.Error(err)
		return
	}
	c.next()
	defer c.listen()()
	for range times {
		c.interleave()
		c.count("interleaved")
	}
	c.end()
}

// However requests, answers and hands fall between each other: nobody is told of maps of
// two versions, and of an older version only after one was put back.
func TestFetchesInterleaved(t *testing.T) {
	const feeds = 16 // side by side
	done := make(map[string]int)
	all := make([]*chaos, feeds)
	var running sync.WaitGroup
	for seed := range all {
		all[seed] = &chaos{t: t, server: altotest.New()}
		running.Go(func() { all[seed].run(uint64(seed)) })
	}
	running.Wait()
	for _, c := range all {
		for what, n := range c.done {
			done[what] += n
		}
	}
	t.Log(done)
	if done["interleaved"] != interleavings {
		t.Errorf("%d interleavings, want %d", done["interleaved"], interleavings)
	}
	for _, what := range []string{"lost", "published", "told", "came in by a ramp", "released", "dropped", "put back", "inherited"} {
		if done[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}
