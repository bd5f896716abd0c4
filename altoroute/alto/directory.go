// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
)

// A Directory is an information resource directory, RFC 7285 §9.2. One that may
// have others nested in it is read by [ReadClosure].
type Directory struct {
	// URL is where the directory was found, the base of its relative URIs;
	// nil if that is not known.
	URL *url.URL
	// DefaultNetworkMap is the resource id of the network map for clients
	// that use only one (meta/default-alto-network-map). A root directory
	// must have one, a nested one need not; empty if there is none. It may
	// name a resource that is not in Resources.
	DefaultNetworkMap string
	// CostTypes are the cost types by the names that Resources use for them.
	// The names have no meaning outside of this directory.
	CostTypes map[string]CostType
	// Resources are the usable entries by resource id, of any media type.
	Resources map[string]Resource
	// Skipped tells, in sorted order, of each part of the directory that is
	// broken and therefore left out: of the first hundred of them, and last of
	// how many more there are.
	Skipped []error

	// What it took of maxDirectory and maxParts.
	size  int64
	parts int
}

// A Resource is an entry of a directory, RFC 7285 §9.2.2.
type Resource struct {
	// ID is the resource id.
	ID string
	// URI is where the resource is: absolute, with scheme http or https.
	URI *url.URL
	// MediaType is the media type of the resource, type and parameter names
	// in lower case.
	MediaType string
	// Accepts is the media type of the input parameters, which are then sent
	// by POST; empty if the resource takes none and is fetched by GET.
	Accepts string
	// Capabilities are zero where the entry has none.
	Capabilities Capabilities
	// CostTypes are the cost types that the resource offers: what
	// Capabilities.CostTypeNames mean in the directory, in their order.
	CostTypes []CostType
	// Uses are the ids of the resources this one depends on, in the order of
	// the document.
	Uses []string
}

// Capabilities are what a resource of a directory can do: the capabilities of
// RFC 7285 §11 and RFC 8189 §4.1.1. The zero value has the defaults of those
// that are not listed.
type Capabilities struct {
	// CostTypeNames are keys of Directory.CostTypes. An unfiltered cost map
	// has exactly one (RFC 7285 §11.2.3.4).
	CostTypeNames []string
	// CostConstraints tells that a request may carry constraints (§11.3.2.4).
	CostConstraints bool
	// PropTypes are the properties of an endpoint property service (§11.4.1.4).
	PropTypes []string
	// MaxCostTypes is how many cost types one request may ask for; 0 if the
	// resource knows nothing of multiple costs (RFC 8189 §4.1.1).
	MaxCostTypes int
}

// What a directory may be, as it is kept whole.
const (
	// maxDirectory bounds it in bytes.
	maxDirectory = 16 << 20
	// maxParts bounds what takes more memory than it has bytes: resources, cost
	// types, and what resources list: some 10,000 resources of a dozen parts.
	// What is kept of a directory is 80 MB then at most, see
	// TestHostileDirectories.
	maxParts = 1 << 17
)

// ReadDirectory reads an information resource directory (RFC 7285 §9.2.2).
// Relative URIs are resolved against base, the URI the directory came from in
// the end (§9.2.2, RFC 3986 §5); with a nil base they are broken.
//
// A broken entry disables itself alone and is told of in Directory.Skipped:
// one whose id, URI or media type is bad, that has a member of the wrong type,
// that names a cost type twice, or one the directory does not define, or that is
// an unfiltered cost map without exactly one cost type. Entries of unknown media
// types are not broken. Whether the resources an entry uses exist is decided by
// [ReadClosure]: they may be in another directory, as in the RFC's own example
// (§9.2.4).
//
// A directory of more than 16 MiB is refused, and so is one of more than 131,072
// parts: resources, cost types, and what the resources list as cost-type-names,
// prop-types and uses.
//
// A missing default network map is no error here. A document of another kind
// is a [KindError].
func ReadDirectory(r io.Reader, base *url.URL) (*Directory, error) {
	limited := &sizeLimiter{r: r, limit: maxDirectory}
	d := directoryReader{
		decoder: newDecoder(limited),
		base:    base,
		Directory: &Directory{
			URL:       base,
			CostTypes: make(map[string]CostType),
			Resources: make(map[string]Resource),
		},
	}
	err := d.document(func(name string) error {
		switch name {
		case "meta":
			return d.meta(map[string]func() error{
				"default-alto-network-map": d.defaultNetworkMap,
				"cost-types":               func() error { return d.object("an object of cost types", d.namedCostType) },
			})
		case "resources":
			return d.object("an object of resources", d.resource)
		}
		return d.skip()
	})
	if err == nil {
		err = d.checkKind(MediaTypeDirectory)
	}
	if err != nil {
		return nil, err
	}
	d.resolveCostTypes()
	d.Skipped = d.skipped.all()
	d.size = limited.read
	return d.Directory, nil
}

type directoryReader struct {
	*decoder
	*Directory
	base    *url.URL
	skipped errorList
}

