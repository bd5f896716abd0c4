// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Guidance is all that a Server serves beside its directory, which lists it.
type Guidance struct {
	// Default is the directory's default network map; empty is none, which the
	// RFC does not allow in a root directory (RFC 7285 §9.2.2).
	Default     string
	NetworkMaps []NetworkMap
	CostMaps    []CostMap
	// Filtered are cost maps of which a client asks for a part.
	Filtered []FilteredCostMap
	// Directories are listed in this one and have guidance of their own.
	Directories []Directory
	// CostTypes are names for cost types, used by a map or not. They mean
	// nothing outside of their directory (RFC 7285 §9.2.2). A cost type that
	// has no name here is named by its mode and metric.
	CostTypes map[string]alto.CostType
	// Others are listed as they are, in the place of what has the same id.
	// Nothing is served for them.
	Others []alto.Resource
}

// A Directory is one that is listed in another (RFC 7285 §9.2.4).
type Directory struct {
	// ID is the resource id.
	ID string
	// Path is where it is; empty means NestedPath(ID). A whole URI is listed
	// as it is, and nothing is served.
	Path string
	// Guidance is what it lists. If it is empty and there is something else at
	// the path, that is what is listed: with DirectoryPath, for one, directories
	// name each other in a circle.
	Guidance Guidance
}

// DirectoryPath is where the root directory is.
const DirectoryPath = "/directory"

// NestedPath returns where the nested directory of a resource id is.
func NestedPath(id string) string { return DirectoryPath + "/" + id }

// NetworkMapPath returns where the network map of a resource id is.
func NetworkMapPath(id string) string { return "/networkmap/" + id }

// CostMapPath returns where the cost map of a resource id is.
func CostMapPath(id string) string { return "/costmap/" + id }

// FilteredPath returns where the filtered cost map of a resource id is.
func FilteredPath(id string) string { return "/costmap/filtered/" + id }

func (d *Directory) path() string       { return cmp.Or(d.Path, NestedPath(d.ID)) }
func (m *NetworkMap) path() string      { return cmp.Or(m.Path, NetworkMapPath(m.ID)) }
func (m *CostMap) path() string         { return cmp.Or(m.Path, CostMapPath(m.ID)) }
func (f *FilteredCostMap) path() string { return cmp.Or(f.Path, FilteredPath(f.ID)) }

// elsewhere reports whether a path is a whole URI.
func elsewhere(path string) bool { return strings.Contains(path, "://") }

// A publication collects documents, by path.
type publication struct {
	now       time.Time
	resources map[string]*resource
	bare      []string // where there are directories without guidance
}

// resources makes the documents, by path.
func (g *Guidance) resources() map[string]*resource {
	p := &publication{now: time.Now().UTC().Truncate(time.Second), resources: make(map[string]*resource)}
	p.directory(DirectoryPath, g)
	for _, path := range p.bare {
		if p.resources[path] == nil {
			p.directory(path, &Guidance{})
		}
	}
	return p.resources
}

// at returns the resource at a path. Its GET and its POST may be two entries of
// a directory (RFC 7285 §9.2.2).
func (p *publication) at(path string) *resource {
	if p.resources[path] == nil {
		p.resources[path] = &resource{modified: p.now}
	}
	return p.resources[path]
}

// add adds a document that write writes.
func (p *publication) add(path, mediaType string, write func(*bytes.Buffer) error) {
	if elsewhere(path) {
		return
	}
	var body bytes.Buffer
	if err := write(&body); err != nil {
		panic(err)
	}
	r := p.at(path)
	r.mediaType, r.body = mediaType, body.Bytes()
}

