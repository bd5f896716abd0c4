// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// serverOrigin finds documents by an ALTO server's directory (RFC 7285 §9.2).
type serverOrigin struct {
	cfg       *Config
	directory *document
	listing   *alto.Directory
	network   *document
	costs     []*document
}

func newServerOrigin(cfg *Config) *serverOrigin {
	return &serverOrigin{cfg: cfg, directory: newServerDocument(cfg, cfg.Directory, alto.MediaTypeDirectory)}
}

func newServerDocument(cfg *Config, u *url.URL, mediaType string) *document {
	return &document{name: withoutUser(u), mediaType: mediaType, open: &serverOpener{client: &cfg.Client, url: u, mediaType: mediaType}}
}

// withoutUser returns a URL as it may be shown: either half of its user
// information may be a secret.
func withoutUser(u *url.URL) string {
	shown := *u
	shown.User = nil
	return shown.String()
}

func (o *serverOrigin) all() []*document {
	docs := []*document{o.directory}
	if o.network != nil {
		docs = append(docs, o.network)
	}
	return append(docs, o.costs...)
}

// documents reads the directory, if it has changed, and picks the network map
// and the cost map. A document whose entry is as before keeps what is
// remembered of it.
func (o *serverOrigin) documents(ctx context.Context) (*document, []*document, error) {
	opener, _ := o.directory.open.(*serverOpener)
	before := o.directory.sum
	err := o.directory.read(ctx, true, func(r io.Reader) error {
		listing, err := alto.ReadDirectory(r, opener.final)
		if err != nil {
			return err
		}
		o.listing = listing
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return nil, nil, err
	}
	if o.directory.sum != before {
		for _, skipped := range o.listing.Skipped {
			o.cfg.Logger.Warn("directory entry skipped",
				slog.String("source", o.cfg.Name), slog.String("directory", o.directory.name), slog.Any("error", skipped))
		}
	}
	network, costs, promised, err := pick(o.listing, o.cfg.NetworkMap, o.cfg.Cost)
	if err != nil {
		return nil, nil, o.directory.fault(Invalid, err)
	}
	o.network = o.keep(o.network, network, nil)
	var was *document
	if len(o.costs) > 0 {
		was = o.costs[0]
	}
	o.costs = []*document{o.keep(was, costs, &promised)}
	return o.network, o.costs, nil
}

// keep returns the document of a directory's entry: the one at hand if it is
// for the same resource, and of a cost map the same costs are promised.
func (o *serverOrigin) keep(was *document, entry alto.Resource, promised *alto.CostType) *document {
	if was != nil && was.status.ResourceID == entry.ID && (promised == nil || *promised == *was.promised) {
		if opener, ok := was.open.(*serverOpener); ok && opener.url.String() == entry.URI.String() {
			return was
		}
	}
	d := newServerDocument(o.cfg, entry.URI, entry.MediaType)
	d.status.ResourceID, d.promised = entry.ID, promised
	return d
}

// pick chooses the network map and the cost map that ranks. It never guesses a
// network map: without a default and without a name there is none.
func pick(d *alto.Directory, networkMap string, cost altoroute.CostInfo) (network, costs alto.Resource, costType alto.CostType, err error) {
	id := networkMap
	if id == "" {
		id = d.DefaultNetworkMap
	}
	if id == "" {
		return network, costs, costType, errors.New("meta/default-alto-network-map is missing (RFC 7285 §9.2.2): name a network_map")
	}
	network, ok := d.Resources[id]
	if !ok || network.MediaType != alto.MediaTypeNetworkMap || network.Accepts != "" {
		return network, costs, costType, fmt.Errorf("there is no network map %q; the directory has %s", id, list(d, alto.MediaTypeNetworkMap))
	}
	modes := []string{cost.Mode}
	metric := cost.Metric
	if metric == "" {
		metric = "routingcost"
	}
	if cost.Mode == "" {
		modes = []string{"numerical", "ordinal"}
	}
	for _, mode := range modes {
		// In the order of their ids, so that of two maps that should not both
		// exist (RFC 7285 §6.1) it is always the same.
		for _, id := range slices.Sorted(maps.Keys(d.Resources)) {
			r := d.Resources[id]
			names := r.Capabilities.CostTypeNames
			if r.MediaType != alto.MediaTypeCostMap || r.Accepts != "" || !slices.Contains(r.Uses, network.ID) || len(names) != 1 {
				continue
			}
			if t := d.CostTypes[names[0]]; t.Metric == metric && t.Mode == mode {
				return network, r, t, nil
			}
		}
	}
	return network, costs, costType, fmt.Errorf("there is no cost map of %s (%s) for network map %q; the directory has %s",
		metric, strings.Join(modes, " or "), network.ID, list(d, alto.MediaTypeCostMap))
}

// list names the resources of a media type, for errors.
func list(d *alto.Directory, mediaType string) string {
	var ids []string
	for id, r := range d.Resources {
		if r.MediaType == mediaType {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

// serverOpener fetches a document by HTTP.
type serverOpener struct {
	client    *alto.Client
	url       *url.URL
	mediaType string
	final     *url.URL        // after redirects: the base of relative URIs
	now, kept alto.Validators // of the answer being read, of the content kept
}

func (o *serverOpener) open(ctx context.Context, conditional bool) (io.ReadCloser, error) {
	var known alto.Validators
	if conditional {
		known = o.kept
	}
	answer, err := o.client.Get(ctx, o.url, o.mediaType, known)
	if err != nil {
		// The URL is named by the client, and the document is too.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, err
	}
	if answer.NotModified {
		_ = answer.Body.Close()
		return nil, errUnchanged
	}
	o.now, o.final = answer.Validators, answer.URL
	return answer.Body, nil
}

// keep does not remember what was no good: a fault of the way here would
// otherwise be confirmed by the server for ever.
func (o *serverOpener) keep(good bool) error {
	if !good {
		return errors.New("refused content is asked for again")
	}
	o.kept = o.now
	return nil
}
