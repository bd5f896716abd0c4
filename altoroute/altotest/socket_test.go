// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 10 s", what)
		}
	}
}

// A server goes down, whatever it is doing, and comes back where it was.
func TestStopAndResume(t *testing.T) {
	one, two := started(t), started(t)
	client := browser(t)
	path := altotest.NetworkMapPath("net")
	for range 20 {
		one.Misbehave(path, altotest.Stall(nil))
		asked := one.Count(path).Requests
		broken := make(chan error, 1)
		go func() { broken <- get(t, client, one.URL+path).err }()
		eventually(t, "request", func() bool { return one.Count(path).Requests > asked })
		one.Stop()
		if err := <-broken; err == nil {
			t.Fatal("the server went down and answered")
		}
		one.Stop() // does nothing
		if got := get(t, client, one.URL+path); !errors.Is(got.err, syscall.ECONNREFUSED) {
			t.Fatalf("while it is down: %+v", got)
		}
		if got := get(t, client, two.URL+path); got.err != nil {
			t.Fatalf("the other server: %v", got.err)
		}
		one.Misbehave(path, nil)
		one.Resume()
		one.Resume() // does nothing
		if got := get(t, client, one.URL+path); got.status != http.StatusOK {
			t.Fatalf("when it is back: %+v", got)
		}
	}
	altotest.New().Stop() // does nothing
	altotest.New().Resume()
}

// Nothing of a server is left when its test has ended, not even of one that is
// down or at work.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for name, b := range map[string]altotest.Behavior{
		"stall": altotest.Stall(nil), "drip": altotest.Drip(time.Hour), "delay": altotest.Delay(time.Hour),
		"endless": altotest.Endless(), "bomb": altotest.GzipBomb(1 << 40), "string": altotest.HugeString(1 << 40), "": nil,
	} {
		var server *altotest.Server
		t.Run(name, func(t *testing.T) {
			server = started(t)
			if b == nil {
				server.Stop()
				return
			}
			path := altotest.CostMapPath("cost")
			server.Misbehave(path, b)
			transport := &http.Transport{DisableCompression: true}
			go func() {
				r, err := http.NewRequest(http.MethodGet, server.URL+path, http.NoBody)
				if err != nil {
					return
				}
				if res, err := transport.RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
				transport.CloseIdleConnections()
			}()
			eventually(t, "request", func() bool { return server.Count(path).Requests == 1 })
		})
		server.Resume() // the test has ended: does nothing
	}
	eventually(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestTLS(t *testing.T) {
	ours, theirs := altotest.NewAuthority(t), altotest.NewAuthority(t)
	trust := func(a *altotest.Authority) *tls.Config {
		return &tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}
	}
	identified := func(a *altotest.Authority) *tls.Config {
		config := trust(ours)
		certificate, err := tls.LoadX509KeyPair(a.Client(t, "router"))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{certificate}
		return config
	}
	// With TLS 1.3 the client is done before the server looks at its certificate,
	// and may learn of the refusal as of a broken connection.
	const refused = " "
	for name, test := range map[string]struct {
		options altotest.TLSOptions
		client  *tls.Config
		err     string
	}{
		"good":                  {altotest.TLSOptions{}, trust(ours), ""},
		"other authority":       {altotest.TLSOptions{}, trust(theirs), "unknown authority"},
		"no authority":          {altotest.TLSOptions{}, &tls.Config{MinVersion: tls.VersionTLS12}, "unknown authority"},
		"expired":               {altotest.TLSOptions{Expired: true}, trust(ours), "expired"},
		"wrong name":            {altotest.TLSOptions{WrongName: true}, trust(ours), "127.0.0.1"},
		"old version":           {altotest.TLSOptions{MaxVersion: tls.VersionTLS11}, trust(ours), "protocol version"},
		"client certificate":    {altotest.TLSOptions{ClientCertificate: true}, identified(ours), ""},
		"no client certificate": {altotest.TLSOptions{ClientCertificate: true}, trust(ours), refused},
		"unknown client":        {altotest.TLSOptions{ClientCertificate: true}, identified(theirs), refused},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Authority = ours
			s := altotest.StartTLS(t, test.options)
			s.Publish(guidance("1"))
			client := browser(t)
			client.Transport.(*http.Transport).TLSClientConfig = test.client
			for range 2 { // before and after it was down
				got := get(t, client, s.Directory().String())
				if (got.err == nil) != (test.err == "") || got.err != nil && !strings.Contains(got.err.Error(), test.err) {
					t.Errorf("status %d, error %v, want one with %q", got.status, got.err, test.err)
				}
				s.Stop()
				client.CloseIdleConnections() // HTTP/2 would try the broken one
				s.Resume()
			}
		})
	}
}

// The authority is a file as well, and a server has one of its own if it is
// given none. HTTP/2 is spoken.
func TestTLSDefaults(t *testing.T) {
	s := altotest.StartTLS(t, altotest.TLSOptions{})
	s.Publish(guidance("1"))
	text, err := os.ReadFile(s.Authority.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) || !pool.Equal(s.Authority.Pool) {
		t.Error("the file is not the pool")
	}
	client := browser(t)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Directory().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusOK || !strings.HasPrefix(s.URL, "https://127.0.0.1:") {
		t.Errorf("%s: %s %d", s.URL, res.Proto, res.StatusCode)
	}
}
