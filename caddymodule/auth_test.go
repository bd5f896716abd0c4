// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// showsNot fails if one of the secrets is in the log, in the status or in a metric.
func (c *running) showsNot(secrets ...string) {
	c.t.Helper()
	_, _, status := c.ask("GET", "/altoroute/status")
	code, _, metrics := c.ask("GET", "/metrics")
	if code != http.StatusOK {
		c.t.Errorf("/metrics: %d %.500s", code, metrics)
	}
	for _, secret := range secrets {
		for _, line := range c.logged(secret) {
			c.t.Errorf("%q is in the log: %s", secret, line)
		}
		if strings.Contains(status, secret) || strings.Contains(metrics, secret) {
			c.t.Errorf("%q is in the status or in a metric: %s", secret, status)
		}
	}
}

// Each way to tell a server who the client is lets the right one in. Of the wrong one
// the status and the log tell what the matter is, but not what was sent.
func TestAuth(t *testing.T) {
	authority := altotest.NewAuthority(t)
	right, rightKey := authority.Client(t, "router 1")
	wrong, wrongKey := altotest.NewAuthority(t).Client(t, "router 2")
	secrets := []string{
		"u5er", "s3cret", "fa1se",
		base64.StdEncoding.EncodeToString([]byte("u5er:s3cret")), base64.StdEncoding.EncodeToString([]byte("u5er:fa1se")),
	}
	for name, test := range map[string]struct {
		asks        altotest.Authenticator
		certificate bool
		good, bad   string
		words       []string // of what is wrong
	}{
		"basic":   {asks: altotest.Basic{User: "u5er", Password: "s3cret"}, good: "basic u5er s3cret", bad: "basic u5er fa1se", words: []string{"401", "refuses the credentials that were sent by basic"}},
		"digest":  {asks: &altotest.Digest{User: "u5er", Password: "s3cret"}, good: "digest u5er s3cret", bad: "digest u5er fa1se", words: []string{"401", "refuses the credentials that were sent by digest"}},
		"session": {asks: &altotest.Digest{User: "u5er", Password: "s3cret", Algorithms: []string{"SHA-256-sess"}, NonceUses: 2}, good: "digest u5er s3cret", bad: "digest u5er fa1se", words: []string{"401", "refuses the credentials that were sent by digest"}},
		"bearer":  {asks: altotest.Bearer{Token: "s3cret"}, good: "bearer s3cret", bad: "bearer fa1se", words: []string{"401", "refuses the credentials that were sent by bearer"}},
		"none":    {asks: altotest.Bearer{Token: "s3cret"}, good: "bearer s3cret", words: []string{"401", `by "Bearer", and there are none for it`}},
		"cert":    {certificate: true, good: "cert " + right + " " + rightKey, bad: "cert " + wrong + " " + wrongKey, words: []string{"remote error: tls: "}},
		"no cert": {certificate: true, good: "cert " + right + " " + rightKey, words: []string{"remote error: tls: "}},
		"both": {
			asks: altotest.Basic{User: "u5er", Password: "s3cret"}, certificate: true,
			good: "basic u5er s3cret\nauth cert " + right + " " + rightKey, bad: "basic u5er fa1se\nauth cert " + right + " " + rightKey, words: []string{"401", "refuses the credentials that were sent by basic"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Not TLS 1.3: there a client may send its request before it learns that
			// its certificate is refused, and only see the connection break.
			server := altotest.StartTLS(t, altotest.TLSOptions{Authority: authority, ClientCertificate: test.certificate, MaxVersion: tls.VersionTLS12})
			server.Publish(guidance("1"))
			server.Authenticate("", test.asks)
			ours := func(auth string) string {
				if auth != "" {
					auth = "auth " + auth
				}
				return "server isp " + server.Directory().String() + " {\nspool off\nca " + authority.File + "\n" + auth + "\n}" + edges
			}
			c := start(t, newFolder(t), ours(test.bad), "")
			eventually(t, "the server has refused", func() bool { return c.source("isp").LastError != "" })
			if at := c.source("isp"); at.State != "none" || !contains(at.LastError, append(test.words, server.URL)...) {
				t.Errorf("it is %s, and %q does not say %q", at.State, at.LastError, test.words)
			}
			quoted := make([]string, len(test.words)) // as in the log
			for i, word := range test.words {
				quoted[i] = strings.ReplaceAll(word, `"`, `\"`)
			}
			if len(c.logged(append(quoted, `"source":"isp"`, server.URL)...)) == 0 {
				t.Errorf("the log does not say %q", quoted)
			}
			c.showsNot(secrets...)
			must(t, c.load(ours(test.good), ""))
			eventually(t, "the server has answered", func() bool { return c.source("isp").State == "fresh" })
			eventually(t, "the maps are in force", func() bool { return c.visit(inFra) == atFra })
			c.showsNot(secrets...)
			for _, r := range server.Requests(altotest.DirectoryPath) {
				if agent := r.Header.Get("User-Agent"); agent != "altoroute" {
					t.Errorf("the server was asked by %q", agent)
				}
			}
		})
	}
}

