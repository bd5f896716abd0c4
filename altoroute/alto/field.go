// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import "strings"

// listElements returns the elements of a header field that is a list (RFC 9110
// §5.6.1), of all its lines. A comma in a quoted string separates nothing.
func listElements(lines []string) []string {
	var elements []string
	for _, line := range lines {
		start, quoted := 0, false
		for i := 0; i <= len(line); i++ {
			switch {
			case i == len(line) || line[i] == ',' && !quoted:
				if element := strings.Trim(line[start:i], " \t"); element != "" {
					elements = append(elements, element)
				}
				start = i + 1
			case line[i] == '"':
				quoted = !quoted
			case line[i] == '\\' && quoted && i+1 < len(line):
				i++
			}
		}
	}
	return elements
}

// parseParameter reads a name and a value, a token or a quoted string, with
// "=" between them (RFC 9110 §11.2). The name is in lower case.
func parseParameter(s string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(s, "=")
	name = strings.ToLower(strings.Trim(name, " \t"))
	value = strings.Trim(value, " \t")
	if !ok || !isToken(name) {
		return "", "", false
	}
	if strings.HasPrefix(value, `"`) {
		value, ok = unquoteString(value)
		return name, value, ok
	}
	return name, value, isToken(value)
}

// unquoteString undoes a quoted string (RFC 9110 §5.6.4).
func unquoteString(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// quoteString makes a quoted string (RFC 9110 §5.6.4).
func quoteString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool { return s != "" && consistsOf(s, "!#$%&'*+-.^_`|~") }

// consistsOf reports whether s has only ASCII letters and digits, and the other
// characters that are named.
func consistsOf(s, others string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

// A challenge is one of those with which a server asks for credentials
// (RFC 9110 §11.3).
type challenge struct {
	scheme string            // as it is written
	params map[string]string // by name in lower case
}

// parseChallenges reads the WWW-Authenticate header. It leaves out what it does
// not understand.
func parseChallenges(lines []string) []challenge {
	var challenges []challenge
	for _, element := range listElements(lines) {
		// Both a parameter and a challenge may come after a comma.
		name, value, isParam := parseParameter(element)
		if !isParam {
			scheme, rest, _ := strings.Cut(element, " ")
			if !isToken(scheme) {
				continue
			}
			challenges = append(challenges, challenge{scheme: scheme, params: make(map[string]string)})
			if name, value, isParam = parseParameter(rest); !isParam {
				continue // nothing, or one token (RFC 9110 §11.2)
			}
		}
		if len(challenges) == 0 {
			continue
		}
		params := challenges[len(challenges)-1].params
		if _, twice := params[name]; !twice {
			params[name] = value
		}
	}
	return challenges
}
