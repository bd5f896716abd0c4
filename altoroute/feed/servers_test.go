// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// wires are a network of several servers, by host.
type wires map[string]*wire

func (w wires) RoundTrip(r *http.Request) (*http.Response, error) {
	if to := w[r.URL.Host]; to != nil {
		return to.RoundTrip(r)
	}
	return nil, errors.New("no such host")
}

// two returns two servers without a network, and a feed of both.
func two(t *testing.T, cfg Config) (first, second *wire, s *subject) {
	t.Helper()
	first, second = &wire{server: altotest.New()}, &wire{server: altotest.New()}
	first.server.Publish(guidance("1", 1))
	second.server.Publish(guidance("1", 1))
	cfg.Servers = []*url.URL{mustURL("http://first.example/directory"), mustURL("http://second.example/directory")}
	cfg.Client.HTTP = &http.Client{Transport: wires{"first.example": first, "second.example": second}}
	return first, second, watch(t, cfg, "a")
}

func (s *subject) wantsOrigin(host string) {
	s.t.Helper()
	if got := s.Status().Origin; got != "http://"+host+"/directory" {
		s.t.Errorf("in use is %s, want %s", got, host)
	}
}

func (w *wire) requests() (n int) {
	for _, count := range w.server.Counts() {
		n += count.Requests
	}
	return n
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, s := two(t, Config{})
		s.wants("1 num1", Fresh, "")
		s.wantsOrigin("first.example")
		if n := second.requests(); n != 0 {
			t.Errorf("the second server was asked %d times", n)
		}
		before := s.Maps()
		first.set(true)
		s.wants("1 num1", Fresh, "")
		s.wantsOrigin("second.example")
		if s.Maps() != before || s.times() != 1 || s.log.count("WARN", "another server of the source is used", "second.example") != 1 {
			t.Errorf("told %d times of the same maps", s.times())
		}

		// It is not left at once again.
		first.set(false)
		asked := first.requests()
		passes(returnAfter - time.Second)
		s.wants("1 num1", Fresh, "")
		s.wantsOrigin("second.example")
		if first.requests() != asked {
			t.Error("the first server was asked before the time")
		}
		passes(time.Second)
		s.wants("1 num1", Fresh, "")
		s.wantsOrigin("first.example")
		if s.Maps() != before || s.times() != 1 {
			t.Errorf("told %d times of the same maps", s.times())
		}

		first.set(true)
		second.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		passes(returnAfter) // the first one is tried, in vain
		s.wants("2 num2", Fresh, "")
		s.wantsOrigin("second.example")

		second.set(true)
		s.wants("2 num2", Stale, "http://first.example/directory")
		s.wants("2 num2", Stale, "http://second.example/directory")
		if status := s.Status(); status.Refusals[Unavailable] != 3 || s.log.count("WARN", "maps refused", "first.example", "second.example") != 1 {
			t.Errorf("counted %v, logged %d times", status.Refusals, s.log.count("refused"))
		}
		// The first to be back is used.
		first.set(false)
		first.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		s.wantsOrigin("first.example")
	})
}

// What a server has is as good as not there if it cannot be used.
func TestFailoverFromABadServer(t *testing.T) {
	first, second, s := two(t, Config{})
	for _, w := range []*wire{first, second} {
		w.server.Publish(guidance("2", 2))
	}
	first.server.Misbehave(costPath, altotest.StringCosts())
	s.wants("2 num2", Fresh, "")
	s.wantsOrigin("second.example")
}

func TestServersAtTheNetwork(t *testing.T) {
	first, second := altotest.Start(t), altotest.Start(t)
	first.Publish(guidance("1", 1))
	second.Publish(guidance("1", 1))
	s := follow(t, first, Config{})
	cfg := s.cfg
	cfg.Servers = append(cfg.Servers, second.Directory())
	s = watch(t, cfg, "a")
	s.wants("1 num1", Fresh, "")
	first.Stop()
	s.wants("1 num1", Fresh, "")
	if got := s.Status().Origin; got != second.Directory().String() {
		t.Errorf("in use is %s", got)
	}
	second.Stop()
	s.wants("1 num1", Stale, first.URL)
	s.wants("1 num1", Stale, second.URL)
	first.Resume()
	s.wants("1 num1", Fresh, "")
	if got := s.Status().Origin; got != first.Directory().String() || s.times() != 1 {
		t.Errorf("in use is %s", got)
	}
}

