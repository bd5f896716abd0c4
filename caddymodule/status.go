// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed"
	"github.com/altoroute/caddy-alto/altoroute/health"
)

// statusBody is the answer of /altoroute/status.
type statusBody struct {
	Sources map[string]sourceBody `json:"sources"`
	Pools   map[string]poolBody   `json:"pools"`
	Geo     *geoBody              `json:"geo,omitempty"`
	// SuspectSelf is true while so many edges fail at once that the fault is
	// more likely here.
	SuspectSelf bool `json:"suspect_self,omitempty"`
	// Unused is what was set by hand of edges and pools that there are not.
	Unused unusedSettings `json:"unused_settings,omitzero"`
	// SettingsError is why what was set by hand before is not in force.
	SettingsError string `json:"settings_error,omitempty"`
}

type sourceBody struct {
	Kind        string          `json:"kind"`
	State       string          `json:"state"`
	NetworkMap  *networkMapBody `json:"network_map,omitempty"`
	CostMaps    []costMapBody   `json:"cost_maps,omitempty"`
	Resources   []resourceBody  `json:"resources"`
	AgeSeconds  *float64        `json:"age_seconds,omitempty"`
	LastContact *time.Time      `json:"last_contact,omitempty"`
	LastError   string          `json:"last_error,omitempty"`
	// Server is the one in use, where there are several, and PassedOver what is wrong
	// with those that are preferred to it.
	Server     string `json:"server,omitempty"`
	PassedOver string `json:"passed_over,omitempty"`
	// SpoolError is why the maps in force would not survive a restart.
	SpoolError string `json:"spool_error,omitempty"`
	// Skipped is what is not in order of the server's directories, and Offered the cost
	// types that it has for the network map besides those in use; of many the first.
	Skipped []string `json:"skipped,omitempty"`
	Offered []string `json:"offered,omitempty"`
	// NextLook is when the source is looked at next.
	NextLook *time.Time `json:"next_look,omitempty"`
	// FromSpool is true as long as the maps in force are the spool's and the source
	// has neither confirmed nor replaced them.
	FromSpool bool `json:"from_spool,omitempty"`
	// Expired is true when the last contact is too long ago for the maps to be used.
	Expired bool `json:"expired,omitempty"`
	// BeyondOnly is how many prefixes are ignored because they are outside of `only`.
	BeyondOnly int           `json:"prefixes_beyond_only,omitempty"`
	Held       *heldBody     `json:"held,omitempty"`
	Incoming   *incomingBody `json:"incoming,omitempty"`
	// SetAside is the version that was dropped or replaced by hand.
	SetAside *altoroute.VersionTag `json:"set_aside,omitempty"`
	// NotCovered tells what is configured that the maps do not cover, of many the first.
	NotCovered []string `json:"not_covered,omitempty"`
	// Versions are on disk and can be put back, the newest first.
	Versions []versionBody `json:"versions,omitempty"`
}

// heldBody is a set of maps that is not let in yet.
type heldBody struct {
	altoroute.VersionTag
	PIDs     int        `json:"pids"`
	Prefixes int        `json:"prefixes"`
	Since    *time.Time `json:"since"`
	// Until is when they are let in by themselves; absent is never.
	Until   *time.Time `json:"until,omitempty"`
	Reasons []string   `json:"reasons"`
	// Sampled is how many recent requests were decided again, Moved how many of
	// them would go elsewhere. Both are absent after a restart.
	Sampled int        `json:"sampled_requests,omitempty"`
	Moved   int        `json:"moved_requests,omitempty"`
	Moves   []moveBody `json:"moves,omitempty"`
}

type moveBody struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Requests int    `json:"requests"`
}

// incomingBody is a set of maps that comes in force by degrees.
type incomingBody struct {
	altoroute.VersionTag
	Share float64    `json:"share"`
	Since *time.Time `json:"since"`
	Until *time.Time `json:"until"`
}

type versionBody struct {
	Version uint64 `json:"version"`
	altoroute.VersionTag
	InForce *time.Time `json:"in_force"`
}

type networkMapBody struct {
	altoroute.VersionTag
	PIDs     int `json:"pids"`
	Prefixes int `json:"prefixes"`
}

