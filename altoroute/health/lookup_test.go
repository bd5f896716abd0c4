// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// resolver knows one host's addresses.
func resolver(addrs ...string) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(_ context.Context, network, host string) ([]netip.Addr, error) {
		var found []netip.Addr
		for _, a := range addrs {
			if addr := netip.MustParseAddr(a); addr.Is4() == (network == "ip4") {
				found = append(found, addr)
			}
		}
		switch {
		case len(found) == 0 && len(addrs) > 0: // as net has it
			return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
		case len(found) == 0:
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return found, nil
	}
}

// names is a resolver whose answers change.
type names struct {
	mu      sync.Mutex
	answer  func(context.Context, string, string) ([]netip.Addr, error)
	lookups int
}

func (n *names) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	answer := n.answer
	n.lookups++
	n.mu.Unlock()
	return answer(ctx, network, host)
}

func (n *names) set(answer func(context.Context, string, string) ([]netip.Addr, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

// count returns the number of look-ups since the last call.
func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := n.lookups
	n.lookups = 0
	return count
}

func noAnswer(ctx context.Context, _, host string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
}

func servfail(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
}

// but answers with the first, but for one network.
func but(network string, one, other func(context.Context, string, string) ([]netip.Addr, error)) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(ctx context.Context, asked, host string) ([]netip.Addr, error) {
		if asked == network {
			return other(ctx, asked, host)
		}
		return one(ctx, asked, host)
	}
}

var both = resolver("192.0.2.1", "2001:db8::1")

// named returns a field with one target, probed, at a host with a name.
func named(t *testing.T, answer func(context.Context, string, string) ([]netip.Addr, error)) (*names, *field, Target) {
	t.Helper()
	n := &names{answer: answer}
	f := newField(t, Config{Resolve: n.resolve})
	target := Target{URL: "http://a.example/"}
	f.begin(target)
	synctest.Wait()
	return n, f, target
}

// want checks the states in IPv4, IPv6 and of the host.
func (f *field) want(target Target, states ...State) Status {
	f.t.Helper()
	s := f.status(target)
	if s.IPv4.State != states[0] || s.IPv6.State != states[1] || s.Host.State != states[2] {
		f.t.Errorf("got %s, %s, %s, want %s", s.IPv4.State, s.IPv6.State, s.Host.State, states)
	}
	return s
}

func TestFamiliesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f, target := named(t, both)
		f.want(target, Up, Up, Absent)
		f.breaks(func(_ *subject, addr netip.Addr) bool { return addr.Is4() })
		pass(30 * time.Second)
		s := f.want(target, Down, Up, Absent)
		if s.State(AnyFamily) != Up || s.State(IPv4) != Down || s.State(IPv6) != Up {
			t.Errorf("got %s, %s, %s", s.State(AnyFamily), s.State(IPv4), s.State(IPv6))
		}
		if f.log.count("target is down", "family=ipv4", "address=192.0.2.1") != 1 {
			t.Error("the log does not say so")
		}
		f.breaks(nil)
		pass(15 * time.Second)
		f.want(target, Up, Up, Absent)
	})
}

func TestWantedFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f, target := named(t, both)
		target.Family = IPv6
		f.begin(target)
		pass(time.Minute)
		f.want(target, Absent, Up, Absent)
		four := Target{URL: "http://b.example", Family: IPv6}
		f.cfg.Resolve = resolver("192.0.2.1")
		f.begin(four)
		pass(time.Minute)
		s := f.want(four, Absent, Absent, Down)
		if s.Host.Err != "the host has no ipv6 address" || s.State(IPv6) != Down {
			t.Errorf("got %+v", s.Host)
		}
	})
}

func TestAbsentFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, target := named(t, resolver("192.0.2.1"))
		pass(time.Minute)
		if s := f.want(target, Up, Absent, Absent); s.State(IPv6) != Absent || s.State(AnyFamily) != Up || s.LookupErr != "" {
			t.Errorf("got %+v", s)
		}
		n.set(both)
		pass(34 * time.Second)
		f.want(target, Up, Up, Absent)
		// It is gone while it is down, and comes back without a past.
		f.breaks(func(_ *subject, addr netip.Addr) bool { return addr.Is6() })
		pass(30 * time.Second)
		f.want(target, Up, Down, Absent)
		n.set(resolver("192.0.2.1"))
		pass(6 * time.Second) // what fails is looked up more often
		f.want(target, Up, Absent, Absent)
		asked := len(f.asked(target.URL))
		pass(time.Minute)
		if more := len(f.asked(target.URL)) - asked; more > 14 {
			t.Errorf("%d probes in a minute: of an address that is gone?", more)
		}
		f.breaks(nil)
		n.set(both)
		pass(34 * time.Second)
		f.want(target, Up, Up, Absent)
	})
}

