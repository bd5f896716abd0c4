// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// cutGzip breaks the connection in the middle of a compressed body.
func cutGzip(w http.ResponseWriter, r *http.Request, _ altotest.Exchange) {
	body := zipped(networkDocument("1"))
	mediaType, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("ETag", `"cut"`)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Whatever a server does with any of its resources, the set in force stays, the
// error names the URL once, nothing of it is remembered, and it is over when the
// server is well again.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		behavior altotest.Behavior
		reason   Refusal
		word     string
	}{
		"status":         {altotest.Status(http.StatusServiceUnavailable), NoSuccess, "503"},
		"not found":      {altotest.Status(http.StatusNotFound), NoSuccess, "404"},
		"error":          {altotest.ErrorDocument(http.StatusBadRequest, "E_SYNTAX"), NoSuccess, "E_SYNTAX"},
		"error 200":      {altotest.ErrorDocument(http.StatusOK, "E_SYNTAX"), OtherType, "E_SYNTAX"},
		"HTML":           {altotest.HTML(), OtherType, "text/html"},
		"content type":   {altotest.ContentType("application/json"), OtherType, "application/json"},
		"truncated":      {altotest.Truncated(60), Invalid, "cut off"},
		"cut":            {altotest.Cut(60), Unavailable, "unexpected EOF"},
		"cut gzip":       {cutGzip, Unavailable, "unexpected EOF"},
		"stall":          {altotest.Stall(nil), Unavailable, "not complete after"},
		"stall mid-body": {altotest.StallAfter(60, nil), Unavailable, "not complete after"},
		"endless":        {altotest.Endless(), TooLarge, "larger than the limit"},
	}
	for name, fault := range faults {
		for _, path := range []string{altotest.DirectoryPath, netPath, costPath} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				server, s := serve(t)
				s.wants("1 num1", Fresh, "")
				before := s.Maps()
				s.cfg.Client.MaxBody = 1 << 20
				if strings.HasPrefix(name, "stall") {
					s.cfg.Client.Timeout = 500 * time.Millisecond
				}
				server.Publish(guidance("2", 2))
				server.Misbehave(path, fault.behavior)
				for range 2 {
					s.wants("1 num1", Stale, fault.word)
				}
				status := s.Status()
				if got := status.Err.Error(); refusalOf(status.Err) != fault.reason || strings.Count(got, server.URL+path) != 1 {
					t.Errorf("error %q (%s), want one of %s", got, refusalOf(status.Err), fault.reason)
				}
				if s.Maps() != before || status.Refusals[fault.reason] != 1 || s.log.count("refused") != 1 {
					t.Errorf("counted %v, logged %d times", status.Refusals, s.log.count("refused"))
				}
				server.Misbehave(path, nil)
				s.cfg.Client.Timeout = 0
				s.wants("2 num2", Fresh, "")
				s.wants("2 num2", Fresh, "")
				if n := server.Count(path).NotModified; n != 1 && path != altotest.DirectoryPath {
					t.Errorf("%d answers of 304, want one: that to the last look", n)
				}
			})
		}
	}
}

// Documents that are wrong in themselves are refused from a server as from a
// file, and asked for again each time.
func TestServerBadDocuments(t *testing.T) {
	for _, bad := range badFiles(t) {
		if strings.Contains(bad.name, "gzip") || bad.reason == Mismatch {
			continue
		}
		t.Run(bad.name+" "+bad.file, func(t *testing.T) {
			server, s := serve(t)
			s.wants("1 num1", Fresh, "")
			path, mediaType := netPath, alto.MediaTypeNetworkMap
			if bad.file == "cost" {
				path, mediaType = costPath, alto.MediaTypeCostMap
			}
			server.Misbehave(path, altotest.Body(http.StatusOK, mediaType, bad.content))
			for range 2 {
				s.wants("1 num1", Stale, bad.words[0])
			}
			if s.Status().Refusals[bad.reason] != 1 {
				t.Errorf("counted %v", s.Status().Refusals)
			}
			server.Misbehave(path, nil)
			s.wants("1 num1", Fresh, "")
			if s.Status().Updates != 1 {
				t.Error("the same content led to a new set")
			}
		})
	}
}

// Stop does not wait for a server.
func TestStopDuringAStall(t *testing.T) {
	for name, stall := range map[string]altotest.Behavior{"before": altotest.Stall(nil), "in the body": altotest.StallAfter(60, nil)} {
		t.Run(name, func(t *testing.T) {
			server, s := serve(t)
			server.Misbehave(netPath, stall)
			s.Start()
			s.Start() // does nothing
			eventually(t, "the request", func() bool { return server.Count(netPath).Requests == 1 })
			start := time.Now()
			s.Stop()
			s.Stop()
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Stop took %s", took)
			}
			if status := s.Status(); status.Err != nil || status.Attempted || s.log.count("refused") != 0 {
				t.Errorf("a look that was broken off was taken for a fault: %v", status.Err)
			}
		})
	}
}

// Nothing is left running by feeds that were stopped.
func TestNoGoroutineIsLeft(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1", 1))
	before := runtime.NumGoroutine()
	for i := range 10 {
		transport := alto.NewTransport()
		cfg := Config{Servers: []*url.URL{server.Directory()}, Refresh: time.Millisecond}
		cfg.Client.HTTP = &http.Client{Transport: transport}
		s := watch(t, cfg, "a")
		server.Misbehave(costPath, []altotest.Behavior{nil, altotest.Cut(60), altotest.HTML()}[i%3])
		s.Start()
		eventually(t, "two looks", func() bool { return s.Status().Checks > 1 })
		s.Stop()
		transport.CloseIdleConnections()
	}
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}

// While the server changes as fast as it can, nobody ever sees maps that do not
// belong together, nor older ones after newer.
func TestServerChangesAllTheTime(t *testing.T) {
	server, s := serve(t)
	s.cfg.Refresh = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		last := 0
		for ctx.Err() == nil {
			last = checkSuccessor(t, last, s.Maps())
		}
	}()
	s.Start()
	for i := 2; i <= 200; i++ {
		server.Publish(guidance(strconv.Itoa(i), 1))
		if i%10 == 0 {
			eventually(t, "the present version", func() bool { return tagOf(s.Maps()) == i })
		}
	}
	cancel()
	<-done
	s.Stop()
	last := 0
	for _, m := range s.told {
		last = checkSuccessor(t, last, m)
	}
	if last != 200 || s.times() < 20 {
		t.Errorf("told of %d sets, the last of version %d", s.times(), last)
	}
}

func tagOf(m *altoroute.Maps) int {
	if m == nil {
		return 0
	}
	tag, _ := strconv.Atoi(m.Network.Tag().Tag)
	return tag
}

// checkSuccessor checks that a set is whole and no older than the last, and
// returns its number.
func checkSuccessor(t *testing.T, last int, m *altoroute.Maps) int {
	t.Helper()
	tag := tagOf(m)
	if version(m) == "mixed" || tag < last {
		t.Errorf("%s of version %d after version %d", version(m), tag, last)
	}
	return tag
}
