// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
)

// Retry is how a client tells that it could not reach an edge. Exactly one of
// its members is set. The client names the edge, or several with commas between
// them, by name or by the host of its URL, and is sent to the next best one.
type Retry struct {
	// A query parameter, for example `failed`. It is taken out of the query that
	// goes to the edge, and does not belong to the content key.
	Query string `json:"query,omitempty"`

	// A request header, for example `X-Failed-Edge`.
	Header string `json:"header,omitempty"`
}

// maxFailed bounds how many edges a client may name.
const maxFailed = 8

// headerName is the grammar of a header's name (RFC 9110 §5.1).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (t *Retry) validate() error {
	switch {
	case t == nil:
		return nil
	case (t.Query == "") == (t.Header == ""):
		return errors.New("altoroute: retry: name a query parameter or a header")
	case t.Header != "" && !headerName.MatchString(t.Header):
		return fmt.Errorf("altoroute: retry: %q is not the name of a header: write for example X-Failed-Edge", t.Header)
	}
	return nil
}

// take takes what a client tells out of a request: the names as they came, and
// the URL without them.
func (t *Retry) take(r *http.Request) (told string, rest *url.URL) {
	if t == nil {
		return "", r.URL
	}
	if t.Header != "" {
		return strings.Join(r.Header.Values(t.Header), ","), r.URL
	}
	if !strings.Contains(r.URL.RawQuery, t.Query) && !strings.Contains(r.URL.RawQuery, "%") {
		return "", r.URL
	}
	var names, kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain != t.Query {
			kept = append(kept, pair)
			continue
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			names = append(names, plain)
		}
	}
	without := *r.URL
	without.RawQuery = strings.Join(kept, "&")
	return strings.Join(names, ","), &without
}

// failed returns the names of the pool's edges that a client says it could not
// reach, in its order. What else it names is nothing to us.
func (h *Handler) failed(told string) []string {
	if told == "" {
		return nil
	}
	var names []string
	known := h.names()
	for n := 0; told != "" && n < maxFailed; n++ {
		var name string
		name, told, _ = strings.Cut(told, ",")
		if edge, ok := known[strings.ToLower(strings.TrimSpace(name))]; ok && !slices.Contains(names, edge) {
			names = append(names, edge)
		}
	}
	return names
}

// report counts what a client tells, for others in its PID.
func (h *Handler) report(q *altoroute.Query, r *http.Request) {
	if len(q.Failed) > 0 && h.testifies(r) {
		h.router.Report(*q, time.Now())
	}
}

// testifies reports whether what a client tells may count for others. A part of
// something that was begun says nothing of whether the edge can be reached. In a
// handshake that is not complete the address may be anybody's (RFC 9000 §21.3).
// And a page of another site can have its visitors ask for anything: unless the
// operator trusts it by `cors`, they are not asked.
func (h *Handler) testifies(r *http.Request) bool {
	switch {
	case r.Method != http.MethodGet || r.Header.Get("Range") != "":
		return false
	case r.TLS != nil && !r.TLS.HandshakeComplete:
		return false
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		return slices.Contains(h.CORS, r.Header.Get("Origin"))
	}
	return true
}
