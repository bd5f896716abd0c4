// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"fmt"
	"maps"
	"slices"
)

// Rows returns the PIDs of a source whose rows of costs the edges need, as
// placed by the given network map: what to read of a cost map. Sorted.
func (r *Router) Rows(source string, m *NetworkMap) []string {
	rows := make(map[string]bool)
	for i := range r.edges {
		if pid := r.edges[i].locate(source, m); pid != noPID {
			rows[m.names[pid]] = true
		}
	}
	return slices.Sorted(maps.Keys(rows))
}

// UnknownPIDs returns an error for each edge, and the default PID, that names
// a PID which this network map of its source does not define. It has no
// costs then. A PID without addresses is known.
func (r *Router) UnknownPIDs(source string, m *NetworkMap) []error {
	var errs []error
	check := func(who string, p SourcePID) {
		if p.Source == source && !m.Has(p.PID) {
			errs = append(errs, fmt.Errorf("%s: source %s has no PID %q in network map %s: name one that it has", who, source, p.PID, m.Tag()))
		}
	}
	for i := range r.edges {
		for _, p := range r.edges[i].PIDs {
			check("edge "+r.edges[i].Name, p)
		}
	}
	check("default_pid", r.def)
	return errs
}

// EdgesWithoutCost returns an error for each edge that is meant to lie in a source's
// network and has no cost there: its address is in no PID, or there is no cost
// from its PID. It ranks after all others. That a PID is unknown is for
// UnknownPIDs.
func (r *Router) EdgesWithoutCost(source string, m *Maps) []error {
	var errs []error
	costs := m.Costs[0]
	for i := range r.edges {
		e := &r.edges[i]
		switch pid := e.locate(source, m.Network); {
		case pid != noPID && !costs.Keeps([]string{m.Network.names[pid]}):
			errs = append(errs, fmt.Errorf("edge %s: the costs from its PID %q of source %s are not here yet", e.Name, m.Network.names[pid], source))
		case pid != noPID && !costs.defines(pid):
			errs = append(errs, fmt.Errorf("edge %s: the cost map of source %s has no cost from its PID %q", e.Name, source, m.Network.names[pid]))
		case pid == noPID && len(e.Addrs) > 0 && !slices.ContainsFunc(e.PIDs, func(p SourcePID) bool { return p.Source == source }):
			errs = append(errs, fmt.Errorf("edge %s: no prefix of source %s covers its address %s", e.Name, source, e.Addrs[0]))
		}
	}
	return errs
}

// Country returns the country in which the Locator places an edge by its
// addresses, "" where it does not.
func (r *Router) Country(e *Edge) string {
	l := r.plan.Load().locator
	for _, a := range e.Addrs {
		if l == nil {
			break
		}
		if place := l.Locate(a); place != nil && place.Country != "" {
			return place.Country
		}
	}
	return ""
}
