// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A document is one ALTO resource and what is remembered of it between looks.
type document struct {
	cfg       *Config
	name      string // path or URL, as it is shown
	mediaType string
	open      opener
	server    *serverOpener  // open, where it asks a server; nil for files and the spool
	promised  *alto.CostType // by the directory; nil for files

	// What was read last.
	seen      bool      // content was read and understood
	sum       spool.Sum // of that content
	dependsOn altoroute.VersionTag
	network   *altoroute.NetworkMap
	lacks     string // the addresses that it need not cover
	costs     *altoroute.CostMap
	waits     error                 // why the cost map that was just read waits for another network map
	refused   error                 // why the present content cannot be used
	refusedBy *altoroute.NetworkMap // that a cost map was read with then
	content   spool.Content         // in the spool, if there is one

	status ResourceStatus
}

// An opener opens a document's content for reading. With conditional it
// returns errUnchanged when the content is the one it opened last and kept.
type opener interface {
	open(ctx context.Context, conditional bool) (io.ReadCloser, error)
	// keep remembers the content just read, so that it need not be read again,
	// good or not. It fails when the content was no one document, or when what
	// is not good had better be asked for again.
	keep(good bool) error
}

var errUnchanged = errors.New("unchanged")

// read opens the document and hands its content to parse. It returns
// errUnchanged when there is nothing new. What parse refuses is remembered
// where the opener can tell a change without reading.
func (d *document) read(ctx context.Context, conditional bool, parse func(io.Reader) error) error {
	start, reads := time.Now(), d.status.Reads
	d.waits = nil
	err := d.readContent(ctx, conditional && (d.seen || d.refused != nil), parse, start)
	var bytes int64
	if d.status.Reads > reads {
		d.status.Duration, bytes = time.Since(start), d.status.Bytes
	}
	d.log(err, bytes, time.Since(start))
	if errors.Is(err, errUnchanged) && d.refused != nil {
		return d.refused
	}
	return err
}

func (d *document) readContent(ctx context.Context, conditional bool, parse func(io.Reader) error, start time.Time) error {
	body, err := d.open.open(ctx, conditional)
	if errors.Is(err, errUnchanged) {
		return err
	}
	if err != nil {
		return d.fault(noAnswer(err), advise(err))
	}
	defer body.Close()
	digest := xxhash.New()
	copies := io.Writer(digest)
	var stored *spool.Writer
	// Files are copied when they are in force: they are read before that, too, and by
	// whoever only checks the configuration.
	if d.cfg.Spool != nil && d.server != nil && d.mediaType != alto.MediaTypeDirectory {
		stored = d.cfg.Spool.NewWriter()
		copies = io.MultiWriter(digest, stored)
	}
	watched := &watchedReader{r: io.TeeReader(body, copies)}
	err = parse(watched)
	d.status.Reads++
	d.status.Bytes, d.status.ReadAt = watched.n, start
	if err == nil {
		err = d.open.keep(true)
	}
	if err == nil {
		d.seen, d.sum, d.refused = true, spool.Sum(digest.Sum64()), nil
		d.keepStored(stored)
		return nil
	}
	if stored != nil {
		stored.Discard()
	}
	if watched.err != nil { // it did not come through: says nothing of the content
		return d.fault(noAnswer(err), err)
	}
	if _, local := d.open.(*fileOpener); local && errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: if it is being written, write a new file and rename it", err)
	}
	if d.server != nil && withoutUser(d.server.final) != d.name {
		err = fmt.Errorf("redirected to %s: %w", withoutUser(d.server.final), err)
	}
	err = d.fault(refusalOf(err), err)
	if d.open.keep(false) == nil {
		d.refused, d.seen = err, false
	}
	return err
}

// askAgain has a server asked for the document again, be its answer still fresh: it may
// confirm what is known.
func (d *document) askAgain() {
	if d.server != nil {
		d.server.kept.fresh = time.Time{}
	}
}

// readAgain has the content read again, and copied to the spool, be it unchanged: a
// server has to send it.
func (d *document) readAgain() {
	if d.server != nil {
		d.server.kept = answered{}
	} else {
		d.content = spool.Content{}
	}
}

// keepStored has the spool keep what was just read, in the place of what was read
// before.
func (d *document) keepStored(stored *spool.Writer) {
	if stored == nil {
		d.content = spool.Content{}
		return
	}
	content, err := stored.Keep()
	if err != nil {
		d.cfg.Logger.Error("a document cannot be written to the spool",
			slog.String("source", d.cfg.Name), slog.String("document", d.name), slog.Any("error", err))
	}
	d.content = content
}

