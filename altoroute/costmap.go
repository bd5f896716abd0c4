// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"math"
	"slices"
)

// CostInfo says what the costs of a cost map are.
type CostInfo struct {
	// ResourceID is the cost map's own id; empty when it has none, as with a file.
	ResourceID string `json:"resource_id,omitempty"`
	// Mode is the cost mode (RFC 7285 §6.1.2), for example "numerical".
	Mode string `json:"cost_mode"`
	// Metric is the cost metric (RFC 7285 §6.1.1), for example "routingcost".
	Metric string `json:"cost_metric"`
	// OrderOnly says that costs may be compared but not calculated with
	// (mode "ordinal"): there is no tolerance, equal rank only.
	OrderOnly bool `json:"-"`
	// HigherIsBetter is true for metrics such as throughput (RFC 9439 §5).
	HigherIsBetter bool `json:"-"`
}

// A CostMap holds the costs from some PIDs, those of the edges, to all PIDs of
// one version of a network map (RFC 7285 §11.2.3). It is immutable; build one
// with a CostMapBuilder.
type CostMap struct {
	info    CostInfo
	network *NetworkMap
	rows    map[pidIndex][]float64 // NaN is an undefined cost
	pairs   int
}

// Info returns what the costs are.
func (c *CostMap) Info() CostInfo { return c.info }

// Pairs returns how many costs the whole document defined, rows not kept included.
func (c *CostMap) Pairs() int { return c.pairs }

// Of reports whether the map was built for this network map.
func (c *CostMap) Of(network *NetworkMap) bool { return c.network == network }

// Cost returns the cost from src to dst. It is undefined (false) when the map
// has no such pair or the row was not kept: not zero, and not comparable.
func (c *CostMap) Cost(src, dst string) (float64, bool) {
	row, to := c.rows[c.network.pid(src)], c.network.pid(dst)
	if row == nil || to == noPID || math.IsNaN(row[to]) {
		return 0, false
	}
	return row[to], true
}

// defines reports whether some cost from a PID is defined.
func (c *CostMap) defines(src pidIndex) bool {
	return slices.ContainsFunc(c.rows[src], func(c float64) bool { return !math.IsNaN(c) })
}

// Keeps reports whether the map holds the rows of all the named source PIDs,
// so far as its network map knows them.
func (c *CostMap) Keeps(rows []string) bool {
	for _, name := range rows {
		if pid := c.network.pid(name); pid != noPID && c.rows[pid] == nil {
			return false
		}
	}
	return true
}

// better reports whether cost a is preferred to cost b. An undefined cost is
// better than nothing and nothing is worse than it.
func (i *CostInfo) better(a, b float64) bool {
	switch {
	case math.IsNaN(a):
		return false
	case math.IsNaN(b):
		return true
	case i.HigherIsBetter:
		return a > b
	}
	return a < b
}

// limit returns the worst cost that still belongs to the band of the best
// cost, given a tolerance as a share of it (0.1 is ten per cent). The limit of
// an undefined cost is undefined.
func (i *CostInfo) limit(best, tolerance float64) float64 {
	if i.OrderOnly || tolerance == 0 {
		return best
	}
	if i.HigherIsBetter {
		return best - math.Abs(best)*tolerance
	}
	return best + math.Abs(best)*tolerance
}

// A CostMapBuilder collects a cost map while it is read. Make one with
// NewCostMapBuilder.
type CostMapBuilder struct {
	c       *CostMap
	row     []float64
	known   bool // some pair is of PIDs that the network map has
	unknown int
	first   string
}

// NewCostMapBuilder returns a builder for a cost map of the given network map
// that keeps the rows of the given source PIDs. PIDs that the network map does
// not define are ignored, as rows and as destinations (RFC 7285 §11.2.3.6).
func NewCostMapBuilder(network *NetworkMap, rows []string) *CostMapBuilder {
	c := &CostMap{network: network, rows: make(map[pidIndex][]float64, len(rows))}
	for _, name := range rows {
		if pid := network.pid(name); pid != noPID && c.rows[pid] == nil {
			row := make([]float64, network.PIDs())
			for i := range row {
				row[i] = math.NaN()
			}
			c.rows[pid] = row
		}
	}
	return &CostMapBuilder{c: c}
}

// Row begins the costs from one source PID and reports whether they are kept.
func (b *CostMapBuilder) Row(src string) (wanted bool) {
	pid := b.c.network.pid(src)
	if pid == noPID {
		if b.unknown++; b.unknown == 1 {
			b.first = src
		}
	}
	b.row = b.c.rows[pid]
	// Of a row that is not kept nothing more is seen.
	b.known = b.known || pid != noPID && b.row == nil
	return b.row != nil
}

// Unknown returns how many rows were of PIDs that the network map does not
// define, and the first of them: they are ignored, but may be misspelt.
func (b *CostMapBuilder) Unknown() (rows int, first string) { return b.unknown, b.first }

// Cost adds a cost from the source PID begun last.
func (b *CostMapBuilder) Cost(dst string, cost float64) {
	if pid := b.c.network.pid(dst); b.row != nil && pid != noPID {
		b.row[pid] = cost
		b.known = true
	}
}

// Build returns the finished map. The costs count only with the version of the
// network map that they depend on (RFC 7285 §6.3); pairs is how many the whole
// document defined, and none at all is an error that wraps ErrEmptyMap. After
// Build the builder is spent: it keeps no row any more.
func (b *CostMapBuilder) Build(info CostInfo, dependsOn VersionTag, pairs int) (*CostMap, error) {
	if tag := b.c.network.Tag(); dependsOn != tag {
		return nil, &TagMismatchError{NetworkMap: tag, DependsOn: dependsOn}
	}
	if pairs == 0 || !b.known {
		return nil, fmt.Errorf("%w: it has no cost between PIDs of the network map, and would rank nothing", ErrEmptyMap)
	}
	c := b.c
	c.info, c.pairs = info, pairs
	// What is published never changes, whoever still has the builder.
	b.c, b.row, b.known = &CostMap{network: c.network}, nil, false
	return c, nil
}

// A TagMismatchError refuses a cost map that depends on another version of the
// network map than the one at hand (RFC 7285 §6.3).
type TagMismatchError struct {
	NetworkMap, DependsOn VersionTag
}

// Error implements error.
func (e *TagMismatchError) Error() string {
	return fmt.Sprintf("the cost map depends on network map %s, but the network map is %s: publish both maps of one version", e.DependsOn, e.NetworkMap)
}

// Maps is one consistent set of a source's guidance: a network map and the
// cost maps that depend on exactly this version of it. The first cost map
// ranks. A set is never changed, only replaced as a whole.
type Maps struct {
	Network *NetworkMap
	Costs   []*CostMap
}
