// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The examples of RFC 7616 §3.9.1.
func TestDigestRFC(t *testing.T) {
	header := http.Header{"Www-Authenticate": {
		`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, ` +
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
	}}
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		header.Set("WWW-Authenticate", strings.Replace(header.Get("WWW-Authenticate"), "MD5", algorithm, 1))
		session := findDigest(header)
		if session == nil || session.algorithm != algorithm {
			t.Fatalf("%s: %+v", algorithm, session)
		}
		session.count, session.cnonce = 1, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
		got := session.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html")
		params := parseChallenges([]string{got})[0].params
		if params["response"] != want || params["nc"] != "00000001" || params["qop"] != "auth" || params["algorithm"] != algorithm ||
			params["opaque"] != "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS" || strings.Contains(got, "Circle") {
			t.Errorf("%s: %s", algorithm, got)
		}
		header.Set("WWW-Authenticate", strings.Replace(header.Get("WWW-Authenticate"), algorithm, "MD5", 1))
	}
}

func TestFindDigest(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string // algorithm and nonce
	}{
		{nil, ""},
		{[]string{`Basic realm="x"`}, ""},
		{[]string{`Digest realm="x", nonce="1", qop="auth"`}, " 1"},
		{[]string{`digest REALM=x,NONCE=1,QOP=AUTH,algorithm=md5`}, "MD5 1"},
		{[]string{`Basic realm="x", Digest realm="x", nonce="1", qop="auth-int,auth"`}, " 1"},
		{[]string{`Digest realm="x", nonce="1", qop="auth", algorithm=MD5, Digest realm="x", nonce="2", qop="auth", algorithm=SHA-256`}, "SHA-256 2"},
		{[]string{`Digest realm="x", nonce="2", qop="auth", algorithm=SHA-256`, `Digest realm="x", nonce="1", qop="auth"`}, "SHA-256 2"},
		{[]string{`Digest realm="x", nonce="1", qop="auth", algorithm=SHA-512-256`}, ""},
		{[]string{`Digest realm="x", nonce="1", qop="auth", algorithm=MD5-SESS`}, "MD5-sess 1"},
		{[]string{`Digest realm="x", nonce="1", qop="auth", algorithm=SHA-256-sess`, `Digest realm="x", nonce="2", qop="auth", algorithm=MD5-sess`}, "SHA-256-sess 1"},
		{[]string{`Digest realm="x", nonce="1", qop="auth-int"`}, ""},
		{[]string{`Digest realm="x", nonce="1"`}, ""},
		{[]string{`Digest realm="x", qop="auth"`}, ""},
		{[]string{`Digest realm="x", nonce="a\"b\\c, d", qop=auth`}, ` a"b\c, d`},
	} {
		got := ""
		if session := findDigest(http.Header{"Www-Authenticate": c.header}); session != nil {
			got = session.algorithm + " " + session.nonce
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.header, got, c.want)
		}
	}
}

// A digestServer knows one user, and makes a nonce stale after some uses.
type digestServer struct {
	algorithm string
	uses      int  // of one nonce
	noStale   bool // does not say that a nonce is stale
	mu        sync.Mutex
	nonce     int
	counts    map[string]bool // of the nonce
	requests  int
}

