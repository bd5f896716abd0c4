// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"crypto/md5" //nolint:gosec // RFC 7616 §3.3 knows it, and many servers nothing else
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// A digestSession is a challenge of a server that may be answered many times.
type digestSession struct {
	realm, nonce, opaque string
	hasOpaque            bool
	algorithm            string // one of digestAlgorithms; empty means MD5 too
	cnonce               string // ours: one for all answers, as that of -sess must be (RFC 7616 §3.4.2)
	stale                bool   // the nonce was too old, not the password wrong
	count                uint32 // answers so far
}

// digestAlgorithms are those that can be answered, the strongest last.
var digestAlgorithms = []string{"", "MD5", "MD5-sess", "SHA-256", "SHA-256-sess"} //nolint:gochecknoglobals // a table, never changed

// answered is how an error names them.
const answered = "MD5 or SHA-256, with or without -sess, and qop auth"

// digestRoundTrip sends a request, and once more if the server asks for an
// answer to its challenge (RFC 7616 §3.3).
func (c *Credentials) digestRoundTrip(next http.RoundTripper, req *http.Request) (*http.Response, error) {
	to := origin(req.URL)
	sent, nonce := c.authorize(to, req, nil)
	res, err := next.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	session := findDigest(res.Header)
	if session == nil || sent && session.nonce == nonce && !session.stale {
		c.forget(to) // refused: the next request asks for a new challenge
		return res, nil
	}
	// A small body is read so that the connection can go on.
	_, _ = io.CopyN(io.Discard, res.Body, maxErrorBody)
	_ = res.Body.Close()
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	c.authorize(to, again, session)
	res, err = next.RoundTrip(again)
	if err == nil && res.StatusCode == http.StatusUnauthorized {
		c.forget(to)
	}
	return res, err
}

func (c *Credentials) forget(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, to)
}

// authorize answers the challenge, or the last one of the origin if it is nil.
// It reports whether there was one, and its nonce.
func (c *Credentials) authorize(to string, req *http.Request, session *digestSession) (sent bool, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if session == nil {
		session = c.sessions[to]
	}
	if session == nil {
		return false, ""
	}
	if c.sessions == nil {
		c.sessions = make(map[string]*digestSession)
	}
	c.sessions[to] = session
	session.count++ // no answer is the same as another one (RFC 7616 §3.4)
	req.Header.Set("Authorization", session.answer(c.Username, c.Password, req.Method, req.URL.RequestURI()))
	return true, session.nonce
}

// answer returns the value of the Authorization header (RFC 7616 §3.4).
func (s *digestSession) answer(username, password, method, uri string) string {
	hash := func(parts ...string) string {
		text := []byte(strings.Join(parts, ":"))
		if strings.HasPrefix(s.algorithm, "SHA-256") {
			sum := sha256.Sum256(text)
			return hex.EncodeToString(sum[:])
		}
		sum := md5.Sum(text) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	secret := hash(username, s.realm, password)
	if strings.HasSuffix(s.algorithm, "-sess") {
		secret = hash(secret, s.nonce, s.cnonce)
	}
	count := fmt.Sprintf("%08x", s.count)
	response := hash(secret, s.nonce, count, s.cnonce, "auth", hash(method, uri))
	fields := []string{
		"username=" + quoteString(username),
		"realm=" + quoteString(s.realm),
		"nonce=" + quoteString(s.nonce),
		"uri=" + quoteString(uri),
		"response=" + quoteString(response),
		"cnonce=" + quoteString(s.cnonce),
		"qop=auth",
		"nc=" + count,
	}
	if s.algorithm != "" { // where the server sent none it may know none
		fields = append(fields, "algorithm="+s.algorithm)
	}
	if s.hasOpaque {
		fields = append(fields, "opaque="+quoteString(s.opaque))
	}
	return "Digest " + strings.Join(fields, ", ")
}

// findDigest returns the strongest challenge that can be answered; nil if there
// is none.
func findDigest(h http.Header) *digestSession {
	var best *digestSession
	strength := -1
	for _, c := range parseChallenges(h.Values("WWW-Authenticate")) {
		is := slices.IndexFunc(digestAlgorithms, func(a string) bool { return strings.EqualFold(a, c.params["algorithm"]) })
		protects := slices.ContainsFunc(strings.Split(c.params["qop"], ","), func(qop string) bool {
			return strings.EqualFold(strings.Trim(qop, " \t"), "auth")
		})
		if !strings.EqualFold(c.scheme, "Digest") || c.params["nonce"] == "" || is <= strength || !protects {
			continue
		}
		strength = is
		best = &digestSession{
			realm: c.params["realm"], nonce: c.params["nonce"], opaque: c.params["opaque"],
			algorithm: digestAlgorithms[is], cnonce: rand.Text(),
			stale: strings.EqualFold(c.params["stale"], "true"),
		}
		_, best.hasOpaque = c.params["opaque"]
	}
	return best
}
