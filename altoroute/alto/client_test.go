// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// get asks a handler for a network map and reads the body.
func get(t *testing.T, client *alto.Client, v alto.Validators, handler http.HandlerFunc) (*alto.Response, string, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return fetch(t.Context(), client, mustURL(server.URL+"/networkmap"), v)
}

func fetch(ctx context.Context, client *alto.Client, u *url.URL, v alto.Validators) (*alto.Response, string, error) {
	res, err := client.Get(ctx, u, alto.MediaTypeNetworkMap, v)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

func answer(contentType string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func zipped(text string) []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return buffer.Bytes()
}

func TestGet(t *testing.T) {
	var asked *http.Request
	handler := func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.Header().Set("Content-Type", `Application/ALTO-networkmap+json; charset="utf-8"`)
		w.Header().Set("ETag", `W/"1"`)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Cache-Control", "max-age=60")
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "1"})
		_, _ = io.WriteString(w, rfcNetworkMap)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*alto.Client{
		"zero":       {},
		"with a jar": {HTTP: &http.Client{Jar: jar}, UserAgent: "altoroute/1"},
	} {
		res, body, err := get(t, client, alto.Validators{}, handler)
		if err != nil {
			t.Fatal(err)
		}
		want := alto.Validators{ETag: `W/"1"`, LastModified: "Mon, 02 Jan 2006 15:04:05 GMT"}
		if body != rfcNetworkMap || res.NotModified || res.Validators != want || res.URL.Path != "/networkmap" ||
			res.Header.Get("Cache-Control") != "max-age=60" {
			t.Errorf("%s: %+v", name, res)
		}
		h := asked.Header
		if asked.Method != http.MethodGet || h.Get("Accept") != "application/alto-networkmap+json,application/alto-error+json" ||
			h.Get("Accept-Encoding") != "gzip" || h.Get("If-None-Match") != "" || h.Get("If-Modified-Since") != "" || h.Get("Cookie") != "" {
			t.Errorf("%s: asked with %v", name, h)
		}
		if client.UserAgent != "" && h.Get("User-Agent") != client.UserAgent {
			t.Errorf("%s: asked by %q", name, h.Get("User-Agent"))
		}
		_, _, err = get(t, client, res.Validators, handler)
		if h := asked.Header; err != nil || h.Get("If-None-Match") != want.ETag || h.Get("If-Modified-Since") != want.LastModified || h.Get("Cookie") != "" {
			t.Errorf("%s: asked again with %v, %v", name, h, err)
		}
	}
}