type costMapBody struct {
	altoroute.CostInfo
	Costs int  `json:"costs"`
	Ranks bool `json:"ranks,omitempty"`
	// Unit is that of the metric, where it has one (RFC 9439).
	Unit string `json:"unit,omitempty"`
	// Unknown is true of a metric or mode that no RFC defines: less is taken to be
	// better, and of a mode only the order to mean something.
	Unknown bool `json:"unknown_cost_type,omitempty"`
}

type resourceBody struct {
	ResourceID string     `json:"resource_id,omitempty"`
	Location   string     `json:"location"`
	MediaType  string     `json:"media_type"`
	Bytes      int64      `json:"bytes,omitempty"`
	Reads      uint64     `json:"reads"`
	ReadAt     *time.Time `json:"read_at,omitempty"`
	Seconds    float64    `json:"read_seconds,omitempty"`
	HTTPStatus int        `json:"http_status,omitempty"`
}

type poolBody struct {
	Guided      bool `json:"guided"`
	GuidanceOff bool `json:"guidance_off,omitempty"`
	// Panic is true while too few edges are up for health to be believed, for clients
	// of the families in PanicOf.
	Panic   bool                `json:"panic,omitempty"`
	PanicOf []string            `json:"panic_families,omitempty"`
	Up      int                 `json:"edges_up"`
	Divided int                 `json:"divided_loads,omitempty"`
	Hot     int                 `json:"hot_keys,omitempty"`
	Set     *poolSetting        `json:"set,omitempty"`
	Edges   map[string]edgeBody `json:"edges"`
}

type edgeBody struct {
	State string `json:"state"`
	URL   string `json:"url"`
	// PIDs are where the edge lies in each source that places it.
	PIDs map[string]string `json:"pids,omitempty"`
	// Capacity and Rate are this router's, in requests per second.
	Capacity *float64   `json:"capacity,omitempty"`
	Rate     *float64   `json:"rate,omitempty"`
	Load     *float64   `json:"reported_load,omitempty"`
	IPv4     *checkBody `json:"ipv4,omitempty"`
	IPv6     *checkBody `json:"ipv6,omitempty"`
	// Lookup is of the host's name, for as long as no address of it is known.
	Lookup *checkBody `json:"lookup,omitempty"`
	// LookupError is why the addresses known before are in use.
	LookupError string `json:"lookup_error,omitempty"`
	// DemotedIn are PIDs whose clients tell that they cannot reach the edge.
	DemotedIn []string `json:"demoted_in,omitempty"`
	// Set is what is set of it, by hand or, where that says nothing of the mode, by
	// the configuration.
	Set *edgeSetting `json:"set,omitempty"`
}

// checkBody is what checks say in one address family.
type checkBody struct {
	State     string     `json:"state"`
	Since     *time.Time `json:"since,omitempty"`
	Last      *time.Time `json:"last_check,omitempty"`
	Seconds   float64    `json:"check_seconds"`
	Failures  int        `json:"failures,omitempty"`
	Successes int        `json:"successes,omitempty"`
	Withheld  bool       `json:"withheld,omitempty"`
	Error     string     `json:"last_error,omitempty"`
	// ReportError says why what it reports of its load is of no use.
	ReportError string `json:"report_error,omitempty"`
}

type geoBody struct {
	Databases []databaseBody `json:"databases"`
	Cache     cacheBody      `json:"cache"`
}

type databaseBody struct {
	File      string    `json:"file"`
	Type      string    `json:"type"`
	Built     time.Time `json:"built"`
	LoadedAt  time.Time `json:"loaded_at"`
	LastError string    `json:"last_error,omitempty"`
}

type cacheBody struct {
	Entries  int    `json:"entries"`
	Capacity int    `json:"capacity"`
	Hits     uint64 `json:"hits"`
	Misses   uint64 `json:"misses"`
}

