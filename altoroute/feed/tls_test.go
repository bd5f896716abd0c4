// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"net/http"
	"net/url"
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