func TestNeverResolved(t *testing.T) {
	for want, answer := range map[string]func(context.Context, string, string) ([]netip.Addr, error){
		"no such host":       resolver(),
		"server misbehaving": servfail,
		"no answer from the name server within 2s": noAnswer,
	} {
		synctest.Test(t, func(t *testing.T) {
			n, f, target := named(t, answer)
			f.want(target, Absent, Absent, Unknown)
			pass(15 * time.Second)
			s := f.want(target, Absent, Absent, Unknown)
			if s.Host.Err != want || s.Host.Failures < 3 || s.State(IPv4) != Unknown {
				t.Errorf("got %+v, want %q", s.Host, want)
			}
			pass(15 * time.Second)
			s = f.want(target, Absent, Absent, Down)
			if s.State(IPv4) != Down || s.State(AnyFamily) != Down || f.log.count("WARN", "target is down", want, "family=any") != 1 {
				t.Errorf("got %+v", s)
			}
			n.set(both)
			pass(6 * time.Second)
			f.want(target, Up, Up, Absent)
		})
	}
}

func TestResolverFails(t *testing.T) {
	for want, answer := range map[string]func(context.Context, string, string) ([]netip.Addr, error){
		"no such host":       resolver(),
		"server misbehaving": servfail,
		"no answer from the name server within 2s": but("ip4", servfail, noAnswer),
	} {
		synctest.Test(t, func(t *testing.T) {
			n, f, target := named(t, both)
			n.set(answer)
			pass(time.Hour)
			if s := f.want(target, Up, Up, Absent); s.LookupErr == "" || s.IPv4.Failures != 0 || s.IPv4.Successes < 700 {
				t.Errorf("%s: %+v", want, s)
			}
			f.breaks(everything)
			pass(30 * time.Second)
			f.want(target, Down, Down, Absent)
			n.set(resolver("192.0.2.7", "2001:db8::1"))
			f.breaks(func(_ *subject, addr netip.Addr) bool { return addr.String() == "192.0.2.1" })
			pass(20 * time.Second)
			if s := f.want(target, Up, Up, Absent); s.LookupErr != "" || s.IPv4.Addr.String() != "192.0.2.7" {
				t.Errorf("after it moved: %+v", s)
			}
		})
	}
}

// TestOneFamilyFailsToResolve: a name server that answers for one family only
// does not make the other absent.
func TestOneFamilyFailsToResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, target := named(t, but("ip6", both, servfail))
		if s := f.want(target, Up, Absent, Absent); s.LookupErr != "server misbehaving" {
			t.Errorf("got %+v", s)
		}
		n.set(both)
		pass(6 * time.Second)
		f.want(target, Up, Up, Absent)
		n.set(but("ip6", both, servfail))
		pass(time.Hour)
		if s := f.want(target, Up, Up, Absent); s.IPv6.Successes < 700 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestHowOftenLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, _ := named(t, both)
		n.count()
		pass(time.Hour)
		if got := n.count() / 2; got < 110 || got > 130 {
			t.Errorf("looked up %d times in an hour in which all was well", got)
		}
		f.breaks(everything)
		pass(time.Hour)
		if got := n.count() / 2; got < 600 || got > 750 {
			t.Errorf("looked up %d times in an hour in which all failed", got)
		}
	})
}

// TestResolverCutOff: names that were never resolved do not go down all at once
// either.
func TestResolverCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, Config{Resolve: servfail})
		var targets []Target
		for _, host := range []string{"a", "b", "c", "d"} {
			targets = append(targets, Target{URL: "http://" + host + ".example/"})
		}
		f.begin(targets...)
		pass(time.Minute)
		if got := f.states(targets); got[Unknown] != 4 || !f.Suspect() {
			t.Errorf("states %v", got)
		}
	})
}

// TestNoIPv6Here has a machine that has no IPv6 itself: it knows nothing of the
// edges' IPv6. That a network far away is unreachable is another matter.
func TestNoIPv6Here(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var routed atomic.Bool
		f := newField(t, Config{
			Resolve: both,
			Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
				if network == "udp6" && routed.Load() {
					client, _ := net.Pipe()
					return client, nil
				}
				return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
			},
		})
		f.probe = func(ctx context.Context, s *subject, addr netip.Addr) (Report, error) {
			if addr.Is4() {
				return Report{}, nil
			}
			return f.get(ctx, s, addr)
		}
		target := Target{URL: "http://a.example/"}
		f.begin(target)
		pass(time.Hour)
		s := f.want(target, Up, Unknown, Absent)
		if s.IPv6.Err != "this machine has no route to IPv6" || s.IPv6.Failures < 700 || s.State(AnyFamily) != Up {
			t.Errorf("got %+v", s.IPv6)
		}
		routed.Store(true)
		pass(30 * time.Second)
		if s := f.want(target, Up, Down, Absent); s.IPv6.Err != "network is unreachable" {
			t.Errorf("got %+v", s.IPv6)
		}
	})
}

func TestErrorsAreKept(t *testing.T) {
	p := New(Config{Resolve: func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("no\nmore") }})
	_, err := p.addresses(t.Context(), IPv4, p.newSubject(Target{URL: "http://a.example/"}))
	if err == nil || err.Error() != "no more" {
		t.Errorf("got %v", err)
	}
}