func status(app *App, _ url.Values) (int, any, error) {
	body := statusBody{Sources: make(map[string]sourceBody), Pools: make(map[string]poolBody)}
	for _, s := range app.sources {
		body.Sources[s.Name] = app.describeSource(s)
	}
	for _, name := range app.router.Pools() {
		body.Pools[name] = app.describePool(name)
	}
	body.SuspectSelf = app.checks.prober.Suspect()
	body.Unused, body.SettingsError = byHand.unused(app.router, app.pinWorks), oneLine(byHand.unreadError())
	if app.places != nil {
		body.Geo = describeGeo(app.places)
	}
	return http.StatusOK, body, nil
}

// unread is what to say first, where what was set by hand is not in force.
func (s *statusBody) unread() string {
	if s.SettingsError == "" {
		return ""
	}
	return printable("What was set by hand before is not in force, as it cannot be read: "+s.SettingsError) + "\n\n"
}

func (a *App) describePool(name string) poolBody {
	is := a.router.PoolCondition(name)
	body := poolBody{
		Guided: a.router.Guided(name), GuidanceOff: is.GuidanceOff, Panic: is.Panic, PanicOf: panicOf(&is), Up: is.Up,
		Divided: is.Divided, Hot: is.Hot, Set: a.poolSet(name), Edges: make(map[string]edgeBody),
	}
	demoted := make(map[string][]string)
	for _, d := range a.router.Demoted() {
		demoted[d.Edge] = append(demoted[d.Edge], d.PID.String())
	}
	for _, e := range a.router.Edges(name) {
		edge := edgeBody{State: a.router.State(e, netip.Addr{}), URL: a.router.EdgeURL(name, e).String()}
		edge.DemotedIn, edge.Set = demoted[e.Name], byHand.edge(e.Name)
		for _, s := range a.sources {
			if pid := a.router.PID(e, s.Name); pid != "" {
				if edge.PIDs == nil {
					edge.PIDs = make(map[string]string)
				}
				edge.PIDs[s.Name] = pid
			}
		}
		if load, ok := a.router.Load(e); ok {
			edge.Load = &load
		}
		if rate, capacity := a.router.Traffic(e); !math.IsInf(capacity, 1) {
			edge.Rate, edge.Capacity = &rate, &capacity
		}
		a.describeChecks(&edge, e.Name)
		body.Edges[e.Name] = edge
	}
	return body
}

// poolSet returns what is set of a pool by hand and works, nil where nothing is.
func (a *App) poolSet(name string) *poolSetting {
	set := byHand.pool(name)
	live, dead := set.pins(name, a.pinWorks)
	if len(dead) == 0 {
		return set
	}
	made := *set
	if made.Pins = live; made.isZero() {
		return nil
	}
	return &made
}

// pinWorks reports whether the pool has the edge of a pin, and its clients can be told.
func (a *App) pinWorks(pool string, p pinSetting) bool {
	pin, err := altoroute.ParsePin(p.Clients, p.Edge)
	return err == nil && (pin.Prefix.IsValid() || a.Geo != nil) &&
		slices.ContainsFunc(a.router.Edges(pool), func(e *altoroute.Edge) bool { return e.Name == p.Edge })
}

func (a *App) describeChecks(body *edgeBody, edge string) {
	target, ok := a.checks.targets[edge]
	if !ok {
		return
	}
	s, _ := a.checks.prober.Status(target)
	body.describe(&s)
}

// describe shows what checks say.
func (e *edgeBody) describe(s *health.Status) {
	e.IPv4, e.IPv6, e.Lookup = describeCheck(&s.IPv4), describeCheck(&s.IPv6), describeCheck(&s.Host)
	e.LookupError = s.LookupErr
}

func describeCheck(c *health.Check) *checkBody {
	if c.State == health.Absent {
		return nil
	}
	return &checkBody{
		State: c.State.String(), Since: moment(c.Since), Last: moment(c.Last), Seconds: c.Duration.Seconds(),
		Failures: c.Failures, Successes: c.Successes, Withheld: c.Withheld, Error: c.Err, ReportError: c.Report.Odd,
	}
}

// sourceStatus is the feed's status, but with the maps that the pools stand on:
// those of an earlier feed as long as a new server has not answered.
func (a *App) sourceStatus(s *attached) feed.Status {
	status := s.feed.Status()
	if status.Maps != nil {
		return status
	}
	if m := a.router.Maps(s.Name); m != nil {
		status.Maps, status.Since, status.LastContact = m, s.since, s.lastContact
		if status.Err == nil {
			status.Err = errNotAnswered
		}
		if status.SpoolErr == nil && s.Spool != "off" {
			status.SpoolErr = errNotSpooled
		}
	}
	return status
}