func (s *digestServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	body, _ := io.ReadAll(r.Body)
	if to, ok := strings.CutPrefix(r.URL.Path, "/to"); ok {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	sum := func(text string) string {
		if s.algorithm == "SHA-256" {
			sum := sha256.Sum256([]byte(text))
			return hex.EncodeToString(sum[:])
		}
		sum := md5.Sum([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	p := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "Digest "), ", ") {
		name, value, _ := strings.Cut(part, "=")
		p[name] = strings.Trim(value, `"`)
	}
	response := sum(sum("me:the realm:secret") + ":" + p["nonce"] + ":" + p["nc"] + ":" + p["cnonce"] + ":auth:" + sum(r.Method+":"+r.RequestURI))
	right := p["response"] == response && p["uri"] == r.RequestURI && p["username"] == "me" && p["opaque"] == "o"
	current := p["nonce"] == fmt.Sprint("nonce", s.nonce) && !s.counts[p["nc"]] && len(s.counts) < s.uses
	if right && current {
		s.counts[p["nc"]] = true
		w.Header().Set("Content-Type", MediaTypeCostMap)
		_, _ = w.Write(body)
		return
	}
	s.nonce++
	s.counts = make(map[string]bool)
	challenge := fmt.Sprintf(`Digest realm="the realm", nonce="nonce%d", opaque="o", qop="auth", algorithm=%s`, s.nonce, s.algorithm)
	if right && !s.noStale {
		challenge += ", stale=TRUE"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, strings.Repeat("no ", 10_000))
}

// post sends a body and reads what comes back, which is the same.
func (s *digestServer) post(t *testing.T, c *Credentials, server *httptest.Server, path string) error {
	t.Helper()
	u, err := url.Parse(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&Client{Credentials: c}).Post(t.Context(), u, []byte("a body"), MediaTypeCostMapFilter, MediaTypeCostMap, Validators{})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if data, err := io.ReadAll(res.Body); err != nil || string(data) != "a body" {
		t.Errorf("%q, %v", data, err)
	}
	return nil
}

func TestDigest(t *testing.T) {
	for _, c := range []struct {
		server   *digestServer
		requests int // for ten
	}{
		{&digestServer{algorithm: "MD5", uses: 1000}, 11},                  // one challenge
		{&digestServer{algorithm: "SHA-256", uses: 1000}, 11},              //
		{&digestServer{algorithm: "SHA-256", uses: 3}, 14},                 // four of them
		{&digestServer{algorithm: "MD5", uses: 3, noStale: true}, 14},      //
		{&digestServer{algorithm: "MD5", uses: 1, noStale: true}, 10 + 10}, // a challenge for each
	} {
		server := httptest.NewServer(c.server)
		u, _ := url.Parse(server.URL)
		credentials := &Credentials{Scheme: AuthDigest, Username: "me", Password: "secret", For: []*url.URL{u}}
		for i := range 10 {
			if err := c.server.post(t, credentials, server, fmt.Sprintf("/a/%d?x=%%20", i)); err != nil {
				t.Error(err)
			}
		}
		// After a redirect the answer is for the new URL.
		c.server.nonce++
		if err := c.server.post(t, credentials, server, "/to/b"); err != nil {
			t.Error(err)
		}
		if c.requests += 3; c.server.requests != c.requests {
			t.Errorf("%+v: %d requests, want %d", c.server, c.server.requests, c.requests)
		}
		server.Close()
	}
}

// A wrong password is refused after one try for each request, and not shown.
func TestDigestRefused(t *testing.T) {
	handler := &digestServer{algorithm: "SHA-256", uses: 1000}
	server := httptest.NewServer(handler)
	defer server.Close()
	u, _ := url.Parse(server.URL)
	credentials := &Credentials{Scheme: AuthDigest, Username: "me", Password: "wrong-secret", For: []*url.URL{u}}
	for i := range 3 {
		err := handler.post(t, credentials, server, "/")
		var status *StatusError
		if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
		if handler.requests != 2*(i+1) {
			t.Errorf("%d requests", handler.requests)
		}
	}
	credentials.For = nil
	if err := handler.post(t, credentials, server, "/"); err == nil || handler.requests != 7 {
		t.Errorf("not for this origin: %v, %d requests", err, handler.requests)
	}
}

// Many goroutines share one challenge.
func TestDigestConcurrently(t *testing.T) {
	handler := &digestServer{algorithm: "SHA-256", uses: 1 << 30}
	server := httptest.NewServer(handler)
	defer server.Close()
	u, _ := url.Parse(server.URL)
	credentials := &Credentials{Scheme: AuthDigest, Username: "me", Password: "secret", For: []*url.URL{u}}
	if err := handler.post(t, credentials, server, "/"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := handler.post(t, credentials, server, "/"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if handler.requests != 22 {
		t.Errorf("%d requests", handler.requests)
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, s := range []string{
		`Digest realm="a, b", nonce="1", qop="auth,auth-int", stale=TRUE, Basic realm="\"x\\"`,
		`Negotiate dG9rZW4=, NTLM`, `,,, =x, "a`, `Bearer`, `Basic realm = "x" , charset=utf-8`, "Digest a=1, a=2, b=\"\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		challenges := parseChallenges([]string{s})
		// What was understood is understood the same when it is written anew.
		var lines []string
		for _, c := range challenges {
			line := c.scheme + " "
			for _, name := range slices.Sorted(maps.Keys(c.params)) {
				if !isToken(name) || name != strings.ToLower(name) {
					t.Errorf("name %q", name)
				}
				line += name + "=" + quoteString(c.params[name]) + ","
			}
			if !isToken(c.scheme) {
				t.Errorf("scheme %q", c.scheme)
			}
			lines = append(lines, line)
		}
		again := parseChallenges(lines)
		if !slices.EqualFunc(challenges, again, func(a, b challenge) bool { return a.scheme == b.scheme && maps.Equal(a.params, b.params) }) {
			t.Errorf("%q: %v, and again %v", s, challenges, again)
		}
		findDigest(http.Header{"Www-Authenticate": {s}})
	})
}
