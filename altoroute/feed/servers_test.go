// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// TestFailover: another server is used while the first one fails, and not only for a
// moment.
func TestFailover(t *testing.T) {
	first, second := altotest.Start(t), altotest.Start(t)
	first.Publish(guidance("1", 1))
	second.Publish(guidance("1", 1))
	s := follow(t, first, Config{})
	s.origins = append(s.origins, newServerOrigin(&s.cfg, second.Directory()))
	s.wants("1 num1", Fresh, "")
	before := s.Maps()
	first.Stop()
	s.wants("1 num1", Fresh, "")
	if s.Maps() != before || s.Status().Updates != 1 || s.Status().Origin != second.Directory().String() {
		t.Errorf("the same maps of another server are news; in use is %s", s.Status().Origin)
	}
	second.Publish(guidance("2", 2))
	s.wants("2 num2", Fresh, "")
	first.Resume()
	first.Publish(guidance("3", 3))
	s.wants("2 num2", Fresh, "") // it stays with it for a while
	s.tryAt = time.Now()
	s.wants("3 num3", Fresh, "")
	if s.Status().Origin != first.Directory().String() {
		t.Error("it does not come back")
	}
	first.Stop()
	second.Stop()
	s.wants("3 num3", Stale, second.Directory().String())
	if err := s.Status().Err; !strings.Contains(err.Error(), first.Directory().String()) {
		t.Errorf("%v names one of two", err)
	}
	if n := s.log.count("another server of the source is used"); n != 2 {
		t.Errorf("told %d times", n)
	}
}

// TestFreshness: what a server says of it counts within bounds.
func TestFreshness(t *testing.T) {
	server, s := serve(t)
	for _, path := range []string{altotest.DirectoryPath, netPath} {
		server.SetHeader(path, http.Header{"Cache-Control": {"max-age=86400"}})
	}
	server.SetHeader(costPath, http.Header{"Cache-Control": {"max-age=120"}})
	for range 3 {
		s.wants("1 num1", Fresh, "")
	}
	for _, path := range []string{altotest.DirectoryPath, netPath, costPath} {
		if n := server.Count(path).Requests; n != 1 {
			t.Errorf("%s was asked for %d times", path, n)
		}
	}
	if wait := s.until(time.Now(), nil); wait < 110*time.Second || wait > 140*time.Second {
		t.Errorf("the next look is in %s, and a document is fresh for 2 minutes", wait)
	}
	s.Look()
	s.wants("1 num1", Fresh, "")
	if n := server.Count(netPath); n.Requests != 2 || n.NotModified != 1 {
		t.Errorf("looked at by hand: %+v", n)
	}
	server.SetHeader(costPath, http.Header{"Cache-Control": {"no-store"}})
	s.Look()
	s.wants("1 num1", Fresh, "")
	if wait := s.until(time.Now(), nil); wait < DefaultMinRefresh || wait > 2*DefaultMinRefresh {
		t.Errorf("the next look is in %s, and nothing is ever fresh", wait)
	}
	server.SetHeader(costPath, http.Header{"Cache-Control": {"max-age=86400"}})
	s.Look()
	s.wants("1 num1", Fresh, "")
	if wait := s.until(time.Now(), nil); wait < 50*time.Minute || wait > 70*time.Minute {
		t.Errorf("the next look is in %s, and all is fresh for a day", wait)
	}
	// A new version of the network map has the fresh cost map asked for.
	server.Publish(guidance("2", 2))
	s.Look()
	s.wants("2 num2", Fresh, "")
}

// TestRetryAfter: a server that asks for time gets it.
func TestRetryAfter(t *testing.T) {
	server, s := serve(t)
	server.Misbehave(altotest.DirectoryPath, altotest.RetryAfter(20*time.Minute))
	s.wants("none", None, "503")
	if wait := s.until(time.Now(), s.Status().Err); wait < 17*time.Minute || wait > 23*time.Minute {
		t.Errorf("the next look is in %s, and the server asks for 20 minutes", wait)
	}
}

// nested is guidance whose cost map is in a directory of its own.
func nested(tag string, ab float64) altotest.Guidance {
	g := guidance(tag, ab)
	below := altotest.Guidance{CostMaps: g.CostMaps}
	g.CostMaps = nil
	g.Directories = []altotest.Directory{{ID: "below", Guidance: below}}
	return g
}

func TestNestedDirectories(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(nested("1", 1))
	s := follow(t, server, Config{})
	s.wants("1 num1", Fresh, "")
	// What it listed stays, while it cannot be read.
	server.Misbehave(altotest.NestedPath("below"), altotest.HTML())
	server.Publish(nested("2", 2))
	s.wants("2 num2", Fresh, "")
	if n := s.log.count("directory is not in order", altotest.NestedPath("below")); n != 1 {
		t.Errorf("told %d times", n)
	}
	fresh := follow(t, server, Config{})
	fresh.wants("none", None, "there is no cost map of routingcost")
	server.Misbehave(altotest.NestedPath("below"), nil)
	fresh.wants("2 num2", Fresh, "")
}

