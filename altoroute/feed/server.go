// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// serverOrigin finds documents by an ALTO server's directory, and those nested in
// it (RFC 7285 §9.2).
type serverOrigin struct {
	cfg         *Config
	url         *url.URL
	directories map[string]*directoryDocument // by URL
	closure     *alto.Closure
	unread      []error         // nested directories that could not be read, whose last listing counts
	told        string          // what was logged of it last
	offered     []alto.CostType // for the network map
	network     *document
	costs       []*document
	most        time.Duration // MaxRefresh, or less by chance: routers that were started together do not ask together
	wholeUntil  time.Time     // until then no filtered cost map is asked for: one has failed
}

// A directoryDocument is a document with the directory that was read of it.
type directoryDocument struct {
	*document
	listing *alto.Directory
}

func newServerOrigin(cfg *Config, u *url.URL) *serverOrigin {
	o := &serverOrigin{cfg: cfg, url: u, directories: make(map[string]*directoryDocument)}
	o.most = cfg.MaxRefresh - upTo(cfg.MaxRefresh/10)
	o.directory(u)
	return o
}

func (o *serverOrigin) document(u *url.URL, mediaType string) *document {
	opener := &serverOpener{client: &o.cfg.Client, url: u, mediaType: mediaType, least: o.cfg.MinRefresh, most: o.most}
	return &document{cfg: o.cfg, name: withoutUser(u), mediaType: mediaType, open: opener, server: opener}
}

// directory returns the document of a directory.
func (o *serverOrigin) directory(u *url.URL) *directoryDocument {
	d := o.directories[u.String()]
	if d == nil {
		d = &directoryDocument{document: o.document(u, alto.MediaTypeDirectory)}
		o.directories[u.String()] = d
	}
	return d
}

// withoutUser returns a URL as it may be shown: either half of its user
// information may be a secret.
func withoutUser(u *url.URL) string {
	shown := *u
	shown.User = nil
	return shown.String()
}

func (o *serverOrigin) name() string { return withoutUser(o.url) }

func (o *serverOrigin) all() []*document {
	docs := []*document{o.directory(o.url).document}
	for _, d := range o.directories {
		if d.document != docs[0] {
			docs = append(docs, d.document)
		}
	}
	slices.SortFunc(docs[1:], func(a, b *document) int { return strings.Compare(a.name, b.name) })
	if o.network != nil {
		docs = append(docs, o.network)
	}
	return append(docs, o.costs...)
}

// closureTimeout is how long reading all directories may take: each has limits of
// its own, and there may be many.
const closureTimeout = 5 * time.Minute

// networkMap reads the directories, where they have changed, and picks the network
// map. A document whose entry is as before keeps what is remembered of it.
func (o *serverOrigin) networkMap(ctx context.Context) (*document, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, closureTimeout, fmt.Errorf("reading the directories took more than %s", closureTimeout))
	defer cancel()
	used := make(map[string]*directoryDocument)
	o.unread = nil
	closure, err := alto.ReadClosure(ctx, o.url, func(ctx context.Context, u *url.URL) (*alto.Directory, error) {
		d := o.directory(u)
		used[u.String()] = d
		err := d.readDirectory(ctx)
		if nested := len(used) > 1; err != nil && nested && d.listing != nil {
			o.unread = append(o.unread, err)
			err = nil
		}
		return d.listing, err
	})
	if err != nil {
		return nil, err
	}
	o.directories, o.closure = used, closure
	o.tell()
	entry, err := o.pickNetworkMap()
	if err != nil {
		return nil, err
	}
	o.network = o.keep(o.network, o.document(entry.URI, entry.MediaType), entry.ID)
	return o.network, nil
}

// tell logs once what is wrong with the directories.
func (o *serverOrigin) tell() {
	faults := o.faults()
	text := fmt.Sprint(faults)
	if text == o.told {
		return
	}
	o.told = text
	if len(faults) > 0 {
		o.cfg.Logger.Warn("directory is not in order", slog.String("source", o.cfg.Name), slog.String("faults", some(faults)))
	}
}

// maxTold is how many faults of directories a line of the log has. A server may make as
// many as it pleases.
const maxTold = 5

// some returns the first of several faults, and how many there are beside.
func some(faults []error) string { return strings.Join(someTexts(faults, maxTold), "; ") }

