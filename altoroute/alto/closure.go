// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// The limits of a closure. What the directories may be in all is bounded besides.
const (
	// maxNested is how far from the root a directory may be that is read: those that
	// the root lists are 1 from it.
	maxNested = 5
	// maxDirectories is how many are read in all, the root included.
	maxDirectories = 32
)

// A Closure is the information resource closure of a client: what its root
// directory lists, and all directories nested in it, as one (RFC 7285 §9.2).
// The zero value is empty.
type Closure struct {
	// DefaultNetworkMap is that of the root directory, which must have one;
	// empty if it has none. Those of nested directories do not count. It may
	// name a resource that is not in Resources.
	DefaultNetworkMap string
	// Resources are the usable resources by id, directories among them. What
	// the cost type names in their Capabilities mean is local to each one's
	// directory: use CostTypes.
	Resources map[string]Resource
	// Skipped tells, in sorted order, of each part that is left out, with the
	// URL of its directory; of the first hundred of them, and last of how many
	// more there are. A directory that could not be read may be the reason why
	// other parts are left out: they use a resource of it.
	Skipped []error
	// Warnings tell, likewise, of what is wrong, but not left out: two
	// unfiltered cost maps of one cost type for one network map (RFC 7285
	// §6.1).
	Warnings []error

	order   []string          // the ids, the nearest to the root first
	from    map[string]string // the URL of a resource's directory, as it is shown
	skipped errorList
}

// ReadClosure reads the root directory at the URL and the directories nested in
// it (RFC 7285 §9.2, §9.2.4), using read, such as [Client.Directory], once for
// each. It fails only if the root cannot be read or the context ends; what is
// broken elsewhere is left out and told of in Closure.Skipped:
//
//   - a nested directory that cannot be read, or is beyond the limits: five from the
//     root, 32 in all; or that would be read when those before it are as large as
//     [ReadDirectory] lets one be: 16 MiB, or 131,072 parts, together;
//   - a resource with the id of another one that is nearer to the root, or, as
//     near, in a directory that comes before; the order is that of the ids of
//     the directories. Two that are the same in all are no fault;
//   - a resource that uses one that is not in the closure, or has been left out;
//   - and whatever [ReadDirectory] has skipped.
//
// A directory that is listed many times, be it in a loop, is read once. The
// directories are read one after the other, so ctx should bound the whole.
func ReadClosure(ctx context.Context, root *url.URL, read func(ctx context.Context, u *url.URL) (*Directory, error)) (*Closure, error) {
	known := make(map[string]directoryRead)
	var size int64
	parts := 0
	for {
		closure, next := mergeDirectories(root, known)
		if len(next) == 0 {
			return closure, nil
		}
		for _, u := range next {
			if size >= maxDirectory || parts >= maxParts {
				known[directoryKey(u)] = directoryRead{err: errClosureTooLarge}
				continue
			}
			d, err := read(ctx, u)
			switch {
			case err == nil:
				size, parts = size+d.size, parts+d.parts
			case len(known) == 0:
				return nil, err
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			}
			known[directoryKey(u)] = directoryRead{d, err}
		}
	}
}

// errClosureTooLarge leaves out a directory without reading it, so that all of them
// together take no more memory than two.
var errClosureTooLarge = fmt.Errorf("those before it have %d bytes, or %d resources, cost types, and names that resources list, which is all that is read",
	maxDirectory, maxParts)

// OfType returns the resources of a media type: those nearer to the root first,
// and those of one directory in the order of their ids.
func (c *Closure) OfType(mediaType string) []Resource {
	var list []Resource
	for _, id := range c.order {
		if res, ok := c.Resources[id]; ok && res.MediaType == mediaType {
			list = append(list, res)
		}
	}
	return list
}

// CostMaps returns the cost maps that give costs of the type for the network
// map of that id, the best first: those that are fetched by GET (RFC 7285
// §9.2.5.1), then the filtered ones, which are asked by POST with a
// [CostMapFilter]; either in the order of OfType.
// The description of the cost type is not compared.
func (c *Closure) CostMaps(networkMap string, costType CostType) []Resource {
	var got, asked []Resource
	for _, res := range c.OfType(MediaTypeCostMap) {
		offered := slices.ContainsFunc(res.CostTypes, func(t CostType) bool { return costType.Same(t) })
		switch {
		case !offered || !slices.Contains(res.Uses, networkMap):
		case res.Accepts == "":
			got = append(got, res)
		case res.Accepts == MediaTypeCostMapFilter:
			asked = append(asked, res)
		}
	}
	return append(got, asked...)
}

// A directoryRead is what reading a directory has come to.
type directoryRead struct {
	directory *Directory // nil on an error
	err       error
}

// directoryKey tells directories apart. User information and fragment do not
// make another one.
func directoryKey(u *url.URL) string {
	key := *u
	key.User, key.Fragment, key.RawFragment = nil, "", ""
	return key.String()
}

// A nestedDirectory is an entry that is to be followed.
type nestedDirectory struct {
	url  *url.URL
	id   string // the resource id; empty for the root
	from string // the directory that lists it
}

