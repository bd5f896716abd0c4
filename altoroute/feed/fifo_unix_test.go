// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"syscall"
	"testing"
)

// A pipe is refused, and nobody waits for what will never be written to it.
func TestPipeForFile(t *testing.T) {
	d, s := twoFiles(t, "a")
	for _, name := range []string{"net", "cost"} {
		d.remove(name)
		d.must(syscall.Mkfifo(d.file(name), 0o600))
		s.wants("1 num1", Stale, d.file(name)+": it is not a regular file")
		d.remove(name)
		d.put(name, map[string][]byte{"net": networkDocument("1"), "cost": costDocument("1", 1, numerical)}[name])
		s.wants("1 num1", Fresh, "")
	}
}
