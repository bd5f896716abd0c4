// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	// Ignored are other sources that place the client by a prefix.
	Ignored []IgnoredInfo `json:"ignored,omitempty"`
}

// IgnoredInfo is what a source says of a client that does not count, and why not.
type IgnoredInfo struct {
	Source string `json:"source"`
	PID    string `json:"pid"`
	Prefix string `json:"prefix"`
	Why    string `json:"why"`
}

// CandidateInfo says how an edge of the pool fared.
type CandidateInfo struct {
	Edge string `json:"edge"`
	// PID is where the edge lies in the source that placed the client.
	PID  string   `json:"pid,omitempty"`
	Cost *float64 `json:"cost,omitempty"`
	// Rank is 1 for the best cost; equal costs share a rank.
	Rank  int    `json:"rank"`
	State string `json:"state"`
	// Share is the part of the content of the client's PID that the edge gets,
	// where capacities divide it.
	Share  *float64 `json:"share,omitempty"`
	Chosen bool     `json:"chosen,omitempty"`
	Why    string   `json:"why"`
}

// Explain decides like Route, by the same steps on the same plan, and tells of
// every candidate why it was or was not chosen: first by rank, then in the
// order in which the content key would fall to them. The request's URL gives
// path, query and, where it is absolute, scheme and host; they replace the query's.
// The error wraps ErrNoSuchPool.
func (r *Router) Explain(q Query, request *url.URL) (Explanation, error) {
	pool, err := r.pool(q.Pool)
	if err != nil {
		return Explanation{}, err
	}
	q.Path, q.RawQuery = request.Path, request.RawQuery
	q.HTTPS = q.HTTPS || request.Scheme == "https"
	q.Host = cmp.Or(request.Hostname(), q.Host)
	var seen []candidate
	p := r.plan.Load()
	d := p.decide(pool, &q, &seen)
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
		if d.Reason != CacheFill {
			e.Placement.Ignored = p.ignored(plain(q.Client), &d)
		}
	}
	if d.Edge != nil {
		e.Edge = d.Edge.Name
	}
	x := explainer{plan: p, pool: pool, query: &q, decision: &e.Decision}
	e.Candidates = x.candidates(seen)
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

// ignored returns what other sources say of a client than the one that has placed it.
// While guidance is turned off, no source is asked.
func (p *plan) ignored(client netip.Addr, d *Decision) (list []IgnoredInfo) {
	if p.pools[d.pool].guidanceOff {
		return nil
	}
	for _, g := range p.guiding(d.key) {
		if g == nil || g.source.Name == d.Source {
			continue
		}
		pid, prefix, ok := g.maps.Network.Lookup(client)
		if !ok {
			continue
		}
		why := "no edge has a cost from there"
		switch {
		case !g.source.covers(client):
			why = "the client is outside of the space that the source may speak for: see only"
		case d.Prefix.Bits() > prefix.Bits():
			why = "the prefix of " + d.Source + " is longer"
		case d.Prefix.Bits() == prefix.Bits():
			why = d.Source + " comes first"
		}
		list = append(list, IgnoredInfo{g.source.Name, pid, prefix.String(), why})
	}
	return list
}

// An explainer puts a contest into words.
type explainer struct {
	plan     *plan
	pool     *pool
	query    *Query
	decision *Decision
	band     int   // edges that took part in the bidding
	tier     int32 // of the edge chosen
}

