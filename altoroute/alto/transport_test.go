// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// An authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	issued := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.certificate, a.key = issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs a certificate, with its own key if there is no authority yet.
func (a *authority) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-24 * time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// The transport takes an authority and a client certificate, and what is wrong
// with a certificate can be read (RFC 7285 §8.3.5).
func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	serverCertificate := func(name string, end time.Duration) tls.Certificate {
		template := &x509.Certificate{DNSNames: []string{name}, NotAfter: time.Now().Add(end)}
		if name == "" {
			template.DNSNames, template.IPAddresses = nil, []net.IP{net.IPv4(127, 0, 0, 1)}
		}
		return ours.issue(t, template)
	}
	client := ours.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "router 1"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	for name, c := range map[string]struct {
		server tls.Certificate
		trust  *authority
		show   bool // the client certificate
		max    uint16
		err    string
	}{
		"all is well":     {serverCertificate("", time.Hour), ours, true, 0, ""},
		"wrong name":      {serverCertificate("other.example.com", time.Hour), ours, true, 0, "certificate"},
		"expired":         {serverCertificate("", -time.Hour), ours, true, 0, "certificate has expired or is not yet valid"},
		"other authority": {serverCertificate("", time.Hour), theirs, true, 0, "certificate signed by unknown authority"},
		"no certificate":  {serverCertificate("", time.Hour), ours, false, tls.VersionTLS12, "remote error: tls: handshake failure"},
		"an old version":  {serverCertificate("", time.Hour), ours, true, tls.VersionTLS11, "protocol version not supported"},
	} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.TLS.PeerCertificates[0].Subject.CommonName; got != "router 1" {
				t.Errorf("%s: the client is %q", name, got)
			}
			answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap)(w, r)
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{
			Certificates: []tls.Certificate{c.server}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS10, MaxVersion: c.max,
		}
		server.StartTLS()
		transport := alto.NewTransport()
		transport.TLSClientConfig.RootCAs = c.trust.pool()
		if c.show {
			transport.TLSClientConfig.Certificates = []tls.Certificate{client}
		}
		_, _, err := fetch(t.Context(), &alto.Client{HTTP: &http.Client{Transport: transport}}, mustURL(server.URL+"/networkmap"), alto.Validators{})
		checkError(t, name, err, c.err)
		if err != nil {
			t.Logf("%s: %v", name, err) // to be read by people
		}
		transport.CloseIdleConnections()
		server.Close()
	}
}

// A client certificate goes to the origins that it is for and to no other, wherever a
// redirect leads, also by connections that are there already.
func TestOriginTransport(t *testing.T) {
	client := newAuthority(t).issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "router 1"}, NotAfter: time.Now().Add(time.Hour)})
	var asked []string // where, and by whom
	start := func(name string) *httptest.Server {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				who = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			asked = append(asked, name+" by "+who)
			if to := r.URL.Query().Get("to"); to != "" {
				http.Redirect(w, r, to, http.StatusFound)
				return
			}
			answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap)(w, r)
		}))
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	ours, theirs := start("ours"), start("theirs")
	transport := func() *http.Transport {
		made := alto.NewTransport()
		made.TLSClientConfig.InsecureSkipVerify = true
		made.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		return made
	}
	own, other := transport(), transport()
	own.TLSClientConfig.Certificates = []tls.Certificate{client}
	c := &alto.Client{HTTP: &http.Client{Transport: &alto.OriginTransport{For: []*url.URL{mustURL(ours.URL)}, Own: own, Other: other}}}
	for range 2 {
		for from, want := range map[string][]string{
			ours.URL + "/":                                {"ours by router 1"},
			theirs.URL + "/":                              {"theirs by nobody"},
			ours.URL + "/?to=" + theirs.URL + "/":         {"ours by router 1", "theirs by nobody"},
			theirs.URL + "/?to=" + ours.URL + "/":         {"theirs by nobody", "ours by router 1"},
			ours.URL + "/?to=" + theirs.URL + "/%3Fto=/x": {"ours by router 1", "theirs by nobody", "theirs by nobody"},
		} {
			asked = nil
			if _, _, err := fetch(t.Context(), c, mustURL(from), alto.Validators{}); err != nil {
				t.Errorf("%s: %v", from, err)
			}
			if !slices.Equal(asked, want) {
				t.Errorf("%s: asked %q, want %q", from, asked, want)
			}
		}
		c.HTTP.CloseIdleConnections() // then again, with the sessions of TLS that there were
	}
}

// What goes wrong where a redirect has led is told with that place.
func TestErrorBehindARedirect(t *testing.T) {
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	server := httptest.NewServer(http.RedirectHandler(untrusted.URL+"/there", http.StatusFound))
	t.Cleanup(server.Close)
	_, err := new(alto.Client).Get(t.Context(), mustURL(server.URL+"/here"), alto.MediaTypeNetworkMap, alto.Validators{})
	checkError(t, "redirect", err, server.URL+"/here: redirected to "+untrusted.URL+"/there: ")
}

// What net/http says little of is told in words.
func TestThinErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/closes":
			panic(http.ErrAbortHandler)
		case "/hangs":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	transport := alto.NewTransport()
	transport.ResponseHeaderTimeout = 50 * time.Millisecond
	t.Cleanup(transport.CloseIdleConnections)
	for path, want := range map[string]string{
		"/closes": "the server closed the connection without an answer: EOF",
		"/hangs":  "the answer did not begin within 50ms: net/http: timeout awaiting response headers",
		"/moved":  "the answer has status 302 Found, a redirect that names no URL",
	} {
		for _, next := range []http.RoundTripper{transport, &alto.OriginTransport{Own: alto.NewTransport(), Other: transport}} {
			c := alto.Client{HTTP: &http.Client{Transport: next}}
			u, err := url.Parse(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Get(t.Context(), u, alto.MediaTypeDirectory, alto.Validators{})
			if err == nil || err.Error() != "GET "+u.String()+": "+want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
	}
}

// One processor is left to others than those who read documents; who waits for more of
// one is in nobody's way.
func TestBodiesTakeTurns(t *testing.T) {
	more := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", alto.MediaTypeDirectory)
		_, _ = w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		<-more
		_, _ = w.Write([]byte("}"))
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var c alto.Client
	open := func() io.ReadCloser {
		res, err := c.Get(t.Context(), u, alto.MediaTypeDirectory, alto.Validators{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res.Body
	}
	read := func(r io.Reader) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(r, make([]byte, 1))
			done <- err
		}()
		return done
	}
	var busy []io.ReadCloser
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		busy = append(busy, open())
		if err := <-read(busy[len(busy)-1]); err != nil {
			t.Fatal(err)
		}
	}
	late := open()
	lates := read(late)
	select {
	case err := <-lates:
		t.Fatal("all processors read documents", err)
	case <-time.After(50 * time.Millisecond):
	}
	waits := read(busy[0])
	if err := <-lates; err != nil {
		t.Error(err)
	}
	_ = late.Close()
	close(more)
	if err := <-waits; err != nil {
		t.Error(err)
	}
}
