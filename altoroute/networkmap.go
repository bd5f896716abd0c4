// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// A VersionTag identifies one version of one map (RFC 7285 §10.3). Two tags
// are equal when both members are equal byte by byte, which is what == does.
type VersionTag struct {
	ResourceID string `json:"resource_id"`
	Tag        string `json:"tag"`
}

// String returns the tag for messages.
func (t VersionTag) String() string { return t.ResourceID + "@" + t.Tag }

// A NetworkMap says which PID an address belongs to (RFC 7285 §11.2.1). It is
// immutable; build one with a NetworkMapBuilder.
type NetworkMap struct {
	tag      VersionTag
	names    []string
	index    map[string]pidIndex
	prefixes int

	// table holds every prefix but the catch-alls. Those are a rung of their
	// own, below the guess by place, so that they must not hide a miss.
	table                bart.Table[match]
	catchAll4, catchAll6 pidIndex
}

// pidIndex numbers the PIDs of one network map from 0. noPID is none of them.
type pidIndex int32

const noPID pidIndex = -1

// maxPIDs bounds what a map can cost: a row of costs is 2 MB then. The largest
// deployment known has 1,700 PIDs. (A match has room for 1<<24.)
const maxPIDs = 1 << 18

// maxPrefixes bounds likewise: it is three times what the Internet's routing tables
// have. A prefix takes 24 to 80 bytes, and 860 where a map is made to take the most,
// see BenchmarkNetworkMapMemory.
const maxPrefixes = 1 << 22

// match is the value of a prefix in the table: its PID and its length in one
// word, so that a look-up yields the prefix without a second walk of the tree.
type match uint32

func newMatch(pid pidIndex, bits int) match { return match(pid)<<8 | match(bits) } //nolint:gosec // below maxPIDs; 128 at most
func (m match) pid() pidIndex               { return pidIndex(m >> 8) }
func (m match) bits() int                   { return int(m & 0xff) }

// Tag returns the map's version.
func (m *NetworkMap) Tag() VersionTag { return m.tag }

// PIDs returns how many PIDs the map defines, those without addresses included.
func (m *NetworkMap) PIDs() int { return len(m.names) }

// Prefixes returns how many prefixes the map holds, catch-alls included.
func (m *NetworkMap) Prefixes() int { return m.prefixes }

// Has reports whether the map defines the PID, with or without addresses.
func (m *NetworkMap) Has(pid string) bool {
	_, ok := m.index[pid]
	return ok
}

// Lost returns how many of the map's PIDs the next one does not have.
func (m *NetworkMap) Lost(next *NetworkMap) int {
	n := 0
	for _, name := range m.names {
		if !next.Has(name) {
			n++
		}
	}
	return n
}

// Lookup returns the PID of an address by longest prefix match, with the
// prefix that decided (RFC 7285 §11.2.2). An address that no prefix covers has
// no PID. IPv4-mapped IPv6 addresses must be unmapped first.
func (m *NetworkMap) Lookup(addr netip.Addr) (pid string, prefix netip.Prefix, ok bool) {
	if at, ok := m.table.Lookup(addr); ok {
		prefix, _ = addr.Prefix(at.bits())
		return m.names[at.pid()], prefix, true
	}
	if at := m.catchAll(addr); at != noPID {
		prefix, _ = addr.Prefix(0)
		return m.names[at], prefix, true
	}
	return "", netip.Prefix{}, false
}

// beyond returns how many prefixes are wholly outside of a space; nil is everywhere.
func (m *NetworkMap) beyond(space *bart.Lite) (n int) {
	if space == nil {
		return 0
	}
	for p := range m.table.All() {
		if !space.OverlapsPrefix(p) {
			n++
		}
	}
	return n
}

// catchAll returns the PID of the prefix of length 0 of the address's family.
func (m *NetworkMap) catchAll(addr netip.Addr) pidIndex {
	switch {
	case addr.Is4():
		return m.catchAll4
	case addr.Is6():
		return m.catchAll6
	}
	return noPID
}

// locate is Lookup by index.
func (m *NetworkMap) locate(addr netip.Addr) pidIndex {
	if at, ok := m.table.Lookup(addr); ok {
		return at.pid()
	}
	return m.catchAll(addr)
}

