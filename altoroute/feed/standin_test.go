// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// A server that stands in and lags behind has no version go back.
func TestStandInLagsBehind(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			cfg := Config{}
			if restarted {
				cfg.Spool = spoolIn(t, folder)
			}
			first, second, s := two(t, cfg)
			s.wants("1 num1", Fresh, "")
			first.server.Publish(guidance("2", 2))
			s.wants("2 num2", Fresh, "")
			first.set(true)
			if restarted {
				s = s.again("a")
			}
			for range 3 {
				s.wants("2 num2", Stale, `second.example/directory: its maps of tag "1" came before`)
				s.wantsOrigin("first.example")
			}
			if got := s.Status().Refusals; got[Outdated] != 1 || got[Unavailable] != 1 || s.log.count("WARN", "maps refused", "came before") != 1 {
				t.Errorf("counted %v, said %q", got, s.log.lines)
			}
			second.server.Publish(guidance("2", 2))
			s.wants("2 num2", Fresh, "")
			s.wantsOrigin("second.example")
			// In use, it may fall back as well.
			second.server.Publish(guidance("1", 1))
			s.wants("2 num2", Stale, "came before")
			second.server.Publish(guidance("3", 3))
			s.wants("3 num3", Fresh, "")
			// The preferred one decides what it has.
			first.server.Publish(guidance("1", 1))
			first.set(false)
			passes(returnAfter)
			s.wants("1 num1", Fresh, "")
			s.wantsOrigin("first.example")
			first.set(true)
			s.wants("1 num1", Stale, "came before") // what it went back from
			second.server.Publish(guidance("4", 4))
			s.wants("4 num4", Fresh, "")
		})
	}
}

// What comes in, or is held, goes on while a server stands in that has what is in force.
func TestStandInLagsBehindARamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, s := two(t, Config{Guard: Guard{Hold: time.Minute}})
		s.wants("1 num1", Fresh, "")
		first.server.Publish(few("2", 2))
		s.wantsHeld("1 num1", "2 num2")
		first.set(true)
		s.wants("1 num1", Stale, "came before")
		if got := s.Status().Held; got == nil || version(got.Maps) != "2 num2" {
			t.Errorf("held is %v", got)
		}
		passes(time.Minute)
		for range 2 {
			s.wants("1 num1", Stale, "came before")
			if got := version(s.Status().Incoming); got != "2 num2" {
				t.Errorf("coming in is %s", got)
			}
		}
	})
}

// What was put back by hand stays, whatever the server has that stands in.
func TestStandInAfterPutBack(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, second, s := two(t, Config{Spool: spoolIn(t, folder)})
		s.wants("1 num1", Fresh, "")
		first.server.Publish(guidance("2", 2))
		s.wants("2 num2", Fresh, "")
		s.must(s.PutBack(0))
		s.wants("1 num1", Stale, "")
		first.set(true)
		for range 2 {
			s.wants("1 num1", Stale, "")
			s.wantsOrigin("second.example")
		}
		first.set(false)
		passes(returnAfter)
		s.wants("1 num1", Stale, "")
		if got := s.Status().Aside.Tag; got != "2" {
			t.Errorf("aside is %q", got)
		}
		first.set(true)
		second.server.Publish(guidance("2", 2))
		s.wants("1 num1", Stale, "")
		second.server.Publish(guidance("3", 3))
		s.wants("3 num3", Fresh, "")
	})
}

// What is wrong with each server is counted, also while another one works, and told.
func TestRefusalsOfEachServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, s := two(t, Config{})
		s.wants("1 num1", Fresh, "")
		first.set(true)
		for range 3 {
			s.wants("1 num1", Fresh, "")
			passes(returnAfter)
		}
		first.set(false)
		first.server.Misbehave("", altotest.Status(http.StatusUnauthorized))
		for range 3 {
			s.wants("1 num1", Fresh, "")
			passes(returnAfter)
		}
		got := s.Status().Refusals
		if got[Unavailable] != 1 || got[NoSuccess] != 1 || len(got) != 2 {
			t.Errorf("counted %v", got)
		}
		if s.log.count("WARN", "no route to host") != 1 || s.log.count("WARN", "a server of the source is passed over", "401") != 1 || s.log.count("ERROR") != 0 {
			t.Errorf("said: %s", strings.Join(s.log.lines, "\n"))
		}
		first.server.Misbehave("", nil)
		s.wants("1 num1", Fresh, "")
		if s.log.count("WARN", "server of the source is used") != 1 || s.log.count("INFO", "the preferred server of the source is used again") != 1 {
			t.Errorf("said: %s", strings.Join(s.log.lines, "\n"))
		}
		first.set(true) // another outage
		s.wants("1 num1", Fresh, "")
		if got := s.Status().Refusals[Unavailable]; got != 2 {
			t.Errorf("counted %d", got)
		}
	})
}
