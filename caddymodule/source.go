// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed"
)

// Source is one provider's guidance: a network map and the cost maps that
// depend on it, from files or from ALTO servers.
type Source struct {
	// The name by which PIDs refer to it, as in `own/cc-de`. Default: `default`.
	Name string `json:"name,omitempty"`

	// ALTO documents, plain or gzipped: the network map first, then its cost
	// maps, of which the first ranks unless `cost` says otherwise. Relative
	// paths start at the working directory. A change on disk is noticed within
	// `refresh`. Replace files by renaming new ones over them.
	Files []string `json:"files,omitempty"`

	// The URLs of the directories (RFC 7285 §9) of ALTO servers that say the same,
	// in order of preference. Another than the first is used only while those
	// before it fail, and for ten minutes at least. A user name and password in a
	// URL are for all that is asked for at its scheme, host and port, as `basic`
	// of `auth` is. The query of a URL is shown in logs, in the status and in the
	// spool.
	Servers []string `json:"servers,omitempty"`

	// The address space that this source may speak for. Of clients outside it
	// is not asked; edges are placed by its whole map. Default: everywhere.
	Only []string `json:"only,omitempty"`

	// The resource id of the network map to use of a server. Default: the
	// directory's default network map.
	NetworkMap string `json:"network_map,omitempty"`

	// The cost type that ranks. Default: that of the first of `files`, or
	// `routingcost` of a server, numerical before ordinal.
	Cost *CostType `json:"cost,omitempty"`

	// How often to look for changes; with a server, where it does not say how long
	// its answers are fresh. Default: `2s` for files, `5m` for servers.
	Refresh caddy.Duration `json:"refresh,omitempty"`

	// Bounds of what a server says of freshness. Default: `30s` and `1h`.
	MinRefresh caddy.Duration `json:"min_refresh,omitempty"`
	MaxRefresh caddy.Duration `json:"max_refresh,omitempty"`

	// For how long after the last contact the last good maps serve. Default: for
	// ever.
	Expire caddy.Duration `json:"expire,omitempty"`

	// What new maps may change without being held.
	Guard *Guard `json:"guard,omitempty"`

	// How to tell the servers who the client is.
	Auth *Auth `json:"auth,omitempty"`

	// A file of the certificates of the authorities that are trusted for the
	// servers, in PEM form. It is read when the configuration is loaded. Default:
	// the system's.
	CA string `json:"ca,omitempty"`

	// A folder where the last good maps are kept, of this source alone, or `off`.
	// Default: one in Caddy's data directory.
	Spool string `json:"spool,omitempty"`
}

// CostType picks a cost map by what it measures.
type CostType struct {
	// The cost metric, for example `routingcost` (RFC 7285 §6.1.1).
	Metric string `json:"metric"`
	// The cost mode: `numerical` or `ordinal` (RFC 7285 §6.1.2). Default: either.
	Mode string `json:"mode,omitempty"`
}

// Guard says what new maps may change. What changes more is held, and can be let in or
// dropped by hand.
type Guard struct {
	// Lets everything in.
	Off bool `json:"off,omitempty"`

	// The share of recent requests that may go to other edges than before, from 0
	// to 1. Default: 0.2.
	Moved float64 `json:"moved,omitempty"`

	// The share of the prefixes, and of the PIDs, that may be lost. Default: 0.2.
	Lost float64 `json:"lost,omitempty"`

	// How long maps are held that nobody lets in by hand; less than 0 for ever.
	// Default: `1h`.
	Hold caddy.Duration `json:"hold,omitempty"`

	// How long it takes maps that were held to come in force by degrees; less than 0
	// for no time. Default: `10m`.
	Ramp caddy.Duration `json:"ramp,omitempty"`
}

// Auth is how to tell a server who the client is. Credentials and the certificate go
// to the scheme, host and port of the servers that are configured and nowhere else,
// whatever directories and redirects name.
type Auth struct {
	// `basic`, `digest`, `bearer`, or empty with a certificate alone.
	Scheme string `json:"scheme,omitempty"`
	// For `basic` and `digest`.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// For `bearer`.
	Token string `json:"token,omitempty"`
	// Files of a client certificate and its key, in PEM form. They are read again
	// for each connection.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
}

// name is what the source is called where the configuration gives no name.
func (s *Source) name() string {
	return cmp.Or(s.Name, altoroute.DefaultName)
}

func (s *Source) local() bool { return len(s.Files) > 0 }