func contains(s string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(s, word) {
			return false
		}
	}
	return true
}

// A user name and password in a URL are for all that is at its origin, also where the
// directory names it by absolute URIs, and for nothing else.
func TestUserInURL(t *testing.T) {
	one, two := altotest.Start(t), altotest.Start(t)
	g := guidance("1")
	g.CostMaps[0].Path = two.URL + altotest.CostMapPath("cost")
	one.Publish(g)
	two.Publish(guidance("1"))
	one.Misbehave(altotest.DirectoryPath, altotest.Rewrite(func(d []byte) []byte {
		return []byte(strings.ReplaceAll(string(d), `"networkmap/`, `"`+one.URL+`/networkmap/`))
	}))
	one.Authenticate("", altotest.Basic{User: "u5er", Password: "s3cret"})
	c := start(t, newFolder(t), "server isp "+strings.Replace(one.Directory().String(), "://", "://u5er:s3cret@", 1)+edges, "")
	eventually(t, "the server has answered", func() bool { return c.source("isp").State == "fresh" })
	for _, r := range two.Requests(altotest.CostMapPath("cost")) {
		if sent := r.Header.Get("Authorization"); sent != "" {
			t.Errorf("another server was sent %q", sent)
		}
	}
	c.showsNot("u5er", "s3cret")
}

// asking is an ALTO server with TLS that asks for a certificate of its clients without
// insisting on one.
type asking struct {
	*altotest.Server
	ca []byte // its own certificate, in PEM form

	mu        sync.Mutex
	open      map[net.Conn]bool
	with, not int // how many requests came with and without a certificate
}

