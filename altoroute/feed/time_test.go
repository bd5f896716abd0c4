// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// wire is a network of one server, without a network: time can be made up.
type wire struct {
	server *altotest.Server

	mu    sync.Mutex
	down  bool
	asked []time.Time // when the directory was asked for
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == altotest.DirectoryPath {
		w.asked = append(w.asked, time.Now())
	}
	if w.down {
		return nil, errors.New("no route to host, attempt " + time.Now().String())
	}
	answer := httptest.NewRecorder()
	w.server.ServeHTTP(answer, r)
	response := answer.Result()
	response.Request = r
	return response, nil
}

func (w *wire) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// gaps returns the times between the requests since the last call.
func (w *wire) gaps() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gaps []time.Duration
	for i := range w.asked[1:] {
		gaps = append(gaps, w.asked[i+1].Sub(w.asked[i]))
	}
	w.asked = w.asked[len(w.asked)-1:]
	return gaps
}

// wired returns a feed whose server is down at first, and starts it.
func wired(t *testing.T, refresh time.Duration) (*wire, *subject) {
	t.Helper()
	w := &wire{server: altotest.New(), down: true}
	w.server.Publish(guidance("1", 1))
	cfg := Config{Servers: []*url.URL{mustURL("http://alto.example/directory")}, Refresh: refresh}
	cfg.Client.HTTP = &http.Client{Transport: w}
	s := watch(t, cfg, "a")
	s.Start()
	synctest.Wait()
	return w, s
}

// about checks waits that are spread by a tenth to either side.
func about(t *testing.T, gaps []time.Duration, seconds ...int) {
	t.Helper()
	ok := len(gaps) == len(seconds)
	for i := range min(len(gaps), len(seconds)) {
		want := time.Duration(seconds[i]) * time.Second
		ok = ok && gaps[i] >= want*9/10 && gaps[i] <= want*11/10+1
	}
	if !ok {
		t.Errorf("waited %v, want about %v seconds", gaps, seconds)
	}
}

func TestServerDownAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := wired(t, time.Minute)
		if status := s.Status(); !status.Attempted || status.State() != None || s.log.count("ERROR", "no maps yet") != 1 {
			t.Errorf("state %s, attempted %v, %d errors logged", status.State(), status.Attempted, s.log.count("ERROR"))
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		gaps := w.gaps()
		about(t, gaps[:8], 1, 2, 4, 8, 16, 32, 60, 60)
		if n := s.log.count("no maps yet"); n != 1 || s.Status().Refusals[Unavailable] != 1 {
			t.Errorf("an outage was logged %d times, counted %v", n, s.Status().Refusals)
		}
		w.set(false)
		time.Sleep(67 * time.Second)
		synctest.Wait()
		if got := version(s.Maps()); got != "1 num1" || s.log.count("recovered") != 1 {
			t.Errorf("in force is %s, %d recoveries", got, s.log.count("recovered"))
		}
	})
}

func TestServerDownLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := wired(t, time.Minute)
		w.set(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := version(s.Maps()); got != "1 num1" {
			t.Fatalf("in force is %s", got)
		}
		about(t, w.gaps()[:4], 1, 60, 60, 60) // the first attempt had failed
		before, contact := s.Maps(), s.Status().LastContact
		w.set(true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		about(t, w.gaps()[:7], 60, 1, 2, 4, 8, 16, 32)
		status := s.Status()
		if s.Maps() != before || status.State() != Stale || status.LastContact.Sub(contact) > 2*time.Minute || time.Since(status.LastContact) < 3*time.Minute {
			t.Errorf("state %s, last contact %s ago", status.State(), time.Since(status.LastContact))
		}
		if s.log.count("refused", "the last good ones stay in force") != 1 {
			t.Error("the outage was not logged once")
		}
		w.set(false)
		w.server.Publish(guidance("2", 2))
		time.Sleep(67 * time.Second)
		synctest.Wait()
		if got := version(s.Maps()); got != "2 num2" || s.Status().Err != nil {
			t.Errorf("in force is %s", got)
		}
		w.gaps()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		about(t, w.gaps()[:4], 60, 60, 60, 60)
	})
}

// A watcher whose rows cannot be had does not make the feed ask without a
// pause.
func TestNewRowsWhileTheServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := wired(t, time.Hour)
		w.set(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.set(true)
		w.gaps()
		if err := s.more("b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		gaps := w.gaps()
		about(t, gaps[1:6], 1, 2, 4, 8, 16)
		w.set(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !s.Maps().Costs[0].Keeps([]string{"a", "b"}) {
			t.Error("the row is still missing")
		}
	})
}

func TestFilesAreLookedAtInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := twoFiles(t, "a")
		s.Start()
		time.Sleep(time.Hour)
		synctest.Wait()
		wantReads(t, s, 1, 1)
		d.put("cost", costDocument("1", 2, numerical))
		time.Sleep(DefaultFileRefresh)
		synctest.Wait()
		if got := version(s.Maps()); got != "1 num2" {
			t.Errorf("in force is %s", got)
		}
		d.put("cost", []byte("{"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.log.count("refused"); got != 1 || s.reads()[1] != 3 {
			t.Errorf("logged %d times, read %v times", got, s.reads())
		}
		if status := s.Status(); status.Checks < 3500 || !strings.Contains(status.Err.Error(), "cut off") {
			t.Errorf("%d looks in two hours, error %v", status.Checks, status.Err)
		}
		s.Stop()
	})
}
