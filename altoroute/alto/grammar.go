// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxNameLen = 64 // PID names, resource ids and tags; RFC 7285 §10.1-10.3
	maxCostLen = 32 // cost modes and metrics; RFC 7285 §10.6, RFC 9274 §3.2

	privatePrefix = "priv:" // private use; RFC 7285 §10.6, RFC 9274 §5
)

// CheckPIDName returns an error if s is not a PID name: 1 to 64 of the ASCII
// letters and digits, "-", ":", "@" and "_" (RFC 7285 §10.1). The separator
// "." is reserved there for future use, so it is refused too.
func CheckPIDName(s string) error {
	return checkName("PID name", s)
}

// CheckResourceID returns an error if s is not a resource id, whose grammar is
// that of a PID name (RFC 7285 §10.2).
func CheckResourceID(s string) error {
	return checkName("resource id", s)
}

// CheckTag returns an error if s is not the tag of a version tag: 1 to 64
// characters from U+0021 to U+007E (RFC 7285 §10.3). The RFC does not rule out
// the empty tag in so many words, but it could not tell two versions apart.
func CheckTag(s string) error {
	if err := checkLength("tag", s, maxNameLen); err != nil {
		return err
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return badCharacter("tag", s, i, "printable ASCII characters other than space")
		}
	}
	return nil
}

// CheckCostMode returns an error if s is not a cost mode: 1 to 32 of the ASCII
// letters and digits, "-", ":" and "_" (RFC 9274 §3.2, which opens the two
// modes of RFC 7285 §10.5). It does not ask whether the mode is registered.
func CheckCostMode(s string) error {
	const what = "cost mode"
	if err := checkLength(what, s, maxCostLen); err != nil {
		return err
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("-:_", s[i]) < 0 {
			return badCharacter(what, s, i, costCharacters)
		}
	}
	return checkPrivate(what, s)
}

// CheckCostMetric returns an error if s is not a cost metric: 1 to 32 of the
// ASCII letters and digits, "-", ":" and "_" (RFC 7285 §10.6), where "priv:"
// needs a suffix. What follows the last colon is read as a statistical
// operator (RFC 9439 §3.2): it may not be empty, and a percentile, the one
// place where "." is allowed, must be within p0 and p100. It does not ask
// whether metric or operator is registered.
func CheckCostMetric(s string) error {
	const what = "cost metric"
	if err := checkLength(what, s, maxCostLen); err != nil {
		return err
	}
	if err := checkPrivate(what, s); err != nil {
		return err
	}
	base := s
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 {
		operator := s[colon+1:]
		percentile, err := checkPercentile(operator)
		switch {
		case colon == 0 || operator == "":
			return fmt.Errorf("%s is not a cost metric: a metric and, after a colon, an operator are wanted", quote(s))
		case err != nil:
			return fmt.Errorf("%s is not a cost metric: %w", quote(s), err)
		case percentile:
			base = s[:colon]
		}
	}
	for i := range len(base) {
		switch c := base[i]; {
		case isAlphanumeric(c) || strings.IndexByte("-:_", c) >= 0:
		case c == '.':
			return reservedDot(what, s)
		default:
			return badCharacter(what, s, i, costCharacters)
		}
	}
	return nil
}

const (
	nameCharacters = `letters, digits, "-", ":", "@" and "_"`
	costCharacters = `letters, digits, "-", ":" and "_"`
)

// checkName is the grammar of RFC 7285 §10.1.
func checkName(what, s string) error {
	if err := checkLength(what, s, maxNameLen); err != nil {
		return err
	}
	for i := range len(s) {
		switch c := s[i]; {
		case isAlphanumeric(c) || c == '-' || c == ':' || c == '@' || c == '_':
		case c == '.':
			return reservedDot(what, s)
		default:
			return badCharacter(what, s, i, nameCharacters)
		}
	}
	return nil
}

func checkLength(what, s string, limit int) error {
	if s == "" {
		return fmt.Errorf("%q is not a %s: it is empty", s, what)
	}
	if len(s) > limit {
		return fmt.Errorf("%s is not a %s: it has %d bytes, at most %d are allowed", quote(s), what, len(s), limit)
	}
	return nil
}

func checkPrivate(what, s string) error {
	if s == privatePrefix {
		return fmt.Errorf("%q is not a %s: a name must follow the private prefix", s, what)
	}
	return nil
}

// checkPercentile reports whether operator is a percentile of RFC 9439 §3.2,
// "p" and a decimal number, and returns an error if that number is not one
// from 0 to 100. An operator that only begins with a p is no percentile.
func checkPercentile(operator string) (bool, error) {
	number, ok := strings.CutPrefix(operator, "p")
	if !ok || number == "" || strings.Trim(number, "0123456789.") != "" {
		return false, nil
	}
	whole, fraction, dotted := strings.Cut(number, ".")
	value, err := strconv.ParseFloat(number, 64)
	switch {
	case whole == "" || dotted && fraction == "" || strings.Contains(fraction, ".") || err != nil:
		return true, fmt.Errorf("the percentile %s is not a number", quote(operator))
	case value > 100:
		return true, fmt.Errorf("the percentile %s is not from p0 to p100", quote(operator))
	}
	return true, nil
}

func reservedDot(what, s string) error {
	return fmt.Errorf(`%s is not a %s: "." is reserved`, quote(s), what)
}

func badCharacter(what, s string, i int, allowed string) error {
	r, size := utf8.DecodeRuneInString(s[i:])
	return fmt.Errorf("%s is not a %s: it contains %s (%U), only %s are allowed",
		quote(s), what, strconv.QuoteToASCII(s[i:i+size]), r, allowed)
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// maxQuoted bounds what an error repeats of a document: enough to show any
// legal name or prefix whole.
const maxQuoted = 64

// shorten cuts s to what an error can carry.
func shorten(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// quote makes a value of a document fit for a one-line error.
func quote(s string) string { return strconv.Quote(shorten(s)) }