// pid returns the index of a PID by name, or noPID.
func (m *NetworkMap) pid(name string) pidIndex {
	if i, ok := m.index[name]; ok {
		return i
	}
	return noPID
}

// A NetworkMapBuilder collects a network map while it is read: each PID, then
// its prefixes. The zero value is ready to use, and after Build it is one again.
type NetworkMapBuilder struct {
	m       *NetworkMap
	current pidIndex
	clash   pidIndex // the other owner of the prefix added last, or noPID
	fresh   bool     // the prefix added last was new
	bits    int

	// insert is bound once: a closure for each of a million prefixes would
	// be a million allocations.
	insert func(match, bool) (match, bool)
}

// PID begins a PID; the prefixes that follow are its own. A name may come once.
func (b *NetworkMapBuilder) PID(name string) error {
	if b.m == nil {
		b.m = &NetworkMap{index: make(map[string]pidIndex), catchAll4: noPID, catchAll6: noPID}
		b.insert = func(old match, found bool) (match, bool) {
			b.clash, b.fresh = noPID, !found
			if found && old.pid() != b.current {
				b.clash = old.pid()
			}
			if found {
				return old, false
			}
			return newMatch(b.current, b.bits), false
		}
	}
	if _, ok := b.m.index[name]; ok {
		return fmt.Errorf("PID %q is defined twice", name)
	}
	if len(b.m.names) == maxPIDs {
		return fmt.Errorf("the map has more than %d PIDs: aggregate them", maxPIDs)
	}
	b.current = pidIndex(len(b.m.names)) //nolint:gosec // bounded by maxPIDs above
	b.m.index[name] = b.current
	b.m.names = append(b.m.names, name)
	return nil
}

// Prefix adds a prefix to the PID begun last; bits beyond its length are
// dropped. A prefix that another PID owns refuses the whole map
// (RFC 7285 §11.2.2); one that this PID has already is harmless.
func (b *NetworkMapBuilder) Prefix(p netip.Prefix) error {
	if b.m == nil {
		return errors.New("a prefix before any PID")
	}
	if !p.IsValid() {
		return errors.New("not a prefix")
	}
	b.bits = p.Bits()
	if b.bits > 0 {
		b.m.table.Modify(p, b.insert)
	} else {
		slot := &b.m.catchAll6
		if p.Addr().Is4() {
			slot = &b.m.catchAll4
		}
		b.fresh, b.clash = *slot == noPID, noPID
		if b.fresh {
			*slot = b.current
		} else if *slot != b.current {
			b.clash = *slot
		}
	}
	if b.clash != noPID {
		return &DuplicatePrefixError{Prefix: p.Masked(), PIDs: [2]string{b.m.names[b.clash], b.m.names[b.current]}}
	}
	if b.fresh {
		if b.m.prefixes == maxPrefixes {
			return fmt.Errorf("the map has more than %d prefixes: aggregate them", maxPrefixes)
		}
		b.m.prefixes++
	}
	return nil
}

// Build returns the finished map. A map without a single prefix places nobody
// and is refused with an error that wraps ErrEmptyMap.
func (b *NetworkMapBuilder) Build(tag VersionTag) (*NetworkMap, error) {
	if b.m == nil || b.m.prefixes == 0 {
		return nil, fmt.Errorf("%w: it has no prefix, and would place nobody", ErrEmptyMap)
	}
	m := b.m
	m.tag = tag
	*b = NetworkMapBuilder{} // what is published never changes, whoever still has the builder
	return m, nil
}

// ErrEmptyMap is the cause of the error for a network map without prefixes and for a cost
// map without costs.
var ErrEmptyMap = errors.New("the map is empty")

// A DuplicatePrefixError refuses a network map in which two PIDs own the same
// prefix: which of them an address belongs to would be anybody's guess
// (RFC 7285 §11.2.2).
type DuplicatePrefixError struct {
	Prefix netip.Prefix
	PIDs   [2]string
}

// Error implements error.
func (e *DuplicatePrefixError) Error() string {
	return fmt.Sprintf("prefix %s is in two PIDs, %q and %q: remove it from one of them", e.Prefix, e.PIDs[0], e.PIDs[1])
}
