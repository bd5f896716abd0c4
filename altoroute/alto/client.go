// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	// maxSchemes bounds StatusError.Schemes.
	maxSchemes = 8
)

// A Client fetches ALTO documents. The zero value is ready to use, and a
// Client may be used by many goroutines.
//
// It distrusts servers: what they send is bounded in size and time, cookies
// are not kept (RFC 7285 §15.3), and a redirect never leads from https to http
// or out of HTTP.
//
// No secret leaves the origin it is for, which is scheme, host and port: a user
// name and password in a URL go to the origin of that URL alone, and the
// Credentials to those they name, whatever redirects and directories say. They
// are never shown in an error.
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
	// Credentials are for servers that ask who the client is (RFC 7285
	// §8.3.5). Nil means none but those in a URL. A client certificate is not
	// among them: it is part of the transport, see [OriginTransport].
	Credentials *Credentials
}

// Validators tell a server which version of a resource the client has, for a
// conditional request (RFC 9110 §13). The zero value asks unconditionally.
type Validators struct {
	// ETag is an entity tag as it came, quotes included.
	ETag string `json:"etag,omitempty"`
	// LastModified is a date as it came.
	LastModified string `json:"last_modified,omitempty"`
}

// A Response is a successful answer.
type Response struct {
	// Body is the document, decompressed. It must be read to its end, or to
	// an error, within the client's Timeout, and must be closed. Reading more
	// than MaxBody bytes is an error. It is empty if NotModified.
	//
	// One processor fewer than there are, and at least one, is busy with bodies that
	// have come, of all Clients: a Read may have to wait for a Read or Close elsewhere.
	Body io.ReadCloser
	// URL is where the document was found after redirects: the base of the
	// relative URIs in it.
	URL *url.URL
	// Validators are for the next request.
	Validators Validators
	// NotModified tells that the version of the Validators that were sent is
	// still the current one.
	NotModified bool
	// Header is the header of the answer, for what it says of freshness
	// (RFC 9111 §4.2); see FreshFor.
	Header http.Header

	requested time.Time // when the answer was asked for
}

// A StatusError is an answer whose HTTP status is no success.
type StatusError struct {
	// Status is the HTTP status.
	Status int
	// RetryAfter is how long the server asks to wait before the next request
	// (RFC 7285 §8.5.3); 0 if it does not say.
	RetryAfter time.Duration
	// Schemes are the authentication schemes that the server asks for with
	// status 401 (RFC 9110 §11.6.1), such as "Digest", at most eight of them.
	Schemes []string
	// Unanswered is true where there is no Digest challenge that can be answered: by
	// MD5 or SHA-256, with or without -sess, and qop auth (RFC 7616).
	Unanswered bool
	// Known is the scheme of the credentials for the origin that has answered so;
	// empty if there are none.
	Known AuthScheme
	// Document is the error document that came with it; nil if none did.
	Document *Error
}

// Error gives the status, the authentication schemes and the error document.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("the answer has status %d %s", e.Status, http.StatusText(e.Status)))
	if e.Document != nil {
		text = e.Document.Error() // has the status
	}
	switch e.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		text += ", a redirect that names no URL" // else it was followed
	}
	isKnown := func(scheme string) bool { return strings.EqualFold(scheme, string(e.Known)) }
	asks := quote(strings.Join(e.Schemes, ", "))
	switch {
	case e.Status != http.StatusUnauthorized:
	case len(e.Schemes) == 0:
		text += ", the server does not say how it wants to know the client"
	case e.Known == "":
		text += ", the server asks for credentials by " + asks + ", and there are none for it"
	case e.Known == AuthDigest && e.Unanswered && slices.ContainsFunc(e.Schemes, isKnown):
		text += ", the server asks for a digest that cannot be answered: those by " + answered + " can"
	case slices.ContainsFunc(e.Schemes, isKnown):
		text += ", the server refuses the credentials that were sent by " + string(e.Known)
	default:
		text += ", the server asks for credentials by " + asks + ", and those for it are by " + string(e.Known)
	}
	return text
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
	return c.exchange(ctx, &request{method: http.MethodGet, url: u, mediaType: mediaType, known: v})
}

// Post sends the parameters, a body of the media type bodyType, to the URL and
// fetches the document of the media type that answers them (RFC 7285 §8.3.2).
// It is [Client.Get] in all other respects.
//
// A redirect with status 307 or 308 is followed with the parameters, one with
// 301, 302 or 303 without them, by GET (RFC 7285 §8.3.3, RFC 9110 §15.4).
//
// The validators are those of an earlier answer to the same parameters.
func (c *Client) Post(ctx context.Context, u *url.URL, body []byte, bodyType, mediaType string, v Validators) (*Response, error) {
	return c.exchange(ctx, &request{method: http.MethodPost, url: u, body: body, bodyType: bodyType, mediaType: mediaType, known: v})
}

