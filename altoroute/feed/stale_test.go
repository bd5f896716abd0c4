// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A source that is away for a moment wakes nobody up; one that stays away does, once.
func TestStaleIsToldLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, h := unwired(t, Config{Refresh: time.Minute})
		s.Start()
		synctest.Wait()
		w.set(true)
		passes(90 * time.Second)
		status := s.Status()
		if got := h.kinds(); status.State() != Stale || got != "" || s.log.count("ERROR") != 0 || s.log.count("WARN", "maps refused") != 1 {
			t.Errorf("%s, events %q, said %q", status.State(), got, s.log.lines)
		}
		w.set(false)
		passes(time.Minute)
		w.set(true)
		passes(2*time.Minute + 10*time.Second)
		if got := h.kinds(); got != "stale 1" || s.log.count("ERROR", "maps are stale", "no route to host") != 1 {
			t.Errorf("events %q, said %q", got, s.log.lines)
		}
		passes(time.Hour)
		if got := h.kinds(); got != "" || s.log.count("ERROR") != 1 {
			t.Errorf("events %q, said %q", got, s.log.lines)
		}
		s.Stop()
	})
}

// After a restart the contact has been lost for as long as there was none, and maps that
// are too old are told of as such, when somebody listens.
func TestStaleAfterARestart(t *testing.T) {
	for expire, reason := range map[time.Duration]string{0: "no route to host", time.Hour: "the last contact was 2h0m0s ago"} {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder), Expire: expire})
			w.set(true)
			passes(2 * time.Hour)
			h := new(heard)
			s.cfg.Notify = h.add
			cfg := s.cfg
			s = watch(t, cfg, "a")
			if got := h.kinds(); got != "" {
				t.Errorf("events %q before the start", got)
			}
			s.Start()
			synctest.Wait()
			passes(10 * time.Minute)
			h.mu.Lock()
			if len(h.events) != 1 || h.events[0].Kind != MapStale || !strings.Contains(h.events[0].Reason, reason) {
				t.Errorf("events %+v, want one for %q", h.events, reason)
			}
			h.mu.Unlock()
			s.Stop()
		})
	}
}

// What is damaged in the spool is shown until a set is stored there again.
func TestDamagedSpoolIsShown(t *testing.T) {
	folder := t.TempDir()
	w, s, _ := unwired(t, Config{Spool: spoolIn(t, folder)})
	sets, _ := s.cfg.Spool.Sets()
	flip(t, filepath.Join(folder, documentFile(sets[0].Documents[0].Content.SHA256)))
	w.set(true)
	s.cfg.Spool = spoolIn(t, folder)
	s = s.again("a")
	s.wants("none", None, "no route to host")
	if err := s.Status().SpoolErr; err == nil || !strings.Contains(err.Error(), "it is damaged") {
		t.Errorf("shown is %v", err)
	}
	w.set(false)
	s.wants("1 num1", Fresh, "")
	if err := s.Status().SpoolErr; err != nil {
		t.Errorf("shown is still %v", err)
	}
	// Another source's is no damage.
	cfg := s.cfg
	var err error
	cfg.Spool, err = spool.New(spool.Config{Folder: folder, Source: "another"})
	s.must(err)
	if got := watch(t, cfg, "a").Status().SpoolErr; got != nil {
		t.Errorf("shown is %v", got)
	}
}

// What a directory has that is not in order, or of no use here, is shown.
func TestRemarksOfADirectory(t *testing.T) {
	w, s, _ := unwired(t, Config{})
	if status := s.Status(); len(status.Skipped)+len(status.Offered) > 0 {
		t.Errorf("skipped %q, offered %q", status.Skipped, status.Offered)
	}
	g := guidance("2", 2)
	other := costs("2", 2, alto.CostType{Mode: "numerical", Metric: "hopcount"})
	other.ID = "hops"
	g.CostMaps = append(g.CostMaps, other)
	g.Directories = []altotest.Directory{{ID: "nested", Guidance: guidance("2", 2)}}
	w.server.Publish(g)
	w.server.Misbehave(nestedPath, altotest.Status(http.StatusNotFound))
	s.wants("2 num2", Fresh, "")
	status := s.Status()
	if len(status.Skipped) != 1 || !strings.Contains(status.Skipped[0], "404") || !slices.Equal(status.Offered, []string{"hopcount (numerical)"}) {
		t.Errorf("skipped %q, offered %q", status.Skipped, status.Offered)
	}
	w.server.Misbehave("", nil)
	w.server.Publish(guidance("3", 3))
	s.wants("3 num3", Fresh, "")
	if status := s.Status(); len(status.Skipped)+len(status.Offered) > 0 {
		t.Errorf("skipped %q, offered %q", status.Skipped, status.Offered)
	}
}
