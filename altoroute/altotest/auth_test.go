// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

func TestBasicAndBearer(t *testing.T) {
	s := started(t)
	client := browser(t)
	s.Authenticate("", altotest.Basic{User: "me", Password: "secret"})
	s.Authenticate("/costmap/", altotest.Bearer{Token: "t0ken"})
	s.Authenticate("/networkmap/", nil) // free for all
	net, cost := altotest.NetworkMapPath("net"), altotest.CostMapPath("cost")
	const basic, bearer = "Basic bWU6c2VjcmV0", "Bearer t0ken"
	for _, test := range []struct {
		path, credentials string
		status            int
		challenge         string
	}{
		{altotest.DirectoryPath, "", 401, `Basic realm="alto", charset="UTF-8"`},
		{altotest.DirectoryPath, "Basic bWU6d3Jvbmc=", 401, `Basic realm="alto", charset="UTF-8"`},
		{altotest.DirectoryPath, bearer, 401, `Basic realm="alto", charset="UTF-8"`},
		{altotest.DirectoryPath, basic, 200, ""},
		{cost, basic, 401, `Bearer realm="alto", error="invalid_token"`},
		{cost, "", 401, `Bearer realm="alto"`},
		{cost, "Bearer other", 401, `Bearer realm="alto", error="invalid_token"`},
		{cost, "bearer t0ken", 200, ""}, // schemes have no case
		{net, "", 200, ""},
	} {
		header := map[string]string{}
		if test.credentials != "" {
			header["Authorization"] = test.credentials
		}
		got := send(t, client, http.MethodGet, s.URL+test.path, "", header)
		if got.status != test.status || got.header.Get("WWW-Authenticate") != test.challenge {
			t.Errorf("%s with %q: %+v", test.path, test.credentials, got)
		}
	}
	if got := s.Requests(cost)[0].Header.Get("Authorization"); got != basic {
		t.Errorf("recorded %q", got)
	}
	s.Misbehave(cost, altotest.HTML())
	if got := get(t, client, s.URL+cost); got.status != http.StatusUnauthorized {
		t.Errorf("it misbehaves for strangers: %+v", got)
	}
	s.Authenticate("/costmap/", nil)
	s.Authenticate("", nil)
	if got := get(t, client, s.URL+cost); got.status != http.StatusOK {
		t.Errorf("without authentication: %+v", got)
	}
}

// digest makes credentials (RFC 7616 §3.4).
func digest(algorithm, nonce, nc, method, uri, password string) string {
	hash := func(s string) string {
		if strings.HasPrefix(algorithm, "MD5") {
			sum := md5.Sum([]byte(s))
			return hex.EncodeToString(sum[:])
		}
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	secret := hash("me:alto:" + password)
	if strings.HasSuffix(algorithm, "-sess") {
		secret = hash(secret + ":" + nonce + ":c")
	}
	return fmt.Sprintf(`Digest username="me", realm="alto", uri=%q, algorithm=%s, nonce=%q, nc=%s, cnonce="c", qop=auth, response=%q, opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
		uri, algorithm, nonce, nc, hash(secret+":"+nonce+":"+nc+":c:auth:"+hash(method+":"+uri)))
}

var nonceOf = regexp.MustCompile(`nonce="([^"]+)"`)

func TestDigest(t *testing.T) {
	for _, algorithm := range []string{"SHA-256", "MD5", "SHA-256-sess", "MD5-sess"} {
		t.Run(algorithm, func(t *testing.T) {
			s := started(t)
			client := browser(t)
			door := &altotest.Digest{User: "me", Password: "secret", NonceUses: 2}
			if strings.HasSuffix(algorithm, "-sess") {
				door.Algorithms = []string{algorithm}
			}
			s.Authenticate("", door)
			path := altotest.CostMapPath("cost")
			nonce := ""
			// try returns the status and whether the nonce was called stale,
			// and takes over the next one.
			try := func(credentials string) string {
				t.Helper()
				got := send(t, client, http.MethodGet, s.URL+path, "", map[string]string{"Authorization": credentials})
				challenge := got.header.Get("WWW-Authenticate")
				if found := nonceOf.FindStringSubmatch(challenge); found != nil {
					nonce = found[1]
				}
				return fmt.Sprint(got.status, strings.Contains(challenge, "stale=true"))
			}
			with := func(nc, method, uri, password string) string {
				return digest(algorithm, nonce, nc, method, uri, password)
			}
			good := func(nc string) string { return with(nc, "GET", path, "secret") }
			for i, step := range []struct {
				credentials func() string
				want        string
			}{
				{func() string { return "" }, "401 false"},
				{func() string { return good("00000001") }, "200 false"},
				{func() string { return good("00000001") }, "401 true"}, // twice
				{func() string { return good("00000001") }, "200 false"},
				{func() string { return good("00000002") }, "200 false"},
				{func() string { return good("00000003") }, "401 true"}, // used up
				{func() string { door.Expire(); return good("00000001") }, "401 true"},
				{func() string { return with("00000001", "GET", path, "wrong") }, "401 false"},
				{func() string { return with("00000001", "POST", path, "secret") }, "401 false"},
				{func() string { return with("00000001", "GET", "/other", "secret") }, "401 false"},
				{func() string { return strings.Replace(good("00000001"), "qop=auth", `qop="auth"`, 1) }, "401 false"},
				{func() string { return strings.Replace(good("00000001"), `username="me"`, "username=me", 1) }, "401 false"},
				{func() string { return strings.Replace(good("00000001"), `"me"`, `"\me"`, 1) }, "200 false"},
				{func() string { return strings.Replace(good("00000002"), "opaque", "x", 1) }, "401 false"},
				{func() string { return good("00000001") + `, nc=00000001` }, "401 false"},
				{func() string { return "Digest" }, "401 false"},
				{func() string { return `Digest username="me` }, "401 false"},
			} {
				if got := try(step.credentials()); got != step.want {
					t.Errorf("step %d: %s, want %s", i, got, step.want)
				}
			}
		})
	}
}

// The better algorithm comes first, each in a field of its own (RFC 7616 §3.7).
func TestDigestOffers(t *testing.T) {
	s := started(t)
	s.Authenticate("", &altotest.Digest{User: "me", Password: "secret"})
	offers := get(t, browser(t), s.Directory().String()).header.Values("WWW-Authenticate")
	if len(offers) != 2 || !strings.Contains(offers[0], "algorithm=SHA-256,") || !strings.Contains(offers[1], "algorithm=MD5,") {
		t.Errorf("offered %q", offers)
	}
}
