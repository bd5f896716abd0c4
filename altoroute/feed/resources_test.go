// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

func cacheControl(value string) http.Header { return http.Header{"Cache-Control": {value}} }

// What a server says of freshness counts, within bounds.
func TestFreshness(t *testing.T) {
	for _, test := range []struct {
		cacheControl string
		cfg          Config
		seconds      int // between looks
	}{
		{"", Config{}, 300},
		{"max-age=1200", Config{}, 1200},
		{"max-age=60", Config{}, 60},
		{"max-age=1", Config{}, 30},
		{"no-cache", Config{}, 30},
		{"max-age=31536000", Config{}, 3600},
		{"max-age=1", Config{Refresh: 10 * time.Second}, 10},
		{"max-age=1", Config{MinRefresh: 2 * time.Minute}, 120},
		{"max-age=36000", Config{MaxRefresh: 2 * time.Hour}, 7200},
		{"max-age=36000", Config{Refresh: 2 * time.Hour}, 7200},
	} {
		t.Run(fmt.Sprintf("%s %d", test.cacheControl, test.seconds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, _ := unwired(t, test.cfg)
				if test.cacheControl != "" {
					for _, path := range []string{altotest.DirectoryPath, netPath, costPath} {
						w.server.SetHeader(path, cacheControl(test.cacheControl))
					}
				}
				s.Start()
				synctest.Wait()
				w.gaps()
				passes(time.Duration(4.5 * float64(test.seconds) * float64(time.Second)))
				gaps := w.gaps()
				about(t, gaps, slices.Repeat([]int{test.seconds}, 4)...)
				if most := s.cfg.MaxRefresh; slices.Max(gaps) > most {
					t.Errorf("waited %v, want at most %v", slices.Max(gaps), most)
				}
				if got, want := w.server.Count(costPath), (altotest.Count{Requests: 6, NotModified: 5}); got != want {
					t.Errorf("asked %+v, want %+v", got, want)
				}
				s.Stop()
			})
		})
	}
}

// Each document is asked for in its own time, unless somebody wants to know, or they
// do not belong together.
func TestFreshnessOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{})
		w.server.SetHeader(altotest.DirectoryPath, cacheControl("max-age=3600"))
		w.server.SetHeader(netPath, cacheControl("max-age=3600"))
		w.server.SetHeader(costPath, cacheControl("max-age=60"))
		s.wants("1 num1", Fresh, "")
		s.Start()
		passes(30 * time.Minute)
		if n := w.server.Count(netPath).Requests; n != 2 {
			t.Errorf("the network map was asked for %d times", n)
		}
		if n := w.server.Count(costPath).Requests; n < 28 || n > 32 {
			t.Errorf("the cost map was asked for %d times", n)
		}
		s.Look()
		synctest.Wait()
		if n := w.server.Count(netPath).Requests; n != 3 {
			t.Errorf("the network map was asked for %d times after Look", n)
		}
		w.server.Publish(guidance("2", 2))
		passes(67 * time.Second)
		if got := version(s.Maps()); got != "2 num2" || s.Status().Err != nil {
			t.Errorf("in force is %s, error %v", got, s.Status().Err)
		}
		s.Stop()
	})
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct{ asked, least, most time.Duration }{
		{20 * time.Minute, 20 * time.Minute, 22 * time.Minute},
		{24 * time.Hour, time.Hour, 66 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, s, _ := unwired(t, Config{Refresh: time.Minute})
			w.server.Misbehave(costPath, altotest.RetryAfter(test.asked))
			s.Start()
			synctest.Wait()
			w.gaps()
			passes(10 * test.most)
			gaps := w.gaps()
			if len(gaps) < 9 || slices.Min(gaps) < test.least || slices.Max(gaps) > test.most {
				t.Errorf("waited %v, want %v", gaps, test.asked)
			}
			s.Stop()
		})
	}
}

