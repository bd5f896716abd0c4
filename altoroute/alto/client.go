// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The limits of a Client that sets none.
const (
	// DefaultMaxBody is 1 GiB.
	DefaultMaxBody = 1 << 30
	// DefaultTimeout is two minutes.
	DefaultTimeout = 2 * time.Minute
)

const (
	maxRedirects = 5
	// maxErrorBody bounds what is read of an answer that is no success.
	maxErrorBody = 64 << 10
)

// A Client fetches ALTO documents. The zero value is ready to use, and a
// Client may be used by many goroutines.
//
// It distrusts servers: what they send is bounded in size and time, cookies
// are not kept (RFC 7285 §15.3), and a redirect never leads from https to http
// or out of HTTP. User names and passwords in URLs are used, but never shown
// in an error.
type Client struct {
	// HTTP sends the requests. Its Jar and its CheckRedirect are not used.
	// Nil means a client of this package's own with a transport from
	// [NewTransport], shared by all such Clients.
	HTTP *http.Client
	// MaxBody bounds the body of an answer in bytes after decompression.
	// Zero means DefaultMaxBody.
	MaxBody int64
	// Timeout bounds the whole exchange, reading the body included. Zero
	// means DefaultTimeout. Besides, a body must not stall for 30 seconds.
	Timeout time.Duration
	// UserAgent is the User-Agent of the requests; empty means Go's own.
	UserAgent string
}

// Validators tell a server which version of a resource the client has, for a
// conditional request (RFC 9110 §13). The zero value asks unconditionally.
type Validators struct {
	// ETag is an entity tag as it came, quotes included.
	ETag string
	// LastModified is a date as it came.
	LastModified string
}

// A Response is a successful answer.
type Response struct {
	// Body is the document, decompressed. It must be read to its end, or to
	// an error, within the client's Timeout, and must be closed. Reading more
	// than MaxBody bytes is an error. It is empty if NotModified.
	Body io.ReadCloser
	// URL is where the document was found after redirects: the base of the
	// relative URIs in it.
	URL *url.URL
	// Validators are for the next request.
	Validators Validators
	// NotModified tells that the version of the Validators that were sent is
	// still the current one.
	NotModified bool
	// ContentLength is the length of the body in bytes as it is sent, maybe
	// compressed; -1 if the server did not say.
	ContentLength int64
	// Header is the header of the answer, for what it says of freshness
	// (RFC 9111 §4.2).
	Header http.Header
}

// A StatusError is an answer whose HTTP status is no success.
type StatusError struct {
	// Status is the HTTP status.
	Status int
	// RetryAfter is how long the server asks to wait before the next request
	// (RFC 7285 §8.5.3); 0 if it does not say.
	RetryAfter time.Duration
	// Document is the error document that came with it; nil if none did.
	Document *Error
}

// Error gives the status and the error document.
func (e *StatusError) Error() string {
	if e.Document != nil {
		return e.Document.Error() // has the status
	}
	return strings.TrimSpace(fmt.Sprintf("the answer has status %d %s", e.Status, http.StatusText(e.Status)))
}

// Unwrap returns the error document, if there is one, so that [errors.As]
// finds it.
func (e *StatusError) Unwrap() error {
	if e.Document == nil {
		return nil // not a nil *Error in an interface
	}
	return e.Document
}

// Get fetches the document of the media type at the URL (RFC 7285 §8.3.2,
// §8.3.4). If v has validators, the answer may be that the document has not
// been modified.
//
// An answer that is no success is a [StatusError], one of another media type a
// [KindError]. In both, an error document is found as an [Error]. Errors name
// the URL.
func (c *Client) Get(ctx context.Context, u *url.URL, mediaType string, v Validators) (*Response, error) {
	if err := checkURL(u); err != nil {
		return nil, fmt.Errorf("GET %s: %w", displayURL(u), err)
	}
	res, err := c.get(ctx, u, mediaType, v)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", displayURL(u), err)
	}
	return res, nil
}