// Where another server stands in, that is a contact too, and the spool knows.
func TestLastContactWithAStandIn(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, second, s := two(t, Config{Spool: spoolIn(t, folder)})
		s.wants("1 num1", Fresh, "")
		first.set(true)
		for range 5 {
			passes(time.Hour)
			s.wants("1 num1", Fresh, "")
		}
		contact := time.Now()
		second.set(true)
		passes(time.Hour)
		s = s.again("a")
		if got := s.Status().LastContact; !got.Equal(contact) {
			t.Errorf("last contact %v, want %v", got, contact)
		}
		second.set(false)
		s.wants("1 num1", Fresh, "")
		if s.times() != 1 {
			t.Errorf("told %d times", s.times())
		}
	})
}

func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, h := unwired(t, Config{Refresh: time.Minute, Expire: 10 * time.Minute})
		s.Start()
		synctest.Wait()
		w.set(true)
		passes(5 * time.Minute)
		contact := s.Status().LastContact
		passes(time.Until(contact.Add(10*time.Minute - time.Second)))
		if got := h.kinds(); version(s.Maps()) != "1 num1" || got != "stale 1" {
			t.Errorf("in force is %s, events %s", version(s.Maps()), got)
		}
		passes(time.Second)
		if status := s.Status(); status.Maps != nil || !status.Expired || status.State() != None || h.kinds() != "stale 1" || s.times() != 2 || s.told[1] != nil {
			t.Errorf("in force is %s, told %d times", version(status.Maps), s.times())
		}
		passes(time.Hour)
		if s.times() != 2 || s.log.count("ERROR", "too old") != 1 {
			t.Errorf("told %d times", s.times())
		}
		w.set(false)
		passes(67 * time.Second)
		if status := s.Status(); status.State() != Fresh || s.times() != 3 || version(s.told[2]) != "1 num1" || status.Updates != 1 {
			t.Errorf("state %s, told %d times", status.State(), s.times())
		}
		// Nothing expires that is in contact.
		passes(time.Hour)
		if s.times() != 3 || strings.Contains(h.kinds(), "stale") {
			t.Errorf("told %d times", s.times())
		}
		s.Stop()
	})
}

// One server's wish to be left alone counts for it alone, and counts.
func TestRetryAfterOfOneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, s := two(t, Config{})
		s.wants("1 num1", Fresh, "")
		first.server.Misbehave("", altotest.RetryAfter(time.Hour))
		s.Start()
		synctest.Wait()
		s.wantsOrigin("second.example")
		refused := time.Now()
		asked := first.requests()
		second.set(true)
		passes(10 * time.Minute)
		if status := s.Status(); status.State() != Stale {
			t.Errorf("the source is %s", status.State())
		}
		second.set(false)
		passes(6 * time.Minute) // not an hour
		if status := s.Status(); status.State() != Fresh || status.Origin != "http://second.example/directory" {
			t.Errorf("the source is %s, in use is %s: %v", status.State(), status.Origin, status.Err)
		}
		passes(time.Until(refused.Add(50 * time.Minute)))
		if got := first.requests(); got != asked {
			t.Errorf("the first server was asked %d times within the hour", got-asked)
		}
		first.server.Misbehave("", nil)
		passes(40 * time.Minute)
		s.wantsOrigin("first.example")
		s.Stop()
	})
}

// What happens by time alone asks nobody.
func TestTimeAloneAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{Refresh: time.Minute, Guard: Guard{Hold: 2 * time.Minute, Ramp: time.Minute}})
		s.Start()
		synctest.Wait()
		w.server.Publish(few("2", 2))
		passes(90 * time.Second)
		if s.Status().Held == nil {
			t.Fatal("nothing is held")
		}
		w.server.Misbehave("", altotest.RetryAfter(time.Hour))
		passes(time.Minute - time.Second)
		asked := w.requests()
		passes(10 * time.Minute)
		if got := version(s.Maps()); got != "2 num2" || w.requests() != asked {
			t.Errorf("in force is %s, asked %d times within the hour", got, w.requests()-asked)
		}
		s.Stop()
	})
}

