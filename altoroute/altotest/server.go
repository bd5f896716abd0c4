// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Server is an ALTO server: an [http.Handler] that is safe for concurrent
// use, and on the network if Start or StartTLS made it. It knows conditional
// requests and gzip, and its directories have relative URIs. Before the first
// Publish all is 404.
type Server struct {
	// URL is where the server is on the network, without a slash at the end;
	// empty if it was made by New.
	URL string
	// Authority made the certificate of the server; nil without TLS.
	Authority *Authority

	socket *socket // nil if it is not on the network

	mu             sync.Mutex    // guards what follows
	closing        chan struct{} // closed to end what stalls
	resources      map[string]*resource
	behaviors      map[string]Behavior
	headers        map[string]http.Header
	authenticators map[string]Authenticator
	counts         map[string]Count
	requests       map[string][]Request
}

// resource is what is at one path.
type resource struct {
	mediaType string
	body      []byte // the answer to GET; nil if there is none
	modified  time.Time
	filter    *FilteredCostMap // answers POST; nil if nothing does
}

// New returns a Server that is not on the network.
func New() *Server {
	return &Server{
		closing:        make(chan struct{}),
		behaviors:      make(map[string]Behavior),
		headers:        make(map[string]http.Header),
		authenticators: make(map[string]Authenticator),
		counts:         make(map[string]Count),
		requests:       make(map[string][]Request),
	}
}

// Directory returns the URL of the root directory.
func (s *Server) Directory() *url.URL {
	u, err := url.Parse(s.URL + DirectoryPath)
	if err != nil {
		panic(err) // of our own making
	}
	return u
}

// Publish puts guidance in the place of what was served, all at once. What has
// the same content keeps its validators. It panics on values that JSON has no
// form for.
func (s *Server) Publish(g Guidance) {
	next := g.resources()
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, r := range next {
		old, ok := s.resources[path]
		switch {
		case ok && bytes.Equal(old.body, r.body):
			r.modified = old.modified
		case ok && !old.modified.Before(r.modified):
			// A date of HTTP has full seconds only; without this, the second
			// change within one would not show.
			r.modified = old.modified.Add(time.Second)
		}
	}
	s.resources = next
}

// Misbehave has a path answered by b from now on; nil is honest again. It may
// be a path where there is nothing. The empty path stands for all paths that
// have no behavior of their own.
func (s *Server) Misbehave(path string, b Behavior) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviors[path] = b
}

// SetHeader has the honest answers from a path carry these fields too, those of
// 304 included: Cache-Control, Expires and Age, above all. They replace the
// fields that were set for it before.
func (s *Server) SetHeader(path string, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers[path] = header.Clone()
}

// Authenticate has all paths that begin with a prefix ask for credentials; nil
// asks for none. Of two prefixes the longer one counts.
func (s *Server) Authenticate(prefix string, a Authenticator) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authenticators[prefix] = a
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	r = s.record(r)
	w = &countingWriter{ResponseWriter: w, server: s, path: path}

	s.mu.Lock()
	behavior := s.behaviors[path]
	if behavior == nil {
		behavior = s.behaviors[""]
	}
	authenticator, prefix := s.authenticators[""], ""
	for p, a := range s.authenticators {
		if strings.HasPrefix(path, p) && len(p) > len(prefix) {
			authenticator, prefix = a, p
		}
	}
	exchange := Exchange{Honest: s.honest(path), Closing: s.closing, At: func(path string) http.Handler {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.honest(path)
	}}
	s.mu.Unlock()

	if authenticator != nil {
		if challenges := authenticator.Challenges(r); len(challenges) > 0 {
			w.Header()["Www-Authenticate"] = challenges
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
	}
	if behavior == nil {
		exchange.Honest.ServeHTTP(w, r)
		return
	}
	behavior(w, r, exchange)
}

// honest returns what answers at a path as it should. The caller holds the
// mutex.
func (s *Server) honest(path string) http.Handler {
	served, header := s.resources[path], s.headers[path]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		served.ServeHTTP(w, r)
	})
}

// ServeHTTP answers as a good server does.
func (o *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case o == nil:
		http.NotFound(w, r)
	case o.filter != nil && r.Method == http.MethodPost:
		o.filter.ServeHTTP(w, r)
	case o.body != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("ETag", entityTag(o.body))
		http.ServeContent(w, r, "", o.modified, bytes.NewReader(encode(w, r, o.mediaType, o.body)))
	default:
		w.Header().Set("Allow", o.methods())
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// entityTag is weak, as it is the same with and without gzip (RFC 9110 §8.8.1).
func entityTag(body []byte) string { return fmt.Sprintf(`W/"%.8x"`, sha256.Sum256(body)) }

func (o *resource) methods() string {
	switch {
	case o.filter == nil:
		return "GET, HEAD"
	case o.body == nil:
		return "POST"
	}
	return "GET, HEAD, POST"
}

// encode sets what the header says of a body, and returns the body as it goes
// out.
func encode(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) []byte {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		return compress(body)
	}
	return body
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	zipper := gzip.NewWriter(&b)
	_, _ = zipper.Write(body) // a buffer takes all
	_ = zipper.Close()
	return b.Bytes()
}