// apart reads the next value whole and lets read have it by a decoder of its
// own: an error of read concerns this value alone and is only noted, while
// the syntax of the value has been checked already. It reports whether read
// succeeded.
func (d *directoryReader) apart(read func(*decoder) error) (bool, error) {
	path := d.path()
	value, err := d.json.ReadValue()
	if err != nil {
		return false, d.fail(err)
	}
	decoder := newDecoder(bytes.NewReader(value))
	decoder.prefix = path
	if err := read(decoder); err != nil {
		d.skipped.add(err)
		return false, nil
	}
	return true, nil
}

func (d *directoryReader) defaultNetworkMap() error {
	_, err := d.apart(func(value *decoder) error {
		return value.checked(&d.DefaultNetworkMap, CheckResourceID)
	})
	return err
}

func (d *directoryReader) namedCostType(name string) error {
	var t CostType
	ok, err := d.apart(func(value *decoder) (err error) {
		t, err = value.costType()
		return err
	})
	if !ok {
		return err
	}
	d.CostTypes[name] = t
	return d.count(1)
}

func (d *directoryReader) resource(id string) error {
	res := Resource{ID: id}
	ok, err := d.apart(func(value *decoder) error {
		if err := CheckResourceID(id); err != nil {
			return value.nameError(err)
		}
		return d.entry(value, &res)
	})
	if !ok {
		return err
	}
	d.Resources[id] = res
	return d.count(1 + len(res.Capabilities.CostTypeNames) + len(res.Capabilities.PropTypes) + len(res.Uses))
}

// count counts parts that were taken in.
func (d *directoryReader) count(parts int) error {
	if d.parts += parts; d.parts > maxParts {
		return d.errorf("the directory has more than %d resources, cost types, and names that resources list", maxParts)
	}
	return nil
}

// entry reads an IRDResourceEntry (RFC 7285 §9.2.2).
func (d *directoryReader) entry(value *decoder, res *Resource) error {
	err := value.object("an object", func(name string) (err error) {
		switch name {
		case "uri":
			res.URI, err = d.uri(value)
		case "media-type":
			res.MediaType, err = mediaTypeOf(value)
		case "accepts":
			res.Accepts, err = mediaTypeOf(value)
		case "capabilities":
			res.Capabilities, err = capabilities(value)
		case "uses":
			err = value.array("an array of resource ids", func() error {
				var used string
				err := value.checked(&used, CheckResourceID)
				res.Uses = append(res.Uses, used)
				return err
			})
		default:
			err = value.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case res.URI == nil:
		return value.errorf("uri is missing")
	case res.MediaType == "":
		return value.errorf("media-type is missing")
	}
	return nil
}

func (d *directoryReader) uri(value *decoder) (*url.URL, error) {
	s, err := value.string()
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(s)
	if err != nil {
		// Without url.Error, which repeats the URI: it may hold a password.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, value.errorf("not a URI: %w", err)
	}
	if d.base != nil {
		uri = d.base.ResolveReference(uri)
	}
	if err := checkURL(uri); err != nil {
		return nil, value.errorf("%w", err)
	}
	return uri, nil
}

func mediaTypeOf(value *decoder) (string, error) {
	s, err := value.string()
	if err != nil || s == "" {
		return "", err
	}
	mediaType, err := normalMediaType(s)
	if err != nil {
		return "", value.errorf("%s is not a media type: %w", quote(s), err)
	}
	return mediaType, nil
}

func capabilities(value *decoder) (c Capabilities, err error) {
	err = value.object("an object", func(name string) (err error) {
		switch name {
		case "cost-type-names":
			c.CostTypeNames, err = value.strings()
		case "cost-constraints":
			c.CostConstraints, err = value.bool()
		case "prop-types":
			c.PropTypes, err = value.strings()
		case "max-cost-types":
			c.MaxCostTypes, err = value.count()
		default:
			err = value.skip()
		}
		return err
	})
	return c, err
}

// resolveCostTypes gives the resources their cost types, and drops those whose
// cost types are not sound. It comes last since "meta" may follow "resources".
func (d *directoryReader) resolveCostTypes() {
	for id, res := range d.Resources {
		names := res.Capabilities.CostTypeNames
		undefined := slices.IndexFunc(names, func(name string) bool { _, ok := d.CostTypes[name]; return !ok })
		seen := make(map[string]bool)
		twice := slices.IndexFunc(names, func(name string) bool { was := seen[name]; seen[name] = true; return was })
		var err error
		switch {
		case undefined >= 0:
			err = fmt.Errorf("%s is not defined in meta/cost-types", quote(names[undefined]))
		case twice >= 0:
			err = fmt.Errorf("%s is named twice", quote(names[twice]))
		case res.MediaType == MediaTypeCostMap && res.Accepts == "" && len(names) != 1:
			err = fmt.Errorf("%d names instead of the one of an unfiltered cost map", len(names))
		}
		if err != nil {
			delete(d.Resources, id)
			d.skipped.add(fmt.Errorf("resources/%s/capabilities/cost-type-names: %w", id, err))
			continue
		}
		for _, name := range names {
			res.CostTypes = append(res.CostTypes, d.CostTypes[name])
		}
		d.Resources[id] = res
	}
}
