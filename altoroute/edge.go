// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// An Edge is a place that serves content (a surrogate, in the words of
// RFC 7971): a name, a URL, and where it is in the networks of the sources.
type Edge struct {
	// Name is unique among the edges. Hashing goes by it, so renaming an edge
	// moves its content. It may be a label of a host name, see Pool.URL.
	Name string
	// URL is where clients are sent: scheme http or https, a host, and
	// optionally a path that is put in front of the request's.
	URL *url.URL
	// PIDs says outright where the edge is, at most once for each source.
	PIDs []SourcePID
	// Addrs are the edge's own addresses. A source that no PID names places the
	// edge by the first of them that its network map covers. A request from
	// one of them is a cache fill.
	Addrs []netip.Addr
	// Weight is the edge's share of the content among edges of one cost band,
	// 1 to MaxWeight. Zero means 1.
	Weight int
	// Family limits the edge to clients of one address family.
	Family Family
	// Serves are the requests that the edge is for.
	Serves Class
	// Capacity is how many requests per second the edge can serve. Zero is no
	// known limit.
	Capacity float64
}

// MaxWeight is the greatest weight of an edge.
const MaxWeight = 1 << 16

// MaxCapacity is the greatest capacity of an edge, in requests per second.
const MaxCapacity = 1e12

// Family is an address family, or both.
type Family uint8

// The families that an edge may serve.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

// ParseFamily reads "ipv4" or "ipv6", the address types of RFC 7285 §10.4.
// Empty is both.
func ParseFamily(s string) (Family, error) {
	switch s {
	case "":
		return AnyFamily, nil
	case "ipv4":
		return IPv4, nil
	case "ipv6":
		return IPv6, nil
	}
	return 0, fmt.Errorf("%q is not an address family: write ipv4 or ipv6, or leave it out for both", s)
}

// serves reports whether an edge of this family is for a client at addr. A
// client without an address is of no known family and may be sent anywhere.
func (f Family) serves(addr netip.Addr) bool {
	switch {
	case f == AnyFamily || !addr.IsValid():
		return true
	case f == IPv4:
		return addr.Is4()
	}
	return addr.Is6()
}

// nameGrammar is that of edges, pools and sources: what fits a host label, a
// metric label, a path of the admin API and a PID's prefix without quoting.
var nameGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName checks the name of an edge, a pool or a source.
func CheckName(name string) error {
	if !nameGrammar.MatchString(name) {
		return fmt.Errorf("%q is not a name: write up to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit", name)
	}
	return nil
}

// ParseEdgeURL reads the URL of an edge, a pool or a fallback and checks that
// a request's path and query can be put behind it.
func ParseEdgeURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, fmt.Errorf("URL %q: %w", s, err)
	}
	err = checkEdgeURL(u)
	if strings.Contains(s, "#") {
		err = errors.New("must not have a fragment")
	}
	if err != nil {
		if u.User != nil {
			s = u.Scheme + "://" + u.Host // what stands before it may be a secret
		}
		return nil, fmt.Errorf("URL %q %w", s, err)
	}
	return u, nil
}

// ParsePrefix reads a prefix, or an address as the prefix of only itself. Bits
// beyond its length are dropped. IPv4 written as IPv6 (RFC 4291 §2.5.5.2) is IPv4, as
// clients are.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a prefix: write for example 203.0.113.0/24", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}

// mapped is how many bits of IPv6 stand before an IPv4 address written as IPv6.
const mapped = 96

// hostGrammar is that of a name in ASCII, or an address (RFC 3986 §3.2.2). It
// goes into a header as it is.
var hostGrammar = regexp.MustCompile(`^([A-Za-z0-9._-]+|[0-9A-Fa-f:.]+)$`)

func checkEdgeURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return errors.New("has no host")
	case !hostGrammar.MatchString(u.Hostname()):
		return errors.New("has a host that is neither a name in ASCII nor an address")
	case u.Port() != "" && !validPort(u.Port()):
		return errors.New("has a port that is none: write 1 to 65535")
	case u.User != nil:
		return errors.New("must not hold a user name or password: it would be sent to every client")
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("must not have a query: the request's own is put there")
	case u.Fragment != "":
		return errors.New("must not have a fragment")
	}
	return nil
}

func validPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// Validate checks the edge by itself; that its PIDs are known is for
// Router.UnknownPIDs. The error names the edge.
func (e *Edge) Validate() error {
	if err := CheckName(e.Name); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if e.URL == nil {
		return fmt.Errorf("edge %s has no URL", e.Name)
	}
	if err := checkEdgeURL(e.URL); err != nil {
		return fmt.Errorf("edge %s: URL %q %w", e.Name, e.URL.Redacted(), err)
	}
	if len(e.PIDs) == 0 && len(e.Addrs) == 0 {
		return fmt.Errorf("edge %s has neither a PID nor an address: nothing says where it is", e.Name)
	}
	if e.Weight < 0 || e.Weight > MaxWeight {
		return fmt.Errorf("edge %s: weight %d is out of range: write 1 to %d", e.Name, e.Weight, MaxWeight)
	}
	if !(e.Capacity >= 0 && e.Capacity <= MaxCapacity) { // NaN is neither
		return fmt.Errorf("edge %s: capacity %v is out of range: write requests per second up to %d, or nothing", e.Name, e.Capacity, int64(MaxCapacity))
	}
	if err := e.Serves.Validate(); err != nil {
		return fmt.Errorf("edge %s: %w", e.Name, err)
	}
	seen := make(map[string]string)
	for _, p := range e.PIDs {
		if other, ok := seen[p.Source]; ok {
			return fmt.Errorf("edge %s has two PIDs in one source, %q and %q: keep one", e.Name, other, p.String())
		}
		seen[p.Source] = p.String()
	}
	for _, a := range e.Addrs {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			return fmt.Errorf("edge %s: %q is not a plain IPv4 or IPv6 address", e.Name, a)
		}
	}
	return nil
}

// locate returns the edge's PID in one source's network map: the one said
// outright, else that of the first address covered, else noPID.
func (e *Edge) locate(source string, m *NetworkMap) pidIndex {
	for _, p := range e.PIDs {
		if p.Source == source {
			return m.pid(p.PID)
		}
	}
	for _, a := range e.Addrs {
		if pid := m.locate(a); pid != noPID {
			return pid
		}
	}
	return noPID
}
