// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A Behavior answers a request in the place of the honest server. Any function
// will do; the functions below make the usual ones.
type Behavior func(w http.ResponseWriter, r *http.Request, x Exchange)

// An Exchange is what a Behavior has at hand.
type Exchange struct {
	// Honest answers as the server would.
	Honest http.Handler
	// Closing is closed when the server stops. What waits must give up then.
	Closing <-chan struct{}
	// At returns what answers as the server would at another path.
	At func(path string) http.Handler
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
	return ask(x.Honest, plain)
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
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
	return Error(alto.Error{Status: status, Code: code})
}

// Error answers with an ALTO error document (RFC 7285 §8.5.2), and with the
// status of e.
func Error(e alto.Error) Behavior {
	var body bytes.Buffer
	_ = WriteError(&body, e) // a buffer takes all
	return Body(e.Status, alto.MediaTypeError, body.Bytes())
}

// RetryAfter answers with 503 and asks to come back after so many seconds
// (RFC 7285 §8.5.3).
func RetryAfter(d time.Duration) Behavior {
	return unavailable(strconv.Itoa(int(d / time.Second)))
}

// RetryAfterDate answers with 503 and asks to come back at a time.
func RetryAfterDate(at time.Time) Behavior {
	return unavailable(at.UTC().Format(http.TimeFormat))
}

func unavailable(retryAfter string) Behavior {
	return func(w http.ResponseWriter, _ *http.Request, _ Exchange) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
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

// Instead serves what is at another path. With DirectoryPath it is the directory
// in the place of a map, which the RFC allows (RFC 7285 §8.3.4.2).
func Instead(path string) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) { x.At(path).ServeHTTP(w, r) }
}

// send sends the first n bytes of the right document, all of it for -1, and
// returns the rest. Header fields are replaced by those given; an empty one is
// left out.
func (x Exchange) send(w http.ResponseWriter, r *http.Request, n int, header map[string]string) (rest []byte, err error) {
	answer := x.honestAnswer(r)
	return sendPart(w, answer, answer.Body.Bytes(), n, header)
}

// sendPart does so with a body in the place of that of the answer.
func sendPart(w http.ResponseWriter, answer *httptest.ResponseRecorder, body []byte, n int, header map[string]string) (rest []byte, err error) {
	if n < 0 || n > len(body) {
		n = len(body)
	}
	for name := range answer.Header() {
		w.Header()[name] = slices.Clone(answer.Header()[name])
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