// directory adds a directory and all that is in it.
func (p *publication) directory(path string, g *Guidance) {
	for _, m := range g.NetworkMaps {
		p.add(m.path(), alto.MediaTypeNetworkMap, func(b *bytes.Buffer) error { return WriteNetworkMap(b, m) })
	}
	for _, m := range g.CostMaps {
		p.add(m.path(), alto.MediaTypeCostMap, func(b *bytes.Buffer) error { return WriteCostMap(b, m) })
	}
	for _, f := range g.Filtered {
		if !elsewhere(f.path()) {
			p.at(f.path()).filter = &f
		}
	}
	for _, d := range g.Directories {
		switch {
		case elsewhere(d.path()):
		case d.Guidance.empty():
			p.bare = append(p.bare, d.path())
		default:
			p.directory(d.path(), &d.Guidance)
		}
	}
	p.add(path, alto.MediaTypeDirectory, func(b *bytes.Buffer) error { return WriteDirectory(b, g.directory(path)) })
}

func (g *Guidance) empty() bool {
	return g.Default == "" && len(g.NetworkMaps)+len(g.CostMaps)+len(g.Filtered)+len(g.Directories)+len(g.CostTypes)+len(g.Others) == 0
}

// directory lists the guidance in a directory that is at a path.
func (g *Guidance) directory(at string) *alto.Directory {
	d := &alto.Directory{
		DefaultNetworkMap: g.Default,
		CostTypes:         make(map[string]alto.CostType),
		Resources:         make(map[string]alto.Resource),
	}
	maps.Copy(d.CostTypes, g.CostTypes)
	for _, m := range g.NetworkMaps {
		d.Resources[m.ID] = alto.Resource{URI: reference(at, m.path()), MediaType: alto.MediaTypeNetworkMap}
	}
	for _, m := range g.CostMaps {
		d.Resources[m.ID] = alto.Resource{
			URI:          reference(at, m.path()),
			MediaType:    alto.MediaTypeCostMap,
			Capabilities: alto.Capabilities{CostTypeNames: []string{costTypeName(d, m.Type)}},
			Uses:         m.uses(),
		}
	}
	for _, f := range g.Filtered {
		entry := alto.Resource{
			URI:          reference(at, f.path()),
			MediaType:    alto.MediaTypeCostMap,
			Accepts:      alto.MediaTypeCostMapFilter,
			Capabilities: alto.Capabilities{CostConstraints: f.Constraints},
		}
		for _, m := range f.Maps {
			entry.Capabilities.CostTypeNames = append(entry.Capabilities.CostTypeNames, costTypeName(d, m.Type))
			entry.Uses = append(entry.Uses, m.uses()...)
		}
		slices.Sort(entry.Uses)
		entry.Uses = slices.Compact(entry.Uses)
		d.Resources[f.ID] = entry
	}
	for _, nested := range g.Directories {
		d.Resources[nested.ID] = alto.Resource{URI: reference(at, nested.path()), MediaType: alto.MediaTypeDirectory}
	}
	for _, r := range g.Others {
		d.Resources[r.ID] = r
	}
	return d
}

// uses returns what the directory says that the cost map depends on.
func (m *CostMap) uses() []string {
	if m.Uses != nil {
		return m.Uses
	}
	return []string{m.DependsOn.ResourceID}
}

// costTypeName returns the name that a directory has for a cost type, and gives
// it one.
func costTypeName(d *alto.Directory, t alto.CostType) string {
	for _, name := range slices.Sorted(maps.Keys(d.CostTypes)) {
		if known := d.CostTypes[name]; known.Mode == t.Mode && known.Metric == t.Metric {
			return name
		}
	}
	name := t.Mode + "-" + t.Metric
	for {
		if _, taken := d.CostTypes[name]; !taken {
			d.CostTypes[name] = t
			return name
		}
		name += "-" // a test has this name mean something else
	}
}

// reference returns a reference from a directory to a path, relative so that
// clients resolve it (RFC 7285 §9.2.2).
func reference(directory, path string) *url.URL {
	if elsewhere(path) {
		u, err := url.Parse(path)
		if err != nil {
			panic(err)
		}
		return u
	}
	up := strings.Repeat("../", strings.Count(directory, "/")-1)
	return &url.URL{Path: up + strings.TrimPrefix(path, "/")}
}
