// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"errors"
	"math"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed"
	"github.com/altoroute/caddy-alto/altoroute/health"
)

// Collectors are made once for the process and registered with the registry of
// each configuration, so that counts run on through reloads, also through
// those that are rejected.
var (
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "altoroute", Name: "decisions_total",
		Help: "Decisions by pool, chosen edge (empty where there was none) and placement of the client.",
	}, []string{"pool", "edge", "placement"})
	cacheFills = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "altoroute", Name: "cache_fills_total",
		Help: "Requests that came from an edge: not redirected, but passed on or fetched from another edge.",
	}, []string{"pool"})
)

func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{decisions, cacheFills, stateCollector{}} {
		var already prometheus.AlreadyRegisteredError
		err := registry.Register(c)
		if err != nil && (!errors.As(err, &already) || already.ExistingCollector != c) {
			return err
		}
	}
	return nil
}

// poolCounter counts the decisions of a pool. Label values are looked up once
// for each edge and placement, not for each request.
type poolCounter struct {
	pool  string
	edges sync.Map // of *edgeCounter by *altoroute.Edge, of which nil stands for no edge
}

type edgeCounter [len(altoroute.Placements)]atomic.Pointer[prometheus.Counter]

func (p *poolCounter) add(d *altoroute.Decision) {
	if d.Reason == altoroute.CacheFill {
		cacheFills.WithLabelValues(p.pool).Inc()
		return
	}
	of, ok := p.edges.Load(d.Edge)
	if !ok {
		of, _ = p.edges.LoadOrStore(d.Edge, new(edgeCounter))
	}
	slot := &of.(*edgeCounter)[d.How] //nolint:forcetypeassert // nothing else is in it
	counter := slot.Load()
	if counter == nil {
		name := ""
		if d.Edge != nil {
			name = d.Edge.Name
		}
		made := decisions.WithLabelValues(p.pool, name, d.How.String())
		counter = &made
		slot.Store(counter)
	}
	(*counter).Inc()
}

// stateCollector tells, at each scrape, of the configuration in force.
type stateCollector struct{}

