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
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Guidance is all that a Server serves beside its directory, which lists it.
type Guidance struct {
	// Default is the directory's default network map; empty is none, which the
	// RFC does not allow (RFC 7285 §9.2.2).
	Default     string
	NetworkMaps []NetworkMap
	CostMaps    []CostMap
}

// DirectoryPath is where the directory is.
const DirectoryPath = "/directory"

// NetworkMapPath returns where the network map of a resource id is.
func NetworkMapPath(id string) string { return "/networkmap/" + id }

// CostMapPath returns where the cost map of a resource id is.
func CostMapPath(id string) string { return "/costmap/" + id }

// A Server is an ALTO server: an [http.Handler] that is safe for concurrent
// use, and on the network if Start made it. It knows conditional requests and
// gzip, and its directory has relative URIs. Before the first Publish all is
// 404.
type Server struct {
	// URL is where the server is on the network, without a slash at the end;
	// empty if it was made by New.
	URL string

	closing chan struct{} // closed to end what stalls

	mu        sync.Mutex // guards what follows
	resources map[string]*resource
	behaviors map[string]Behavior
	counts    map[string]Count
}

// resource is one document, ready to be sent.
type resource struct {
	mediaType string
	body      []byte
	modified  time.Time
}

// Count counts the requests for one path.
type Count struct {
	// Requests are all that came, NotModified those answered with 304.
	Requests, NotModified int
}

// New returns a Server that is not on the network.
func New() *Server {
	return &Server{
		closing:   make(chan struct{}),
		behaviors: make(map[string]Behavior),
		counts:    make(map[string]Count),
	}
}

// Start returns a Server on the loopback interface. It ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := New()
	listening := httptest.NewServer(s)
	s.URL = listening.URL
	tb.Cleanup(func() {
		close(s.closing)
		listening.CloseClientConnections()
		listening.Close()
	})
	return s
}

// Directory returns the URL of the directory.
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

// resources makes the documents, by path.
func (g *Guidance) resources() map[string]*resource {
	made := make(map[string]*resource)
	now := time.Now().UTC().Truncate(time.Second)
	add := func(path, mediaType string, body *bytes.Buffer, err error) {
		if err != nil {
			panic(err)
		}
		made[path] = &resource{mediaType: mediaType, body: body.Bytes(), modified: now}
	}
	for _, m := range g.NetworkMaps {
		var body bytes.Buffer
		err := WriteNetworkMap(&body, m)
		add(NetworkMapPath(m.ID), alto.MediaTypeNetworkMap, &body, err)
	}
	for _, m := range g.CostMaps {
		var body bytes.Buffer
		err := WriteCostMap(&body, m)
		add(CostMapPath(m.ID), alto.MediaTypeCostMap, &body, err)
	}
	var body bytes.Buffer
	err := WriteDirectory(&body, g.directory())
	add(DirectoryPath, alto.MediaTypeDirectory, &body, err)
	return made
}

// directory lists the guidance.
func (g *Guidance) directory() *alto.Directory {
	d := &alto.Directory{
		DefaultNetworkMap: g.Default,
		CostTypes:         make(map[string]alto.CostType),
		Resources:         make(map[string]alto.Resource),
	}
	relative := func(path string) *url.URL { return &url.URL{Path: strings.TrimPrefix(path, "/")} }
	for _, m := range g.NetworkMaps {
		d.Resources[m.ID] = alto.Resource{URI: relative(NetworkMapPath(m.ID)), MediaType: alto.MediaTypeNetworkMap}
	}
	for _, m := range g.CostMaps {
		name := m.Type.Mode + "-" + m.Type.Metric
		d.CostTypes[name] = m.Type
		d.Resources[m.ID] = alto.Resource{
			URI:          relative(CostMapPath(m.ID)),
			MediaType:    alto.MediaTypeCostMap,
			Capabilities: alto.Capabilities{CostTypeNames: []string{name}},
			Uses:         []string{m.DependsOn.ResourceID},
		}
	}
	return d
}

// Misbehave has a path answered by b from now on; nil is honest again. It may
// be a path where there is nothing.
func (s *Server) Misbehave(path string, b Behavior) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviors[path] = b
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

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	s.mu.Lock()
	behavior, served := s.behaviors[path], s.resources[path]
	count := s.counts[path]
	count.Requests++
	s.counts[path] = count
	s.mu.Unlock()

	counted := &countingWriter{ResponseWriter: w, server: s, path: path}
	if behavior == nil {
		served.ServeHTTP(counted, r)
		return
	}
	behavior(counted, r, Exchange{Honest: served, Closing: s.closing})
}

// ServeHTTP answers as a good server does.
func (o *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case o == nil:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body := o.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = compress(body)
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", o.mediaType)
	w.Header().Set("Vary", "Accept-Encoding")
	// Weak, as it is the same with and without gzip (RFC 9110 §8.8.1).
	w.Header().Set("ETag", fmt.Sprintf(`W/"%.8x"`, sha256.Sum256(o.body)))
	http.ServeContent(w, r, "", o.modified, bytes.NewReader(body))
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	zipper := gzip.NewWriter(&b)
	_, _ = zipper.Write(body) // a buffer takes all
	_ = zipper.Close()
	return b.Bytes()
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