// TestFilteredCostMap: few rows are asked for by name, many with all others.
func TestFilteredCostMap(t *testing.T) {
	g := guidance("1", 1)
	for i := range 20 {
		g.NetworkMaps[0].PIDs[fmt.Sprint("more", i)] = nil
	}
	g.Filtered = []altotest.FilteredCostMap{{ID: "some", Maps: g.CostMaps}}
	server := altotest.Start(t)
	server.Publish(g)
	s := follow(t, server, Config{})
	s.wants("1 num1", Fresh, "")
	path := altotest.FilteredPath("some")
	asked := func() []string {
		t.Helper()
		requests := server.Requests(path)
		if len(requests) == 0 {
			t.Fatal("it was not asked")
		}
		last := requests[len(requests)-1]
		var body struct {
			CostType struct {
				Mode   string `json:"cost-mode"`
				Metric string `json:"cost-metric"`
			} `json:"cost-type"`
			PIDs struct{ Srcs, Dsts []string }
		}
		if err := json.Unmarshal(last.Body, &body); err != nil {
			t.Fatalf("%v in %s", err, last.Body)
		}
		if last.Method != http.MethodPost || body.CostType.Mode != "numerical" || body.CostType.Metric != "routingcost" || len(body.PIDs.Dsts) != 0 {
			t.Errorf("%s %s", last.Method, last.Body)
		}
		return body.PIDs.Srcs
	}
	if got := asked(); !slices.Equal(got, []string{"a"}) || server.Count(costPath).Requests != 0 {
		t.Errorf("asked for %v, and %d times for all", got, server.Count(costPath).Requests)
	}
	if err := s.more("b"); err != nil {
		t.Fatal(err)
	}
	s.wants("1 num1", Fresh, "")
	if got := asked(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("asked for %v", got)
	}
	rows := []string{"c"}
	for i := range 20 {
		rows = append(rows, fmt.Sprint("more", i))
	}
	if err := s.more(rows...); err != nil {
		t.Fatal(err)
	}
	before := server.Count(path).Requests
	s.wants("1 num1", Fresh, "")
	if server.Count(costPath).Requests != 1 || server.Count(path).Requests != before {
		t.Error("most of the rows are not fetched with all others")
	}
	// Without a whole one there is no choice.
	g.CostMaps = nil
	server.Publish(g)
	s.wants("1 num1", Fresh, "")
	if got := asked(); len(got) != len(rows)+2 {
		t.Errorf("asked for %d rows", len(got))
	}
}

// TestExpire: what is too old is not used, and used again when the source is back.
func TestExpire(t *testing.T) {
	server := altotest.Start(t)
	server.Publish(guidance("1", 1))
	s := follow(t, server, Config{Expire: time.Hour})
	s.wants("1 num1", Fresh, "")
	before := s.Maps()
	server.Stop()
	s.wants("1 num1", Stale, "refused")
	s.pass(time.Now().Add(59 * time.Minute))
	s.publish()
	if s.Maps() != before {
		t.Error("too early")
	}
	s.pass(time.Now().Add(61 * time.Minute))
	s.publish()
	if is := s.Status(); is.Maps != nil || !is.Expired || is.State() != None || s.told[len(s.told)-1] != nil {
		t.Errorf("%+v", is)
	}
	server.Resume()
	s.wants("1 num1", Fresh, "")
	if s.Maps() != before || s.told[len(s.told)-1] != before {
		t.Error("the maps do not come back")
	}
}

// TestCredentialsGoToTheServerAlone, whatever its directory names.
func TestCredentialsGoToTheServerAlone(t *testing.T) {
	server, other := altotest.Start(t), altotest.Start(t)
	g := guidance("1", 1)
	other.Publish(g)
	g.NetworkMaps[0].Path = other.URL + netPath
	server.Publish(g)
	server.Authenticate("", altotest.Bearer{Token: "s3cret"})
	cfg := Config{}
	cfg.Client.Credentials = &alto.Credentials{Scheme: alto.AuthBearer, Token: "s3cret", For: []*url.URL{server.Directory()}}
	s := follow(t, server, cfg)
	s.wants("1 num1", Fresh, "")
	for _, r := range other.Requests(netPath) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to another host")
		}
	}
	if len(other.Requests(netPath)) == 0 {
		t.Error("the other host was not asked")
	}
	wrong := Config{}
	wrong.Client.Credentials = &alto.Credentials{Scheme: alto.AuthBearer, Token: "wr0ng", For: []*url.URL{server.Directory()}}
	f := follow(t, server, wrong)
	f.wants("none", None, "401")
	if f.log.count("wr0ng")+f.log.count("s3cret") > 0 {
		t.Error("a token is in the log")
	}
}