func (s *Source) config() (altoroute.Source, error) {
	made := altoroute.Source{Name: s.name()}
	fail := func(format string, args ...any) (altoroute.Source, error) {
		return made, fmt.Errorf("source %s: %w", made.Name, fmt.Errorf(format, args...))
	}
	if err := altoroute.CheckName(made.Name); err != nil {
		return made, fmt.Errorf("source: %w", err)
	}
	for _, only := range s.Only {
		p, err := parseOnly(only)
		if err != nil {
			return fail("only: %w", err)
		}
		made.Only = append(made.Only, p)
	}
	switch {
	case s.local() == (len(s.Servers) > 0):
		return fail("give either files or a server")
	case len(s.Files) == 1:
		return fail("%s is the network map: a cost map must follow it", s.Files[0])
	case s.local() && s.NetworkMap != "":
		return fail("network_map is for servers: of files the first is the network map")
	case s.local() && (s.Auth != nil || s.CA != "" || s.MinRefresh != 0 || s.MaxRefresh != 0):
		return fail("auth, ca and two values of refresh are for servers")
	}
	for i, file := range s.Files {
		if slices.Contains(s.Files[:i], file) {
			return fail("file %s is named twice: remove one", file)
		}
	}
	if s.NetworkMap != "" {
		if err := alto.CheckResourceID(s.NetworkMap); err != nil {
			return fail("network_map: %w", err)
		}
	}
	if c := s.Cost; c != nil {
		if c.Metric == "numerical" || c.Metric == "ordinal" {
			return fail("cost: %s is a mode: write the metric first, as in routingcost %[1]s", c.Metric)
		}
		if err := alto.CheckCostMetric(c.Metric); err != nil {
			return fail("cost: %w", err)
		}
		if err := alto.CheckCostMode(cmp.Or(c.Mode, "numerical")); err != nil {
			return fail("cost: %w", err)
		}
	}
	if err := errors.Join(s.checkRefresh(), s.Guard.check()); err != nil {
		return fail("%w", err)
	}
	if _, err := s.feedConfig(); err != nil {
		return fail("%w", err)
	}
	return made, nil
}

// parseOnly reads a prefix, or an address. One with bits beyond its length may be meant to
// be either.
func parseOnly(s string) (netip.Prefix, error) {
	p, err := altoroute.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if whole, err := netip.ParsePrefix(s); err == nil && whole != whole.Masked() {
		return p, fmt.Errorf("%q has bits beyond its length: write %s, or %s for the one address", s, whole.Masked(), whole.Addr())
	}
	return p, nil
}

func (s *Source) checkRefresh() error {
	for _, d := range []caddy.Duration{s.Refresh, s.MinRefresh, s.MaxRefresh} {
		if d := time.Duration(d); d < 0 || d > 0 && d < time.Second {
			return fmt.Errorf("refresh %s is too often: write at least 1s", d)
		}
	}
	if s.MaxRefresh > 0 && s.MinRefresh > s.MaxRefresh {
		return fmt.Errorf("refresh %s %s: the first is the least", time.Duration(s.MinRefresh), time.Duration(s.MaxRefresh))
	}
	if d := time.Duration(s.Expire); d < 0 || d > 0 && d < time.Minute {
		return fmt.Errorf("expire %s is too soon: write at least 1m", d)
	}
	return nil
}

func (g *Guard) check() error {
	if g == nil {
		return nil
	}
	for name, share := range map[string]float64{"moved": g.Moved, "lost": g.Lost} {
		if !(share >= 0 && share <= 1) { // NaN is neither
			return fmt.Errorf("guard %s %v: write a share from 0 to 1", name, share)
		}
	}
	if g.Off && *g != (Guard{Off: true}) {
		return errors.New("guard off lets everything in: remove it, or what else is said of the guard")
	}
	return nil
}

// userAgent is how servers know who asks.
const userAgent = "altoroute"