// A nested directory that is needed has a wish too.
func TestRetryAfterOfANestedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{})
		w.server.Publish(nested("2", 2))
		w.server.Misbehave(nestedPath, altotest.RetryAfter(50*time.Second))
		s.Start()
		synctest.Wait()
		asked := w.server.Count(nestedPath).Requests
		passes(49 * time.Second)
		if got := w.server.Count(nestedPath).Requests; got != asked || asked == 0 {
			t.Errorf("asked %d times, and %d times within 50 seconds", asked, got-asked)
		}
		passes(7 * time.Second)
		if got := w.server.Count(nestedPath).Requests; got != asked+1 {
			t.Errorf("asked %d times after them", got-asked)
		}
		s.Stop()
	})
}

var nestedPath = altotest.NestedPath("nested")

// nested is guidance whose cost map is in a nested directory.
func nested(tag string, ab float64) altotest.Guidance {
	g := guidance(tag, ab)
	g.Directories = []altotest.Directory{{ID: "nested", Guidance: altotest.Guidance{CostMaps: g.CostMaps}}}
	g.CostMaps = nil
	return g
}

func TestNestedDirectories(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	w.server.Publish(nested("2", 2))
	s.wants("2 num2", Fresh, "")
	s.wants("2 num2", Fresh, "")
	wantReads(t, s, 2, 1, 2, 2) // the cost map was not the nested one's before
	if got, want := w.server.Count(nestedPath), (altotest.Count{Requests: 2, NotModified: 1}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
	for name, bad := range map[string]altotest.Behavior{
		"down": altotest.Status(http.StatusInternalServerError), "broken": altotest.Trailing("garbage"), "a map": altotest.Instead(netPath),
	} {
		w.server.Publish(nested("2", 2))
		s.wants("2 num2", Fresh, "")
		before := s.log.count("directory is not in order", nestedPath)
		w.server.Publish(nested("3", 3))
		w.server.Misbehave(nestedPath, bad)
		for range 2 { // its last listing is in force
			s.wants("3 num3", Fresh, "")
		}
		if got := s.log.count("WARN", "directory is not in order", nestedPath) - before; got != 1 {
			t.Errorf("%s: logged %d times", name, got)
		}
		w.server.Misbehave(nestedPath, nil)
	}
	s.wants("3 num3", Fresh, "")

	// Without a last listing there is none.
	w.server.Misbehave(nestedPath, altotest.Status(http.StatusNotFound))
	s = s.again("a")
	s.wants("none", None, "there is no cost map of routingcost")
	w.server.Misbehave(nestedPath, nil)
	s.wants("3 num3", Fresh, "")
}

var filteredPath = altotest.FilteredPath("some")

// filtered is guidance of twelve PIDs whose cost map is also there in parts.
func filtered(tag string, ab float64) altotest.Guidance {
	g := guidance(tag, ab)
	for i := range 7 {
		g.NetworkMaps[0].PIDs[fmt.Sprint("p", i)] = []string{fmt.Sprintf("10.0.%d.0/24", i)}
	}
	g.Filtered = []altotest.FilteredCostMap{{ID: "some", Maps: g.CostMaps}}
	return g
}

// sources returns the rows that a request asks for.
func sources(t *testing.T, r altotest.Request) []string {
	t.Helper()
	var filter struct {
		PIDs struct {
			Srcs, Dsts []string
		}
	}
	if err := json.Unmarshal(r.Body, &filter); err != nil || r.Method != http.MethodPost || len(filter.PIDs.Dsts) > 0 {
		t.Errorf("%s with %s: %v", r.Method, r.Body, err)
	}
	return filter.PIDs.Srcs
}

// A part is asked for where few rows are needed, all by GET where they are many.
func TestFilteredCostMaps(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	w.server.Publish(filtered("2", 2))
	whole := w.server.Count(costPath).Requests
	s.wants("2 num2", Fresh, "")
	s.wants("2 num2", Fresh, "")
	requests := w.server.Requests(filteredPath)
	if len(requests) != 2 || !slices.Equal(sources(t, requests[1]), []string{"a"}) || s.times() != 2 {
		t.Errorf("%d requests, told %d times", len(requests), s.times())
	}
	s.must(s.more("b"))
	s.wants("2 num2", Fresh, "")
	requests = w.server.Requests(filteredPath)
	if len(requests) != 3 || !slices.Equal(sources(t, requests[2]), []string{"a", "b"}) || !s.Maps().Costs[0].Keeps([]string{"a", "b"}) {
		t.Errorf("%d requests, told %d times", len(requests), s.times())
	}
	if cost, ok := s.Maps().Costs[0].Cost("b", "c"); !ok || cost != 3 {
		t.Errorf("the cost from b to c is %v, %v", cost, ok)
	}
	if n := w.server.Count(costPath).Requests; n != whole {
		t.Error("all costs were fetched")
	}
	s.must(s.more("c")) // a quarter
	s.wants("2 num2", Fresh, "")
	s.wants("2 num2", Fresh, "")
	if got := w.server.Count(costPath); got.Requests != whole+2 || w.server.Count(filteredPath).Requests != 3 || got.NotModified != 1 {
		t.Errorf("asked %+v for all costs", got)
	}

	// Where there are parts only, any number of rows is asked for.
	parts := filtered("3", 3)
	parts.CostMaps = nil
	w.server.Publish(parts)
	s.wants("3 num3", Fresh, "")
	requests = w.server.Requests(filteredPath)
	if got := sources(t, requests[len(requests)-1]); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("asked for %v", got)
	}
}

