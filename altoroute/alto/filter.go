// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A CostMapFilter asks for a part of a cost map (RFC 7285 §11.3.2.3). The
// parameters are of type [MediaTypeCostMapFilter] and are sent by [Client.Post].
type CostMapFilter struct {
	// CostType is one of those that the resource offers. Its description is
	// not sent.
	CostType CostType
	// Sources and Destinations are the names of the PIDs that the costs are
	// from and to, in any order. An empty list means all PIDs.
	Sources, Destinations []string
}

// Body returns the parameters as they are sent. Filters that ask for the same
// costs have the same body, whatever the order of their lists and however often
// a name is in them. It fails if the cost type or a name is not legal.
func (f CostMapFilter) Body() ([]byte, error) {
	type costType struct {
		Mode   string `json:"cost-mode"`
		Metric string `json:"cost-metric"`
	}
	type pids struct {
		Sources      []string `json:"srcs"`
		Destinations []string `json:"dsts"`
	}
	var body struct {
		CostType costType `json:"cost-type"`
		PIDs     *pids    `json:"pids,omitempty"`
	}
	if err := CheckCostMode(f.CostType.Mode); err != nil {
		return nil, fmt.Errorf("cost-type/cost-mode: %w", err)
	}
	if err := CheckCostMetric(f.CostType.Metric); err != nil {
		return nil, fmt.Errorf("cost-type/cost-metric: %w", err)
	}
	body.CostType = costType{f.CostType.Mode, f.CostType.Metric}
	sources, err := sortedPIDs("pids/srcs", f.Sources)
	if err != nil {
		return nil, err
	}
	destinations, err := sortedPIDs("pids/dsts", f.Destinations)
	if err != nil {
		return nil, err
	}
	if len(sources) > 0 || len(destinations) > 0 {
		body.PIDs = &pids{sources, destinations}
	}
	return json.Marshal(&body)
}

// sortedPIDs returns the names sorted, each once. The list is never nil, which
// would be written as null.
func sortedPIDs(member string, names []string) ([]string, error) {
	sorted := append(make([]string, 0, len(names)), names...)
	slices.Sort(sorted)
	for _, name := range sorted {
		if err := CheckPIDName(name); err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
	}
	return slices.Compact(sorted), nil
}
