// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package localfile

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipe would wait for ever if a pipe were opened.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "it is not a regular file: name the file itself")
}