// A whole cost map stands in for a filtered one that is broken, for a while.
func TestFilterIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{})
		w.server.Publish(filtered("2", 2))
		w.server.Misbehave(filteredPath, altotest.Status(http.StatusInternalServerError))
		s.wants("2 num2", Fresh, "")
		asked := w.server.Count(filteredPath).Requests
		passes(avoidFilter - time.Minute)
		s.wants("2 num2", Fresh, "")
		if got := w.server.Count(filteredPath).Requests; got != asked || asked != 1 {
			t.Errorf("the filtered one was asked %d times, then %d times", asked, got-asked)
		}
		w.server.Misbehave(filteredPath, nil)
		passes(2 * time.Minute)
		s.wants("2 num2", Fresh, "")
		if got := w.server.Count(filteredPath).Requests; got != asked+1 {
			t.Errorf("the filtered one was asked %d times after an hour", got-asked)
		}
	})
}

// A filtered cost map may be at the URL of the directory: the media types tell (RFC 7285
// §9.2.2).
func TestFilterAtTheDirectory(t *testing.T) {
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, t.TempDir())})
	g := filtered("2", 2)
	g.Filtered[0].Path = altotest.DirectoryPath
	w.server.Publish(g)
	s.wants("2 num2", Fresh, "")
	g.Filtered, g.CostMaps = nil, nil
	w.server.Publish(g)
	s.wants("2 num2", Stale, "there is no cost map")
	w.set(true)
	s = s.again("a")
	s.wants("2 num2", Stale, "no route to host")
}

// Where the whole cost map is no better, the filtered one is not left alone, and a server
// that wants to be left alone is.
func TestFilterIsBrokenAndSoIsAll(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	w.server.Publish(filtered("2", 2))
	w.server.Misbehave(costPath, altotest.StringCosts())
	w.server.Misbehave(filteredPath, altotest.Status(http.StatusInternalServerError))
	s.wants("1 num1", Stale, costPath)
	w.server.Misbehave(filteredPath, nil)
	s.wants("2 num2", Fresh, "")
	w.server.Publish(filtered("3", 3))
	w.server.Misbehave(filteredPath, altotest.RetryAfter(time.Hour))
	asked := w.server.Count(costPath).Requests
	s.wants("2 num2", Stale, "503")
	if got := w.server.Count(costPath).Requests; got != asked {
		t.Error("a server that wants to be left alone is asked for the whole cost map")
	}
}

