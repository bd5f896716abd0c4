// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"
)

// A Pin sends some clients of a pool to one edge, whatever the costs say: the
// operator knows better. Exactly one of Prefix, ASN and Country is set. Of
// several that fit a client the longest prefix counts, then the ASN, then the
// country. An edge that may not serve leaves the client to the costs.
type Pin struct {
	Prefix  netip.Prefix
	ASN     uint32
	Country string // an ISO 3166-1 alpha-2 code in upper case
	Edge    string
}

// ParsePin reads which clients are pinned: a prefix or an address, an AS number
// ("AS64500"), or a country ("DE").
func ParsePin(clients, edge string) (Pin, error) {
	if p, err := ParsePrefix(clients); err == nil {
		return Pin{Prefix: p, Edge: edge}, nil
	}
	upper := strings.ToUpper(clients)
	if countryGrammar.MatchString(upper) {
		return Pin{Country: upper, Edge: edge}, nil
	}
	if number, ok := strings.CutPrefix(upper, "AS"); ok {
		if asn, err := strconv.ParseUint(number, 10, 32); err == nil && asn > 0 {
			return Pin{ASN: uint32(asn), Edge: edge}, nil
		}
	}
	return Pin{}, fmt.Errorf("pin %q: write a prefix such as 192.0.2.0/24, an AS number such as AS64500, or a country such as DE", clients)
}

// Clients returns the form that ParsePin reads.
func (p Pin) Clients() string {
	switch {
	case p.Prefix.IsValid():
		return p.Prefix.String()
	case p.ASN != 0:
		return fmt.Sprintf("AS%d", p.ASN)
	}
	return p.Country
}

// Validate checks that the pin says which clients it means, in one way.
func (p Pin) Validate() error {
	parsed, err := ParsePin(p.Clients(), p.Edge)
	if err == nil && parsed != p {
		err = fmt.Errorf("pin %s: give exactly one of prefix, AS number and country, as ParsePin reads it", p.Clients())
	}
	return err
}

// pins is a pool's pins made ready.
type pins struct {
	prefixes  bart.Table[int32]
	asns      map[uint32]int32
	countries map[string]int32
}

// newPins makes a pool's pins ready; of two that say the same the first counts. It
// returns nil of none.
func (r *Router) newPins(pool *pool, list []Pin) *pins {
	if len(list) == 0 {
		return nil
	}
	p := &pins{asns: make(map[uint32]int32), countries: make(map[string]int32)}
	for _, pin := range slices.Backward(list) {
		e, ok := r.edge(pin.Edge)
		switch {
		case !ok || pool.bases[e] == nil: // the operator pinned to an edge that is no more
		case pin.Prefix.IsValid():
			p.prefixes.Insert(pin.Prefix, e)
		case pin.ASN != 0:
			p.asns[pin.ASN] = e
		default:
			p.countries[pin.Country] = e
		}
	}
	return p
}

// edge returns the edge to which a client is pinned, or -1.
func (p *pins) edge(client netip.Addr, place *Place) int32 {
	if p == nil {
		return -1
	}
	if e, ok := p.prefixes.Lookup(client); ok {
		return e
	}
	if place != nil {
		if e, ok := p.asns[place.ASN]; ok && place.ASN != 0 {
			return e
		}
		if e, ok := p.countries[place.Country]; ok && place.Country != "" {
			return e
		}
	}
	return -1
}

// byPlace reports whether some pin goes by the client's place.
func (p *pins) byPlace() bool { return p != nil && len(p.asns)+len(p.countries) > 0 }