// copyToSpool has the spool keep the content that was read last, unless there is other
// content now.
//
// An error is that of the spool.
func (d *document) copyToSpool(ctx context.Context) error {
	body, err := d.open.open(ctx, false)
	if err != nil {
		return nil // the next look tells
	}
	defer body.Close()
	digest, stored := xxhash.New(), d.cfg.Spool.NewWriter()
	if _, err := io.Copy(io.MultiWriter(digest, stored), body); err != nil || spool.Sum(digest.Sum64()) != d.sum {
		stored.Discard()
		return nil // likewise
	}
	d.content, err = stored.Keep()
	return err
}

// log writes a line for each request to a server.
func (d *document) log(err error, bytes int64, duration time.Duration) {
	if d.server == nil || !d.server.sent {
		return
	}
	attrs := []slog.Attr{
		slog.String("source", d.cfg.Name), slog.String("resource", d.status.ResourceID), slog.String("url", d.name),
		slog.Int("status", d.server.status), slog.Int64("bytes", bytes), slog.String("tag", d.status.Tag.Tag), slog.Duration("duration", duration),
	}
	to, ctx := d.cfg.Logger, context.Background()
	switch {
	case errors.Is(err, errUnchanged):
		to.LogAttrs(ctx, slog.LevelDebug, "document fetched", attrs...)
	case err == nil && d.waits != nil:
		attrs = append(attrs, slog.String("reason", string(Mismatch)), slog.Any("error", d.waits))
		to.LogAttrs(ctx, slog.LevelInfo, "document not taken", attrs...)
	case err == nil:
		to.LogAttrs(ctx, slog.LevelInfo, "document fetched", attrs...)
	default:
		attrs = append(attrs, slog.String("reason", string(refusalOf(err))), slog.Any("error", err))
		to.LogAttrs(ctx, slog.LevelInfo, "document not taken", attrs...)
	}
}

func (d *document) fault(reason Refusal, err error) error {
	return &Error{Document: d.name, Reason: reason, Err: err}
}

// readNetworkMap returns the network map, the same one as before if its
// content has not changed.
func (d *document) readNetworkMap(ctx context.Context) (*altoroute.NetworkMap, []string, error) {
	var warnings []string
	var read *altoroute.NetworkMap
	before, known := d.sum, d.network != nil
	err := d.read(ctx, true, func(r io.Reader) error {
		var b coverageBuilder
		info, err := alto.ReadNetworkMap(r, &b)
		if err != nil {
			return err
		}
		if info.HostBits > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: %d prefixes have bits beyond their length, which were dropped; the first is %s", d.name, info.HostBits, info.FirstHostBits))
		}
		if len(info.UnknownTypes) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: addresses of unknown types were ignored: %v", d.name, info.UnknownTypes))
		}
		if id := d.status.ResourceID; id != "" && id != info.VersionTag.ResourceID {
			return fmt.Errorf("meta/vtag/resource-id is %q, but in the directory the map is %q (RFC 7285 §10.3)", info.VersionTag.ResourceID, id)
		}
		d.status.Tag, d.lacks = altoroute.VersionTag(info.VersionTag), b.lacks()
		read, err = b.Build(d.status.Tag)
		return err
	})
	switch {
	case errors.Is(err, errUnchanged):
		return d.network, nil, nil
	case err != nil:
		return nil, nil, err
	case known && d.sum == before:
		return d.network, nil, nil // all has been said of it
	}
	d.network = read
	return d.network, warnings, nil
}

// A coverageBuilder sees besides whether there is a prefix for all other addresses.
type coverageBuilder struct {
	altoroute.NetworkMapBuilder
	all4, all6 bool
}

// Prefix implements [alto.NetworkMapSink].
func (b *coverageBuilder) Prefix(p netip.Prefix) error {
	if p.Bits() == 0 {
		b.all4, b.all6 = b.all4 || p.Addr().Is4(), b.all6 || p.Addr().Is6()
	}
	return b.NetworkMapBuilder.Prefix(p)
}