func (c *Client) get(ctx context.Context, u *url.URL, mediaType string, v Validators) (*Response, error) {
	timeout := cmp.Or(c.Timeout, DefaultTimeout)
	// The context ends with the body. Its deadline is a cause like the others,
	// so that an error tells which limit was hit.
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(timeout, func() {
		cancel(fmt.Errorf("the answer was not complete after %s: %w", timeout, context.DeadlineExceeded))
	})
	end := func(cause error) {
		timer.Stop()
		cancel(cause)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		end(errClosed)
		return nil, withoutURL(err)
	}
	c.setHeader(req.Header, mediaType, v)
	answer, err := c.client().Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		end(errClosed)
		return nil, withoutURL(err)
	}
	conditional := v != Validators{}
	if answer.StatusCode == http.StatusNotModified && conditional {
		_ = answer.Body.Close()
		end(errClosed)
		res := newResponse(answer, v)
		res.Body, res.NotModified = http.NoBody, true
		return res, nil
	}
	limit := cmp.Or(c.MaxBody, DefaultMaxBody)
	body, err := newBody(ctx, end, answer.Body, contentEncoding(answer), limit)
	if err != nil {
		if answer.StatusCode != http.StatusOK {
			err = statusError(answer, nil)
		}
		return nil, err
	}
	if err := checkAnswer(answer, body, mediaType, limit); err != nil {
		_ = body.Close()
		return nil, err
	}
	res := newResponse(answer, Validators{})
	res.Body = body
	return res, nil
}

func (c *Client) setHeader(h http.Header, mediaType string, v Validators) {
	h.Set("Accept", mediaType+","+MediaTypeError)
	// By asking for compression ourselves we are the ones to undo it, whatever
	// the transport, and the limit is on what comes out.
	h.Set("Accept-Encoding", "gzip")
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
	if c.UserAgent != "" {
		h.Set("User-Agent", c.UserAgent)
	}
}

func newResponse(answer *http.Response, v Validators) *Response {
	return &Response{
		URL: answer.Request.URL,
		Validators: Validators{
			ETag:         cmp.Or(answer.Header.Get("ETag"), v.ETag),
			LastModified: cmp.Or(answer.Header.Get("Last-Modified"), v.LastModified),
		},
		ContentLength: answer.ContentLength,
		Header:        answer.Header,
	}
}

// checkAnswer returns an error unless the answer is the document asked for.
func checkAnswer(answer *http.Response, body io.Reader, mediaType string, limit int64) error {
	header := answer.Header.Get("Content-Type")
	got, _, err := mime.ParseMediaType(header)
	if err != nil {
		got = header // ParseMediaType returns none; show what came
	}
	var doc *Error
	if got == MediaTypeError || answer.StatusCode != http.StatusOK && got == "application/json" {
		// Nothing is lost if it is broken: the status or the type is told.
		if doc, err = ReadError(&sizeLimiter{r: body, limit: maxErrorBody}); err == nil {
			doc.Status = answer.StatusCode
		}
	}
	want, _, err := mime.ParseMediaType(mediaType)
	switch {
	case answer.StatusCode != http.StatusOK:
		return statusError(answer, doc)
	case err != nil:
		return fmt.Errorf("%s is not a media type: %w", quote(mediaType), err)
	case got != want:
		return &KindError{Want: want, Got: got, Document: doc}
	case answer.ContentLength > limit:
		return errTooLarge(limit)
	}
	return nil
}

func statusError(answer *http.Response, doc *Error) error {
	e := &StatusError{Status: answer.StatusCode, Document: doc}
	after := answer.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(after); err == nil {
		e.RetryAfter = max(time.Until(date), 0)
	}
	return e
}

// contentEncoding returns the encoding that is left to undo, in lower case;
// empty if there is none.
func contentEncoding(answer *http.Response) string {
	encoding := strings.ToLower(strings.TrimSpace(answer.Header.Get("Content-Encoding")))
	switch encoding {
	case "identity":
		return ""
	case "x-gzip": // RFC 9110 §8.4.1.3
		return "gzip"
	}
	return encoding
}

// client returns a copy of the HTTP client with our own rules for redirects.
func (c *Client) client() *http.Client {
	var client http.Client
	if c.HTTP != nil {
		client = *c.HTTP
	} else {
		client.Transport = sharedTransport()
	}
	client.Jar = nil
	client.CheckRedirect = checkRedirect
	return &client
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
// all.
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
