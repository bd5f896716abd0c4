// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"bufio"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// request parses a request line as a server does.
func request(t testing.TB, line string) *url.URL {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: cdn.example.net\r\n\r\n")))
	if err != nil {
		t.Skipf("not a request: %v", err)
	}
	return r.URL
}

func TestLocation(t *testing.T) {
	for _, c := range []struct{ base, line, want string }{
		{"https://fra.example.net", "GET /a.mp4", "https://fra.example.net/a.mp4"},
		{"https://fra.example.net/", "GET /a.mp4?x=1&y=%20", "https://fra.example.net/a.mp4?x=1&y=%20"},
		{"https://fra.example.net:8443/cdn/", "GET /a/", "https://fra.example.net:8443/cdn/a/"},
		{"https://fra.example.net/c%2Fd", "GET /a%2Fb", "https://fra.example.net/c%2Fd/a%2Fb"},
		{"https://[2001:db8::1]:8443", "GET /", "https://[2001:db8::1]:8443/"},
		{"https://fra.example.net", "GET /?", "https://fra.example.net/?"},
		// An attempt to leave the edge's host stays a path on it.
		{"https://fra.example.net", "GET //evil.example", "https://fra.example.net//evil.example"},
		{"https://fra.example.net", "GET //evil.example/..", "https://fra.example.net//evil.example/.."},
		{"https://fra.example.net", "GET /@evil.example", "https://fra.example.net/@evil.example"},
		{"https://fra.example.net", "GET /\\evil.example", "https://fra.example.net/%5Cevil.example"},
		{"https://fra.example.net", "GET /%5cevil.example", "https://fra.example.net/%5cevil.example"},
		{"https://fra.example.net", "GET /%0d%0aSet-Cookie:a=b", "https://fra.example.net/%0d%0aSet-Cookie:a=b"},
		{"https://fra.example.net", "GET /%2f%2fevil.example", "https://fra.example.net/%2f%2fevil.example"},
		{"https://fra.example.net", "GET http://evil.example/x?y", "https://fra.example.net/x?y"},
		{"https://fra.example.net", "GET http://evil.example", "https://fra.example.net/"},
		{"https://fra.example.net", "GET /?u=//evil.example/@\\x", "https://fra.example.net/?u=//evil.example/@%5Cx"},
		{"https://fra.example.net", "GET /?q#fragment", "https://fra.example.net/?q%23fragment"},
		{"https://fra.example.net", "GET /?q=ä\"<>", "https://fra.example.net/?q=%C3%A4%22%3C%3E"},
		{"https://fra.example.net", "GET /?a={b}|^[c]", "https://fra.example.net/?a={b}|^[c]"},
	} {
		if got := Location(mustURL(c.base), request(t, c.line)); got != c.want {
			t.Errorf("%s behind %s:\n got %s\nwant %s", c.line, c.base, got, c.want)
		}
	}
}

func TestLocationOfARewrittenPath(t *testing.T) {
	if got := Location(mustURL("https://fra.example.net"), &url.URL{Path: "a b"}); got != "https://fra.example.net/a%20b" {
		t.Errorf("got %s", got)
	}
}

// FuzzLocation holds that no request leaves the edge's host, and that what
// goes into the header is one line of ASCII.
func FuzzLocation(f *testing.F) {
	for _, line := range []string{"GET /a?b", "GET //evil", "GET /\\evil", "GET http://evil/", "GET /%2f@evil", "OPTIONS *", "GET evil:opaque", "GET /?a#b"} {
		f.Add(line)
	}
	base := mustURL("https://fra.example.net/cdn")
	f.Fuzz(func(t *testing.T, line string) {
		u := request(t, line)
		at := Location(base, u)
		back, err := url.Parse(at)
		if err != nil {
			t.Fatalf("%q gives %q: %v", line, at, err)
		}
		if back.Scheme != "https" || back.Host != "fra.example.net" || back.User != nil || !strings.HasPrefix(back.Path, "/cdn/") || back.Fragment != "" {
			t.Fatalf("%q gives %q", line, at)
		}
		for i := range len(at) {
			if at[i] <= ' ' || at[i] >= 0x7f || at[i] == '\\' {
				t.Fatalf("%q gives %q, with byte %#x", line, at, at[i])
			}
		}
		if back.Path != "/cdn/"+strings.TrimPrefix(u.Path, "/") {
			t.Fatalf("%q: path %q became %q", line, u.Path, back.Path)
		}
	})
}

func TestParseClient(t *testing.T) {
	for in, want := range map[string]netip.Addr{
		"192.0.2.1":             netip.MustParseAddr("192.0.2.1"),
		"::ffff:192.0.2.1":      netip.MustParseAddr("192.0.2.1"),
		"2001:db8::1":           netip.MustParseAddr("2001:db8::1"),
		"fe80::1%eth0":          netip.MustParseAddr("fe80::1"),
		"":                      {},
		"@":                     {},
		"192.0.2.1:80":          {},
		"host.example":          {},
		"192.0.2.01":            {},
		"::ffff:192.0.2.1%eth0": netip.MustParseAddr("192.0.2.1"),
	} {
		if got := ParseClient(in); got != want {
			t.Errorf("%q is %v, want %v", in, got, want)
		}
	}
}

func TestCDNLoop(t *testing.T) {
	f := newCacheFills("", []edge{{Edge: Edge{URL: mustURL("https://Fra.example.net:8443"), Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}}},
		[]*pool{{edges: []int32{0}, bases: []*url.URL{mustURL("https://fra.video.example.net")}}})
	for header, want := range map[string]bool{
		"":                         false,
		"altoroute":                true,
		"AltoRoute; v=1":           true,
		"other, altoroute":         true,
		"other;a=\"x, altoroute\"": false,
		"other;a=\"x\\\", altoroute\", fra.example.net": true,
		"fra.example.net":       true,
		"fra.video.example.net": true,
		"fra.example.net:8443":  true,
		"fra.example.net:80":    false,
		"x.fra.example.net":     false,
		"altoroute2":            false,
		"\t altoroute\t;x":      true,
		",,,altoroute":          true,
		"other;a=\"altoroute":   false,
	} {
		if got := f.has(netip.MustParseAddr("192.0.2.1"), []string{"first.example", header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	for base, id := range map[string]string{
		"https://[2001:db8::5]:444": "[2001:DB8::5]", "http://eb.example": "eb.example:80", "https://ec.example": "ec.example:443",
	} {
		if f := newCacheFills("", []edge{{Edge: Edge{URL: mustURL(base)}}}, nil); !f.has(netip.Addr{}, []string{id}) {
			t.Errorf("%s is not known as %s: %v", base, id, f.ids)
		}
	}
	if !f.has(netip.MustParseAddr("192.0.2.9"), nil) || f.has(netip.Addr{}, nil) {
		t.Error("an edge's address is not known, or no address is")
	}
}

func FuzzCDNLoop(f *testing.F) {
	f.Add("a;b=\"c, altoroute\", d")
	f.Add("altoroute")
	fills := newCacheFills("", nil, nil)
	f.Fuzz(func(t *testing.T, header string) {
		found := fills.has(netip.Addr{}, []string{header})
		if found && !strings.Contains(strings.ToLower(header), "altoroute") {
			t.Fatalf("found in %q", header)
		}
		if !fills.has(netip.Addr{}, []string{"altoroute, " + header}) {
			t.Fatalf("%q hides what comes before it", header)
		}
	})
}