// lacks says what is missing of a network map that is complete (RFC 7285 §5.3); empty is
// nothing.
func (b *coverageBuilder) lacks() string {
	which := "0.0.0.0/0 and ::/0"
	switch {
	case b.all4 && b.all6:
		return ""
	case b.all4:
		which = "::/0"
	case b.all6:
		which = "0.0.0.0/0"
	}
	return "no PID has " + which + ": clients that no other prefix covers are placed by other means, if at all"
}

// readCostMap returns the cost map with the given rows of the given network
// map, the same one as before if nothing has changed.
func (d *document) readCostMap(ctx context.Context, network *altoroute.NetworkMap, rows []string) (*altoroute.CostMap, []string, error) {
	usable := d.costs != nil && d.costs.Of(network) && d.costs.Keeps(rows)
	// Content known to depend on another version need not be read to be refused.
	mismatched := d.seen && d.dependsOn != network.Tag()
	var read *altoroute.CostMap
	var dependsOn altoroute.VersionTag
	var warnings []string
	before := d.sum
	refused := d.refused != nil && d.refusedBy == network // with another one it may be good
	d.refusedBy = network
	err := d.read(ctx, usable || mismatched || refused, func(r io.Reader) error {
		b := altoroute.NewCostMapBuilder(network, rows)
		info, err := alto.ReadCostMap(r, b)
		if err != nil {
			return err
		}
		if p := d.promised; p != nil && !p.Same(info.CostType) {
			return fmt.Errorf("meta/cost-type: the costs are %s, the directory promised %s", info.CostType, *p)
		}
		dependsOn = altoroute.VersionTag(info.DependentVersionTag)
		d.status.Tag = dependsOn
		read, err = b.Build(altoroute.CostInfo{
			ResourceID: cmp.Or(d.status.ResourceID, info.VersionTag.ResourceID),
			Mode:       info.CostType.Mode, Metric: info.CostType.Metric,
			OrderOnly:      info.CostType.Ordinal(),
			HigherIsBetter: info.CostType.HigherIsBetter(),
		}, dependsOn, info.Pairs)
		if _, ok := errors.AsType[*altoroute.TagMismatchError](err); ok {
			// A good document that waits for its network map.
			read, err, d.waits = nil, nil, err
		} else if n, first := b.Unknown(); n > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: costs from %d PIDs that the network map does not have were ignored; the first is %q", d.name, n, first))
		}
		return err
	})
	unchanged := errors.Is(err, errUnchanged)
	if err != nil && !unchanged {
		return nil, nil, err
	}
	if !unchanged {
		d.dependsOn = dependsOn
	}
	if tag := network.Tag(); d.dependsOn != tag {
		return nil, nil, d.fault(Mismatch, &altoroute.TagMismatchError{NetworkMap: tag, DependsOn: d.dependsOn})
	}
	if unchanged || usable && d.sum == before {
		return d.costs, nil, nil
	}
	d.costs = read
	return d.costs, warnings, nil
}

// takeRows takes over the costs of a set of the same content and network map: it may
// have been given more rows since.
func (d *document) takeRows(s *set, network *altoroute.NetworkMap) {
	if s == nil || !d.seen || s.maps.Network != network {
		return
	}
	if i := slices.Index(s.sums[1:], d.sum); i >= 0 {
		d.costs = s.maps.Costs[i]
	}
}

// watchedReader counts what is read of a document and remembers a failure of
// the transport, to tell it from a fault of the content.
type watchedReader struct {
	r   io.Reader
	n   int64
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errBrokenGzip) {
		w.err = err
	}
	return n, err
}

// errBrokenGzip is a fault of the content: reading it again does not help.
var errBrokenGzip = errors.New("the gzip is broken")

// gunzip undoes gzip if the content begins like it (RFC 1952 §2.3.1),
// whatever its name.
func gunzip(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, err := b.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return b // where it is too short for gzip, the reader will tell
	}
	unzipper, err := gzip.NewReader(b)
	return &gunzipper{r: unzipper, err: brokenGzip(err)}
}

// A gunzipper tells what is wrong with the gzip from what is wrong with the
// file below it.
type gunzipper struct {
	r   *gzip.Reader
	err error // that r could not be made
}

func (g *gunzipper) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	return n, brokenGzip(err)
}

func brokenGzip(err error) error {
	var file *fs.PathError
	if err == nil || err == io.EOF || errors.As(err, &file) { //nolint:errorlint // a wrapped EOF is not the end, see io.Reader
		return err
	}
	return fmt.Errorf("%w: %w", errBrokenGzip, err)
}