func TestGetNotModified(t *testing.T) {
	held := alto.Validators{ETag: `"1"`, LastModified: "Mon, 02 Jan 2006 15:04:05 GMT"}
	res, body, err := get(t, &alto.Client{}, held, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"2"`)
		w.WriteHeader(http.StatusNotModified)
	})
	want := alto.Validators{ETag: `"2"`, LastModified: held.LastModified}
	if err != nil || !res.NotModified || body != "" || res.Validators != want {
		t.Errorf("%+v, %v", res, err)
	}
	_, _, err = get(t, &alto.Client{}, alto.Validators{}, answer("", http.StatusNotModified, ""))
	var status *alto.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusNotModified {
		t.Errorf("not modified, without having been asked: %v", err)
	}
}

func TestGetRefuses(t *testing.T) {
	const network, errorType = alto.MediaTypeNetworkMap, alto.MediaTypeError
	for _, c := range []struct {
		contentType string
		status      int
		body        string
		err         string
		want        any // errors.As
	}{
		{"text/html; charset=utf-8", 200, "<!DOCTYPE html>", `the document is "text/html", not a network map`, new(*alto.KindError)},
		{"", 200, rfcNetworkMap, "the document is without a media type, not a network map", new(*alto.KindError)},
		{"application/json", 200, rfcNetworkMap, `the document is "application/json", not a network map`, new(*alto.KindError)},
		{"nonsense;;", 200, rfcNetworkMap, `the document is "nonsense;;", not`, new(*alto.KindError)},
		{alto.MediaTypeCostMap, 200, rfcCostMap, "the document is a cost map, not a network map", new(*alto.KindError)},
		{alto.MediaTypeDirectory, 200, rfcNestedDirectory, "the document is a directory, not a network map", new(*alto.KindError)},
		{errorType, 200, errorDocument, "the ALTO server reports E_INVALID_FIELD_VALUE with status 200", new(*alto.Error)},
		{errorType, 200, "{", "the document is an ALTO error document, not a network map", new(*alto.KindError)},
		{errorType, 400, errorDocument, "the ALTO server reports E_INVALID_FIELD_VALUE with status 400", new(*alto.Error)},
		{errorType, 400, errorDocument, "", new(*alto.StatusError)},
		{"application/json", 400, errorDocument, "with status 400", new(*alto.Error)},
		{errorType, 400, `{"meta":{}}`, "the answer has status 400 Bad Request", new(*alto.StatusError)},
		{errorType, 400, `{"x":"` + strings.Repeat("x", 1<<20), "the answer has status 400 Bad Request", new(*alto.StatusError)},
		{network, 404, rfcNetworkMap, "the answer has status 404 Not Found", new(*alto.StatusError)},
		{network, 206, rfcNetworkMap, "the answer has status 206 Partial Content", new(*alto.StatusError)},
		{network, 204, "", "the answer has status 204 No Content", new(*alto.StatusError)},
		{"", 503, "", "the answer has status 503 Service Unavailable", new(*alto.StatusError)},
		{"", 599, "", "the answer has status 599", new(*alto.StatusError)},
		{"", 300, "", "the answer has status 300 Multiple Choices", new(*alto.StatusError)},
	} {
		_, _, err := get(t, &alto.Client{}, alto.Validators{}, answer(c.contentType, c.status, c.body))
		if c.err == "" {
			c.err = "GET http://127.0.0.1:"
		}
		checkError(t, fmt.Sprint(c.status, c.contentType), err, c.err)
		if !errors.As(err, c.want) {
			t.Errorf("%d %s: %v is no %T", c.status, c.contentType, err, c.want)
		}
	}
}

func TestGetRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"120":                           2 * time.Minute,
		"":                              0,
		"soon":                          0,
		"-1":                            0,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour,
	} {
		_, _, err := get(t, &alto.Client{}, alto.Validators{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		var status *alto.StatusError
		if !errors.As(err, &status) || status.RetryAfter > want || status.RetryAfter < want-time.Minute {
			t.Errorf("Retry-After %q: %v, %v", value, status, err)
		}
	}
}

func TestGetRedirects(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the password went to another host")
		}
		answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap)(w, r)
	}))
	defer other.Close()
	secure := httptest.NewUnstartedServer(http.RedirectHandler(server.URL+"/found", http.StatusFound))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // a client will refuse its certificate
	secure.StartTLS()
	defer secure.Close()

	mux.HandleFunc("/found", answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap))
	for i := range 6 {
		to := fmt.Sprintf("/hop%d", i-1)
		if i == 0 {
			to = "../found?x=1"
		}
		mux.Handle(fmt.Sprintf("/hop%d", i), http.RedirectHandler(to, http.StatusTemporaryRedirect))
	}
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/ftp", http.RedirectHandler("ftp://h/", http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.Handle("/leak", http.RedirectHandler("ftp://me:secret@h/", http.StatusFound))
	// Another port is the same host to net/http; another name is not.
	mux.Handle("/other", http.RedirectHandler(strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/", http.StatusFound))

	plain, tls := &alto.Client{}, &alto.Client{HTTP: secure.Client()}
	base := strings.Replace(server.URL, "http://", "http://me:secret@", 1)
	for _, c := range []struct {
		client *alto.Client
		url    string
		found  string
		err    string
	}{
		{plain, base + "/hop0", "/found?x=1", ""},
		{plain, base + "/hop4", "/found?x=1", ""}, // five redirects
		{plain, base + "/hop5", "", "more than 5 redirects"},
		{plain, base + "/loop", "", "more than 5 redirects"},
		{plain, base + "/ftp", "", `redirect to ftp://h/: "ftp://h/" has the scheme "ftp"`},
		{plain, base + "/file", "", `has the scheme "file"`},
		{plain, base + "/leak", "", "redirect to ftp://h/"},
		{plain, base + "/other", "/", ""},
		{tls, secure.URL, "", "from https to http"},
		{plain, secure.URL, "", "certificate"},
		{plain, "ftp://me:secret@h/x", "", `GET ftp://h/x: "ftp://h/x" has the scheme "ftp", only http and https are known`},
		{plain, "/x", "", "is not an absolute URI"},
		{plain, "http:///x", "", "has no host"},
		{plain, "http://me:secret@127.0.0.1:1/x", "", "GET http://127.0.0.1:1/x: dial tcp"},
	} {
		res, _, err := fetch(t.Context(), c.client, mustURL(c.url), alto.Validators{})
		checkError(t, c.url, err, c.err)
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "me:")) {
			t.Errorf("%s: the error shows the password: %v", c.url, err)
		}
		if err == nil && res.URL.RequestURI() != c.found {
			t.Errorf("%s: found at %s", c.url, res.URL)
		}
	}
}

