// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Report is what a successful check's answer says of the edge's load.
type Report struct {
	// Load is the share of the edge's capacity in use: 1 is full, and it may be
	// more. HasLoad tells an idle edge, 0, from one that reports none.
	Load    float64
	HasLoad bool
	// Capacity is in requests per second. HasCapacity tells an edge that can serve
	// nothing, 0, from one that reports none.
	Capacity    float64
	HasCapacity bool
	// Odd says what was reported but cannot be used, and why. It is empty where
	// nothing was.
	Odd string
}

// What is reported beyond these is no load and no capacity.
const (
	maxLoad     = 100
	maxCapacity = 1e12
)

// parseReport reads the report out of an answer: from the header's values if
// there are any, else from the body, which is JSON
//
//	{"load": 0.73, "capacity": 8000}
//
// with any other members, or a plain number, which is the load. Any other body
// is none: most answers to a health check say "OK".
func parseReport(header []string, contentType string, body []byte) Report {
	var r Report
	if len(header) > 0 {
		r.readHeader(strings.Join(header, ","))
		return r
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	text := strings.TrimSpace(string(body[:min(len(body), 64)]))
	switch isJSON := media == "application/json"; {
	case isJSON && strings.HasPrefix(text, "{"):
		r.readJSON(body)
	case (isJSON || media == "text/plain") && numeric(text):
		r.setLoad(strings.TrimSpace(string(body)))
	}
	return r
}

// readHeader reads "0.73", or members such as "load=0.73, capacity=8000" and any
// others. What looks like a load and cannot be one, as with a comma or a semicolon
// in the wrong place, must not pass for another.
func (r *Report) readHeader(value string) {
	first := true
	for member := range strings.SplitSeq(value, ",") {
		name, number, named := strings.Cut(member, "=")
		name, number = strings.TrimSpace(name), strings.TrimSpace(number)
		switch {
		case name == "" && !named:
			continue
		case !named && first:
			r.setLoad(name)
		case strings.EqualFold(name, "load") && !r.HasLoad:
			r.setLoad(number)
		case strings.EqualFold(name, "capacity") && !r.HasCapacity:
			r.setCapacity(number)
		case !named || numeric(name) || strings.EqualFold(name, "load") || strings.EqualFold(name, "capacity"):
			*r = Report{Odd: quoted(value) + " is neither a load nor members such as load=0.73, capacity=8000"}
			return
		}
		first = false
	}
}

func (r *Report) readJSON(body []byte) {
	var members struct {
		Load     json.RawMessage `json:"load"`
		Capacity json.RawMessage `json:"capacity"`
	}
	if err := json.Unmarshal(body, &members); err != nil {
		r.odd("the body is not valid JSON")
		return
	}
	if reported(members.Load) {
		r.setLoad(string(members.Load))
	}
	if reported(members.Capacity) {
		r.setCapacity(string(members.Capacity))
	}
}

func reported(member json.RawMessage) bool { return len(member) > 0 && string(member) != "null" }

func (r *Report) setLoad(s string) { r.Load, r.HasLoad = r.read("load", s, maxLoad) }
func (r *Report) setCapacity(s string) {
	r.Capacity, r.HasCapacity = r.read("capacity", s, maxCapacity)
}

// read returns a number that can be used, or says what is odd of it.
func (r *Report) read(name, s string, most float64) (value float64, ok bool) {
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case len(s) > 64 || err != nil && n == 0 || !numeric(s) || strings.ContainsAny(s, "xX_"):
		r.odd(fmt.Sprintf("%s %s is not a number", name, quoted(s)))
	case n < 0:
		r.odd(fmt.Sprintf("%s %s is negative", name, s))
	case n > most:
		r.odd(fmt.Sprintf("%s %s is out of range", name, s))
	case math.IsNaN(n):
		r.odd(fmt.Sprintf("%s %s is not a number", name, s))
	default:
		return n + 0, true // which makes -0 a plain 0
	}
	return 0, false
}

func (r *Report) odd(what string) {
	if r.Odd == "" {
		r.Odd = what
	}
}

// numeric reports whether a text is meant as a number, usable or not.
func numeric(s string) bool {
	digits := strings.TrimLeft(s, "+-.")
	if digits != "" && '0' <= digits[0] && digits[0] <= '9' {
		return true
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil // NaN and infinity in all their forms
}

func quoted(s string) string {
	s = strings.Trim(s, `"`) // of a JSON string
	return strconv.Quote(s[:min(len(s), 32)])
}
