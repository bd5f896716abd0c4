// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// headers makes a header of lines such as "Age: 5".
func headers(lines ...string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func TestFreshFor(t *testing.T) {
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	at := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }
	const (
		unsaid = -1
		year   = 365 * 24 * time.Hour
	)
	for _, c := range []struct {
		header http.Header
		want   time.Duration
	}{
		{headers(), unsaid},
		{headers("Cache-Control: "), unsaid},
		{headers("Cache-Control: public, must-revalidate, x=1"), unsaid},
		{headers("Cache-Control: s-maxage=60"), unsaid},
		{headers("Date: " + at(0)), unsaid},
		{headers("Age: 5"), unsaid},
		{headers("Last-Modified: " + at(-time.Hour)), unsaid},

		{headers("Cache-Control: max-age=60"), time.Minute},
		{headers("Cache-Control: Max-Age=60"), time.Minute},
		{headers(`Cache-Control: max-age="60"`), time.Minute},
		{headers("Cache-Control: public ,max-age=60,, s-maxage=5"), time.Minute},
		{headers(`Cache-Control: x="a, max-age=5, no-cache", max-age=60`), time.Minute},
		{headers("Cache-Control: public", "Cache-Control: max-age=60"), time.Minute},
		{headers("Cache-Control: max-age=60, max-age=60"), time.Minute},
		{headers("Cache-Control: max-age=060"), time.Minute},
		{headers("Cache-Control: max-age=0"), 0},
		{headers("Cache-Control: max-age=60, max-age=61"), 0},
		{headers("Cache-Control: max-age"), 0},
		{headers("Cache-Control: max-age="), 0},
		{headers("Cache-Control: max-age=-60"), 0},
		{headers("Cache-Control: max-age=+60"), 0},
		{headers("Cache-Control: max-age=60.5"), 0},
		{headers("Cache-Control: max-age=6 0"), 0},
		{headers(`Cache-Control: max-age="60`), 0},
		{headers("Cache-Control: max-age=x", "Expires: "+at(time.Hour)), 0},
		{headers("Cache-Control: max-age=31536001"), year},
		{headers("Cache-Control: max-age=99999999999999999999999999"), year},
		{headers("Cache-Control: no-store"), 0},
		{headers("Cache-Control: max-age=60, no-cache"), 0},
		{headers("Cache-Control: NO-CACHE, max-age=60"), 0},
		{headers(`Cache-Control: max-age=60, no-cache="Set-Cookie, X"`), 0},
		{headers("Cache-Control: no-cachet, max-age=60"), time.Minute},

		{headers("Cache-Control: max-age=60", "Age: 15"), 45 * time.Second},
		{headers("Cache-Control: max-age=60", "Age: 15, 20"), 45 * time.Second},
		{headers("Cache-Control: max-age=60", "Age: 60"), 0},
		{headers("Cache-Control: max-age=60", "Age: 61"), 0},
		{headers("Cache-Control: max-age=60", "Age: -5"), time.Minute},
		{headers("Cache-Control: max-age=60", "Age: x"), time.Minute},
		{headers("Cache-Control: max-age=60", "Age: 99999999999999999999"), 0},
		{headers("Cache-Control: max-age=60", "Date: "+at(-15*time.Second)), 45 * time.Second},
		{headers("Cache-Control: max-age=60", "Date: "+at(-5*time.Second), "Age: 15"), 45 * time.Second},
		{headers("Cache-Control: max-age=60", "Date: "+at(time.Hour)), time.Minute}, // no clock is that far ahead of its own answer
		{headers("Cache-Control: max-age=60", "Date: yesterday"), time.Minute},

		{headers("Expires: " + at(time.Minute)), time.Minute},
		{headers("Expires: "+at(time.Minute), "Date: "+at(0)), time.Minute},
		{headers("Expires: "+at(time.Minute), "Date: "+at(-15*time.Second)), time.Minute},
		{headers("Expires: "+at(time.Minute), "Date: "+at(0), "Age: 15"), 45 * time.Second},
		{headers("Expires: " + at(-time.Minute)), 0},
		{headers("Expires: "+at(time.Minute), "Date: "+at(time.Hour)), 0},
		{headers("Expires: 0"), 0},
		{headers("Expires: -1"), 0},
		{headers("Expires: "), 0},
		{headers("Expires: soon", "Date: "+at(0)), 0},
		{headers("Expires: "+at(time.Minute), "Expires: "+at(time.Minute)), 0},
		{headers("Expires: Fri, 31 Dec 9999 23:59:59 GMT"), year},
		{headers("Expires: "+at(time.Hour), "Cache-Control: max-age=60"), time.Minute},
		{headers("Expires: 0", "Cache-Control: max-age=60"), time.Minute},
	} {
		got, said := (&Response{Header: c.header}).FreshFor(now)
		if !said {
			got = unsaid
		}
		if got != c.want {
			t.Errorf("%v: fresh for %s, want %s", c.header, got, c.want)
		}
	}
}

// What the way took and what has passed since is taken off.
func TestFreshForLater(t *testing.T) {
	start := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	res := &Response{Header: headers("Cache-Control: max-age=60", "Age: 10"), requested: start}
	for after, want := range map[time.Duration]time.Duration{
		0: 50 * time.Second, 20 * time.Second: 30 * time.Second, 50 * time.Second: 0, time.Hour: 0,
		-time.Hour: time.Minute, // the clock was set back
	} {
		if got, ok := res.FreshFor(start.Add(after)); !ok || got != want {
			t.Errorf("after %s: %s", after, got)
		}
	}
}

// An answer that is not modified says for how long, too.
func TestFreshForNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(7 * time.Second)
			w := httptest.NewRecorder()
			w.Header().Set("Cache-Control", "max-age=60")
			w.WriteHeader(http.StatusNotModified)
			answer := w.Result()
			answer.Request = r
			return answer, nil
		})
		client := &Client{HTTP: &http.Client{Transport: transport}}
		res, err := client.Get(t.Context(), &url.URL{Scheme: "http", Host: "h"}, MediaTypeNetworkMap, Validators{ETag: `"1"`})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		time.Sleep(3 * time.Second)
		if got, ok := res.FreshFor(time.Now()); !ok || got != 50*time.Second {
			t.Errorf("fresh for %s, %t", got, ok)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func FuzzFreshFor(f *testing.F) {
	f.Add("max-age=60, no-cache=\"a, b\"", "Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 04 Mar 2026 05:06:07 GMT", "5")
	f.Add(`x="\", max-age="60"`, "0", "", "99999999999999999999")
	f.Add("MAX-AGE = 1,,s-maxage", "Monday, 02-Jan-06 15:04:05 MST", "Mon Jan  2 15:04:05 2006", "-1, 5")
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	f.Fuzz(func(t *testing.T, cacheControl, expires, date, age string) {
		res := &Response{Header: http.Header{"Cache-Control": {cacheControl}, "Expires": {expires}, "Date": {date}, "Age": {age}}}
		fresh, said := res.FreshFor(now)
		if fresh < 0 || fresh > maxFresh || !said && fresh != 0 {
			t.Errorf("fresh for %s, %t", fresh, said)
		}
		// Nothing gets fresher with time, or by having been on the way.
		later, _ := res.FreshFor(now.Add(time.Minute))
		res.Header.Set("Age", "31536000")
		if old, _ := res.FreshFor(now); later > fresh || old != 0 {
			t.Errorf("fresh for %s, a minute later for %s, after a year for %s", fresh, later, old)
		}
	})
}
