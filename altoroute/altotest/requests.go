// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
)

// Count counts the requests for one path.
type Count struct {
	// Requests are all that came, NotModified those answered with 304.
	Requests, NotModified int
}

// A Request is one that came.
type Request struct {
	Method string
	// Host is the host that was asked for, Target the path and query.
	Host, Target string
	// Header has all fields that came: Accept, Authorization, Cookie….
	Header http.Header
	// Body is what came with it, up to 64 KiB.
	Body []byte
}

const (
	// maxRequests bounds the requests that are kept of a path.
	maxRequests = 100
	// maxRecorded bounds what is kept of a request's body.
	maxRecorded = 64 << 10
)

// record counts and keeps a request, and returns it with its body to be read
// again.
func (s *Server) record(r *http.Request) *http.Request {
	kept := Request{Method: r.Method, Host: r.Host, Target: r.URL.RequestURI(), Header: r.Header.Clone()}
	if r.Body != nil && r.Body != http.NoBody {
		kept.Body, _ = io.ReadAll(io.LimitReader(r.Body, maxRecorded)) // the next reader meets the error again
		whole := *r
		whole.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(kept.Body), r.Body), r.Body}
		r = &whole
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := r.URL.Path
	count := s.counts[path]
	count.Requests++
	s.counts[path] = count
	list := s.requests[path]
	if len(list) == maxRequests {
		list = slices.Delete(list, 0, 1)
	}
	s.requests[path] = append(list, kept)
	return r
}

// Count returns how often a path was asked for.
func (s *Server) Count(path string) Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[path]
}

// Counts returns how often each path was asked for.
func (s *Server) Counts() map[string]Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Requests returns the last requests for a path, at most 100, in the order in
// which they came.
func (s *Server) Requests(path string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[path])
}

// countingWriter sees how a request was answered.
type countingWriter struct {
	http.ResponseWriter
	server *Server
	path   string
}

func (c *countingWriter) WriteHeader(status int) {
	if status == http.StatusNotModified {
		c.server.mu.Lock()
		count := c.server.counts[c.path]
		count.NotModified++
		c.server.counts[c.path] = count
		c.server.mu.Unlock()
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (c *countingWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