func TestGetGzip(t *testing.T) {
	encoded := func(encoding string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(body)
		}
	}
	packed := zipped(rfcNetworkMap)
	bomb := zipped(strings.Repeat(" ", 8<<20))
	for _, c := range []struct {
		encoding string
		body     []byte
		err      string
	}{
		{"gzip", packed, ""},
		{"GZIP", packed, ""},
		{"x-gzip", packed, ""},
		{"identity", []byte(rfcNetworkMap), ""},
		{"gzip", bomb, "the document is larger than the limit of 1048576 bytes"},
		{"gzip", []byte(rfcNetworkMap), "decompressing the answer: gzip: invalid header"},
		{"gzip", nil, "decompressing the answer"},
		{"gzip", packed[:len(packed)-1], "unexpected EOF"},
		{"gzip", append(bytes.Clone(packed[:len(packed)-5]), 0, 0, 0, 0, 0), "gzip: invalid checksum"},
		{"br", packed, `the answer has the content encoding "br", only gzip was offered`},
		{"gzip, gzip", zipped(string(packed)), `the content encoding "gzip, gzip"`},
	} {
		_, body, err := get(t, &alto.Client{MaxBody: 1 << 20}, alto.Validators{}, encoded(c.encoding, c.body))
		checkError(t, c.encoding, err, c.err)
		if err == nil && body != rfcNetworkMap {
			t.Errorf("%s: read %q", c.encoding, body)
		}
	}
}

func TestGetMaxBody(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
		_, _ = io.Copy(w, &repeater{text: " "})
	}
	res, body, err := get(t, &alto.Client{MaxBody: 100_000}, alto.Validators{}, endless)
	checkError(t, "endless", err, "the document is larger than the limit of 100000 bytes")
	if res == nil || len(body) != 100_000 {
		t.Errorf("read %d bytes", len(body))
	}
	size := int64(len(rfcNetworkMap))
	_, body, err = get(t, &alto.Client{MaxBody: size}, alto.Validators{}, answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap))
	if err != nil || body != rfcNetworkMap {
		t.Errorf("a body of the limit's size: %v", err)
	}
	// The server says itself that it is too large.
	res, _, err = get(t, &alto.Client{MaxBody: size - 1}, alto.Validators{}, answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap))
	checkError(t, "one byte more", err, "larger than the limit")
	if res != nil {
		t.Error("one byte more: found out only by reading")
	}
	// The reader of the document passes the error on.
	server := httptest.NewServer(http.HandlerFunc(endless))
	defer server.Close()
	res, err = (&alto.Client{MaxBody: 100_000}).Get(t.Context(), mustURL(server.URL), alto.MediaTypeNetworkMap, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, err = alto.ReadNetworkMap(res.Body, new(networkMap))
	checkError(t, "endless", err, "reading the document at byte 0: the document is larger than the limit of 100000 bytes")
}

// Over a real connection: a server that never answers, and one that stops in
// the middle.
func TestGetTimeoutLoopback(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
			_, _ = io.WriteString(w, rfcNetworkMap[:50])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		_, _, err := get(t, &alto.Client{Timeout: 50 * time.Millisecond}, alto.Validators{}, handler)
		checkError(t, name, err, "the answer was not complete after 50ms")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := getWithin(ctx, t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func getWithin(ctx context.Context, t *testing.T, handler http.HandlerFunc) (*alto.Response, string, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return fetch(ctx, &alto.Client{}, mustURL(server.URL), alto.Validators{})
}

// Nor may the header be of any size.
func TestGetLargeHeader(t *testing.T) {
	_, _, err := get(t, &alto.Client{}, alto.Validators{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<17))
	})
	checkError(t, "large header", err, "65536 bytes")
}

// A fault of the transfer that shows only after the last brace is one.
func TestGetBrokenEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped(rfcNetworkMap)[:len(zipped(rfcNetworkMap))-4])
	}))
	defer server.Close()
	res, err := (&alto.Client{}).Get(t.Context(), mustURL(server.URL), alto.MediaTypeNetworkMap, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, err = alto.ReadNetworkMap(res.Body, new(networkMap))
	checkError(t, "cut off", err, "reading the document at byte")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
