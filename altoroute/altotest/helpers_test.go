// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// browser is a plain HTTP client whose connections go with the test. It follows
// no redirects.
func browser(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is what a raw client got, as far as it came.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func get(t testing.TB, client *http.Client, target string) answer {
	t.Helper()
	return send(t, client, http.MethodGet, target, "", nil)
}

func send(t testing.TB, client *http.Client, method, target, body string, header map[string]string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, body: string(text), err: err}
}

// post asks for a part of a filtered cost map.
func post(t testing.TB, client *http.Client, target, body string) answer {
	t.Helper()
	return send(t, client, http.MethodPost, target, body, map[string]string{"Content-Type": alto.MediaTypeCostMapFilter})
}

// directoryAt reads a directory with package alto.
func directoryAt(t testing.TB, client *http.Client, u *url.URL) *alto.Directory {
	t.Helper()
	asking := alto.Client{HTTP: client}
	res, err := asking.Get(t.Context(), u, alto.MediaTypeDirectory, alto.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	d, err := alto.ReadDirectory(res.Body, res.URL)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Skipped) > 0 {
		t.Errorf("%s: skipped %v", u, d.Skipped)
	}
	return d
}

// costsOf reads the costs of a cost map, and its version tag.
func costsOf(t testing.TB, document string) (map[string]float64, alto.CostMapInfo) {
	t.Helper()
	read := newSink()
	info, err := alto.ReadCostMap(strings.NewReader(document), read)
	if err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	return read.costs, info
}

// started returns a server with guidance of version 1.
func started(t testing.TB) *altotest.Server {
	t.Helper()
	s := altotest.Start(t)
	s.Publish(guidance("1"))
	return s
}
