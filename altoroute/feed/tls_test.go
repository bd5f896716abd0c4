// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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

// Where a server and the client do not trust each other, the error names the option.
func TestAdvice(t *testing.T) {
	for want, err := range map[string]error{
		"unknown authority: see ca": fmt.Errorf("tls: %w", x509.UnknownAuthorityError{}),
		"see auth cert":             fmt.Errorf("remote error: %w", tls.AlertError(116)),
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
