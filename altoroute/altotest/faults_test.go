// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// No fault is taken for guidance by package alto and the checks that a user of
// it has to make, and each is of the sort that it says it is.
func TestFaults(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, fault := range altotest.Faults() {
		if seen[fault.Name] || fault.Name != strings.TrimSpace(fault.Name) {
			t.Errorf("the name %q is not good", fault.Name)
		}
		seen[fault.Name] = true
		for path, mediaType := range map[string]string{
			altotest.DirectoryPath: alto.MediaTypeDirectory, netPath: alto.MediaTypeNetworkMap, costPath: alto.MediaTypeCostMap,
		} {
			if !fault.On(mediaType) {
				continue
			}
			t.Run(fault.Name+path, func(t *testing.T) {
				t.Parallel()
				s := started(t)
				if err := use(t, s, &altotest.Fault{}); err != nil {
					t.Fatalf("the honest server: %v", err)
				}
				s.Misbehave(path, fault.Behavior)
				if err := use(t, s, &fault); err == nil {
					t.Error("nothing was found to be wrong")
				}
				if fault.Content != arrives(t, s, path, mediaType, &fault) {
					t.Errorf("content: %t", fault.Content)
				}
				s.Misbehave(path, nil)
				if err := use(t, s, &fault); err != nil {
					t.Errorf("when it is over: %v", err)
				}
			})
		}
	}
	if len(seen) < 80 {
		t.Errorf("only %d faults", len(seen))
	}
}

// limited is a client with the limits that a fault needs.
func limited(t *testing.T, fault *altotest.Fault) *alto.Client {
	t.Helper()
	transport := alto.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	client := &alto.Client{HTTP: &http.Client{Transport: transport}}
	if fault.NeedsMaxBody {
		client.MaxBody = 1 << 18
	}
	if fault.NeedsTimeout {
		client.Timeout = 100 * time.Millisecond
	}
	return client
}

// use gets a server's guidance as a client has to.
func use(t *testing.T, s *altotest.Server, fault *altotest.Fault) error {
	t.Helper()
	client := limited(t, fault)
	var directory *alto.Directory
	err := read(t.Context(), client, s.Directory(), alto.MediaTypeDirectory, func(r io.Reader, base *url.URL) (err error) {
		directory, err = alto.ReadDirectory(r, base)
		return err
	})
	if err != nil {
		return err
	}
	network, ok := directory.Resources[directory.DefaultNetworkMap]
	if !ok || network.MediaType != alto.MediaTypeNetworkMap {
		return fmt.Errorf("no network map: %v", directory.Skipped)
	}
	var costs alto.Resource
	for _, r := range directory.Resources {
		if r.MediaType == alto.MediaTypeCostMap && len(r.Uses) > 0 && r.Uses[0] == network.ID {
			costs = r
		}
	}
	if costs.URI == nil {
		return fmt.Errorf("no cost map: %v", directory.Skipped)
	}

	into := newUnion()
	var version alto.VersionTag
	err = read(t.Context(), client, network.URI, network.MediaType, func(r io.Reader, _ *url.URL) error {
		info, err := alto.ReadNetworkMap(r, into)
		version = info.VersionTag
		return err
	})
	if err == nil && (version.ResourceID != network.ID || len(into.of) == 0) {
		err = fmt.Errorf("network map %+v with %d prefixes", version, len(into.of))
	}
	if err != nil {
		return err
	}
	return read(t.Context(), client, costs.URI, costs.MediaType, func(r io.Reader, _ *url.URL) error {
		info, err := alto.ReadCostMap(r, into)
		if err == nil && (info.DependentVersionTag != version || info.CostType != directory.CostTypes[costs.Capabilities.CostTypeNames[0]] || info.Pairs == 0) {
			err = fmt.Errorf("cost map %+v", info)
		}
		return err
	})
}

func read(ctx context.Context, client *alto.Client, u *url.URL, mediaType string, parse func(io.Reader, *url.URL) error) error {
	res, err := client.Get(ctx, u, mediaType, alto.Validators{})
	if err != nil {
		return err
	}
	return errors.Join(parse(res.Body, res.URL), res.Body.Close())
}

// arrives reports whether a document of the media type comes through, whatever
// is in it.
func arrives(t *testing.T, s *altotest.Server, path, mediaType string, fault *altotest.Fault) bool {
	t.Helper()
	u := s.Directory()
	u.Path = path
	var header http.Header
	err := read(t.Context(), limited(t, fault), u, mediaType, func(r io.Reader, _ *url.URL) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err == nil {
		// The client would not have taken another type; once more for the raw
		// answer.
		header = get(t, browser(t), u.String()).header
	}
	got, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && got == mediaType
}

// A union takes in network maps whose PIDs have no prefix in common (RFC 7285
// §11.2.2).
type union struct {
	*sink
	of map[netip.Prefix]string
}

func newUnion() *union { return &union{sink: newSink(), of: make(map[netip.Prefix]string)} }

func (u *union) Prefix(p netip.Prefix) error {
	if other, ok := u.of[p]; ok && other != u.pid {
		return fmt.Errorf("%s is in %s and in %s", p, other, u.pid)
	}
	u.of[p] = u.pid
	return nil
}
