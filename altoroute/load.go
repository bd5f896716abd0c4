// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"net/netip"
	"slices"
)

// A loadKey names a load: a client PID of some guidance, by its slot in the
// plan, the kind of request, and the edge to which its content falls. Clients
// without a PID are of slot -1.
type loadKey struct {
	slot int32
	pid  pidIndex
	edge int32
	kind kind
}

// at returns the key of what the PID's clients tell of an edge.
func (k loadKey) at(edge int32) loadKey { return loadKey{k.slot, k.pid, edge, anyKind} }

// A kind is what of a request can keep it from an edge: the family of the client's
// address, whether it came by https, and which classes of edges it is outside of.
type kind uint32

const (
	byIPv6     kind = 1 << iota
	byHTTPS    kind = 1 << iota
	firstClass kind = 1 << iota
)

// maxClasses is how many classes a pool's edges may have before some are taken as one.
const maxClasses = 30

// anyKind stands in the keys of what clients tell of an edge: that goes for all
// kinds of requests.
const anyKind kind = 0

func kindOf(client netip.Addr, https bool) (k kind) {
	if client.Is6() {
		k |= byIPv6
	}
	if https {
		k |= byHTTPS
	}
	return k
}

// classBit stands in a kind for a request outside of one of a pool's classes.
func classBit(class int) kind { return firstClass << min(class, maxClasses-1) }

// outside returns the classes that a request is outside of.
func (p *pool) outside(q *Query, place *Place) (k kind) {
	for i, c := range p.classes {
		if c.misfit(q, place) != "" {
			k |= classBit(i)
		}
	}
	return k
}

// client returns an address of the family.
func (k kind) client() netip.Addr {
	if k&byIPv6 != 0 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// key returns the name of the load that content of a client at this spot is
// part of, if it falls to the edge.
func (s *spot) key(edge int32, k kind) loadKey {
	if s.guidance == nil {
		return loadKey{-1, noPID, edge, k}
	}
	return loadKey{int32(s.guidance.slot), s.pid, edge, k} //nolint:gosec // a handful
}

// follow returns what is known of loads for a plan in which new guidance, or
// none, has the slots that are gone: its PIDs are as those of the same name
// were before, the last that has one.
func follow[M ~map[loadKey]V, V any](m M, gone []int, now *guidance, before ...*guidance) M {
	if m == nil {
		return nil
	}
	next := make(M, len(m))
	for key, value := range m {
		if !slices.Contains(gone, int(key.slot)) {
			next[key] = value
		}
	}
	for _, g := range before {
		if g == nil || now == nil {
			continue
		}
		for key, value := range m {
			if int(key.slot) != g.slot {
				continue
			}
			if pid := now.maps.Network.pid(g.maps.Network.names[key.pid]); pid != noPID {
				next[loadKey{int32(now.slot), pid, key.edge, key.kind}] = value //nolint:gosec // a handful
			}
		}
	}
	return next
}
