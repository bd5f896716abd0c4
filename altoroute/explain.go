// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
)

// An Explanation is a decision with everything that led to it, in the form in
// which it is shown. Members without a value are absent from its JSON, so that
// an undefined cost has none.
type Explanation struct {
	Client     string          `json:"client"`
	Pool       string          `json:"pool"`
	URI        string          `json:"uri"`
	Placement  PlacementInfo   `json:"placement"`
	Edge       string          `json:"edge,omitempty"`
	Location   string          `json:"location,omitempty"`
	Reason     Reason          `json:"reason"`
	Candidates []CandidateInfo `json:"candidates"`
	Decision   Decision        `json:"-"`

	band int // edges that took part in the bidding
}

// PlacementInfo says where a client was placed and by what.
type PlacementInfo struct {
	How        string      `json:"how"`
	Source     string      `json:"source,omitempty"`
	PID        string      `json:"pid,omitempty"`
	Prefix     string      `json:"prefix,omitempty"`
	Country    string      `json:"country,omitempty"`
	ASN        uint32      `json:"asn,omitempty"`
	NetworkMap *VersionTag `json:"network_map,omitempty"`
	CostMaps   []CostInfo  `json:"cost_maps,omitempty"`
}

// CandidateInfo says how an edge of the pool fared.
type CandidateInfo struct {
	Edge string `json:"edge"`
	// PID is where the edge lies in the source that placed the client.
	PID  string   `json:"pid,omitempty"`
	Cost *float64 `json:"cost,omitempty"`
	// Rank is 1 for the least cost; equal costs share a rank.
	Rank   int    `json:"rank"`
	State  string `json:"state"`
	Chosen bool   `json:"chosen,omitempty"`
	Why    string `json:"why"`
}

// StateUp is the state of an edge that nothing speaks against.
const StateUp = "up"

// Explain decides like Route, by the same steps on the same plan, and tells of
// every candidate why it was or was not chosen: first by rank, then in the
// order in which the content key would fall to them. The request's URL gives
// path, query and, where it is absolute, the scheme; they replace the query's.
func (r *Router) Explain(q Query, request *url.URL) (Explanation, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return Explanation{}, err
	}
	q.Path, q.RawQuery = request.Path, request.RawQuery
	q.HTTPS = q.HTTPS || request.Scheme == "https"
	var seen []candidate
	d := r.plan.Load().decide(pool, &q, func(c candidate) { seen = append(seen, c) })
	e := Explanation{
		Pool:       pool.Name,
		URI:        request.String(),
		Placement:  d.placement(),
		Location:   d.Location(request),
		Reason:     d.Reason,
		Candidates: []CandidateInfo{},
		Decision:   d,
	}
	if q.Client.IsValid() {
		e.Client = q.Client.String()
	}
	if d.Edge != nil {
		e.Edge = d.Edge.Name
	}
	r.explainCandidates(&e, seen)
	return e, nil
}

func (d *Decision) placement() PlacementInfo {
	p := PlacementInfo{How: d.How.String(), Source: d.Source, PID: d.PID}
	if d.Prefix.IsValid() {
		p.Prefix = d.Prefix.String()
	}
	if d.Place != nil {
		p.Country, p.ASN = d.Place.Country, d.Place.ASN
	}
	if d.Maps != nil {
		tag := d.Maps.Network.Tag()
		p.NetworkMap = &tag
		p.CostMaps = []CostInfo{d.Maps.Costs[0].Info()} // the one that ranked
	}
	return p
}

// explainCandidates tells of the candidates, which come in the order of their
// ranks because that is how a contest sees them.
func (r *Router) explainCandidates(e *Explanation, seen []candidate) {
	ranks := make([]int, len(r.edges))
	for i, c := range seen {
		ranks[c.edge] = i + 1
		if i > 0 && sameRank(&seen[i-1], &c, e.Decision.Reason) {
			ranks[c.edge] = ranks[seen[i-1].edge]
		}
		if c.inBand {
			e.band++
		}
	}
	slices.SortFunc(seen, func(a, b candidate) int {
		switch {
		case ranks[a.edge] != ranks[b.edge]:
			return cmp.Compare(ranks[a.edge], ranks[b.edge])
		case a.bid.beats(b.bid):
			return -1
		case b.bid.beats(a.bid):
			return 1
		}
		return cmp.Compare(a.edge, b.edge)
	})
	for _, c := range seen {
		edge := &r.edges[c.edge].Edge
		info := CandidateInfo{
			Edge: edge.Name, Rank: ranks[c.edge], State: StateUp,
			Chosen: edge == e.Decision.Edge,
			Why:    e.why(edge, c),
		}
		if !math.IsNaN(c.cost) {
			info.Cost = &c.cost
		}
		if c.pid != noPID {
			info.PID = e.Decision.Maps.Network.names[c.pid]
		}
		e.Candidates = append(e.Candidates, info)
	}
}

// sameRank reports whether b is as good as a, which came just before it.
func sameRank(a, b *candidate, reason Reason) bool {
	if reason == SamePID {
		return a.inBand == b.inBand
	}
	return a.cost == b.cost || math.IsNaN(a.cost) && math.IsNaN(b.cost)
}

// why says in a sentence how a candidate fared.
func (e *Explanation) why(edge *Edge, c candidate) string {
	d := &e.Decision
	chosen := edge == d.Edge
	defined := !math.IsNaN(c.cost)
	switch {
	case c.fault != "":
		return c.fault
	case chosen && d.Reason == Cheapest && e.band == 1:
		return "the least cost"
	case chosen && d.Reason == Cheapest:
		return fmt.Sprintf("the least cost; of %d edges in its band, the content key falls to this one", e.band)
	case chosen && d.Reason == WithinTolerance:
		return "within the tolerance of the least cost, and the content key falls to this edge"
	case chosen && d.Reason == NextCheapest:
		return "the least cost among the edges that are eligible"
	case chosen && d.Reason == UndefinedCost:
		return "no eligible edge has a defined cost to the client's PID; the content key falls to this edge"
	case chosen && d.Reason == SamePID:
		return "no cost is known for the client, but this edge is in its PID"
	case chosen && d.PID != "":
		return "no edge has a cost to the client's PID; the content key falls to this edge"
	case chosen:
		return "nothing is known of the client; the content key falls to this edge"
	case c.inBand && defined && c.cost == d.Cost:
		return "as good as " + d.Edge.Name + ", but the content key falls to that one"
	case c.inBand && defined:
		return "within the tolerance, but the content key falls to " + d.Edge.Name
	case c.inBand:
		return "the content key falls to " + d.Edge.Name
	case defined:
		return fmt.Sprintf("costs %s; %s costs %s", number(c.cost), d.Edge.Name, number(d.Cost))
	case d.Reason == SamePID:
		return "not in the client's PID"
	}
	return "has no defined cost to the client's PID"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
