// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
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
		return fmt.Errorf("altoroute: retry: %q is not the name of a header", t.Header)
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
	var names []string
	for n := 0; told != "" && n < maxFailed; n++ {
		var name string
		name, told, _ = strings.Cut(told, ",")
		if edge, ok := h.byHost[strings.ToLower(strings.TrimSpace(name))]; ok && !slices.Contains(names, edge) {
			names = append(names, edge)
		}
	}
	return names
}

// edgeNames returns the names of a pool's edges by what clients may call them:
// the name, and the host of the URL to which they are sent, with its port if it
// has one.
func edgeNames(r *altoroute.Router, pool string) map[string]string {
	names := make(map[string]string)
	for _, e := range r.Edges(pool) {
		names[strings.ToLower(r.EdgeURL(pool, e).Host)] = e.Name
	}
	for _, e := range r.Edges(pool) {
		names[strings.ToLower(e.Name)] = e.Name
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

// An alternate is an edge that has the content too.
type alternate struct {
	name, url, country string
}

// alternates returns where the content is, from the best to the worst, at most so many
// and the edge that was chosen first.
func (h *Handler) alternates(q altoroute.Query, to *url.URL, most int) []alternate {
	ranked, _ := h.router.Rank(q, most) // the pool is known
	all := make([]alternate, 0, len(ranked))
	for _, d := range ranked {
		all = append(all, alternate{d.Edge.Name, d.Location(to), strings.ToLower(h.router.Country(d.Edge))})
	}
	return all
}

// defaultAlternates is how many alternates are told where the configuration
// gives no number: who lists more helps nobody.
const defaultAlternates = 3

// maxAlternates bounds the header.
const maxAlternates = 20

// maxLink is how long a URL may be for alternates to be told in the header.
const maxLink = 2 << 10

// link tells of the alternates in the header (RFC 6249 §3).
func link(header http.Header, all []alternate) {
	for i, a := range all {
		if len(a.url) > maxLink {
			return // the client's own URL, and as long in each
		}
		value := "<" + a.url + ">; rel=duplicate; pri=" + strconv.Itoa(i+1)
		if a.country != "" {
			value += "; geo=" + a.country
		}
		header.Add("Link", value)
	}
}

const metalinkType = "application/metalink4+xml"

// The parts of a Metalink document that a router knows (RFC 5854 §4).
type (
	metalink struct {
		XMLName xml.Name     `xml:"urn:ietf:params:xml:ns:metalink metalink"`
		File    metalinkFile `xml:"file"`
	}
	metalinkFile struct {
		Name string        `xml:"name,attr"`
		URLs []metalinkURL `xml:"url"`
	}
	metalinkURL struct {
		Location string `xml:"location,attr,omitempty"`
		Priority int    `xml:"priority,attr"`
		URL      string `xml:",chardata"`
	}
)

// writeMetalink answers with a Metalink document.
func writeMetalink(w http.ResponseWriter, file string, all []alternate) error {
	// The name must not lead anywhere (RFC 5854 §4.1.2.1).
	// Some systems have other separators than a URL.
	name := path.Base(strings.NewReplacer(`\`, "/", ":", "/").Replace("/" + file))
	if name == "/" || name == "." || name == ".." {
		name = "index"
	}
	doc := metalink{File: metalinkFile{Name: name}}
	for i, a := range all {
		doc.File.URLs = append(doc.File.URLs, metalinkURL{Location: a.country, Priority: i + 1, URL: a.url})
	}
	body, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", metalinkType)
	_, err = w.Write(append([]byte(xml.Header), append(body, '\n')...))
	return err
}

// writeList answers with the ranked list as JSON, for players and trackers.
func writeList(w http.ResponseWriter, pool string, all []alternate) error {
	type listed struct {
		Edge     string `json:"edge"`
		URL      string `json:"url"`
		Priority int    `json:"priority"`
		Country  string `json:"country,omitempty"`
	}
	body := struct {
		Pool  string   `json:"pool"`
		Edges []listed `json:"edges"`
	}{Pool: pool}
	for i, a := range all {
		body.Edges = append(body.Edges, listed{a.name, a.url, i + 1, a.country})
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(body)
}

// accepts reports whether a request asks for a media type by its name. A browser,
// which takes anything, is to be redirected.
func accepts(r *http.Request, mediaType string) bool { return quality(r, mediaType) > 0 }

// prefers reports whether a request would rather have a media type than anything else.
// Many HTTP libraries name JSON and take all the same what the content is.
func prefers(r *http.Request, mediaType string) bool {
	return quality(r, mediaType) > max(quality(r, "*/*"), quality(r, "text/html"))
}

// quality returns how much a request wants a media type that it names, from 0 to 1
// (RFC 9110 §12.4.2).
func quality(r *http.Request, mediaType string) float64 {
	for _, accept := range r.Header["Accept"] {
		for element := range strings.SplitSeq(accept, ",") {
			name, params, err := mime.ParseMediaType(element)
			if err != nil || name != mediaType {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
				return q
			}
			return 1
		}
	}
	return 0
}