func someTexts[T any](all []T, most int) []string {
	var texts []string
	for i, one := range all {
		if i == most {
			return append(texts, fmt.Sprintf("and %d more", len(all)-i))
		}
		texts = append(texts, fmt.Sprint(one))
	}
	return texts
}

// faults are what is not in order of the directories, though they are used.
func (o *serverOrigin) faults() []error {
	if o.closure == nil {
		return nil
	}
	return slices.Concat(o.unread, o.closure.Skipped, o.closure.Warnings)
}

func (o *serverOrigin) remarks() (skipped, offered []string) {
	unused := slices.DeleteFunc(slices.Clone(o.offered), func(t alto.CostType) bool {
		return slices.ContainsFunc(o.costs, func(d *document) bool { return d.promised != nil && d.promised.Same(t) })
	})
	return someTexts(o.faults(), maxTold), someTexts(unused, maxListed)
}

// notFound is the fault of an entry that is not there, with those that are not in order:
// it may be one of them.
func (o *serverOrigin) notFound(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if faults := slices.Concat(o.unread, o.closure.Skipped); len(faults) > 0 {
		err = &lackError{err.Error(), faults}
	}
	return o.directory(o.url).fault(Invalid, err)
}

// A lackError is that something is not listed, and what may be why.
type lackError struct {
	text   string
	faults []error
}

func (e *lackError) Error() string   { return e.text + "; not in order are: " + some(e.faults) }
func (e *lackError) Unwrap() []error { return e.faults }

