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
	// more. 0 is idle, or that nothing was reported.
	Load float64
	// Capacity is in requests per second. 0 is that nothing was reported.
	Capacity float64
	// Odd says what was reported but cannot be used, and why. It is empty where
	// nothing was.
	Odd string
}

// maxReported is more than any load or capacity can be.
const maxReported = 1e12

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

func (r *Report) readHeader(value string) {
	for member := range strings.SplitSeq(value, ",") {
		name, number, named := strings.Cut(member, "=")
		name, number = strings.TrimSpace(name), strings.TrimSpace(number)
		switch {
		case !named && name != "":
			r.setLoad(name)
		case strings.EqualFold(name, "load"):
			r.setLoad(number)
		case strings.EqualFold(name, "capacity"):
			r.setCapacity(number)
		}
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

func (r *Report) setLoad(s string)     { r.set("load", s, &r.Load) }
func (r *Report) setCapacity(s string) { r.set("capacity", s, &r.Capacity) }

func (r *Report) set(name, s string, v *float64) {
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case len(s) > 64 || err != nil && n == 0 || !numeric(s) || strings.ContainsAny(s, "xX_"):
		r.odd(fmt.Sprintf("%s %s is not a number", name, quoted(s)))
	case n < 0:
		r.odd(fmt.Sprintf("%s %s is negative", name, s))
	case n > maxReported:
		r.odd(fmt.Sprintf("%s %s is out of range", name, s))
	case math.IsNaN(n):
		r.odd(fmt.Sprintf("%s %s is not a number", name, s))
	default:
		*v = n + 0 // which makes -0 a plain 0
	}
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
