// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A NetworkMapSink takes in a network map while it is read. An error it returns
// ends the reading and is found in the reader's error by [errors.Is] and
// [errors.As]. Until [ReadNetworkMap] has returned without error, what it was
// given may be part of a broken document.
type NetworkMapSink interface {
	// PID begins a PID. It is called once for each PID in the order of the
	// document, also for PIDs without addresses, which are known all the
	// same (RFC 7285 §11.2.1.7).
	PID(name string) error
	// Prefix adds a prefix to the PID named last. It is valid and masked, of
	// either family, and never an IPv4-mapped IPv6 prefix.
	Prefix(p netip.Prefix) error
}

// maxUnknownTypes bounds NetworkMapInfo.UnknownTypes.
const maxUnknownTypes = 8

// NetworkMapInfo is what a network map says beside its prefixes.
type NetworkMapInfo struct {
	// VersionTag is the map's own version (meta/vtag).
	VersionTag VersionTag
	// HostBits is the number of prefixes that were written with bits set
	// behind the prefix length. They are masked, so two prefixes that differ
	// as written may be the same.
	HostBits int
	// FirstHostBits is the first of those in the order of the document, as
	// written; empty when there is none.
	FirstHostBits string
	// UnknownTypes are the address types that are not known and were
	// ignored, distinct and sorted; the first eight of them if there are
	// more. Types are case-sensitive: "IPv4" is not known.
	UnknownTypes []string
}

// ReadNetworkMap reads a network map (RFC 7285 §11.2.1.6) and hands its PIDs
// and prefixes to the sink. In the "ipv6" list, a prefix of IPv4-mapped
// addresses such as ::ffff:192.0.2.0/120 is handed on as the IPv4 prefix it
// means. A document of another kind is a [KindError].
//
// Whether the map is empty, complete or has a prefix in two PIDs (§11.2.2) is
// left to the sink.
func ReadNetworkMap(r io.Reader, sink NetworkMapSink) (NetworkMapInfo, error) {
	n := networkMapReader{decoder: newDecoder(r), sink: sink}
	err := n.document(func(name string) error {
		switch name {
		case "meta":
			return n.meta(map[string]func() error{"vtag": func() (err error) {
				n.info.VersionTag, err = n.versionTag()
				return err
			}})
		case "network-map":
			return n.object("an object of PIDs", n.pid)
		}
		return n.skip()
	})
	if err == nil {
		err = n.checkKind(MediaTypeNetworkMap)
	}
	if err == nil && n.info.VersionTag == (VersionTag{}) {
		err = errors.New("meta/vtag is missing: a network map must carry its version tag")
	}
	if err != nil {
		return NetworkMapInfo{}, err
	}
	return n.info, nil
}

type networkMapReader struct {
	*decoder
	sink NetworkMapSink
	info NetworkMapInfo
}

// pid reads the endpoint address group of a PID (RFC 7285 §10.4.5).
func (n *networkMapReader) pid(name string) error {
	if err := CheckPIDName(name); err != nil {
		return n.nameError(err)
	}
	if err := n.sink.PID(name); err != nil {
		return n.errorf("%w", err)
	}
	return n.object("an object of address types", func(addressType string) error {
		switch addressType {
		case "ipv4":
			return n.prefixes(false)
		case "ipv6":
			return n.prefixes(true)
		}
		n.unknownType(addressType)
		return n.skip()
	})
}

// prefixes reads the list of a PID's prefixes of one family.
func (n *networkMapReader) prefixes(ipv6 bool) error {
	if err := n.begin(jsontext.KindBeginArray, "an array of prefixes"); err != nil {
		return err
	}
	for {
		token, err := n.json.ReadToken()
		if err != nil {
			return n.fail(err)
		}
		switch kind := token.Kind(); kind {
		case jsontext.KindString:
			// The string does not outlive the call, which keeps it off the
			// heap: there may be millions.
			if err := n.prefix(token.String(), ipv6); err != nil {
				return err
			}
		case jsontext.KindEndArray:
			return nil
		default:
			return n.errorf("%s instead of a prefix", kindName(kind))
		}
	}
}

func (n *networkMapReader) prefix(s string, ipv6 bool) error {
	p, err := readPrefix(s, ipv6)
	if err != nil {
		return n.errorf("%w", err)
	}
	masked := p.Masked()
	if masked != p {
		if n.info.HostBits == 0 {
			n.info.FirstHostBits = strings.Clone(s)
		}
		n.info.HostBits++
	}
	if err := n.sink.Prefix(masked); err != nil {
		return n.errorf("%s: %w", quote(strings.Clone(s)), err)
	}
	return nil
}

// unknownType remembers an address type: the first of them in sorted order,
// whatever the order of the document.
func (n *networkMapReader) unknownType(addressType string) {
	types := n.info.UnknownTypes
	addressType = shorten(addressType)
	i, found := slices.BinarySearch(types, addressType)
	if found || i == maxUnknownTypes {
		return
	}
	types = slices.Insert(types, i, addressType)
	n.info.UnknownTypes = types[:min(len(types), maxUnknownTypes)]
}