// oneLine returns what errors say, in one line; of none, nothing.
func oneLine(errs ...error) string {
	err := errors.Join(errs...)
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// describeSource shows a source.
func (a *App) describeSource(at *attached) sourceBody {
	s := a.sourceStatus(at)
	body := sourceBody{Kind: s.Kind, State: s.State(), Resources: []resourceBody{}}
	if s.Maps != nil {
		for _, err := range at.uncovered(s.Maps) {
			if len(body.NotCovered) < maxWarnings {
				body.NotCovered = append(body.NotCovered, err.Error())
			}
		}
		n := s.Maps.Network
		body.NetworkMap = &networkMapBody{VersionTag: n.Tag(), PIDs: n.PIDs(), Prefixes: n.Prefixes()}
		for i, c := range s.Maps.Costs {
			of := alto.CostType{Mode: c.Info().Mode, Metric: c.Info().Metric}
			body.CostMaps = append(body.CostMaps, costMapBody{
				CostInfo: c.Info(), Costs: c.Pairs(), Ranks: i == 0, Unit: of.Unit(), Unknown: !of.Known(),
			})
		}
	}
	for _, r := range s.Resources {
		body.Resources = append(body.Resources, resourceBody{
			ResourceID: r.ResourceID, Location: r.Name, MediaType: r.MediaType,
			Bytes: r.Bytes, Reads: r.Reads, ReadAt: moment(r.ReadAt), Seconds: r.Duration.Seconds(), HTTPStatus: r.HTTP,
		})
	}
	if !s.Since.IsZero() {
		age := time.Since(s.Since).Seconds()
		body.AgeSeconds = &age
	}
	body.LastContact, body.NextLook = moment(s.LastContact), moment(s.Next)
	body.FromSpool, body.Expired = s.Spooled, s.Expired
	body.LastError = oneLine(s.Err)
	body.Held = describeHeld(s.Held)
	if s.Aside != (altoroute.VersionTag{}) {
		body.SetAside = &s.Aside
	}
	if len(at.Servers) > 1 {
		body.Server = s.Origin
	}
	body.PassedOver, body.SpoolError = oneLine(s.PassedOver), oneLine(s.SpoolErr)
	body.Skipped, body.Offered = s.Skipped, s.Offered
	body.BeyondOnly = a.router.Beyond(at.Name)
	if in := a.router.Incoming(at.Name); in.Maps != nil {
		body.Incoming = &incomingBody{in.Maps.Network.Tag(), in.Share, moment(in.Ramp.Since), moment(in.Ramp.Since.Add(in.Ramp.Over))}
	}
	for _, v := range at.feed.Versions() {
		body.Versions = append(body.Versions, versionBody{v.Sequence, v.Tag, moment(v.InForce)})
	}
	return body
}

func describeHeld(h *feed.Held) *heldBody {
	if h == nil {
		return nil
	}
	n := h.Maps.Network
	body := &heldBody{
		VersionTag: n.Tag(), PIDs: n.PIDs(), Prefixes: n.Prefixes(), Since: moment(h.Since), Until: moment(h.Until),
		Reasons: h.Reasons, Sampled: h.Shift.Sampled, Moved: h.Shift.Moved,
	}
	for _, m := range h.Shift.Moves {
		body.Moves = append(body.Moves, moveBody{m.From, m.To, m.Count})
	}
	return body
}

func describeGeo(p *pooledGeo) *geoBody {
	s := p.Status()
	body := &geoBody{Cache: cacheBody{Entries: s.Cache.Size, Capacity: s.Cache.Capacity, Hits: s.Cache.Hits, Misses: s.Cache.Misses}}
	for _, f := range s.Files {
		body.Databases = append(body.Databases, databaseBody{
			File: f.Path, Type: f.Type, Built: f.BuildTime.UTC(), LoadedAt: f.LoadedAt.UTC(), LastError: oneLine(f.LastError),
		})
	}
	return body
}

// moment returns a time for JSON, nil for one that has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
