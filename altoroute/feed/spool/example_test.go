// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// A document is spooled while it is read, and read again when the server is
// gone.
func Example() {
	temp, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(temp)
	s, err := spool.New(spool.Config{Folder: filepath.Join(temp, "own"), Source: "https://alto.example/directory"})
	if err != nil {
		log.Fatal(err)
	}

	w := s.NewWriter()
	defer w.Discard()
	answer := strings.NewReader(`{"meta": {}, "network-map": {}}`)
	if _, err := io.ReadAll(io.TeeReader(answer, w)); err != nil { // instead of a parser
		log.Fatal(err)
	}
	content, err := w.Keep()
	if err != nil {
		log.Fatal(err)
	}
	err = s.Commit(&spool.Set{InForce: time.Now(), Documents: []spool.Document{{
		Role:       spool.NetworkMap,
		Name:       "https://alto.example/networkmap",
		VersionTag: alto.VersionTag{ResourceID: "my-network", Tag: "3ee2cb7e8d63d9fab71b9b34cbf76443"},
		Content:    content,
	}}})
	if err != nil {
		log.Fatal(err)
	}

	sets, unusable := s.Sets()
	if len(sets) == 0 {
		log.Fatal(unusable)
	}
	r, err := s.Open(sets[0].Documents[0])
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("set %d: %s\n", sets[0].Sequence, body)
	// Output: set 1: {"meta": {}, "network-map": {}}
}
