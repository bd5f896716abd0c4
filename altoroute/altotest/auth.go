// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"cmp"
	"crypto/md5" //nolint:gosec // one of the two algorithms of RFC 7616 §3.3
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// An Authenticator decides whom a Server lets in.
type Authenticator interface {
	// Challenges returns nothing if the request is let in, and the values of
	// WWW-Authenticate if it is not.
	Challenges(r *http.Request) []string
}

const realm = "alto"

// Basic lets in one user by password in the clear (RFC 7617).
type Basic struct{ User, Password string }

// Challenges implements [Authenticator].
func (b Basic) Challenges(r *http.Request) []string {
	if user, password, ok := r.BasicAuth(); ok && user == b.User && password == b.Password {
		return nil
	}
	return []string{`Basic realm="` + realm + `", charset="UTF-8"`}
}

// Bearer lets in whoever has a token (RFC 6750).
type Bearer struct{ Token string }

// Challenges implements [Authenticator].
func (b Bearer) Challenges(r *http.Request) []string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case ok && strings.EqualFold(scheme, "Bearer") && token == b.Token:
		return nil
	case ok:
		return []string{`Bearer realm="` + realm + `", error="invalid_token"`}
	}
	return []string{`Bearer realm="` + realm + `"`}
}

// Digest lets in one user by a digest of the password (RFC 7616), with
// qop="auth". It takes credentials by the letter: parameters are quoted just
// where §3.4 says, and no nonce count comes twice.
type Digest struct {
	User, Password string
	// Algorithms are what is offered, the best first: MD5 and SHA-256, with or
	// without "-sess". Nil means SHA-256 and MD5.
	Algorithms []string
	// NonceUses is how many requests a nonce is good for. After that the client
	// is told that it is stale. Zero means any number.
	NonceUses int

	mu     sync.Mutex
	nonces map[string][]string // the counts that came with each good nonce
}

// opaque is returned by clients as it is.
const opaque = "5ccc069c403ebaf9f0171e9517f40e41"

// Expire makes all nonces stale that were given out.
func (d *Digest) Expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nonces = nil
}

// Challenges implements [Authenticator].
func (d *Digest) Challenges(r *http.Request) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	stale := ""
	if c, ok := parseDigest(r.Header.Get("Authorization")); ok && d.knows(c, r) {
		used, good := d.nonces[c["nonce"]]
		if good && !slices.Contains(used, c["nc"]) && (d.NonceUses == 0 || len(used) < d.NonceUses) {
			d.nonces[c["nonce"]] = append(used, c["nc"])
			return nil
		}
		stale = ", stale=true" // the password was right (RFC 7616 §3.3)
	}
	nonce := rand.Text()
	if d.nonces == nil {
		d.nonces = make(map[string][]string)
	}
	d.nonces[nonce] = nil
	challenges := make([]string, 0, 2)
	for _, algorithm := range d.algorithms() {
		challenges = append(challenges, `Digest realm="`+realm+`", qop="auth", algorithm=`+algorithm+
			`, nonce="`+nonce+`", opaque="`+opaque+`"`+stale)
	}
	return challenges
}

func (d *Digest) algorithms() []string {
	if d.Algorithms == nil {
		return []string{"SHA-256", "MD5"}
	}
	return d.Algorithms
}

// knows reports whether the credentials are right for the nonce they name.
func (d *Digest) knows(c map[string]string, r *http.Request) bool {
	algorithm := cmp.Or(c["algorithm"], "MD5") // §3.4
	if !slices.Contains(d.algorithms(), algorithm) || c["username"] != d.User || c["realm"] != realm ||
		c["opaque"] != opaque || c["qop"] != "auth" || c["uri"] != r.URL.RequestURI() || len(c["nc"]) != 8 || c["cnonce"] == "" {
		return false
	}
	base, session := strings.CutSuffix(algorithm, "-sess")
	hash := func(parts ...string) string {
		text := []byte(strings.Join(parts, ":"))
		if base == "MD5" {
			sum := md5.Sum(text) //nolint:gosec // see the import
			return hex.EncodeToString(sum[:])
		}
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:])
	}
	secret := hash(d.User, realm, d.Password)
	if session {
		secret = hash(secret, c["nonce"], c["cnonce"])
	}
	return c["response"] == hash(secret, c["nonce"], c["nc"], c["cnonce"], "auth", hash(r.Method, c["uri"])) // §3.4.1
}

// parseDigest reads the credentials of RFC 7616 §3.4. Parameters whose quotes
// are missing, or too many, are as good as none.
func parseDigest(header string) (map[string]string, bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil, false
	}
	parameters := make(map[string]string)
	for rest != "" {
		name, after, ok := strings.Cut(strings.TrimLeft(rest, " ,"), "=")
		if !ok {
			return nil, false
		}
		name = strings.ToLower(name)
		plain := name == "algorithm" || name == "qop" || name == "nc"
		var value string
		inner, quoted := strings.CutPrefix(after, `"`)
		if quoted {
			value, rest, ok = unquote(inner)
		} else {
			value, rest, _ = strings.Cut(after, ",")
			value = strings.TrimSpace(value)
		}
		if _, twice := parameters[name]; !ok || twice || plain == quoted && name != "userhash" {
			return nil, false
		}
		parameters[name] = value
	}
	return parameters, true
}

// unquote reads a quoted string after its first quote (RFC 9110 §5.6.4).
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), strings.TrimLeft(s[i+1:], " "), true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
