// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Target is what is probed and how. It is a value: two targets that are equal
// in canonical form share one probe and what it has learned.
type Target struct {
	// URL is asked for with GET: scheme http or https, a host, and optionally a
	// port, a path and a query. Redirects are not followed.
	URL string
	// Host is sent as the Host header, and is the name that a certificate must
	// be for, in place of the URL's host. Empty is the URL's host.
	Host string
	// Status is what the answer's status must be. Zero is 200 to 299.
	Status StatusRange
	// Body is text that the first 64 KiB of the answer's body must hold. Empty
	// is any body.
	Body string
	// Interval is the time from the beginning of one check to that of the next,
	// give or take a tenth. Zero is DefaultInterval, and it is at least
	// MinInterval.
	Interval time.Duration
	// Timeout is how long a check may take as a whole, at most Interval. Zero is
	// DefaultTimeout, or Interval if that is shorter.
	Timeout time.Duration
	// Down is how many checks in a row must fail until a target is down, Up how
	// many must succeed until one that was down is up, up to MaxCount each. Zero
	// is DefaultDown and DefaultUp. With a Down of 1 there is no time to notice
	// that all others fail as well, see Prober.Suspect.
	Down, Up int
	// Family limits the checks to addresses of one family.
	Family Family
	// LoadHeader is the response header that carries load, as in "0.73" or
	// "load=0.73, capacity=8000". Empty is none.
	LoadHeader string
}

// What a target's zero values stand for, and its limits.
const (
	DefaultInterval = 5 * time.Second
	DefaultTimeout  = 2 * time.Second
	DefaultDown     = 5
	DefaultUp       = 2

	MinInterval = time.Second
	MaxInterval = time.Hour
	MaxCount    = 1000
)

// Family is an address family, or both.
type Family uint8

// The families in which a target may be probed.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

// String returns "ipv4", "ipv6" or "any".
func (f Family) String() string {
	return [...]string{"any", "ipv4", "ipv6"}[f]
}

func (f Family) holds(addr netip.Addr) bool {
	return f == AnyFamily || addr.Is4() == (f == IPv4)
}

// A StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct{ First, Last int }

// ParseStatusRange reads a status ("204"), a class ("2xx") or a range
// ("200-399").
func ParseStatusRange(s string) (StatusRange, error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	if class, ok := strings.CutSuffix(s, "xx"); ok {
		first, last = class+"00", class+"99"
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	r := StatusRange{First: int(from), Last: int(to)}
	if err1 != nil || err2 != nil || !r.valid() {
		return StatusRange{}, fmt.Errorf("%q is not a status: write one like 204, a class like 2xx or a range like 200-399", s)
	}
	return r, nil
}

func (r StatusRange) valid() bool { return 200 <= r.First && r.First <= r.Last && r.Last <= 599 }

func (r StatusRange) holds(status int) bool { return r.First <= status && status <= r.Last }

// String returns what ParseStatusRange reads.
func (r StatusRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Canonical returns the target in the form by which it is known, every default
// filled in. The error names the member that is wrong, and what would be right.
func (t Target) Canonical() (Target, error) {
	u, err := parseURL(t.URL)
	if err != nil {
		return Target{}, err
	}
	t.URL = u.String()
	t.Host = strings.ToLower(t.Host)
	t.LoadHeader = http.CanonicalHeaderKey(t.LoadHeader)
	t.Status = defaultTo(t.Status, StatusRange{First: 200, Last: 299})
	t.Interval = defaultTo(t.Interval, DefaultInterval)
	t.Timeout = defaultTo(t.Timeout, min(DefaultTimeout, t.Interval))
	t.Down = defaultTo(t.Down, DefaultDown)
	t.Up = defaultTo(t.Up, DefaultUp)
	if err := t.check(u); err != nil {
		return Target{}, err
	}
	return t, nil
}

func defaultTo[T comparable](v, otherwise T) T {
	if zero := *new(T); v == zero {
		return otherwise
	}
	return v
}

// check checks all but the URL by itself.
func (t *Target) check(u *url.URL) error {
	switch {
	case t.Host != "" && !hostHeader.MatchString(t.Host):
		return fmt.Errorf("host %q is neither a name nor an address, with or without a port", t.Host)
	case !t.Status.valid():
		return fmt.Errorf("status %d to %d is not a range of statuses: write 200 to 599", t.Status.First, t.Status.Last)
	case t.Interval < MinInterval || t.Interval > MaxInterval:
		return fmt.Errorf("interval %s is out of range: write %s to %s", t.Interval, MinInterval, MaxInterval)
	case t.Timeout < 0:
		return fmt.Errorf("timeout %s is negative", t.Timeout)
	case t.Timeout > t.Interval:
		return fmt.Errorf("timeout %s is longer than the interval %s: a check must end before the next begins", t.Timeout, t.Interval)
	case t.Down < 1 || t.Down > MaxCount:
		return fmt.Errorf("down %d is out of range: write 1 to %d", t.Down, MaxCount)
	case t.Up < 1 || t.Up > MaxCount:
		return fmt.Errorf("up %d is out of range: write 1 to %d", t.Up, MaxCount)
	case len(t.Body) > maxBody:
		return fmt.Errorf("body of %d bytes can never be found: only the first %d bytes of an answer are read", len(t.Body), maxBody)
	case t.LoadHeader != "" && !headerName.MatchString(t.LoadHeader):
		return fmt.Errorf("load header %q is not a header's name", t.LoadHeader)
	case t.Family > IPv6:
		return fmt.Errorf("family %d is none", t.Family)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !t.Family.holds(addr) {
		return fmt.Errorf("URL %q has no %s address", t.URL, t.Family)
	}
	return nil
}

// What goes into a request as it is. Names are in ASCII (RFC 3986 §3.2.2).
var (
	hostName   = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	hostHeader = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
)

// parseURL reads a target's URL into canonical form: lower case, no default
// port, a path.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the URL, which may hold a secret
		}
		return nil, fmt.Errorf("URL: %w", err)
	}
	host := strings.ToLower(u.Hostname())
	addr, notAddr := netip.ParseAddr(host)
	port := u.Port()
	switch n, err := strconv.ParseUint(port, 10, 16); {
	case u.User != nil:
		return nil, errors.New("URL must not hold a user name or password: it is shown in logs")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("URL %q must begin with http:// or https://", s)
	case host == "":
		return nil, fmt.Errorf("URL %q has no host", s)
	case notAddr == nil && (addr.Zone() != "" || addr.Is4In6()):
		return nil, fmt.Errorf("URL %q: %s is not a plain IPv4 or IPv6 address", s, addr)
	case notAddr != nil && !hostName.MatchString(host):
		return nil, fmt.Errorf("URL %q has a host that is neither a name in ASCII nor an address", s)
	case strings.HasSuffix(u.Host, ":") || port != "" && (err != nil || n == 0):
		return nil, fmt.Errorf("URL %q has a port that is none: write 1 to 65535", s)
	case strings.Contains(s, "#"):
		return nil, fmt.Errorf("URL %q must not have a fragment: it is not sent", s)
	}
	if notAddr == nil {
		host = addr.String()
	}
	switch {
	case port != "" && port != defaultPort(u):
		u.Host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		u.Host = "[" + host + "]"
	default:
		u.Host = host
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

func defaultPort(u *url.URL) string {
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
