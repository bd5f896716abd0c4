// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A place is where a source's maps come from. Two sources that say the same have the
// same maps, however they get at them.
type place struct {
	Files, Servers []string
	NetworkMap     string
	Cost           *CostType
}

func (s *Source) place(files []string, servers []*url.URL) *place {
	p := &place{Files: files, NetworkMap: s.NetworkMap, Cost: s.Cost}
	for _, server := range servers { // which are without a user name and password
		p.Servers = append(p.Servers, server.String())
	}
	return p
}

// follows reports whether a source is still what it was before: of servers that say the
// same, others may come and go, as long as one stays.
func (p *place) follows(before *place) bool {
	was, is := *before, *p
	overlap := slices.ContainsFunc(is.Servers, func(server string) bool { return slices.Contains(was.Servers, server) })
	if was.Servers, is.Servers = nil, nil; len(p.Servers) > 0 && !overlap {
		return false
	}
	return len(p.Servers) > 0 == (len(before.Servers) > 0) && was.identity() == is.identity()
}

// identity is the place as a text.
func (p *place) identity() string {
	text, _ := json.Marshal(p) // holds nothing that cannot be written
	return string(text)
}

// spoolOwner says whose a spool is. It stands in the folder beside what is spooled, of
// servers alone: the list of them may change, and the folder stays what it is.
type spoolOwner struct {
	// Origin is the identity under which all is spooled there: that of the place at
	// first.
	Origin string `json:"origin"`
	Place  *place `json:"place"`

	folder  string
	claimed time.Time
}

// ownerFile is the name of its file.
const ownerFile = "source.json"

// readOwner returns whose a folder is, nil where it does not say.
func readOwner(folder string) *spoolOwner {
	path := filepath.Join(folder, ownerFile)
	body, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	o := &spoolOwner{folder: folder}
	if json.Unmarshal(body, o) != nil || o.Place == nil {
		return nil
	}
	if is, err := os.Stat(path); err == nil {
		o.claimed = is.ModTime()
	}
	return o
}

// claim notes in the folder whose it is, as soon as the configuration is in force.
func (o *spoolOwner) claim() error {
	if o == nil {
		return nil
	}
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	fresh := filepath.Join(o.folder, "."+ownerFile)
	if err := os.WriteFile(fresh, body, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(o.folder, ownerFile))
}

// openSpool returns where the source's last good maps are kept, and whose that is; nil
// for nowhere, and for files. What was kept is the source's as long as its maps come from
// the same place.
func (s *Source) openSpool(at *place) (*spool.Spool, *spoolOwner, error) {
	if s.Spool == "off" {
		return nil, nil, nil
	}
	owner := &spoolOwner{Origin: at.identity(), Place: at, folder: s.Spool}
	folders := []string{owner.folder}
	if s.Spool == "" {
		// Several Caddys may share a data directory.
		spools := filepath.Join(caddy.AppDataDir(), "altoroute", "spool")
		owner.folder = filepath.Join(spools, fmt.Sprintf("%s-%016x", s.Name, xxhash.Sum64String(owner.Origin)))
		folders, _ = filepath.Glob(filepath.Join(spools, s.Name+"-"+strings.Repeat("[0-9a-f]", 16))) // the pattern is right
	}
	if s.local() {
		s.tellOtherSpools(owner.folder, folders)
		made, err := spool.New(spool.Config{Folder: owner.folder, Source: owner.Origin})
		return made, nil, err
	}
	var last *spoolOwner
	for _, folder := range folders {
		if is := readOwner(folder); is != nil && at.follows(is.Place) && (last == nil || is.claimed.After(last.claimed)) {
			last = is
		}
	}
	if last != nil {
		owner.Origin, owner.folder = last.Origin, last.folder
	} else if is := readOwner(owner.folder); is != nil && strings.HasPrefix(is.Origin, owner.Origin) {
		// By and by it has become that of other servers.
		owner.Origin = fmt.Sprintf("%s after %016x", owner.Origin, xxhash.Sum64String(is.Origin+is.Place.identity()))
	}
	s.tellOtherSpools(owner.folder, folders)
	made, err := spool.New(spool.Config{Folder: owner.folder, Source: owner.Origin})
	return made, owner, err
}

// tellOtherSpools logs that a source begins without any maps, where those are at hand that
// it had when it was configured otherwise.
func (s *Source) tellOtherSpools(folder string, others []string) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && s.Spool == "" && len(others) > 0 {
		slog.New(sharedLog).Warn("the source was configured otherwise before: the maps that were spooled then are not used",
			slog.String("source", s.Name), slog.Any("folders", others))
	}
}

// checkSpools refuses two sources with one spool, each of which would remove what the
// other has put there.
func checkSpools(sources []*Source) error {
	owners := make(map[string]string)
	for _, s := range sources {
		if s.Spool == "" || s.Spool == "off" {
			continue
		}
		folder, err := filepath.Abs(s.Spool)
		if err != nil {
			return fmt.Errorf("source %s: spool: %w", s.Name, err)
		}
		if owner, ok := owners[folder]; ok {
			return fmt.Errorf("source %s: spool %s is that of source %s: give each a folder of its own", s.Name, folder, owner)
		}
		owners[folder] = s.Name
	}
	return nil
}