// Directory fetches and reads the directory at the URL, for [ReadClosure].
func (c *Client) Directory(ctx context.Context, u *url.URL) (*Directory, error) {
	res, err := c.Get(ctx, u, MediaTypeDirectory, Validators{})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	d, err := ReadDirectory(res.Body, res.URL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", displayURL(u), err)
	}
	return d, nil
}

// A request is what is asked for by Get or Post.
type request struct {
	method    string
	url       *url.URL
	body      []byte
	bodyType  string // empty if there is no body
	mediaType string // of the answer
	known     Validators
}

func (c *Client) exchange(ctx context.Context, r *request) (*Response, error) {
	err := checkURL(r.url)
	if err == nil {
		err = c.Credentials.Check()
	}
	var res *Response
	if err == nil {
		res, err = c.send(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, displayURL(r.url), err)
	}
	return res, nil
}

func (c *Client) send(ctx context.Context, r *request) (*Response, error) {
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
	req, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		end(errClosed)
		return nil, withoutURL(err)
	}
	c.setHeader(req.Header, r)
	requested := time.Now()
	answer, err := c.client(r.url).Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		end(errClosed)
		return nil, redirectedTo(c.explain(err), r.url)
	}
	if notModified(answer, r.known) {
		_ = answer.Body.Close()
		end(errClosed)
		res := newResponse(answer, requested, r.known)
		res.Body, res.NotModified = http.NoBody, true
		return res, nil
	}
	limit := cmp.Or(c.MaxBody, DefaultMaxBody)
	body, err := newBody(ctx, end, answer.Body, contentEncoding(answer), limit)
	if err != nil {
		if answer.StatusCode != http.StatusOK {
			err = statusError(answer, nil)
		}
		return nil, c.of(err, answer, r.url)
	}
	if err := checkAnswer(answer, body, r.mediaType, limit); err != nil {
		_ = body.Close()
		return nil, c.of(err, answer, r.url)
	}
	res := newResponse(answer, requested, Validators{})
	res.Body = body
	return res, nil
}

// of adds to an error where the answer came from, if that is not what was asked, and
// which credentials there are for it.
func (c *Client) of(err error, answer *http.Response, asked *url.URL) error {
	from := answer.Request.URL
	if refused, ok := errors.AsType[*StatusError](err); ok {
		switch {
		case c.Credentials.grant(from) != nil:
			refused.Known = c.Credentials.Scheme
		case asked.User != nil && origin(asked) == origin(from):
			refused.Known = AuthBasic
		}
	}
	return redirected(err, from, asked)
}

// notModified reports whether the answer says that the version asked about is
// still the current one: to POST a server says so with 412 (RFC 9110 §13.1.2).
func notModified(answer *http.Response, known Validators) bool {
	switch answer.StatusCode {
	case http.StatusNotModified:
		return known != Validators{}
	case http.StatusPreconditionFailed:
		return known.ETag != "" && answer.Request.Method == http.MethodPost
	}
	return false
}

func (c *Client) setHeader(h http.Header, r *request) {
	h.Set("Accept", r.mediaType+","+MediaTypeError)
	if r.bodyType != "" {
		h.Set("Content-Type", r.bodyType)
		// A question may be asked twice: without this, which is not sent,
		// net/http gives up when an idle connection turns out to be closed.
		h["Idempotency-Key"] = nil
	}
	// By asking for compression ourselves we are the ones to undo it, whatever
	// the transport, and the limit is on what comes out.
	h.Set("Accept-Encoding", "gzip")
	if r.known.ETag != "" {
		h.Set("If-None-Match", r.known.ETag)
	}
	if r.known.LastModified != "" {
		h.Set("If-Modified-Since", r.known.LastModified)
	}
	if c.UserAgent != "" {
		h.Set("User-Agent", c.UserAgent)
	}
}

func newResponse(answer *http.Response, requested time.Time, v Validators) *Response {
	return &Response{
		URL: answer.Request.URL,
		Validators: Validators{
			ETag:         cmp.Or(answer.Header.Get("ETag"), v.ETag),
			LastModified: cmp.Or(answer.Header.Get("Last-Modified"), v.LastModified),
		},
		Header:    answer.Header,
		requested: requested,
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
	if answer.StatusCode == http.StatusUnauthorized {
		for _, c := range parseChallenges(answer.Header.Values("WWW-Authenticate")) {
			if len(e.Schemes) < maxSchemes && !slices.Contains(e.Schemes, c.scheme) {
				e.Schemes = append(e.Schemes, c.scheme)
			}
		}
		e.Unanswered = findDigest(answer.Header) == nil
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
