// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

var (
	netPath  = altotest.NetworkMapPath("net")
	costPath = altotest.CostMapPath("cost")
)

// guidance is a network map and its numerical cost map.
func guidance(tag string, ab float64) altotest.Guidance {
	return altotest.Guidance{
		Default:     "net",
		NetworkMaps: []altotest.NetworkMap{network(tag)},
		CostMaps:    []altotest.CostMap{costs(tag, ab, numerical)},
	}
}

// serve returns a server with guidance of version 1, cost 1, and a feed of it
// that is not started: tests look when they want to.
func serve(t testing.TB) (*altotest.Server, *subject) {
	t.Helper()
	server := altotest.Start(t)
	server.Publish(guidance("1", 1))
	return server, follow(t, server, Config{})
}

// follow returns a feed of the server that is not started.
func follow(t testing.TB, server *altotest.Server, cfg Config) *subject {
	t.Helper()
	transport := alto.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	cfg.Servers = []*url.URL{server.Directory()}
	cfg.Client.HTTP = &http.Client{Transport: transport}
	return watch(t, cfg, "a")
}

func TestServerIsPolledConditionally(t *testing.T) {
	server, s := serve(t)
	if s.Maps() != nil || len(server.Counts()) > 0 {
		t.Fatal("network I/O before Start")
	}
	s.wants("1 num1", Fresh, "")
	before := s.Maps()
	for range 3 {
		s.wants("1 num1", Fresh, "")
	}
	for _, path := range []string{altotest.DirectoryPath, netPath, costPath} {
		if got, want := server.Count(path), (altotest.Count{Requests: 4, NotModified: 3}); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	wantReads(t, s, 1, 1, 1)
	if s.Maps() != before || s.times() != 1 {
		t.Error("304 led to a new set")
	}

	server.Publish(guidance("1", 2))
	s.wants("1 num2", Fresh, "")
	wantReads(t, s, 1, 1, 2)
	server.Publish(guidance("2", 3))
	s.wants("2 num3", Fresh, "")
	wantReads(t, s, 1, 2, 3)
	if s.Maps() == before || s.Status().Updates != 3 {
		t.Errorf("%d updates", s.Status().Updates)
	}
	r := s.Status().Resources
	if r[1].ResourceID != "net" || r[2].ResourceID != "cost" || r[2].Name != server.URL+costPath || r[2].MediaType != alto.MediaTypeCostMap {
		t.Errorf("resources %+v", r)
	}
}

// A server without validators is read each time, which is no news by itself.
func TestServerWithoutValidators(t *testing.T) {
	server, s := serve(t)
	for _, path := range []string{altotest.DirectoryPath, netPath, costPath} {
		server.Misbehave(path, altotest.WithoutValidators())
	}
	s.wants("1 num1", Fresh, "")
	before := s.Maps()
	s.wants("1 num1", Fresh, "")
	wantReads(t, s, 2, 2, 2)
	if s.Maps() != before || s.Status().Updates != 1 {
		t.Error("the same content led to a new set")
	}
}

func TestServerResourcesArePicked(t *testing.T) {
	both := guidance("1", 1)
	ord, hops := costs("1", 2, ordinal), costs("1", 3, alto.CostType{Mode: "numerical", Metric: "hopcount"})
	ord.ID, hops.ID = "ord", "hops"
	both.CostMaps = append(both.CostMaps, ord, hops)
	other := network("7")
	other.ID = "other"
	otherCosts := costs("7", 7, numerical)
	otherCosts.ID, otherCosts.DependsOn = "acost", other.Version()
	both.NetworkMaps, both.CostMaps = append(both.NetworkMaps, other), append(both.CostMaps, otherCosts)

	onlyOrdinal := guidance("1", 1)
	onlyOrdinal.CostMaps = []altotest.CostMap{ord}
	noDefault := both
	noDefault.Default = ""
	noCosts := guidance("1", 1)
	noCosts.CostMaps = nil
	dangling := both
	dangling.Default = "gone"

	for name, test := range map[string]struct {
		guidance altotest.Guidance
		cfg      Config
		set      string
		err      string
	}{
		"default":              {both, Config{}, "1 num1", ""},
		"ordinal only":         {onlyOrdinal, Config{}, "1 ord2", ""},
		"ordinal by name":      {both, Config{Cost: altoroute.CostInfo{Mode: "ordinal"}}, "1 ord2", ""},
		"metric by name":       {both, Config{Cost: altoroute.CostInfo{Metric: "hopcount"}}, "1 num3", ""},
		"network map by name":  {both, Config{NetworkMap: "other"}, "7 num7", ""},
		"name without default": {noDefault, Config{NetworkMap: "net"}, "1 num1", ""},
		"no default":           {noDefault, Config{}, "none", "meta/default-alto-network-map is missing"},
		"dangling default":     {dangling, Config{}, "none", `there is no network map "gone"; the directory has net, other`},
		"no such network map":  {both, Config{NetworkMap: "nat"}, "none", `there is no network map "nat"; the directory has net, other`},
		"a cost map for it":    {both, Config{NetworkMap: "cost"}, "none", `there is no network map "cost"`},
		"no such metric":       {both, Config{Cost: altoroute.CostInfo{Metric: "delay-ow"}}, "none", "there is no cost map of delay-ow (numerical or ordinal)"},
		"not in this mode":     {onlyOrdinal, Config{Cost: altoroute.CostInfo{Mode: "numerical"}}, "none", "there is no cost map of routingcost (numerical)"},
		"no cost map":          {noCosts, Config{}, "none", "the directory has none"},
	} {
		t.Run(name, func(t *testing.T) {
			server := altotest.Start(t)
			server.Publish(test.guidance)
			s := follow(t, server, test.cfg)
			state := Fresh
			if test.err != "" {
				state = None
			}
			s.wants(test.set, state, test.err)
			if err := s.Status().Err; err != nil && !strings.HasPrefix(err.Error(), server.URL+altotest.DirectoryPath+": ") {
				t.Errorf("error %q does not name the directory", err)
			}
		})
	}
}

// Relative URIs are of the place where the directory is in the end.
func TestServerRedirectsItsDirectory(t *testing.T) {
	server, s := serve(t)
	start := altotest.Start(t)
	start.Misbehave("/here/it/is", altotest.Redirect(http.StatusMovedPermanently, server.Directory().String()))
	s.cfg.Servers[0].Host = strings.TrimPrefix(start.URL, "http://")
	s.cfg.Servers[0].Path = "/here/it/is"
	for range 2 {
		s.wants("1 num1", Fresh, "")
	}
	if got, want := start.Counts(), map[string]altotest.Count{"/here/it/is": {Requests: 2}}; !maps.Equal(got, want) {
		t.Errorf("the first server was asked %+v", got)
	}
	if server.Count(netPath).NotModified != 1 {
		t.Error("the network map was not asked for conditionally")
	}
}

// A secret in the directory's URL is used and never shown, be it the name or
// the password.
func TestServerCredentialsAreNotShown(t *testing.T) {
	server := altotest.Start(t)
	s := follow(t, server, Config{})
	u := *server.Directory()
	u.User = url.User("s3cret")
	f, err := New(Config{Servers: []*url.URL{&u}, Client: s.cfg.Client})
	if err != nil {
		t.Fatal(err)
	}
	err = turn(t.Context(), f)
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(f.Status().Resources[0].Name, "s3cret") {
		t.Errorf("error %v, resources %+v", err, f.Status().Resources)
	}
	if n := strings.Count(err.Error(), server.URL); n != 1 {
		t.Errorf("error %q names the URL %d times", err, n)
	}
}

// Where the two maps change between our two requests, the network map is asked
// for once more, in the same look.
func TestServerChangesBetweenRequests(t *testing.T) {
	server, s := serve(t)
	s.wants("1 num1", Fresh, "")
	server.Publish(guidance("2", 2))
	server.Misbehave(netPath, altotest.Times(1, altotest.Of(guidance("1", 1))))
	s.wants("2 num2", Fresh, "")
	if n := server.Count(netPath).Requests; n != 3 {
		t.Errorf("the network map was asked for %d times, want 1 and then 2", n)
	}
	if s.times() != 2 || s.Status().Refusals[Mismatch] != 0 {
		t.Errorf("told of %d sets, refusals %v", s.times(), s.Status().Refusals)
	}
}

// A cost map that lags behind leaves the old set in force.
func TestServerCostMapOfAnotherVersion(t *testing.T) {
	server, s := serve(t)
	s.wants("1 num1", Fresh, "")
	before := s.Maps()
	server.Publish(guidance("2", 2))
	server.Misbehave(costPath, altotest.Of(guidance("1", 1)))
	asked := server.Count(netPath).Requests
	s.wants("1 num1", Stale, server.URL+costPath+": the cost map depends on network map net@1, but the network map is net@2")
	if n := server.Count(netPath).Requests - asked; n != 2 {
		t.Errorf("the network map was asked for %d times in one look, want 2", n)
	}
	s.wants("1 num1", Stale, "net@2")
	if s.Maps() != before {
		t.Error("the old set is gone")
	}
	server.Misbehave(costPath, nil)
	s.wants("2 num2", Fresh, "")
}

// The directory may move a resource or promise other costs while it runs.
func TestServerDirectoryChanges(t *testing.T) {
	server, s := serve(t)
	s.wants("1 num1", Fresh, "")
	g := guidance("2", 2)
	g.NetworkMaps[0].ID, g.Default = "moved", "moved"
	g.CostMaps[0].DependsOn.ResourceID = "moved"
	server.Publish(g)
	s.wants("2 num2", Fresh, "")
	if got := s.Maps().Network.Tag().ResourceID; got != "moved" {
		t.Errorf("network map %q is in force", got)
	}
	// The promise changes, the document does not: a 304 must not hide it.
	g.CostMaps[0].Type = ordinal
	server.Publish(g)
	g.CostMaps[0].Type = numerical
	server.Misbehave(costPath, altotest.Of(g))
	s.wants("2 num2", Stale, "the costs are routingcost (numerical), the directory promised routingcost (ordinal)")
	server.Misbehave(costPath, nil)
	s.wants("2 ord2", Fresh, "")
}

// New rows are fetched at once, whatever the interval.
func TestServerNewRowsAreFetchedAtOnce(t *testing.T) {
	_, s := serve(t)
	s.cfg.Refresh = time.Hour
	s.Start()
	eventually(t, "the first set", func() bool { return s.Maps() != nil })
	before := s.Maps()
	if err := s.more("b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new row", func() bool { return s.Maps().Costs[0].Keeps([]string{"a", "b"}) })
	if s.Maps().Network != before.Network {
		t.Error("the network map was read again")
	}
	wantReads(t, s, 1, 1, 2)
}

// A watcher that comes while the maps are being fetched gets its rows too.
func TestServerRowsThatComeDuringAFetch(t *testing.T) {
	server, s := serve(t)
	s.cfg.Refresh = time.Hour
	release := make(chan struct{})
	server.Misbehave(costPath, altotest.Times(1, altotest.Stall(release)))
	s.Start()
	eventually(t, "the fetch of the cost map", func() bool { return server.Count(costPath).Requests == 1 })
	if err := s.more("b"); err != nil {
		t.Fatal(err)
	}
	close(release)
	eventually(t, "both rows", func() bool { m := s.Maps(); return m != nil && m.Costs[0].Keeps([]string{"a", "b"}) })
}