// A server that confirms what it should not is not left for ever because another one
// stands in.
func TestPreferredServerHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, s := two(t, Config{})
		s.wants("1 num1", Fresh, "")
		stuck := false
		wrong := altotest.OtherVersion("9")
		first.server.Misbehave(costPath, func(w http.ResponseWriter, r *http.Request, x altotest.Exchange) {
			switch {
			case r.Header.Get("If-None-Match") == "" && stuck: // asked without a validator
				x.Honest.ServeHTTP(w, r)
			case stuck:
				w.WriteHeader(http.StatusNotModified)
			default:
				stuck = true
				wrong(w, r, x)
			}
		})
		s.wants("1 num1", Fresh, "")
		s.wantsOrigin("second.example")
		for range 2 * readAgainAfter {
			passes(returnAfter)
			s.wants("1 num1", Fresh, "")
		}
		s.wantsOrigin("first.example")
	})
}

// A map that has moved is looked up again, however fresh the directory is.
func TestMapHasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := unwired(t, Config{})
		w.server.SetHeader(altotest.DirectoryPath, http.Header{"Cache-Control": {"max-age=3600"}})
		w.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		g := guidance("3", 3)
		g.NetworkMaps[0].Path, g.CostMaps[0].Path = "/new/net", "/new/cost"
		w.server.Publish(g)
		s.wants("3 num3", Fresh, "")
		// One that is nowhere costs one question of the directory for each look.
		w.server.Misbehave("/new/net", altotest.Status(http.StatusGone))
		s.wants("3 num3", Stale, "410")
		asked := w.requests()
		for range 3 {
			s.wants("3 num3", Stale, "410")
		}
		if got := w.requests() - asked; got > 6 {
			t.Errorf("%d requests in three looks", got)
		}
	})
}

// What is wrong with the servers that are preferred is told, as long as it lasts.
func TestPassedOverIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, s := two(t, Config{})
		s.wants("1 num1", Fresh, "")
		if status := s.Status(); status.Server != 1 || status.PassedOver != nil {
			t.Errorf("server %d, passed over %v", status.Server, status.PassedOver)
		}
		first.server.Misbehave("", altotest.Status(http.StatusUnauthorized))
		s.wants("1 num1", Fresh, "")
		status := s.Status()
		if status.Server != 2 || status.PassedOver == nil || !strings.Contains(status.PassedOver.Error(), "401") {
			t.Errorf("server %d, passed over %v", status.Server, status.PassedOver)
		}
		if s.log.count("WARN", "another server", "401") != 1 {
			t.Errorf("said: %q", s.log.lines)
		}
		first.server.Misbehave("", nil)
		passes(returnAfter)
		s.wants("1 num1", Fresh, "")
		if status := s.Status(); status.Server != 1 || status.PassedOver != nil {
			t.Errorf("server %d, passed over %v", status.Server, status.PassedOver)
		}
	})
}

// Each cause of one outage is told and counted.
func TestCausesAreTold(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	look := func() { _, _ = s.look() }
	w.set(true)
	look()
	look()
	w.set(false)
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusUnauthorized} {
		w.server.Misbehave("", altotest.Status(status))
		look()
		look()
	}
	for _, behavior := range []altotest.Behavior{altotest.HTML(), altotest.RedirectLoop(), altotest.HTML()} {
		w.server.Misbehave("", behavior)
		look()
		look()
	}
	w.set(true)
	look() // again
	refusals := s.Status().Refusals
	if refusals[Unavailable] != 2 || refusals[NoSuccess] != 2 || refusals[OtherType] != 1 || s.log.count("WARN", "maps refused") != 5 {
		t.Errorf("counted %v, said %q", refusals, s.log.lines)
	}
}

// However much is wrong with a directory, it is told in one line, and of what is looked
// for in vain also by the error.
func TestFaultsOfADirectoryAreFew(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	var entries []string
	for i := range 50 {
		entries = append(entries, fmt.Sprintf(`"bad%02d": {"uri": 7, "media-type": "application/alto-networkmap+json"}`, i))
	}
	w.server.Misbehave(altotest.DirectoryPath, altotest.Body(http.StatusOK, alto.MediaTypeDirectory, []byte(`{"meta": {}, "resources": {`+strings.Join(entries, ", ")+`}}`)))
	for range 2 {
		s.wants("1 num1", Stale, "not in order are: ")
	}
	if got := s.Status().Err.Error(); !strings.Contains(got, "bad04") || !strings.HasSuffix(got, "and 45 more") {
		t.Errorf("error %s", got)
	}
	if s.log.count("WARN", "directory is not in order", "bad04", "and 45 more") != 1 || s.log.count("WARN", "directory is not in order") != 1 {
		t.Errorf("said: %q", s.log.lines)
	}
}