// candidates tells of the candidates, which come in the order of their ranks
// because that is how a contest sees them.
func (x *explainer) candidates(seen []candidate) []CandidateInfo {
	d := x.decision
	ranks := make([]int, len(x.plan.states))
	for i, c := range seen {
		ranks[c.edge] = i + 1
		if i > 0 && sameRank(&seen[i-1], &c, d.Reason) {
			ranks[c.edge] = ranks[seen[i-1].edge]
		}
		if c.inBand {
			x.band++
		}
		if c.edge == d.edge {
			x.tier = c.tier
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
	infos := make([]CandidateInfo, 0, len(seen))
	for _, c := range seen {
		info := CandidateInfo{
			Edge: x.plan.router.edges[c.edge].Name, Rank: ranks[c.edge],
			State:  x.plan.states[c.edge].name(d.client),
			Chosen: c.edge == d.edge, Why: x.loss(c),
		}
		if info.Chosen {
			info.Why = x.win(c)
		}
		if !math.IsNaN(c.cost) {
			info.Cost = &c.cost
		}
		if d.division != nil {
			if share := d.division.share(c.edge); share > 0 {
				info.Share = &share
			}
		}
		if c.pid != noPID {
			info.PID = d.Maps.Network.names[c.pid]
		}
		infos = append(infos, info)
	}
	return infos
}

// sameRank reports whether b is as good as a, which came just before it.
func sameRank(a, b *candidate, reason Reason) bool {
	switch {
	case a.tier != b.tier:
		return false
	case reason == SamePID:
		return a.inBand == b.inBand
	}
	return a.cost == b.cost || math.IsNaN(a.cost) && math.IsNaN(b.cost)
}

// overflowed reports whether the edge has been given what falls to another.
func (d *Decision) overflowed() bool { return d.division != nil && d.edge != d.division.falls }

// win says in a sentence why an edge was chosen.
func (x *explainer) win(c candidate) string {
	d := x.decision
	var why string
	switch d.Reason {
	case Pinned:
		why = "the operator pinned the client to this edge"
	case Cheapest:
		if why = x.best(); x.band > 1 {
			why += fmt.Sprintf("; of %d edges in its band, the content key falls to this one", x.band)
		}
	case WithinTolerance:
		why = "within the tolerance of " + x.best() + ", and the content key falls to this edge"
	case NextCheapest:
		why = x.best() + " among the edges that are eligible"
	case UndefinedCost:
		why = "no eligible edge has a defined cost to the client's PID; the content key falls to this edge"
	case SamePID:
		why = "no cost is known for the client, but this edge is in its PID"
	case GuidanceOff:
		why = "guidance is turned off; the content key falls to this edge"
	case ParentGroup:
		why = "no edge of the groups before may serve, and of its group this one is the best"
	case Panic:
		why = "no edge that may serve is up, so that health does not count"
	default:
		why = x.unguided() + "; the content key falls to this edge"
	}
	if d.overflowed() {
		why = percent(d.division.share(c.edge)) + " of what falls to a better edge is beyond its capacity and given to this one"
	}
	if c.fault != noFault {
		why += ", although " + x.fault(c)
	}
	return why
}

// best says what the best cost is: of some metrics more is better.
func (x *explainer) best() string {
	if x.moreIsBetter() {
		return "the best cost (more is better)"
	}
	return "the least cost"
}

func (x *explainer) moreIsBetter() bool {
	return x.decision.Maps != nil && x.decision.Maps.Costs[0].info.HigherIsBetter
}

// unguided says why no cost decides.
func (x *explainer) unguided() string {
	if x.decision.PID != "" {
		return "no edge has a cost to the client's PID"
	}
	var without []string
	for i, g := range x.plan.inForce() {
		if g == nil {
			without = append(without, x.plan.router.sources[i].Name)
		}
	}
	if len(without) > 0 {
		return "nothing is known of the client, and there are no maps in force of " + strings.Join(without, ", ")
	}
	return "nothing is known of the client"
}

// loss says in a sentence why an edge was not chosen.
func (x *explainer) loss(c candidate) string {
	d := x.decision
	defined := !math.IsNaN(c.cost)
	switch {
	case d.overflowed() && c.edge == d.division.falls:
		return fmt.Sprintf("this content falls to it, but its capacity is for %s of what does", percent(d.division.share(c.edge)))
	case d.overflowed() && c.inBand:
		return "as good as the edge to which the content key falls, but it does not fall to this one"
	case c.inBand && defined && c.cost == d.Cost:
		return "as good as " + d.Edge.Name + ", but the content key falls to that one"
	case c.inBand && defined:
		return "within the tolerance, but the content key falls to " + d.Edge.Name
	case c.inBand:
		return "the content key falls to " + d.Edge.Name
	case c.fault != noFault:
		return x.fault(c)
	case d.overflowed() && d.division.share(c.edge) > 0:
		return fmt.Sprintf("for its capacity it gets %s of what falls to the cheapest, but not this content", percent(d.division.share(c.edge)))
	case d.Reason == Pinned:
		return "the operator pinned the client to " + d.Edge.Name
	case c.tier > x.tier:
		return "its group comes after that of " + d.Edge.Name
	case defined && x.moreIsBetter():
		return fmt.Sprintf("has %s; %s has %s, and more is better", number(c.cost), d.Edge.Name, number(d.Cost))
	case defined:
		return fmt.Sprintf("costs %s; %s costs %s", number(c.cost), d.Edge.Name, number(d.Cost))
	case d.Reason == SamePID:
		return "not in the client's PID"
	}
	return "has no defined cost to the client's PID"
}

// fault says what speaks against an edge.
func (x *explainer) fault(c candidate) string {
	place := x.decision.Place
	switch c.fault {
	case unreached:
		return "the client says that it could not reach it"
	case demoted:
		return "many clients in its PID say that they could not reach it"
	case unknownTo:
		return "it drains, and this content is new to it"
	case givenUp:
		return "it drains, and has given this content up"
	case notBack:
		return "it was down until a moment ago, and does not get this content yet"
	case shut:
		return "it reports that it has no capacity"
	case isDown:
		return "checks say that it is down"
	case toHTTP:
		return "the client came by https and must not be sent to http"
	case otherFamily:
		return "the edge serves the other address family"
	case takenOut:
		return "the operator has taken it out"
	case notOfPool:
		return "the pool does not serve this " + x.pool.Serves.misfit(x.query, place)
	case notOfEdge:
		return "the edge does not serve this " + x.plan.router.edges[c.edge].Serves.misfit(x.query, place)
	case noFault:
	}
	return ""
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