// mergeDirectories makes the closure of the directories that have been read,
// and returns which ones are to be read next. The closure is whole when there
// are none. It reads level by level, so that of two resources with one id the
// nearer to the root comes first.
func mergeDirectories(root *url.URL, known map[string]directoryRead) (*Closure, []*url.URL) {
	c := &Closure{Resources: make(map[string]Resource), from: make(map[string]string)}
	seen := make(map[string]bool)
	count := 0
	level := []nestedDirectory{{url: root}}
	for depth := 0; len(level) > 0; depth++ {
		var below []nestedDirectory
		var next []*url.URL
		for _, entry := range level {
			key := directoryKey(entry.url)
			if seen[key] {
				continue
			}
			seen[key] = true
			switch {
			case depth > maxNested:
				c.skipDirectory(entry, fmt.Errorf("more than %d directories lead to it, one nested in the other", maxNested))
				continue
			case count >= maxDirectories:
				c.skipDirectory(entry, fmt.Errorf("there are more than %d directories", maxDirectories))
				continue
			}
			count++
			got, ok := known[key]
			switch {
			case !ok:
				next = append(next, entry.url)
			case got.err != nil:
				c.skipDirectory(entry, got.err)
			case got.directory.URL != nil && directoryKey(got.directory.URL) != key && seen[directoryKey(got.directory.URL)]:
				// A redirect to one that has been read.
			default:
				if got.directory.URL != nil {
					seen[directoryKey(got.directory.URL)] = true
				}
				if depth == 0 {
					c.DefaultNetworkMap = got.directory.DefaultNetworkMap
				}
				below = append(below, c.add(displayURL(entry.url), got.directory)...)
			}
		}
		if len(next) > 0 {
			return c, next
		}
		level = below
	}
	c.checkUses()
	c.checkCostMaps()
	c.Skipped = c.skipped.all()
	return c, nil
}

// add takes in what a directory lists and returns the directories among it.
func (c *Closure) add(from string, d *Directory) []nestedDirectory {
	for _, err := range d.Skipped {
		c.skipped.add(fmt.Errorf("directory %s: %w", from, err))
	}
	var nested []nestedDirectory
	for _, id := range slices.Sorted(maps.Keys(d.Resources)) {
		res := d.Resources[id]
		if had, ok := c.Resources[id]; ok {
			if !sameResource(had, res) {
				c.skipped.add(fmt.Errorf("directory %s: resources/%s: the id is that of another resource, listed in directory %s", from, id, c.from[id]))
			}
			continue
		}
		c.Resources[id], c.from[id] = res, from
		c.order = append(c.order, id)
		if res.MediaType == MediaTypeDirectory && res.Accepts == "" {
			nested = append(nested, nestedDirectory{url: res.URI, id: id, from: from})
		}
	}
	return nested
}

// drop takes out a resource, with a reason that names the member.
func (c *Closure) drop(id, member string, err error) {
	delete(c.Resources, id)
	c.skipped.add(fmt.Errorf("directory %s: resources/%s%s: %w", c.from[id], id, member, err))
}

func (c *Closure) skipDirectory(entry nestedDirectory, err error) {
	c.drop(entry.id, "", fmt.Errorf("the nested directory is left out: %w", err))
}

// checkUses drops the resources that use one that is not there, and then those
// that use the dropped ones.
func (c *Closure) checkUses() {
	usedBy := make(map[string][]string)
	var gone []string
	for _, id := range c.order {
		for _, used := range c.Resources[id].Uses {
			if _, ok := c.Resources[used]; !ok && usedBy[used] == nil {
				gone = append(gone, used)
			}
			usedBy[used] = append(usedBy[used], id)
		}
	}
	for len(gone) > 0 {
		used := gone[0]
		gone = gone[1:]
		for _, id := range usedBy[used] {
			if _, ok := c.Resources[id]; ok {
				c.drop(id, "/uses", fmt.Errorf("%s is not a usable resource of any directory that was read", quote(used)))
				gone = append(gone, id)
			}
		}
	}
}

// checkCostMaps warns of unfiltered cost maps that should not both be there.
func (c *Closure) checkCostMaps() {
	type key struct{ mode, metric, uses string }
	first := make(map[key]string)
	var warnings errorList
	for _, res := range c.OfType(MediaTypeCostMap) {
		if res.Accepts != "" || len(res.CostTypes) != 1 {
			continue
		}
		t := res.CostTypes[0]
		k := key{t.Mode, t.Metric, strings.Join(slices.Sorted(slices.Values(res.Uses)), " ")}
		had, twice := first[k]
		if !twice {
			first[k] = res.ID
			continue
		}
		warnings.add(fmt.Errorf("directory %s: resources/%s: it is a cost map of %s for %s like %s, but there may be only one (RFC 7285 §6.1)",
			c.from[res.ID], res.ID, t, quote(k.uses), quote(had)))
	}
	c.Warnings = warnings.all()
}

// sameResource reports whether two entries mean the same. The names of their
// cost types do not matter: each directory has its own.
func sameResource(a, b Resource) bool {
	if a.URI.String() != b.URI.String() || !slices.EqualFunc(a.CostTypes, b.CostTypes, CostType.Same) {
		return false
	}
	for _, r := range []*Resource{&a, &b} {
		r.URI, r.CostTypes, r.Capabilities.CostTypeNames = nil, nil, nil
	}
	return reflect.DeepEqual(a, b)
}