// described are all that it tells.
var described []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("caddy_altoroute_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

var (
	sourceState      = desc("source_state", "1 for the state that the source is in: fresh, stale or none.", "source", "state")
	mapAge           = desc("map_age_seconds", "Time since the newest set of maps was let in.", "source")
	mapLastContact   = desc("map_last_contact_timestamp_seconds", "When the source was last found to be in order.", "source")
	mapPIDs          = desc("map_pids", "PIDs of the network map in force.", "source")
	mapPrefixes      = desc("map_prefixes", "Prefixes of the network map in force.", "source")
	mapCosts         = desc("map_costs", "Pairs with a cost in the ranking cost map in force, rows that no edge needs included.", "source")
	mapChecks        = desc("map_checks_total", "Looks for new maps.", "source")
	mapUpdates       = desc("map_updates_total", "Sets of maps that came in force.", "source")
	mapRefusals      = desc("map_refusals_total", "New maps that were refused, by reason; a fault that lasts counts once.", "source", "reason")
	mapHeld          = desc("map_held", "1 while a set of maps is held because it would change too much.", "source")
	mapHolds         = desc("map_holds_total", "Sets of maps that were held.", "source")
	mapIncoming      = desc("map_incoming_share", "The share of the content for which maps decide that come in force by degrees; 0 where none do.", "source")
	sourceServer     = desc("source_server", "The place of the server in use, from 1 in order of preference.", "source")
	spoolFailing     = desc("spool_failing", "1 while the maps in force are not in the spool: they would not survive a restart.", "source")
	mapBeyond        = desc("map_prefixes_beyond_only", "Prefixes of the map in force that are ignored because they are outside of the space that the source may speak for.", "source")
	poolUnguidedFor  = desc("pool_without_guidance_seconds_total", "Time in which no source in force had a cost for the pool.", "pool")
	documentReads    = desc("document_reads_total", "How often the content of a document was read, of directories, and of several servers, all together. Finding it unchanged is not reading.", "source", "document", "media_type")
	documentBytes    = desc("document_bytes", "Size of a document when it was last read, decompressed; of directories, and of several servers, the sum.", "source", "document", "media_type")
	edgeState        = desc("edge_state", "1 for the state that the edge is in for clients of the family.", "edge", "family", "state")
	edgeLoad         = desc("edge_reported_load", "The share of its capacity that is in use of the edge, as it or the admin API says.", "edge")
	edgeChecks       = desc("edge_checks_total", "Checks of the edge in the family, since it has been watched.", "edge", "family")
	edgeChecksFailed = desc("edge_checks_failed_total", "Checks of the edge that failed.", "edge", "family")
	edgeCapacity     = desc("edge_capacity_requests_per_second", "This router's part of what the edge can serve, as it is at present.", "edge")
	edgeRate         = desc("edge_requests_per_second", "What the edge gets from this router; measured only where some edge has a limit.", "edge")
	edgeDemotions    = desc("edge_demotions", "PIDs whose clients tell that they cannot reach the edge.", "edge")
	poolUp           = desc("pool_edges_up", "Edges of the pool that are not down.", "pool")
	poolPanic        = desc("pool_panic", "1 while too few edges of the pool are up for health to be believed.", "pool")
	poolUnguided     = desc("pool_guidance_off", "1 while guidance is turned off.", "pool")
	poolDivided      = desc("pool_divided_loads", "Loads, what of a PID falls to one edge, that are divided because that has not the capacity.", "pool")
	poolHot          = desc("pool_hot_keys", "Content that goes to several edges because it is too much for one.", "pool")
	suspectSelf      = desc("suspect_self", "1 while so many edges fail at once that the fault is more likely here.")
	overridesUnread  = desc("overrides_unread", "1 while what was set by hand before is not in force because it cannot be read.")
	geoCacheEntries  = desc("geo_cache_entries", "Clients whose place is remembered.")
	geoCacheHits     = desc("geo_cache_hits_total", "Places that were remembered.")
	geoCacheMisses   = desc("geo_cache_misses_total", "Places that were looked up in a database.")
	geoBuilt         = desc("geo_database_build_timestamp_seconds", "When the database in use was built.", "database")
	geoRefused       = desc("geo_database_refused", "1 while the file on disk is refused and an older one is in use.", "database")
)

// Describe implements prometheus.Collector.
func (stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (stateCollector) Collect(ch chan<- prometheus.Metric) {
	app := activeApp()
	if app == nil {
		return
	}
	for _, s := range app.sources {
		collectSource(ch, s.Name, app.sourceStatus(s))
		gauge(ch, mapIncoming, app.router.Incoming(s.Name).Share, s.Name)
		gauge(ch, mapBeyond, float64(app.router.Beyond(s.Name)), s.Name)
	}
	collectEdges(ch, app)
	for _, pool := range app.router.Pools() {
		is := app.router.PoolCondition(pool)
		gauge(ch, poolUp, float64(is.Up), pool)
		ch <- prometheus.MustNewConstMetric(poolUnguidedFor, prometheus.CounterValue, unguided.seconds(pool), pool)
		gauge(ch, poolPanic, boolean(is.Panic), pool)
		gauge(ch, poolUnguided, boolean(is.GuidanceOff), pool)
		gauge(ch, poolDivided, float64(is.Divided), pool)
		gauge(ch, poolHot, float64(is.Hot), pool)
	}
	gauge(ch, suspectSelf, boolean(app.checks.prober.Suspect()))
	gauge(ch, overridesUnread, boolean(byHand.unreadError() != nil))
	if app.places != nil {
		collectGeo(ch, app.places)
	}
}

// families are of clients, by an address of each.
var families = map[string]netip.Addr{"ipv4": netip.IPv4Unspecified(), "ipv6": netip.IPv6Unspecified()}

func collectEdges(ch chan<- prometheus.Metric, app *App) {
	demotions := make(map[string]int)
	for _, d := range app.router.Demoted() {
		demotions[d.Edge]++
	}
	for _, e := range app.router.AllEdges() {
		for family, client := range families {
			// The others have no series: for thousands of edges most of them all would be 0.
			gauge(ch, edgeState, 1, e.Name, family, app.router.State(e, client))
		}
		if rate, capacity := app.router.Traffic(e); !math.IsInf(capacity, 1) {
			gauge(ch, edgeCapacity, capacity, e.Name)
			gauge(ch, edgeRate, rate, e.Name)
		}
		gauge(ch, edgeDemotions, float64(demotions[e.Name]), e.Name)
		if load, ok := app.router.Load(e); ok {
			gauge(ch, edgeLoad, load, e.Name)
		}
		if target, ok := app.checks.targets[e.Name]; ok {
			s, _ := app.checks.prober.Status(target)
			for family, c := range map[string]*health.Check{"ipv4": &s.IPv4, "ipv6": &s.IPv6} {
				if c.State != health.Absent {
					counter(ch, edgeChecks, c.Total, e.Name, family)
					counter(ch, edgeChecksFailed, c.Failed, e.Name, family)
				}
			}
		}
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, value uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func collectSource(ch chan<- prometheus.Metric, name string, s feed.Status) {
	for _, state := range []string{feed.Fresh, feed.Stale, feed.None} {
		gauge(ch, sourceState, boolean(s.State() == state), name, state)
	}
	if s.Maps != nil {
		gauge(ch, mapPIDs, float64(s.Maps.Network.PIDs()), name)
		gauge(ch, mapPrefixes, float64(s.Maps.Network.Prefixes()), name)
		gauge(ch, mapCosts, float64(s.Maps.Costs[0].Pairs()), name)
	}
	if !s.Since.IsZero() {
		gauge(ch, mapAge, time.Since(s.Since).Seconds(), name)
	}
	if !s.LastContact.IsZero() {
		gauge(ch, mapLastContact, float64(s.LastContact.UnixMilli())/1000, name)
	}
	counter(ch, mapChecks, s.Checks, name)
	counter(ch, mapUpdates, s.Updates, name)
	gauge(ch, mapHeld, boolean(s.Held != nil), name)
	gauge(ch, sourceServer, float64(s.Server), name)
	gauge(ch, spoolFailing, boolean(s.SpoolErr != nil), name)
	counter(ch, mapHolds, s.Holds, name)
	for _, reason := range feed.Refusals {
		counter(ch, mapRefusals, s.Refusals[reason], name, string(reason))
	}
	// Several resources may share one URL (RFC 7285 §9.2.2), of which the Accept
	// header tells one from the other. Directories, and what several servers of the
	// source have, are told together: Prometheus takes nothing that is told twice.
	type document struct{ label, mediaType string }
	reads, bytes := make(map[document]uint64), make(map[document]int64)
	for _, r := range s.Resources {
		d := document{documentLabel(r), r.MediaType}
		reads[d] += r.Reads
		bytes[d] += r.Bytes
	}
	for d := range reads {
		counter(ch, documentReads, reads[d], name, d.label, d.mediaType)
		gauge(ch, documentBytes, float64(bytes[d]), name, d.label, d.mediaType)
	}
}

// documentLabel names a document: a file by its path, a server's by its
// resource id. A URL is the server's to choose, and may hold anything.
func documentLabel(r feed.ResourceStatus) string {
	if r.MediaType == alto.MediaTypeDirectory {
		return "directory"
	}
	return label(cmp.Or(r.ResourceID, r.Name))
}

// label makes a path fit for a label, which must be UTF-8.
func label(path string) string { return strings.ToValidUTF8(path, "\uFFFD") }

func collectGeo(ch chan<- prometheus.Metric, p *pooledGeo) {
	s := p.Status()
	gauge(ch, geoCacheEntries, float64(s.Cache.Size))
	counter(ch, geoCacheHits, s.Cache.Hits)
	counter(ch, geoCacheMisses, s.Cache.Misses)
	for _, f := range s.Files {
		gauge(ch, geoBuilt, float64(f.BuildTime.Unix()), label(f.Path))
		gauge(ch, geoRefused, boolean(f.LastError != nil), label(f.Path))
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
