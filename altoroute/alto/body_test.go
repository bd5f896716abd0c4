// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A fakeServer is a transport whose answers have a body that comes byte by
// byte, with a pause before each.
type fakeServer struct {
	header, pause time.Duration
	status        int
	contentType   string
	encoding      string
	closed        bool
}

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := wait(r.Context(), s.header); err != nil {
		return nil, err
	}
	s.closed = false
	return &http.Response{
		StatusCode:    s.status,
		Header:        http.Header{"Content-Type": {s.contentType}, "Content-Encoding": {s.encoding}},
		Body:          &fakeBody{s, r.Context()},
		ContentLength: -1,
		Request:       r,
	}, nil
}

type fakeBody struct {
	server *fakeServer
	ctx    context.Context //nolint:containedctx // the request's own
}

func (b *fakeBody) Read(p []byte) (int, error) {
	if err := wait(b.ctx, b.server.pause); err != nil {
		return 0, err
	}
	p[0] = ' '
	return 1, nil
}

func (b *fakeBody) Close() error {
	b.server.closed = true
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestGetTime(t *testing.T) {
	for name, c := range map[string]struct {
		server fakeServer
		after  time.Duration // when it is given up
		err    string
	}{
		"a byte a second":    {fakeServer{pause: time.Second}, 2 * time.Minute, "the answer was not complete after 2m0s"},
		"a stall":            {fakeServer{pause: time.Hour}, 30 * time.Second, "nothing came for 30s"},
		"a stall, zipped":    {fakeServer{pause: time.Hour, encoding: "gzip"}, 30 * time.Second, "decompressing the answer: nothing came for 30s"},
		"a late header":      {fakeServer{header: time.Hour}, 2 * time.Minute, "the answer was not complete after 2m0s"},
		"a stall in a 404":   {fakeServer{pause: time.Hour, status: 404, contentType: alto.MediaTypeError}, 30 * time.Second, "the answer has status 404"},
		"slow, but too much": {fakeServer{pause: 29 * time.Second}, 2 * time.Minute, "the answer was not complete after 2m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := c.server
				if server.status == 0 {
					server.status, server.contentType = 200, alto.MediaTypeNetworkMap
				}
				start := time.Now()
				client := &alto.Client{HTTP: &http.Client{Transport: &server}}
				_, _, err := fetch(t.Context(), client, mustURL("http://alto.example.com/"), alto.Validators{})
				checkError(t, name, err, c.err)
				if time.Since(start) != c.after {
					t.Errorf("given up after %s, want %s", time.Since(start), c.after)
				}
				if server.status == 200 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not a deadline", err)
				}
				if server.header == 0 && !server.closed {
					t.Error("the body was not closed")
				}
			})
		})
	}
}

// A reader that takes its time does not make the server stall.
func TestGetSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &alto.Client{
			HTTP:    &http.Client{Transport: &fakeServer{status: 200, contentType: alto.MediaTypeNetworkMap, pause: time.Second}},
			Timeout: time.Hour,
		}
		res, err := client.Get(t.Context(), mustURL("http://alto.example.com/"), alto.MediaTypeNetworkMap, alto.Validators{})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := res.Body.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		for range 2 {
			if err := res.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "closed") {
			t.Errorf("reading after closing: %v", err)
		}
	})
}
