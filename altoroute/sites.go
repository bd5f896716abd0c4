// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/binary"
	"math"
	"strconv"
)

// sites are the edges in groups that are alike in all that costs see. What is
// divided by cost is divided among sites, however many edges they have: ten
// thousand edges are still only some hundred.
type sites struct {
	edges    [][]int32 // by site
	of       []int     // by edge
	capacity []float64 // by site
}

// sites returns the plan's sites, in the order of their first edges.
func (p *plan) sites(capacity []float64) *sites {
	s := &sites{of: make([]int, len(p.states))}
	at := make(map[string]int)
	for e, likeness := range p.likenesses() {
		i, ok := at[string(likeness)]
		if !ok {
			i = len(s.edges)
			at[string(likeness)] = i
			s.edges, s.capacity = append(s.edges, nil), append(s.capacity, 0)
		}
		s.of[e] = i
		s.edges[i] = append(s.edges[i], int32(e))
		s.capacity[i] += capacity[e]
	}
	return s
}

// likenesses returns for each edge what it has in common with those that are alike.
func (p *plan) likenesses() [][]byte {
	demoted := make(map[int32]bool)
	for key := range p.demoted {
		demoted[key.edge] = true
	}
	of := make([][]byte, len(p.states))
	for e := range of {
		edge, s := &p.router.edges[e], &p.states[e]
		of[e] = append(of[e], byte(edge.Family))
		for _, is := range [...]bool{s.gone(), s.down(byIPv6.client()), s.down(anyKind.client()), s.leaving(), s.passing()} {
			of[e] = strconv.AppendBool(of[e], is)
		}
		if demoted[int32(e)] {
			of[e] = binary.LittleEndian.AppendUint32(of[e], uint32(e))
		}
		for _, g := range p.guidance {
			if g != nil {
				of[e] = binary.LittleEndian.AppendUint32(of[e], uint32(g.pids[e])) //nolint:gosec // an index, or noPID
			}
		}
	}
	for i, pool := range p.router.pools {
		if p.pools[i].meter == nil {
			continue
		}
		for tier, t := range pool.tiers {
			for _, e := range t.edges {
				of[e] = binary.LittleEndian.AppendUint32(of[e], uint32(i))
				of[e] = binary.LittleEndian.AppendUint32(of[e], uint32(tier))
				of[e] = binary.LittleEndian.AppendUint32(of[e], uint32(pool.classOf[e]))
				of[e] = append(of[e], pool.bases[e].Scheme...)
			}
		}
	}
	return of
}

// leaving reports whether an edge drains and takes no more from others.
func (s *edgeState) leaving() bool { return s.drain != nil && !s.noting }

// passing reports whether an edge of unlimited capacity comes back by degrees. It is
// dearer to others than those that are there. Of an edge with a limit, that is what
// comes back.
func (s *edgeState) passing() bool { return s.open != fullyOpen && math.IsInf(s.capacity, 1) }
