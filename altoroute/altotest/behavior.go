// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A Behavior answers a request in the place of the honest server. Any function
// will do; the functions below make the usual ones.
type Behavior func(w http.ResponseWriter, r *http.Request, x Exchange)

// An Exchange is what a Behavior has at hand.
type Exchange struct {
	// Honest answers as the server would.
	Honest http.Handler
	// Closing is closed when the server ends. What waits must give up then.
	Closing <-chan struct{}
}

// wait waits for until, the client or the server to go. Nil waits for those
// two only.
func (x Exchange) wait(r *http.Request, until <-chan struct{}) {
	select {
	case <-until:
	case <-r.Context().Done():
	case <-x.Closing:
	}
}

// honestAnswer returns what the honest server says to an unconditional request
// for the document as it is, not compressed.
func (x Exchange) honestAnswer(r *http.Request) *httptest.ResponseRecorder {
	plain := r.Clone(r.Context())
	for _, name := range []string{"Accept-Encoding", "If-None-Match", "If-Modified-Since"} {
		plain.Header.Del(name)
	}
	answer := httptest.NewRecorder()
	x.Honest.ServeHTTP(answer, plain)
	return answer
}

// Times behaves as b for the first n requests, then honestly.
func Times(n int, b Behavior) Behavior {
	var came atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		if came.Add(1) > int64(n) {
			x.Honest.ServeHTTP(w, r)
			return
		}
		b(w, r, x)
	}
}

// Status answers with an HTTP status and no document.
func Status(status int) Behavior {
	return func(w http.ResponseWriter, _ *http.Request, _ Exchange) { w.WriteHeader(status) }
}

// ErrorDocument answers with an ALTO error document (RFC 7285 §8.5). With the
// status 200 it is a trap that the RFC forbids.
func ErrorDocument(status int, code string) Behavior {
	body, _ := json.Marshal(object{"meta": object{"code": code}}) // strings only
	return Body(status, alto.MediaTypeError, body)
}

// HTML answers with status 200 and a web page, as captive portals and broken
// proxies do.
func HTML() Behavior {
	return Body(http.StatusOK, "text/html; charset=utf-8", []byte("<!doctype html><title>Please log in</title>"))
}

// Body answers with the given bytes.
func Body(status int, contentType string, body []byte) Behavior {
	return func(w http.ResponseWriter, _ *http.Request, _ Exchange) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body) // a client that is gone is no fault of ours
	}
}

// ContentType sends the right document under another media type.
func ContentType(contentType string) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		_, _ = x.send(w, r, -1, map[string]string{"Content-Type": contentType})
	}
}

// Of serves the path from other guidance: another version of the document, or
// another document.
func Of(g Guidance) Behavior {
	resources := g.resources()
	return func(w http.ResponseWriter, r *http.Request, _ Exchange) {
		resources[r.URL.Path].ServeHTTP(w, r)
	}
}

// WithoutValidators sends the right document, but neither ETag nor
// Last-Modified, and never answers 304.
func WithoutValidators() Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		_, _ = x.send(w, r, -1, map[string]string{"ETag": "", "Last-Modified": ""})
	}
}

// Truncated sends the first n bytes of the right document as if they were all.
func Truncated(n int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		_, _ = x.send(w, r, n, map[string]string{"Content-Length": ""})
	}
}

// Cut sends the first n bytes of the right document, and then the connection
// breaks.
func Cut(n int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		_, _ = x.send(w, r, n, nil)
		panic(http.ErrAbortHandler)
	}
}

// Stall waits before it answers: until the channel is closed, or with nil until
// the client has had enough.
func Stall(until <-chan struct{}) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		x.wait(r, until)
		x.Honest.ServeHTTP(w, r)
	}
}

// StallAfter sends the first n bytes of the right document, waits as Stall does,
// and sends the rest.
func StallAfter(n int, until <-chan struct{}) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		rest, err := x.send(w, r, n, nil)
		if err != nil {
			return
		}
		x.wait(r, until)
		_, _ = w.Write(rest)
	}
}

// Endless sends a document of the right media type that has no end.
func Endless() Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		w.Header().Set("Content-Type", x.honestAnswer(r).Header().Get("Content-Type"))
		_, err := io.WriteString(w, `{"meta":{},"padding":[0`)
		for err == nil {
			_, err = io.WriteString(w, ",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0")
		}
	}
}

// Redirect redirects to a URI, which may be relative. To the path itself it is a
// loop.
func Redirect(status int, to string) Behavior {
	return func(w http.ResponseWriter, r *http.Request, _ Exchange) { http.Redirect(w, r, to, status) }
}

// send sends the first n bytes of the right document, all of it for -1, and
// returns the rest. Header fields are replaced by those given; an empty one is
// left out.
func (x Exchange) send(w http.ResponseWriter, r *http.Request, n int, header map[string]string) (rest []byte, err error) {
	answer := x.honestAnswer(r)
	body := answer.Body.Bytes()
	if n < 0 || n > len(body) {
		n = len(body)
	}
	for name := range answer.Header() {
		w.Header().Set(name, answer.Header().Get(name))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	for name, value := range header {
		if w.Header().Del(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(answer.Code)
	if _, err := w.Write(body[:n]); err != nil {
		return nil, err
	}
	return body[n:], http.NewResponseController(w).Flush()
}