// readDirectory reads the directory, if it has changed.
func (d *directoryDocument) readDirectory(ctx context.Context) error {
	err := d.read(ctx, true, func(r io.Reader) error {
		listing, err := alto.ReadDirectory(r, d.server.final)
		if err == nil {
			d.listing = listing
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// pickNetworkMap chooses the network map. It never guesses: without a default and
// without a name there is none.
func (o *serverOrigin) pickNetworkMap() (alto.Resource, error) {
	id := o.cfg.NetworkMap
	if id == "" {
		id = o.closure.DefaultNetworkMap
	}
	if id == "" {
		return alto.Resource{}, o.notFound("meta/default-alto-network-map is missing (RFC 7285 §9.2.2): name a network_map; the directory has %s", o.list(alto.MediaTypeNetworkMap))
	}
	entry, ok := o.closure.Resources[id]
	if !ok || entry.MediaType != alto.MediaTypeNetworkMap || entry.Accepts != "" {
		return entry, o.notFound("there is no network map %q; the directory has %s", id, o.list(alto.MediaTypeNetworkMap))
	}
	return entry, nil
}

// fewRows is the part of a cost map's rows below which it is asked for by them, where
// the server offers that. A whole one is fetched by GET, which may be confirmed
// instead of sent (RFC 7285 §9.2.5.1).
const fewRows = 0.25

// costMaps picks the cost map that ranks.
func (o *serverOrigin) costMaps(network *altoroute.NetworkMap, rows []string) ([]*document, error) {
	id := o.network.status.ResourceID
	few := len(rows) > 0 && float64(len(rows)) < fewRows*float64(network.PIDs()) && time.Now().After(o.wholeUntil)
	o.offered = o.costTypes(id)
	metric, modes := o.cfg.costTypes()
	for _, mode := range modes {
		wanted := alto.CostType{Mode: mode, Metric: metric}
		entries := o.closure.CostMaps(id, wanted) // what is fetched whole comes first
		if len(entries) == 0 {
			continue
		}
		entry := entries[0]
		if i := slices.IndexFunc(entries, func(r alto.Resource) bool { return r.Accepts != "" }); few && i >= 0 {
			entry = entries[i]
		}
		offered := entry.CostTypes[slices.IndexFunc(entry.CostTypes, wanted.Same)]
		made := o.document(entry.URI, entry.MediaType)
		made.promised = &offered
		if entry.Accepts != "" {
			var err error
			if made.server.filter, err = (alto.CostMapFilter{CostType: offered, Sources: rows}).Body(); err != nil {
				return nil, o.directory(o.url).fault(Invalid, err)
			}
		}
		var was *document
		if len(o.costs) > 0 {
			was = o.costs[0]
		}
		o.costs = []*document{o.keep(was, made, entry.ID)}
		return o.costs, nil
	}
	return nil, o.notFound("there is no cost map of %s for network map %q; the directory has %s",
		alto.CostType{Metric: metric, Mode: strings.Join(modes, " or ")}, id, o.list(alto.MediaTypeCostMap))
}

// costTypes returns the cost types that there are for a network map, each once.
func (o *serverOrigin) costTypes(networkMap string) (types []alto.CostType) {
	for _, r := range o.closure.OfType(alto.MediaTypeCostMap) {
		for _, t := range r.CostTypes {
			if slices.Contains(r.Uses, networkMap) && !slices.ContainsFunc(types, t.Same) {
				types = append(types, t)
			}
		}
	}
	return types
}

// costTypes returns what the cost map of a directory may be of that ranks: the metric,
// and the modes in order of preference.
func (c *Config) costTypes() (metric string, modes []string) {
	metric, modes = cmp.Or(c.Cost.Metric, "routingcost"), []string{c.Cost.Mode}
	if c.Cost.Mode == "" {
		modes = []string{"numerical", "ordinal"}
	}
	return metric, modes
}

// avoidFilter is for how long a filtered cost map is left alone that has failed.
const avoidFilter = time.Hour

// avoidsFilter reports whether a fault is of a filtered cost map that a whole one can
// stand in for. For a while it does then.
func (o *serverOrigin) avoidsFilter(err error) bool {
	if o.closure == nil || len(o.costs) == 0 || !isOf(err, o.costs[0]) {
		return false
	}
	if reason := refusalOf(err); !reason.ofContent() && reason != OtherType && !failsFilter(err) {
		return false
	}
	entries := o.closure.CostMaps(o.network.status.ResourceID, *o.costs[0].promised) // what is fetched whole comes first
	if o.costs[0].server.filter == nil || len(entries) == 0 || entries[0].Accepts != "" {
		return false
	}
	o.wholeUntil = time.Now().Add(avoidFilter)
	return true
}

// failsFilter reports whether there is no document because of the filter, or what does
// the filtering: not because of who asks, or how often.
func failsFilter(err error) bool {
	answer, _ := errors.AsType[*alto.StatusError](err)
	if answer == nil {
		network, _ := errors.AsType[net.Error](err)
		return network != nil && network.Timeout()
	}
	if answer.RetryAfter > 0 {
		return false
	}
	switch answer.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	}
	return answer.Status <= http.StatusGatewayTimeout
}

// lacks reports whether a fault is that a map is not where the directory says. It may be
// elsewhere by now, so that the directories are asked for again.
func (o *serverOrigin) lacks(err error) bool {
	status, _ := errors.AsType[*alto.StatusError](err)
	_, isOtherKind := errors.AsType[*alto.KindError](err)
	if !isOtherKind && (status == nil || status.Status != http.StatusNotFound && status.Status != http.StatusGone) {
		return false
	}
	if isOf(err, o.directory(o.url).document) {
		return false
	}
	for _, d := range o.directories {
		d.askAgain()
	}
	return true
}

// isOf reports whether a fault is of the document.
func isOf(err error, d *document) bool {
	fault, ok := errors.AsType[*Error](err)
	return ok && fault.Document == d.name
}

// keep returns the document at hand if the one made for a directory's entry is for
// the same resource, asked for in the same way, and of a cost map the same costs
// are promised.
func (o *serverOrigin) keep(was, made *document, id string) *document {
	made.status.ResourceID = id
	if was == nil || was.status.ResourceID != id {
		return made
	}
	if !was.server.asks(made.server) || made.promised != nil && (was.promised == nil || !was.promised.Same(*made.promised)) {
		return made
	}
	return was
}

// maxListed is how many resources an error names.
const maxListed = 20

// list names the resources of a media type, for errors.
func (o *serverOrigin) list(mediaType string) string {
	resources := o.closure.OfType(mediaType)
	ids := make([]string, 0, len(resources))
	for _, r := range resources {
		id := r.ID
		if len(r.CostTypes) == 1 {
			id += " of " + r.CostTypes[0].String()
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return "none"
	}
	slices.Sort(ids)
	if more := len(ids) - maxListed; more > 0 {
		ids = append(ids[:maxListed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(ids, ", ")
}
