// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hangup breaks the connection without an answer.
func Hangup() Behavior {
	return func(http.ResponseWriter, *http.Request, Exchange) { panic(http.ErrAbortHandler) }
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
		_, _ = w.Write(rest) //nolint:gosec // of what the test published
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

// Redirect redirects to a URI, which may be relative or of another host. To the
// path itself it is a loop.
func Redirect(status int, to string) Behavior {
	return func(w http.ResponseWriter, r *http.Request, _ Exchange) { http.Redirect(w, r, to, status) }
}

// Delay waits before it answers.
func Delay(d time.Duration) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		if x.pause(r, d) {
			x.Honest.ServeHTTP(w, r)
		}
	}
}

// Drip sends the right document byte by byte, with a pause before each.
func Drip(interval time.Duration) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		rest, err := x.send(w, r, 0, nil)
		for len(rest) > 0 && err == nil && x.pause(r, interval) {
			if _, err = w.Write(rest[:1]); err == nil { //nolint:gosec // of what the test published
				err = http.NewResponseController(w).Flush()
			}
			rest = rest[1:]
		}
	}
}

// pause waits, and reports whether client and server are still there.
func (x Exchange) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-x.Closing:
	}
	return false
}

// GzipBomb sends a small body that is a large document: size bytes, and some
// more, once it is inflated.
func GzipBomb(size int64) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		w.Header().Set("Content-Type", x.honestAnswer(r).Header().Get("Content-Type"))
		w.Header().Set("Content-Encoding", "gzip")
		const zeros = 1 << 17
		// A gzip may have any number of members (RFC 1952 §2.2), so the same
		// one does again and again.
		_, err := w.Write(compress([]byte(`{"meta":{},"padding":[0`)))
		filling := compress(bytes.Repeat([]byte(",0"), zeros))
		for sent := int64(0); sent < size && err == nil; sent += 2 * zeros {
			_, err = w.Write(filling)
		}
		_, _ = w.Write(compress([]byte("]}\n")))
	}
}

// Encoding sends the right document as it is, but calls it encoded (RFC 9110
// §8.4).
func Encoding(name string) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		_, _ = x.send(w, r, -1, map[string]string{"Content-Encoding": name})
	}
}

// ContentLength sends the right document with a Content-Length that is so many
// bytes off.
func ContentLength(off int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		answer := x.honestAnswer(r)
		length := max(answer.Body.Len()+off, 0)
		header := map[string]string{"Content-Length": strconv.Itoa(length)}
		switch {
		case off < 0 && surplus(w, answer, length):
		case off < 0:
			_, _ = sendPart(w, answer, answer.Body.Bytes(), length, header)
		default:
			_, _ = sendPart(w, answer, answer.Body.Bytes(), -1, header)
			panic(http.ErrAbortHandler)
		}
	}
}

// surplus sends more than the length says, which package net/http would not. It
// reports whether that is possible; with HTTP/2 it is not.
func surplus(w http.ResponseWriter, answer *httptest.ResponseRecorder, length int) bool {
	conn, out, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	header := answer.Header().Clone()
	header.Set("Content-Length", strconv.Itoa(length))
	header.Set("Connection", "close")
	_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", answer.Code, http.StatusText(answer.Code))
	_ = header.Write(out)
	_, _ = out.WriteString("\r\n" + answer.Body.String())
	_ = out.Flush() // the client may be gone
	return true
}

// HeaderFlood sends the right document after header fields of n bytes.
func HeaderFlood(n int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		for i := range (n + 1023) / 1024 {
			name := fmt.Sprintf("X-Flood-%d", i)
			w.Header().Set(name, strings.Repeat("x", 1024-len(name)-len(": \r\n")))
		}
		x.Honest.ServeHTTP(w, r)
	}
}

// RedirectChain redirects n times, and then answers honestly. With 307 the
// method is kept (RFC 7285 §8.5.3).
func RedirectChain(n int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		hop, err := strconv.Atoi(r.URL.Query().Get("hop"))
		if err != nil {
			hop = 0
		}
		if hop >= n {
			x.Honest.ServeHTTP(w, r)
			return
		}
		redirect(w, http.StatusTemporaryRedirect, fmt.Sprintf("?hop=%d", hop+1))
	}
}

// RedirectLoop redirects to the same place.
func RedirectLoop() Behavior {
	return func(w http.ResponseWriter, _ *http.Request, _ Exchange) {
		redirect(w, http.StatusTemporaryRedirect, "?")
	}
}

// redirect redirects to a reference, which package net/http would resolve first.
func redirect(w http.ResponseWriter, status int, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(status)
}

// SeeOther answers POST with 303 and the place where the answer is, for GET
// (RFC 7285 §8.3.3).
func SeeOther() Behavior {
	var mu sync.Mutex
	answers := make(map[string]*httptest.ResponseRecorder)
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPost {
			name := strconv.Itoa(len(answers))
			answers[name] = x.honestAnswer(r)
			redirect(w, http.StatusSeeOther, "?answer="+name)
			return
		}
		answer, ok := answers[r.URL.Query().Get("answer")]
		if !ok {
			x.Honest.ServeHTTP(w, r)
			return
		}
		_, _ = sendPart(w, answer, answer.Body.Bytes(), -1, nil)
	}
}
