// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A NetworkMap is the content of a network map (RFC 7285 §11.2.1.6). Nothing
// of it is checked, so that it can be wrong on purpose.
type NetworkMap struct {
	// ID is the resource id, Tag the version.
	ID, Tag string
	// PIDs are prefixes by PID, written out as they are. Those with a colon
	// are put under "ipv6", the others under "ipv4".
	PIDs map[string][]string
	// Path is where it is; empty means NetworkMapPath(ID). A whole URI is
	// listed as it is, and nothing is served.
	Path string
}

// Version returns the version tag, which cost maps depend on.
func (m *NetworkMap) Version() alto.VersionTag {
	return alto.VersionTag{ResourceID: m.ID, Tag: m.Tag}
}

// A CostMap is the content of a cost map (RFC 7285 §11.2.3.6). Nothing of it is
// checked, so that it can be wrong on purpose.
type CostMap struct {
	// ID is the resource id. The document carries it only beside a Tag.
	ID string
	// Tag is the cost map's own version, which is optional; empty is none.
	Tag string
	// DependsOn is the version of the network map.
	DependsOn alto.VersionTag
	// Type says what the costs are.
	Type alto.CostType
	// Costs are by source PID and destination PID.
	Costs map[string]map[string]float64
	// Path is where it is; empty means CostMapPath(ID). A whole URI is listed
	// as it is, and nothing is served.
	Path string
	// Uses are the ids that its directory says it depends on; nil means that of
	// DependsOn. They may be of another directory (RFC 7285 §9.2.4).
	Uses []string
}

// object is a JSON object; its members are written in sorted order.
type object = map[string]any

func write(w io.Writer, document object) error {
	return json.NewEncoder(w).Encode(document)
}

// WriteNetworkMap writes a network map as application/alto-networkmap+json. The
// error is the writer's.
func WriteNetworkMap(w io.Writer, m NetworkMap) error {
	pids := make(map[string]map[string][]string, len(m.PIDs))
	for pid, prefixes := range m.PIDs {
		pids[pid] = make(map[string][]string)
		for _, prefix := range prefixes {
			family := "ipv4"
			if strings.Contains(prefix, ":") {
				family = "ipv6"
			}
			pids[pid][family] = append(pids[pid][family], prefix)
		}
	}
	return write(w, object{"meta": object{"vtag": versionTag(m.Version())}, "network-map": pids})
}

// WriteCostMap writes a cost map as application/alto-costmap+json. The error is
// the writer's, or that of a cost which JSON has no form for.
func WriteCostMap(w io.Writer, m CostMap) error {
	meta := object{
		"dependent-vtags": []object{versionTag(m.DependsOn)},
		"cost-type":       costType(m.Type),
	}
	if m.Tag != "" {
		meta["vtag"] = versionTag(alto.VersionTag{ResourceID: m.ID, Tag: m.Tag})
	}
	costs := m.Costs
	if costs == nil {
		costs = map[string]map[string]float64{}
	}
	return write(w, object{"meta": meta, "cost-map": costs})
}

// WriteDirectory writes a directory as application/alto-directory+json
// (RFC 7285 §9.2.2). URIs may be relative. Directory.Skipped is ignored. The
// error is the writer's.
func WriteDirectory(w io.Writer, d *alto.Directory) error {
	meta := make(object)
	if d.DefaultNetworkMap != "" {
		meta["default-alto-network-map"] = d.DefaultNetworkMap
	}
	if len(d.CostTypes) > 0 {
		types := make(object)
		for name, t := range d.CostTypes {
			types[name] = costType(t)
		}
		meta["cost-types"] = types
	}
	resources := make(object)
	for id, r := range d.Resources {
		entry := object{"uri": r.URI.String(), "media-type": r.MediaType}
		if r.Accepts != "" {
			entry["accepts"] = r.Accepts
		}
		if len(r.Uses) > 0 {
			entry["uses"] = r.Uses
		}
		if c := capabilities(r.Capabilities); len(c) > 0 {
			entry["capabilities"] = c
		}
		resources[id] = entry
	}
	return write(w, object{"meta": meta, "resources": resources})
}

// WriteError writes an error document as application/alto-error+json (RFC 7285
// §8.5.2). Its members beside the code are left out where they are empty. The
// error is the writer's.
func WriteError(w io.Writer, e alto.Error) error {
	meta := object{"code": e.Code}
	for name, value := range map[string]string{"syntax-error": e.SyntaxError, "field": e.Field, "value": e.Value} {
		if value != "" {
			meta[name] = value
		}
	}
	return write(w, object{"meta": meta})
}

// capabilities leaves out what has its default.
func capabilities(c alto.Capabilities) object {
	made := make(object)
	if len(c.CostTypeNames) > 0 {
		made["cost-type-names"] = c.CostTypeNames
	}
	if c.CostConstraints {
		made["cost-constraints"] = true
	}
	if len(c.PropTypes) > 0 {
		made["prop-types"] = c.PropTypes
	}
	if c.MaxCostTypes > 0 {
		made["max-cost-types"] = c.MaxCostTypes
	}
	return made
}

func versionTag(t alto.VersionTag) object {
	return object{"resource-id": t.ResourceID, "tag": t.Tag}
}

func costType(t alto.CostType) object {
	made := object{"cost-mode": t.Mode, "cost-metric": t.Metric}
	if t.Description != "" {
		made["description"] = t.Description
	}
	return made
}
