// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute"
)

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
