// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestTLSFaults: a certificate that is not right is said to be.
func TestTLSFaults(t *testing.T) {
	authority := altotest.NewAuthority(t)
	for name, c := range map[string]struct {
		options altotest.TLSOptions
		trusted bool
		word    string
	}{
		"right":   {altotest.TLSOptions{Authority: authority}, true, ""},
		"expired": {altotest.TLSOptions{Authority: authority, Expired: true}, true, "expired"},
		"name":    {altotest.TLSOptions{Authority: authority, WrongName: true}, true, "cannot validate certificate"},
		"unknown": {altotest.TLSOptions{Authority: authority}, false, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			server := altotest.StartTLS(t, c.options)
			server.Publish(guidance("1", 1))
			transport := alto.NewTransport()
			if c.trusted {
				transport.TLSClientConfig.RootCAs = authority.Pool
			}
			t.Cleanup(transport.CloseIdleConnections)
			cfg := Config{Servers: []*url.URL{server.Directory()}}
			cfg.Client.HTTP = &http.Client{Transport: transport}
			s := watch(t, cfg, "a")
			if c.word == "" {
				s.wants("1 num1", Fresh, "")
				return
			}
			s.wants("none", None, c.word)
		})
	}
}

// A client certificate that is wanted, or not trusted, is named as the cause.
func TestClientCertificateIsWanted(t *testing.T) {
	authority := altotest.NewAuthority(t)
	// Not TLS 1.3: there the client may send its request first, and only see the
	// connection break.
	server := altotest.StartTLS(t, altotest.TLSOptions{Authority: authority, ClientCertificate: true, MaxVersion: tls.VersionTLS12})
	server.Publish(guidance("1", 1))
	transport := alto.NewTransport()
	transport.TLSClientConfig.RootCAs = authority.Pool
	cfg := Config{Servers: []*url.URL{server.Directory()}}
	cfg.Client.HTTP = &http.Client{Transport: transport}
	s := watch(t, cfg, "a")
	s.wants("none", None, ": see auth cert")
	if got := s.Status().Refusals[Untrusted]; got != 1 {
		t.Errorf("counted %v", s.Status().Refusals)
	}
}

// Where a server and the client do not trust each other, the error names the option.
func TestAdvice(t *testing.T) {
	for want, err := range map[string]error{
		"unknown authority: see ca": fmt.Errorf("tls: %w", x509.UnknownAuthorityError{}),
		"see auth cert":             fmt.Errorf("asked: %w", &net.OpError{Op: "remote error", Err: tls.AlertError(116)}),
		"Unauthorized":              &alto.StatusError{Status: http.StatusUnauthorized},
		"503 Service Unavailable":   &alto.StatusError{Status: http.StatusServiceUnavailable},
		"connection refused":        errors.New("connection refused"),
	} {
		if got := advise(err); !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
			t.Errorf("%v, want %q", got, want)
		}
	}
	if got := advise(&alto.StatusError{Status: http.StatusUnauthorized}).Error(); !strings.HasSuffix(got, ": see auth") {
		t.Error(got)
	}
}
