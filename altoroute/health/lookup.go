// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookupEvery is how often a host is looked up that is known to have addresses.
// While a check fails, or the look-up does, it is at every interval.
const lookupEvery = 30 * time.Second

// maxAddrs bounds what is kept of a host's addresses in one family.
const maxAddrs = 32

// found is what a look-up tells of one family: addresses, or that there are
// none, or nothing.
type found struct {
	family Family
	addrs  []netip.Addr
	err    error
}

// lookup looks a host up in the families that are wanted, each by itself: else a
// failure in one could pass for a host without addresses in it.
func (p *Prober) lookup(ctx context.Context, s *subject) []found {
	var all []found
	for _, f := range []Family{IPv4, IPv6} {
		if s.Family == AnyFamily || s.Family == f {
			all = append(all, found{family: f})
		}
	}
	results := make(chan found, len(all))
	for _, one := range all {
		p.done.Go(func() {
			one.addrs, one.err = p.addresses(ctx, one.family, s)
			results <- one
		})
	}
	for i := range all {
		all[i] = <-results
	}
	return all
}

func (p *Prober) addresses(ctx context.Context, f Family, s *subject) ([]netip.Addr, error) {
	network := "ip4"
	if f == IPv6 {
		network = "ip6"
	}
	answer, err := p.cfg.Resolve(ctx, network, s.site.host)
	if hasNone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fault(ctx, "answer from the name server", err)
	}
	addrs := make([]netip.Addr, 0, len(answer))
	for _, a := range answer {
		if a = a.Unmap().WithZone(""); f.holds(a) {
			addrs = append(addrs, a)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Clip(slices.Compact(addrs)[:min(len(addrs), maxAddrs)]), nil
}

// hasNone reports whether an error of the resolver says that the host has no address:
// none at all, or none of the family that was asked for.
func hasNone(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	_, other := errors.AsType[*net.AddrError](err)
	return other
}

// resolved takes down the result of a look-up. As long as nothing is known of
// the host, a look-up that fails is a check that fails.
func (p *Prober) resolved(l *lane, all []found) {
	s := l.of
	var err error
	have := false
	for _, one := range all {
		have = have || len(one.addrs) > 0
		if one.err != nil {
			err = one.err
		}
	}
	if !have && err == nil {
		err = errors.New("no such host")
		if s.Family != AnyFamily {
			err = fmt.Errorf("the host has no %s address", s.Family)
		}
	}
	s.lookupErr = ""
	switch {
	case err == nil:
		p.postpone(l, l.began.Add(jitter(max(lookupEvery, s.Interval))))
	case l.State != Absent && !have:
		p.record(l, Report{}, err)
		return
	default:
		s.lookupErr = err.Error()
	}
	if !have {
		return // a host that is gone is more often a fault than a wish
	}
	if l.State != Absent {
		p.count(l, -1)
		l.Check = Check{}
		p.noteChange(s)
	}
	for _, one := range all {
		if len(one.addrs) > 0 || one.err == nil {
			p.readdress(&s.lanes[one.family], one.addrs)
		}
	}
}

// readdress gives a lane the addresses that its host has now, perhaps none.
func (p *Prober) readdress(l *lane, addrs []netip.Addr) {
	l.addrs = addrs
	switch {
	case len(addrs) == 0 && l.present:
		p.deactivate(l)
		l.present = false
		l.Check = Check{}
		l.strikes, l.held = 0, time.Time{}
		p.noteChange(l.of)
	case len(addrs) > 0 && !l.present:
		l.present = true
		l.State, l.Since, l.Addr = Unknown, time.Now(), addrs[0]
		p.activate(l, time.Now())
		p.noteChange(l.of)
	case len(addrs) > 0 && !slices.Contains(addrs, l.Addr):
		l.Addr = addrs[0]
	}
}

// doubtAddress follows a failed check. The next one tries the next of the host's
// addresses, so that a target is up as long as one of them answers, if it is
// found within as many checks as make it down; and the host is looked up again.
func (p *Prober) doubtAddress(l *lane) {
	if l.family == AnyFamily {
		return
	}
	i := slices.Index(l.addrs, l.Addr)
	l.Addr = l.addrs[(i+1)%len(l.addrs)]
	host := &l.of.lanes[AnyFamily]
	if soon := host.began.Add(l.of.Interval); host.present && soon.Before(host.due) {
		p.postpone(host, soon)
	}
}
