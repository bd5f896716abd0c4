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
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// origin says where the source's maps come from. Two sources that say the same have
// the same maps, however they get at them.
func (s *Source) origin(files []string, servers []*url.URL) (string, error) {
	place := struct {
		Files, Servers []string
		NetworkMap     string
		Cost           *CostType
	}{Files: files, NetworkMap: s.NetworkMap, Cost: s.Cost}
	for _, server := range servers { // which are without a user name and password
		place.Servers = append(place.Servers, server.String())
	}
	text, err := json.Marshal(place)
	return string(text), err
}

// openSpool returns where the source's last good maps are kept, nil for nowhere. What
// was kept is the source's as long as its maps come from the same place.
func (s *Source) openSpool(origin string) (*spool.Spool, error) {
	if s.Spool == "off" {
		return nil, nil //nolint:nilnil // as the feed has it
	}
	folder := s.Spool
	if folder == "" {
		// Several Caddys may share a data directory.
		folder = filepath.Join(caddy.AppDataDir(), "altoroute", "spool", fmt.Sprintf("%s-%016x", s.Name, xxhash.Sum64String(origin)))
		s.tellOtherSpools(folder)
	}
	return spool.New(spool.Config{Folder: folder, Source: origin})
}

// tellOtherSpools logs that a source begins without any maps, where those are at hand that
// it had when it was configured otherwise.
func (s *Source) tellOtherSpools(folder string) {
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(folder), s.Name+"-"+strings.Repeat("[0-9a-f]", 16))) // the pattern is right
	if len(others) > 0 {
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
