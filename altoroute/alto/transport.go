// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// client returns a copy of the HTTP client for one exchange, with our own rules
// for redirects and secrets.
func (c *Client) client(first *url.URL) *http.Client {
	var client http.Client
	if c.HTTP != nil {
		client = *c.HTTP
	} else {
		client.Transport = sharedTransport()
	}
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = &originGuard{next: client.Transport, first: first, credentials: c.Credentials}
	client.Jar = nil
	client.CheckRedirect = checkRedirect
	return &client
}

// An originGuard is the transport of one exchange. It sees each of its
// requests, those after a redirect too, and alone decides which secrets go
// with it: net/http sends them on to other ports and to subdomains, and takes
// over what a redirect's URL brings.
type originGuard struct {
	next        http.RoundTripper
	first       *url.URL // what was asked for
	credentials *Credentials
}

func (g *originGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context()) // the one given must stay as it is
	req.Header.Del("Authorization")
	req.Header.Del("Referer") // there may be a secret in the query
	to := g.credentials.grant(req.URL)
	switch {
	case to != nil:
		return g.credentials.roundTrip(g.next, req, to)
	case g.first.User != nil && origin(g.first) == origin(req.URL):
		password, _ := g.first.User.Password()
		req.SetBasicAuth(g.first.User.Username(), password)
	}
	return g.next.RoundTrip(req)
}

// origin returns scheme, host and port of an absolute URL (RFC 6454 §4).
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" && u.Scheme == "http" {
		port = "80"
	}
	if port == "" && u.Scheme == "https" {
		port = "443"
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// ofOrigin returns the first of the URLs that has the origin of u; nil if none has.
func ofOrigin(urls []*url.URL, u *url.URL) *url.URL {
	for _, o := range urls {
		if origin(o) == origin(u) {
			return o
		}
	}
	return nil
}

// An OriginTransport keeps a client certificate from hosts that it is not for,
// whatever redirects and directories say: it sends requests to some origins by a
// transport of their own, which has the certificate, and all others by another.
// The two must share no connections and no TLS sessions: make each with
// [NewTransport].
type OriginTransport struct {
	// For names the origins, as in [Credentials].
	For []*url.URL
	// Own sends the requests to these origins, Other sends the rest.
	Own, Other http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *OriginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if ofOrigin(t.For, req.URL) != nil {
		return t.Own.RoundTrip(req)
	}
	return t.Other.RoundTrip(req)
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (t *OriginTransport) CloseIdleConnections() {
	for _, next := range []http.RoundTripper{t.Own, t.Other} {
		(&http.Client{Transport: next}).CloseIdleConnections()
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects, the next to %s", maxRedirects, displayURL(req.URL))
	case checkURL(req.URL) != nil:
		return fmt.Errorf("redirect to %s: %w", displayURL(req.URL), checkURL(req.URL))
	case from.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("redirect to %s: from https to http", displayURL(req.URL))
	}
	return nil
}

// sharedTransport is made when the first client without a transport of its own
// asks for it, and shares its idle connections among them.
var sharedTransport = sync.OnceValue(NewTransport) //nolint:gochecknoglobals // see above

// NewTransport returns a transport with limits that suit a server that may be
// slow, broken or hostile: 10 s to connect, 10 s for TLS of at least version
// 1.2, 30 s for the header of an answer, which has at most 64 KiB. The caller
// owns it and may change it before its first use, its TLS configuration above
// all: RootCAs there are the authorities to trust instead of the system's, and
// Certificates are the client's own, the preferred way to tell a server who
// the client is (RFC 7285 §8.3.5). Whoever asks gets one of these: see
// [OriginTransport].
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           16,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// checkURL returns an error unless u can be fetched.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme == "":
		return fmt.Errorf("%s is not an absolute URI", quote(displayURL(u)))
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%s has the scheme %s, only http and https are known", quote(displayURL(u)), quote(u.Scheme))
	case u.Hostname() == "":
		return fmt.Errorf("%s has no host", quote(displayURL(u)))
	}
	return nil
}

// displayURL returns u without a user name and password: some servers take a
// token for the name, so [url.URL.Redacted] would show too much.
func displayURL(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	shown := *u
	shown.User = nil
	return shown.String()
}

// explain says more of an error of net/http, where that says little.
func (c *Client) explain(err error) error {
	wrapped := new(url.Error)
	if !errors.As(err, &wrapped) {
		return err
	}
	switch {
	case errors.Is(wrapped.Err, io.EOF):
		wrapped.Err = fmt.Errorf("the server closed the connection without an answer: %w", wrapped.Err)
	case strings.Contains(wrapped.Err.Error(), "timeout awaiting response headers"): // of HTTP/1.1 or HTTP/2, not exported
		at, parseErr := url.Parse(wrapped.URL)
		if parseErr != nil {
			break
		}
		if after := headerTimeout(c.client(at).Transport, at); after > 0 {
			wrapped.Err = fmt.Errorf("the answer did not begin within %s: %w", after, wrapped.Err)
		}
	}
	return err
}

// headerTimeout returns how long a transport waits for an answer to begin; 0 where that is
// not known.
func headerTimeout(t http.RoundTripper, to *url.URL) time.Duration {
	switch t := t.(type) {
	case *http.Transport:
		return t.ResponseHeaderTimeout
	case *originGuard:
		return headerTimeout(t.next, to)
	case *OriginTransport:
		if ofOrigin(t.For, to) != nil {
			return headerTimeout(t.Own, to)
		}
		return headerTimeout(t.Other, to)
	}
	return 0
}

// redirectedTo is withoutURL of an error on the way, with the URL where a redirect had
// led to.
func redirectedTo(err error, asked *url.URL) error {
	wrapped := new(url.Error)
	if !errors.As(err, &wrapped) {
		return err
	}
	from, parseErr := url.Parse(wrapped.URL)
	if parseErr != nil {
		return wrapped.Err
	}
	return redirected(wrapped.Err, from, asked)
}

// redirected adds to an error where it is from, if that is not what was asked.
func redirected(err error, from, asked *url.URL) error {
	if at := displayURL(from); at != displayURL(asked) {
		return fmt.Errorf("redirected to %s: %w", at, err)
	}
	return err
}

// withoutURL takes the URL out of an error of net/http, which may hold a user
// name.
func withoutURL(err error) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// normalMediaType returns a media type with its case and spacing made regular.
func normalMediaType(s string) (string, error) {
	mediaType, params, err := mime.ParseMediaType(s)
	if err != nil {
		return "", err
	}
	if !strings.Contains(mediaType, "/") {
		return "", errors.New("it has no subtype")
	}
	return mime.FormatMediaType(mediaType, params), nil
}
