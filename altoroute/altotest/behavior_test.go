// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var (
	netPath  = altotest.NetworkMapPath("net")
	costPath = altotest.CostMapPath("cost")
)

// asked has a server misbehave at a path, and asks it once.
func asked(t *testing.T, path string, b altotest.Behavior) answer {
	t.Helper()
	s := started(t)
	s.Misbehave(path, b)
	return get(t, browser(t), s.URL+path)
}

func TestHangup(t *testing.T) {
	if got := asked(t, netPath, altotest.Hangup()); !errors.Is(got.err, io.EOF) {
		t.Errorf("%+v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.FixedZone("", 3600))
	for want, b := range map[string]altotest.Behavior{
		"120":                           altotest.RetryAfter(2 * time.Minute),
		"Wed, 25 Nov 2026 11:00:00 GMT": altotest.RetryAfterDate(at),
	} {
		if got := asked(t, netPath, b); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != want {
			t.Errorf("%+v, want to come back %s", got, want)
		}
	}
}

func TestError(t *testing.T) {
	want := alto.Error{Status: 400, Code: "E_INVALID_FIELD_VALUE", Field: "cost-type/cost-mode", Value: "foo", SyntaxError: "why"}
	got := asked(t, netPath, altotest.Error(want))
	read, err := alto.ReadError(strings.NewReader(got.body))
	if err != nil || got.status != want.Status || got.header.Get("Content-Type") != alto.MediaTypeError {
		t.Fatalf("%+v, %v", got, err)
	}
	if read.Status = want.Status; *read != want {
		t.Errorf("%+v", read)
	}
}

func TestRedirects(t *testing.T) {
	s, other := started(t), started(t)
	client := browser(t)
	client.CheckRedirect = nil // ten at most
	s.Misbehave(netPath, altotest.RedirectChain(9))
	if got := get(t, client, s.URL+netPath); got.status != http.StatusOK || s.Count(netPath).Requests != 10 {
		t.Errorf("nine redirects: %+v", got)
	}
	s.Misbehave(netPath, altotest.RedirectChain(11))
	if got := get(t, client, s.URL+netPath); got.err == nil {
		t.Errorf("eleven redirects: %+v", got)
	}
	s.Misbehave(netPath, altotest.RedirectLoop())
	if got := get(t, client, s.URL+netPath); got.err == nil {
		t.Errorf("redirect loop: %+v", got)
	}
	s.Misbehave(netPath, altotest.Redirect(http.StatusTemporaryRedirect, other.URL+costPath))
	if got := get(t, client, s.URL+netPath); got.header.Get("Content-Type") != alto.MediaTypeCostMap || other.Count(costPath).Requests != 1 {
		t.Errorf("to another host: %+v", got)
	}
}

func TestInstead(t *testing.T) {
	s := started(t)
	for _, path := range []string{altotest.DirectoryPath, costPath} {
		s.Misbehave(netPath, altotest.Instead(path))
		got, want := get(t, browser(t), s.URL+netPath), get(t, browser(t), s.URL+path)
		if got.body != want.body || got.header.Get("Content-Type") != want.header.Get("Content-Type") {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// The empty path stands for all the others.
func TestMisbehaveEverywhere(t *testing.T) {
	s := started(t)
	s.Misbehave("", altotest.Status(http.StatusTeapot))
	s.Misbehave(costPath, altotest.HTML())
	client := browser(t)
	for path, want := range map[string]int{altotest.DirectoryPath: 418, netPath: 418, "/": 418, costPath: 200} {
		if got := get(t, client, s.URL+path); got.status != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// In made-up time: an answer comes late, or byte by byte.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := altotest.New()
		s.Publish(guidance("1"))
		ask := func(b altotest.Behavior) (*httptest.ResponseRecorder, time.Duration) {
			s.Misbehave(netPath, b)
			start := time.Now()
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, netPath, http.NoBody))
			return recorder, time.Since(start)
		}
		honest, took := ask(nil)
		if took != 0 {
			t.Errorf("the honest answer took %s", took)
		}
		late, took := ask(altotest.Delay(time.Hour))
		if took != time.Hour || late.Body.String() != honest.Body.String() {
			t.Errorf("late: %s after %s", late.Body, took)
		}
		slow, took := ask(altotest.Drip(time.Second))
		if took != time.Duration(honest.Body.Len())*time.Second || slow.Body.String() != honest.Body.String() || !slow.Flushed {
			t.Errorf("slow: %s after %s", slow.Body, took)
		}
	})
}

func TestDripOnTheNetwork(t *testing.T) {
	want := asked(t, netPath, nil)
	if got := asked(t, netPath, altotest.Drip(time.Nanosecond)); got.body != want.body || got.header.Get("Etag") != want.header.Get("Etag") {
		t.Errorf("%+v", got)
	}
}

// A bomb is sound gzip and sound JSON to its end, and small.
func TestGzipBomb(t *testing.T) {
	const size = 16 << 20
	s := started(t)
	s.Misbehave(netPath, altotest.GzipBomb(size))
	got := send(t, browser(t), http.MethodGet, s.URL+netPath, "", map[string]string{"Accept-Encoding": "identity"})
	if got.err != nil || len(got.body) > size/500 || got.header.Get("Content-Encoding") != "gzip" || got.header.Get("Content-Type") != alto.MediaTypeNetworkMap {
		t.Fatalf("%d bytes, %v, %v", len(got.body), got.header, got.err)
	}
	inflated, err := gzip.NewReader(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(inflated)
	if err != nil || len(text) < size || !json.Valid(text) {
		t.Errorf("%d bytes, valid: %t, %v", len(text), json.Valid(text), err)
	}
}

func TestWrongLengths(t *testing.T) {
	whole := asked(t, netPath, nil).body
	if got := asked(t, netPath, altotest.ContentLength(7)); !errors.Is(got.err, io.ErrUnexpectedEOF) || got.body != whole {
		t.Errorf("too large: %+v", got)
	}
	got := asked(t, netPath, altotest.ContentLength(-7))
	if got.err != nil || got.body != whole[:len(whole)-7] || got.header.Get("Content-Length") != strconv.Itoa(len(whole)-7) || got.header.Get("Content-Type") != alto.MediaTypeNetworkMap {
		t.Errorf("too small: %+v", got)
	}
}

func TestHeaderFlood(t *testing.T) {
	got := asked(t, netPath, altotest.HeaderFlood(100_000))
	size := 0
	for name, values := range got.header {
		size += len(name) + len(": \r\n") + len(values[0])
	}
	if got.status != http.StatusOK || size < 100_000 || size > 110_000 {
		t.Errorf("%d bytes of header, %v", size, got.err)
	}
}

func TestEncoding(t *testing.T) {
	if got := asked(t, netPath, altotest.Encoding("br")); got.header.Get("Content-Encoding") != "br" || !json.Valid([]byte(got.body)) {
		t.Errorf("%+v", got)
	}
	if got := asked(t, netPath, altotest.Encoding("gzip")); !errors.Is(got.err, gzip.ErrHeader) {
		t.Errorf("%+v", got)
	}
}

func TestDocumentsOfAnySize(t *testing.T) {
	for path, mediaType := range map[string]string{
		altotest.DirectoryPath: alto.MediaTypeDirectory, netPath: alto.MediaTypeNetworkMap, costPath: alto.MediaTypeCostMap,
	} {
		got := asked(t, path, altotest.ManyPIDs(20_000))
		if got.err != nil || got.header.Get("Content-Type") != mediaType || strings.Count(got.body, ":{") < 20_000 {
			t.Errorf("%s: %d bytes, %v", path, len(got.body), got.err)
		}
		if err := understood(mediaType, got.body); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		got = asked(t, path, altotest.HugeString(3_000_000))
		if got.err != nil || !json.Valid([]byte(got.body)) || strings.Count(got.body, "x") < 3_000_000 {
			t.Errorf("%s: %d bytes, %v", path, len(got.body), got.err)
		}
		got = asked(t, path, altotest.Nested(90)) // a client may have its limit, of a hundred for one
		if !json.Valid([]byte(got.body)) || understood(mediaType, got.body) != nil {
			t.Errorf("%s: 90 levels: %d bytes", path, len(got.body))
		}
		if got = asked(t, path, altotest.UnknownMembers()); !strings.Contains(got.body, `"x-list"`) || understood(mediaType, got.body) != nil {
			t.Errorf("%s: unknown members: %v in %s", path, understood(mediaType, got.body), got.body)
		}
	}
}

// The documents that are wrong are wrong in what they say they are, and only in
// that.
func TestEdits(t *testing.T) {
	for _, test := range []struct {
		name, path string
		behavior   altotest.Behavior
		has        string
		valid      bool // JSON
		understood bool // by package alto
	}{
		{"members", netPath, altotest.DuplicateNames(0), `,"meta":`, true, false},
		{"PIDs", netPath, altotest.DuplicateNames(1), `]},"a":`, true, false},
		{"address types", netPath, altotest.DuplicateNames(2), `"ipv4":["198.51.100.0/24"],"ipv4":["198.51.100.0/24"]`, true, false},
		{"rows", costPath, altotest.DuplicateNames(1), `{"a":{"a":0,"b":2.5},"a":{"a":0,"b":2.5}}`, true, false},
		{"costs", costPath, altotest.DuplicateNames(2), `"a":{"a":0,"b":2.5,"a":0,"b":2.5}`, true, false},
		{"resources", altotest.DirectoryPath, altotest.DuplicateNames(1), `"},"cost":`, true, false},
		{"entries", altotest.DirectoryPath, altotest.DuplicateNames(2), `"media-type":"application/alto-networkmap+json","uri":"networkmap/net","media-type"`, true, false},
		{"strings", costPath, altotest.StringCosts(), `{"a":"0","b":"2.5"}`, true, false},
		{"NaN", costPath, altotest.NaN(), `{"a":NaN,"b":NaN}`, false, false},
		{"trailing", netPath, altotest.Trailing("}"), "}}}}", false, false},
		{"UTF-8", netPath, altotest.InvalidUTF8(), "\xff", true, false}, // encoding/json lets it pass
		{"version of a network map", netPath, altotest.OtherVersion("9"), `"tag":"9"`, true, true},
		{"version of a cost map", costPath, altotest.OtherVersion("9"), `"tag":"9"`, true, true},
		{"cost type", costPath, altotest.OtherCostType(ordinalCost), `"cost-mode":"ordinal"`, true, false},
		{"deep nesting", netPath, altotest.Nested(20_000), strings.Repeat("[", 20_000) + "]", false, false},
		{"no JSON to edit", "/nothing", altotest.UnknownMembers(), "404", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := asked(t, test.path, test.behavior)
			mediaType := got.header.Get("Content-Type")
			err := understood(mediaType, got.body)
			if got.err != nil || !strings.Contains(got.body, test.has) || json.Valid([]byte(got.body)) != test.valid || (err == nil) != test.understood {
				t.Errorf("%.2000s: %v, %v", got.body, got.err, err)
			}
			if got.status == http.StatusOK && got.header.Get("ETag") == "" {
				t.Error("it has lost its validators")
			}
		})
	}
}

// A cost map's own version is not taken for that of its network map.
func TestOtherVersionOfVersionedCosts(t *testing.T) {
	g := guidance("1")
	g.CostMaps[0].Tag = "costs1"
	s := altotest.Start(t)
	s.Publish(g)
	s.Misbehave(costPath, altotest.OtherVersion("9"))
	_, info := costsOf(t, get(t, browser(t), s.URL+costPath).body)
	if info.DependentVersionTag.Tag != "9" || info.VersionTag.Tag != "costs1" {
		t.Errorf("%+v", info)
	}
}

// The fields that a test sets come with documents, with 304 and with the answer
// to POST.
func TestSetHeader(t *testing.T) {
	s := altotest.Start(t)
	s.Publish(filtered())
	client := browser(t)
	fresh := http.Header{"Cache-Control": {"max-age=60"}, "Expires": {"Wed, 25 Nov 2026 11:00:00 GMT"}, "Age": {"7"}, "Set-Cookie": {"a=1", "b=2"}}
	s.SetHeader(costPath, fresh)
	first := get(t, client, s.URL+costPath)
	again := send(t, client, http.MethodGet, s.URL+costPath, "", map[string]string{"If-None-Match": first.header.Get("ETag")})
	if again.status != http.StatusNotModified {
		t.Fatalf("%+v", again)
	}
	part := post(t, client, s.URL+costPath, request(""))
	s.Misbehave(costPath, altotest.StringCosts())
	for _, got := range []answer{first, again, part, get(t, client, s.URL+costPath)} {
		for name, want := range fresh {
			if fmt.Sprint(got.header[name]) != fmt.Sprint(want) {
				t.Errorf("%d: %s is %q", got.status, name, got.header[name])
			}
		}
	}
	s.Misbehave(costPath, nil)
	s.SetHeader(costPath, nil)
	if got := get(t, client, s.URL+costPath); got.header.Get("Age") != "" {
		t.Errorf("taken back: %+v", got)
	}
}

func TestRequests(t *testing.T) {
	s := started(t)
	client := browser(t)
	if len(s.Requests(netPath)) > 0 {
		t.Error("requests before any")
	}
	large := strings.Repeat("x", 100_000)
	s.Misbehave(netPath, func(w http.ResponseWriter, r *http.Request, _ altotest.Exchange) {
		whole, _ := io.ReadAll(r.Body) // though it is not kept whole
		_, _ = w.Write(whole)
	})
	got := send(t, client, http.MethodPost, s.URL+netPath+"?q=1", large, map[string]string{"Cookie": "a=1", "Accept": "x/y"})
	kept := s.Requests(netPath)[0]
	if got.body != large || len(kept.Body) != 64<<10 || kept.Method != http.MethodPost || kept.Target != netPath+"?q=1" ||
		"http://"+kept.Host != s.URL || kept.Header.Get("Cookie") != "a=1" || kept.Header.Get("Accept") != "x/y" {
		t.Errorf("kept %+v", kept.Header)
	}
	for i := range 250 {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("%s?%d", netPath, i), http.NoBody)
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	list := s.Requests(netPath)
	if len(list) != 100 || list[0].Target != netPath+"?150" || list[99].Target != netPath+"?249" || s.Count(netPath).Requests != 251 {
		t.Errorf("%d requests from %s", len(list), list[0].Target)
	}
}

// understood reads a document with package alto.
func understood(mediaType, document string) error {
	r := bytes.NewReader([]byte(document))
	var err error
	switch mediaType {
	case alto.MediaTypeNetworkMap:
		_, err = alto.ReadNetworkMap(r, newSink())
	case alto.MediaTypeCostMap:
		_, err = alto.ReadCostMap(r, newSink())
	case alto.MediaTypeDirectory:
		_, err = alto.ReadDirectory(r, nil)
	default:
		err = fmt.Errorf("%s is no ALTO document", mediaType)
	}
	return err
}