// feedConfig translates what the feed needs to know, without looking at anything
// outside the configuration.
func (s *Source) feedConfig() (feed.Config, error) {
	cfg := feed.Config{
		Name: s.name(), Files: s.Files, NetworkMap: s.NetworkMap,
		Refresh: time.Duration(s.Refresh), MinRefresh: time.Duration(s.MinRefresh), MaxRefresh: time.Duration(s.MaxRefresh), Expire: time.Duration(s.Expire),
	}
	if s.Cost != nil {
		cfg.Cost = altoroute.CostInfo{Metric: s.Cost.Metric, Mode: s.Cost.Mode}
	}
	if g := s.Guard; g != nil {
		cfg.Guard = feed.Guard{Off: g.Off, Moved: g.Moved, Lost: g.Lost, Hold: time.Duration(g.Hold), Ramp: time.Duration(g.Ramp)}
	}
	cfg.Client.UserAgent = userAgent
	servers, withUser, err := s.parseServers()
	if err != nil {
		return cfg, err
	}
	cfg.Servers = servers
	if cfg.Client.Credentials, err = s.credentials(servers, withUser); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// parseServers returns the URLs of the servers without user names and passwords, and
// whole those of the servers that have them.
func (s *Source) parseServers() (servers, withUser []*url.URL, err error) {
	for _, server := range s.Servers {
		u, err := url.Parse(server)
		if err != nil {
			return nil, nil, fmt.Errorf("server %q is not the URL of a directory: write https://host/path", withoutSecrets(server))
		}
		whole := *u
		u.User, u.Fragment, u.RawFragment = nil, "", ""
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return nil, nil, fmt.Errorf("server %q is not the URL of a directory: write https://host/path", u)
		}
		if strings.Contains(server, "#") {
			return nil, nil, fmt.Errorf("server %q: what stands behind # never reaches a server: remove it", u)
		}
		if port, err := strconv.ParseUint(cmp.Or(u.Port(), "443"), 10, 16); err != nil || port == 0 {
			return nil, nil, fmt.Errorf("server %q: the port is %s, write one from 1 to 65535", u, u.Port())
		}
		if slices.ContainsFunc(servers, func(o *url.URL) bool { return o.String() == u.String() }) {
			return nil, nil, fmt.Errorf("server %q is named twice: remove one", u)
		}
		servers = append(servers, u)
		if whole.User != nil {
			withUser = append(withUser, &whole)
			if s.Auth != nil && s.Auth.Scheme != "" {
				return nil, nil, fmt.Errorf("server %q has a user name in its URL, and there is auth %s: remove one of the two", u, s.Auth.Scheme)
			}
		}
	}
	return servers, withUser, nil
}

// credentials returns what the servers are told of who the client is; nil is nothing.
func (s *Source) credentials(servers, withUser []*url.URL) (*alto.Credentials, error) {
	var made *alto.Credentials
	if len(withUser) > 0 { // for all that the directories name there, not only for what is relative to them
		made = &alto.Credentials{Scheme: alto.AuthBasic, For: withUser}
	}
	if c := s.Auth; c != nil {
		switch {
		case (c.Certificate == "") != (c.Key == ""):
			return nil, errors.New("auth: a certificate and its key belong together")
		case c.Scheme != "":
			made = &alto.Credentials{Scheme: alto.AuthScheme(c.Scheme), Username: c.Username, Password: c.Password, Token: c.Token, For: servers}
		case c.Certificate == "":
			return nil, errors.New("auth: write basic, digest, bearer or cert")
		}
	}
	if err := made.Check(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return made, nil
}

// warnings tells what the configuration asks for of TLS and does not get.
func (s *Source) warnings() (all []string) {
	secure, open := false, ""
	for _, server := range s.Servers {
		u, err := url.Parse(server)
		if err != nil {
			continue // is refused
		}
		secure = secure || u.Scheme == "https"
		sent := u.User != nil || s.Auth != nil && (s.Auth.Scheme == string(alto.AuthBasic) || s.Auth.Scheme == string(alto.AuthBearer))
		if u.Scheme == "http" && sent && !isLoopback(u.Hostname()) {
			open = cmp.Or(open, u.Host)
		}
	}
	if open != "" {
		all = append(all, "the password or token goes over the network as it is, by http to "+open+": use https")
	}
	if !secure && s.CA != "" {
		all = append(all, "ca has no effect: no server is asked by https")
	}
	if !secure && s.Auth != nil && s.Auth.Certificate != "" {
		all = append(all, "auth cert has no effect: no server is asked by https")
	}
	return all
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// withoutSecrets returns a URL that cannot be read without what stands before an @:
// either half of it may be a secret.
func withoutSecrets(text string) string { return text[strings.LastIndexByte(text, '@')+1:] }

// authorities returns what is in the file of the authorities; nil where none is named.
func (s *Source) authorities() ([]byte, error) {
	if s.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return pem, nil
}

// httpClient returns the client for the servers, with what the configuration says of
// TLS; nil where it says nothing.
func (s *Source) httpClient(servers []*url.URL, authorities []byte) (*http.Client, error) {
	c := s.Auth
	certified := c != nil && c.Certificate != ""
	if s.CA == "" && !certified {
		return nil, nil //nolint:nilnil // the package's own is shared
	}
	transport := alto.NewTransport()
	if s.CA != "" {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM form", s.CA)
		}
	}
	if !certified {
		return &http.Client{Transport: transport}, nil
	}
	load := func() (*tls.Certificate, error) {
		made, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("auth: certificate %s with key %s: %w", c.Certificate, c.Key, err)
		}
		return &made, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	own := alto.NewTransport()
	own.TLSClientConfig.RootCAs = transport.TLSClientConfig.RootCAs
	own.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return &http.Client{Transport: &alto.OriginTransport{For: servers, Own: own, Other: transport}}, nil
}
