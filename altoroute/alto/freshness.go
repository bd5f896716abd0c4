// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxFresh is the longest time an answer is held to be fresh: a year, which is
// what HTTP once allowed at most (RFC 9111 §5.3).
const maxFresh = 365 * 24 * time.Hour

// FreshFor returns for how long after now the answer may be used without asking
// again, by what the server says in Cache-Control, Expires, Date and Age
// (RFC 7285 §8.3.6, RFC 9111 §4.2): 0 if no longer, or if the server says
// something that cannot be understood, and a year at most. It is false where
// the server says nothing; what to do then is up to the caller. An answer that
// is NotModified speaks for the document it confirms.
//
// The rules are those of a private cache, so s-maxage does not count. Both
// no-store and no-cache, which is taken to mean the whole answer even if it
// names fields, give 0.
func (r *Response) FreshFor(now time.Time) (time.Duration, bool) {
	lifetime, said := r.lifetime(now)
	if !said {
		return 0, false
	}
	return min(max(lifetime-r.age(now), 0), maxFresh), true
}

// lifetime returns how long an answer is fresh from when it was made (RFC 9111
// §4.2.1), and whether the server says anything of it.
func (r *Response) lifetime(now time.Time) (time.Duration, bool) {
	var maxAges []string
	for _, element := range listElements(r.Header.Values("Cache-Control")) {
		name, value, ok := parseParameter(element)
		if !ok {
			// A value that is not one leaves the directive without one.
			name, _, _ = strings.Cut(element, "=")
			name, value = strings.ToLower(strings.Trim(name, " \t")), ""
		}
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			maxAges = append(maxAges, value)
		}
	}
	expires := r.Header.Values("Expires")
	switch {
	case len(maxAges) > 0:
		// Two that differ are worth no more than one that cannot be read.
		lifetime, ok := parseSeconds(maxAges[0])
		if !ok || slices.ContainsFunc(maxAges, func(s string) bool { return s != maxAges[0] }) {
			return 0, true
		}
		return lifetime, true
	case len(expires) > 0:
		end, err := http.ParseTime(expires[0])
		if err != nil || len(expires) > 1 {
			return 0, true // RFC 9111 §5.3: in the past
		}
		start, ok := r.date()
		if !ok {
			start = r.received(now)
		}
		return min(max(end.Sub(start), 0), maxFresh), true
	}
	return 0, false
}

// age returns how old the answer is (RFC 9111 §4.2.3).
func (r *Response) age(now time.Time) time.Duration {
	age := now.Sub(r.received(now))
	if list := listElements(r.Header.Values("Age")); len(list) > 0 {
		if before, ok := parseSeconds(list[0]); ok { // else it is ignored, §5.1
			age += before
		}
	}
	if date, ok := r.date(); ok {
		age = max(age, now.Sub(date))
	}
	return max(age, 0)
}

// received returns when the answer was asked for, which is not after it came.
func (r *Response) received(now time.Time) time.Time {
	if r.requested.IsZero() {
		return now
	}
	return r.requested
}

func (r *Response) date() (time.Time, bool) {
	date, err := http.ParseTime(r.Header.Get("Date"))
	return date, err == nil
}

// parseSeconds reads a number of seconds (RFC 9111 §1.2.2). One that is too
// large is a year.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseUint(s, 10, 64)
	if err != nil || seconds > uint64(maxFresh/time.Second) {
		return maxFresh, true
	}
	return time.Duration(seconds) * time.Second, true
}