// A whole cost map stands in also for a filtered one of another version for good, and for
// one whose service is down or hangs.
func TestFilterIsOfNoUse(t *testing.T) {
	for name, bad := range map[string]altotest.Behavior{
		"other version": altotest.Of(filtered("9", 9)),
		"down":          altotest.Status(http.StatusServiceUnavailable),
		"bad gateway":   altotest.Status(http.StatusBadGateway),
		"hangs":         altotest.Delay(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, _ := unwired(t, Config{})
				w.server.Publish(filtered("2", 2))
				w.server.Misbehave(filteredPath, bad)
				s.wants("2 num2", Fresh, "")
				asked := w.server.Count(filteredPath).Requests
				s.wants("2 num2", Fresh, "")
				if got := w.server.Count(filteredPath).Requests; got != asked || asked > 2 {
					t.Errorf("the filtered one was asked %d times, then %d times", asked, got-asked)
				}
			})
		})
	}
}

// A metric with its default operator is the one without (RFC 9439 §3.2), and it is asked
// for as it is offered.
func TestMetricsWithTheDefaultOperator(t *testing.T) {
	for _, test := range []struct{ wanted, offered string }{
		{"tput", "tput:median"}, {"tput:median", "tput"}, {"bw-residual", "bw-residual:cur"}, {"bw-residual:cur", "bw-residual"},
	} {
		offer := alto.CostType{Mode: "numerical", Metric: test.offered}
		g := filtered("1", 1)
		g.CostMaps[0].Type = offer
		for name, of := range map[string]altotest.Guidance{"whole": {}, "filtered": g} {
			server := altotest.Start(t)
			of.Default, of.NetworkMaps, of.CostMaps = g.Default, g.NetworkMaps, g.CostMaps
			if name == "filtered" {
				of.CostMaps = nil
			}
			server.Publish(of)
			s := follow(t, server, Config{Cost: altoroute.CostInfo{Metric: test.wanted}})
			s.wants("1 num1", Fresh, "")
			if m := s.Maps(); m == nil || m.Costs[0].Info().Metric != test.offered {
				t.Errorf("%s, %s of %s: %v", name, test.wanted, test.offered, version(m))
			}
		}
		d := newFolder(t)
		d.put("net", networkDocument("1"))
		d.put("other", costDocument("1", 2, numerical))
		d.put("cost", costDocument("1", 1, offer))
		s := watch(t, Config{Files: []string{d.file("net"), d.file("other"), d.file("cost")}, Cost: altoroute.CostInfo{Metric: test.wanted}}, "a")
		if got := s.Maps().Costs[0].Info().Metric; got != test.offered {
			t.Errorf("%s of %s: the files rank by %s", test.wanted, test.offered, got)
		}
	}
}

// A network map of a server that leaves addresses without a PID is told of, once.
func TestNetworkMapCoversAll(t *testing.T) {
	for what, all := range map[string][]string{"0.0.0.0/0 and ::/0": nil, "::/0": {"0.0.0.0/0"}, "0.0.0.0/0": {"::/0"}, "": {"::/0", "0.0.0.0/0"}} {
		w, s, _ := unwired(t, Config{})
		s.log.lines = nil
		s = s.again("a")
		for _, tag := range []string{"2", "3"} {
			g := guidance(tag, 2)
			g.NetworkMaps[0].PIDs["addressless"] = all
			w.server.Publish(g)
			s.wants(tag+" num2", Fresh, "")
		}
		want := 1
		if what == "" {
			want = 0
		}
		if got := s.log.count("oddities", "no PID has"); got != want || want == 1 && s.log.count("INFO", "no PID has "+what+":") != 1 {
			t.Errorf("%q: said %q", what, s.log.lines)
		}
	}
	_, s := twoFiles(t, "a")
	if s.log.count("oddities") != 0 {
		t.Errorf("said %q", s.log.lines)
	}
}

// What is refused for its version has the reason in the line of its fetch.
func TestVersionMismatchIsLogged(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	w.server.Misbehave(costPath, altotest.OtherVersion("9"))
	s.wants("1 num1", Stale, "net@9")
	if s.log.count("document not taken", costPath, "reason=version_mismatch", "net@9") == 0 {
		t.Errorf("said %q", s.log.lines)
	}
}
