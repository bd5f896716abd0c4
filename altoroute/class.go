// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Class says which requests an edge or a pool serves. A request must fit each
// list that is not empty. The zero value is every request.
type Class struct {
	// Hosts are names, or "*.example.net" for all names below one, without a
	// port, in any case.
	Hosts []string
	// Paths are decoded paths, or beginnings of paths that end in "*":
	// "/live/*".
	Paths []string
	// Schemes are "http" or "https", by which the client came.
	Schemes []string
	// Countries are ISO 3166-1 alpha-2 codes in upper case. A client whose
	// country is not known is in none of them.
	Countries []string
}

var countryGrammar = regexp.MustCompile(`^[A-Z]{2}$`)

// Validate checks what can never fit a request.
func (c *Class) Validate() error {
	for _, host := range c.Hosts {
		name := strings.TrimPrefix(host, "*.")
		if !hostGrammar.MatchString(name) {
			return fmt.Errorf("host %q is not a name: write cdn.example.net or *.example.net, without a port", host)
		}
	}
	for _, path := range c.Paths {
		if path == "" || path[0] != '/' {
			return fmt.Errorf("path %q: begin it with a slash, and end it with * for all that begins so", path)
		}
	}
	for _, scheme := range c.Schemes {
		if scheme != "http" && scheme != "https" {
			return fmt.Errorf("scheme %q: write http or https", scheme)
		}
	}
	for _, country := range c.Countries {
		if !countryGrammar.MatchString(country) {
			return fmt.Errorf("country %q: write a two-letter code such as DE", country)
		}
	}
	return nil
}

// limits reports whether there are requests outside the class.
func (c *Class) limits() bool {
	return len(c.Hosts)+len(c.Paths)+len(c.Schemes)+len(c.Countries) > 0
}

// misfit returns what of a request is outside the class, in a word; empty where
// nothing is. The place is of the client, nil where it is unknown.
func (c *Class) misfit(q *Query, place *Place) string {
	switch {
	case len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, func(host string) bool { return hostFits(host, q.Host) }):
		return "host"
	case len(c.Paths) > 0 && !slices.ContainsFunc(c.Paths, func(path string) bool { return pathFits(path, q.Path) }):
		return "path"
	case len(c.Schemes) > 0 && !slices.Contains(c.Schemes, q.scheme()):
		return "scheme"
	case len(c.Countries) > 0 && (place == nil || !slices.Contains(c.Countries, place.Country)):
		return "country"
	}
	return ""
}

func hostFits(pattern, host string) bool {
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(below) && strings.EqualFold(host[len(host)-len(below):], below)
	}
	return strings.EqualFold(pattern, host)
}

func pathFits(pattern, path string) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, beginning)
	}
	return pattern == path
}

func (q *Query) scheme() string {
	if q.HTTPS {
		return "https"
	}
	return "http"
}