func startAsking(t *testing.T) *asking {
	t.Helper()
	s := &asking{Server: altotest.New(), open: make(map[net.Conn]bool)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if len(r.TLS.PeerCertificates) > 0 {
			s.with++
		} else {
			s.not++
		}
		s.mu.Unlock()
		s.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[conn] = true; state == http.StateClosed {
			delete(s.open, conn)
		}
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	s.URL = server.URL
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return s
}

func (s *asking) asked() (with, not int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.with, s.not
}

func (s *asking) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// A client certificate goes to the servers of the configuration only, whatever a
// directory or a redirect names.
func TestClientCertificateStaysAtHome(t *testing.T) {
	one, two := startAsking(t), startAsking(t)
	g := guidance("1")
	g.NetworkMaps[0].Path = two.URL + altotest.NetworkMapPath("net")
	one.Publish(g)
	two.Publish(guidance("1"))
	one.Misbehave(altotest.CostMapPath("cost"), func(w http.ResponseWriter, r *http.Request, _ altotest.Exchange) {
		http.Redirect(w, r, two.URL+r.URL.Path, http.StatusFound)
	})
	certificate, key := altotest.NewAuthority(t).Client(t, "router 1")
	f := newFolder(t)
	f.put("ca.pem", one.ca) // both have the same one
	ours := "server isp " + one.Directory().String() + " {\nspool off\nca {{dir}}/ca.pem\nauth cert " + certificate + " " + key + "\n}" + edges
	c := start(t, f, ours, "")
	eventually(t, "the servers have answered", func() bool { return c.source("isp").State == "fresh" })
	if with, not := one.asked(); with < 2 || not > 0 {
		t.Errorf("the server was asked %d times with the certificate, %d times without", with, not)
	}
	if with, not := two.asked(); with > 0 || not < 2 {
		t.Errorf("the other server was asked %d times with the certificate, %d times without", with, not)
	}
}

// The file of authorities is read again by a reload, although the configuration is the
// same.
func TestAuthoritiesReplaced(t *testing.T) {
	old, fresh := altotest.NewAuthority(t), altotest.NewAuthority(t)
	server := altotest.StartTLS(t, altotest.TLSOptions{Authority: fresh})
	server.Publish(guidance("1"))
	f := newFolder(t)
	from := func(a *altotest.Authority) []byte {
		content, err := os.ReadFile(a.File)
		must(t, err)
		return content
	}
	f.put("ca.pem", from(old))
	ours := "server " + server.Directory().String() + " {\nspool off\nca {{dir}}/ca.pem\n}" + edges
	c := start(t, f, ours, "")
	eventually(t, "the server is not trusted", func() bool { return strings.Contains(c.source("default").LastError, "unknown authority") })
	f.put("ca.pem", from(fresh))
	must(t, c.load(ours, ""))
	eventually(t, "the server is trusted", func() bool { return c.source("default").State == "fresh" })
	feed := activeApp().sources[0].feed
	must(t, c.load(ours, ""))
	if activeApp().sources[0].feed != feed {
		t.Error("the source is another one, although its file is the same")
	}
	must(t, os.Remove(f.file("ca.pem")))
	wants(t, c.load(ours, ""), "source default", "ca", f.file("ca.pem"), "no such file")
}

// A source that is gone leaves no connection behind.
func TestConnectionsEndWithTheSource(t *testing.T) {
	server := startAsking(t)
	server.Publish(guidance("1"))
	f := newFolder(t)
	f.put("ca.pem", server.ca)
	certificate, key := altotest.NewAuthority(t).Client(t, "router 1")
	for _, more := range []string{"", "auth cert " + certificate + " " + key} {
		c := start(t, f, "server "+server.Directory().String()+" {\nspool off\nca {{dir}}/ca.pem\n"+more+"\n}"+edges, "")
		eventually(t, "the server has answered", func() bool { return c.source("default").State == "fresh" })
		if server.connections() == 0 {
			t.Error("there is no connection")
		}
		must(t, c.load(smallest, ""))
		eventually(t, "the connections are closed", func() bool { return server.connections() == 0 })
	}
}

// What is sent in the open, and what has no effect without TLS, is told.
func TestWarningsOfTLS(t *testing.T) {
	for name, test := range map[string]struct {
		source Source
		words  []string // of one warning each
	}{
		"basic by http":    {Source{Servers: []string{"http://alto.example.net/"}, Auth: &Auth{Scheme: "basic", Username: "u", Password: "p"}}, []string{"as it is, by http to alto.example.net"}},
		"bearer by http":   {Source{Servers: []string{"https://a.example.net/", "http://b.example.net:8080/"}, Auth: &Auth{Scheme: "bearer", Token: "t"}}, []string{"by http to b.example.net:8080"}},
		"user in the URL":  {Source{Servers: []string{"http://u:p@alto.example.net/"}}, []string{"by http to alto.example.net"}},
		"digest by http":   {Source{Servers: []string{"http://alto.example.net/"}, Auth: &Auth{Scheme: "digest", Username: "u", Password: "p"}}, nil},
		"nothing to tell":  {Source{Servers: []string{"http://alto.example.net/"}}, nil},
		"basic by https":   {Source{Servers: []string{"https://alto.example.net/"}, CA: "ca.pem", Auth: &Auth{Scheme: "basic", Username: "u", Password: "p"}}, nil},
		"on this machine":  {Source{Servers: []string{"http://127.0.0.1/", "http://[::1]/", "http://localhost:8080/"}, Auth: &Auth{Scheme: "bearer", Token: "t"}}, nil},
		"authorities":      {Source{Servers: []string{"http://alto.example.net/"}, CA: "ca.pem"}, []string{"ca has no effect"}},
		"certificate":      {Source{Servers: []string{"http://alto.example.net/"}, CA: "ca.pem", Auth: &Auth{Certificate: "c", Key: "k"}}, []string{"ca has no effect", "auth cert has no effect"}},
		"one of two by it": {Source{Servers: []string{"http://a.example.net/", "https://b.example.net/"}, CA: "ca.pem"}, nil},
	} {
		warnings := test.source.warnings()
		if len(warnings) != len(test.words) {
			t.Errorf("%s: %q", name, warnings)
			continue
		}
		for i, words := range test.words {
			if !strings.Contains(warnings[i], words) {
				t.Errorf("%s: %q does not say %q", name, warnings[i], words)
			}
		}
	}
	c := start(t, newFolder(t), "server isp http://u:s3cret@alto.invalid/ {\nspool off\n}\nedge fra https://fra.cdn.example.net cc-de\n", "")
	if lines := c.logged(`"level":"warn"`, "by http to alto.invalid", `"source":"isp"`); len(lines) != 1 || strings.Contains(lines[0], "s3cret") {
		t.Errorf("the log has %q", lines)
	}
}
