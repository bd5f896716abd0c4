// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"
	"time"
)

func TestCanonical(t *testing.T) {
	for given, want := range map[string]string{
		"http://a.example":                     "http://a.example/",
		"HTTP://A.Example:80/Health?Full":      "http://a.example/Health?Full",
		"https://a.example:443":                "https://a.example/",
		"https://a.example:80":                 "https://a.example:80/",
		"http://192.0.2.1:8080/a%2fb":          "http://192.0.2.1:8080/a%2fb",
		"http://[2001:DB8:0:0::1]/":            "http://[2001:db8::1]/",
		"https://[2001:db8::1]:8443/x":         "https://[2001:db8::1]:8443/x",
		"http://edge_1.a.example./":            "http://edge_1.a.example./",
		"http://a.example:080/":                "http://a.example:080/",
		"http://a.example/%E2%82%AC?q=a%20b&c": "http://a.example/%E2%82%AC?q=a%20b&c",
	} {
		got, err := Target{URL: given}.Canonical()
		if err != nil || got.URL != want {
			t.Errorf("%s: got %s, %v, want %s", given, got.URL, err, want)
		}
		if again, err := got.Canonical(); err != nil || again != got {
			t.Errorf("%s: once more it is %+v, %v", given, again, err)
		}
	}
	got, err := Target{URL: "http://a.example/", Host: "B.example", LoadHeader: "x-load", Interval: time.Second}.Canonical()
	want := Target{
		URL: "http://a.example/", Host: "b.example", LoadHeader: "X-Load",
		Status: StatusRange{200, 299}, Interval: time.Second, Timeout: time.Second, Down: 5, Up: 2,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestInvalidTargets(t *testing.T) {
	const u = "http://a.example/"
	for want, target := range map[string]Target{
		`URL "" must begin with http:// or https://`:                                         {},
		`URL "ftp://a.example" must begin with http://`:                                      {URL: "ftp://a.example"},
		`URL "http:///x" has no host`:                                                        {URL: "http:///x"},
		`URL must not hold a user name or password`:                                          {URL: "http://me:secret@a.example/"},
		`URL: invalid URL escape "%zz"`:                                                      {URL: "http://a.example/%zz"},
		`URL "http://ä.example/" has a host that is neither a name in ASCII nor an address`:  {URL: "http://ä.example/"},
		`URL "http://a.example:0/" has a port that is none: write 1 to 65535`:                {URL: "http://a.example:0/"},
		`URL "http://a.example:/" has a port that is none`:                                   {URL: "http://a.example:/"},
		`URL "http://a.example:65536/" has a port that is none`:                              {URL: "http://a.example:65536/"},
		`URL "http://a.example/#x" must not have a fragment`:                                 {URL: "http://a.example/#x"},
		`URL "http://[fe80::1%25eth0]/": fe80::1%eth0 is not a plain IPv4 or IPv6 address`:   {URL: "http://[fe80::1%25eth0]/"},
		`URL "http://[::ffff:192.0.2.1]/": ::ffff:192.0.2.1 is not a plain`:                  {URL: "http://[::ffff:192.0.2.1]/"},
		`URL "http://192.0.2.1/" has no ipv6 address`:                                        {URL: "http://192.0.2.1/", Family: IPv6},
		`host "a b" is neither a name nor an address`:                                        {URL: u, Host: "a b"},
		`host "a\r\nx: y" is neither`:                                                        {URL: u, Host: "a\r\nX: y"},
		`status 0 to 299 is not a range of statuses: write 200 to 599`:                       {URL: u, Status: StatusRange{0, 299}},
		`status 300 to 299 is not a range`:                                                   {URL: u, Status: StatusRange{300, 299}},
		`interval 999ms is out of range: write 1s to 1h0m0s`:                                 {URL: u, Interval: 999 * time.Millisecond},
		`interval 2h0m0s is out of range`:                                                    {URL: u, Interval: 2 * time.Hour},
		`timeout -1ns is negative`:                                                           {URL: u, Timeout: -1},
		`timeout 6s is longer than the interval 5s: a check must end before the next begins`: {URL: u, Timeout: 6 * time.Second},
		`down -1 is out of range: write 1 to 1000`:                                           {URL: u, Down: -1},
		`up 1001 is out of range: write 1 to 1000`:                                           {URL: u, Up: 1001},
		`body of 65537 bytes can never be found`:                                             {URL: u, Body: strings.Repeat("a", maxBody+1)},
		`load header "X Load" is not a header's name`:                                        {URL: u, LoadHeader: "X Load"},
		`family 3 is none`: {URL: u, Family: 3},
	} {
		_, err := target.Canonical()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestStatusRanges(t *testing.T) {
	for s, want := range map[string]StatusRange{
		"200":     {200, 200},
		"2xx":     {200, 299},
		"5xx":     {500, 599},
		"200-399": {200, 399},
	} {
		got, err := ParseStatusRange(s)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
		if again, err := ParseStatusRange(got.String()); err != nil || again != got {
			t.Errorf("%s: its text is read as %v, %v", s, again, err)
		}
	}
	for _, s := range []string{"", "x", "xx", "1xx", "6xx", "99", "199", "600", "300-200", "200-", "-200", "200-2xx", "2xx-3xx", "+200", " 200", "200-399-400"} {
		if got, err := ParseStatusRange(s); err == nil || !strings.Contains(err.Error(), "write one like") {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}
