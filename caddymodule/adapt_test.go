// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var update = flag.Bool("update", false, "write what the goldens' Caddyfiles adapt to into them")

// Each golden is a Caddyfile, a line of ten dashes, and the JSON that it adapts
// to or the error. None of the files that they name exist, and no server that
// they name answers: adapting reads nothing but the Caddyfile.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "adapt", "*.caddyfiletest"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(content), "----------\n")
			if !found {
				t.Fatal("no line of ten dashes")
			}
			got := adapted(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+"----------\n"+got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want = strings.TrimSpace(want); got != want {
				t.Errorf("adapts to:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// adapted returns the JSON of a Caddyfile, indented, or the error. Warnings are
// faults of the test: goldens are formatted.
func adapted(t *testing.T, input string) string {
	t.Helper()
	made, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		return err.Error()
	}
	for _, w := range warnings {
		t.Errorf("warning: %s", w.String())
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, made, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}
