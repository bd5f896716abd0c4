// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/altoroute/caddy-alto/"

// mayImport says which of our packages each package may import. What is not
// here may import none, so that a new package has to be thought about.
var mayImport = map[string][]string{
	"altoroute":            {"internal/mincost"},
	"altoroute/alto":       nil,
	"altoroute/altotest":   {"altoroute/alto"},
	"altoroute/feed":       {"altoroute/alto", "altoroute/feed/spool", "altoroute", "internal/localfile"},
	"altoroute/feed/spool": {"altoroute/alto", "internal/localfile"},
	"altoroute/health":     nil,
	"geo":                  {"altoroute", "internal/localfile"},
	"internal/localfile":   nil,
	"internal/mincost":     nil,
	"caddymodule":          {"altoroute/feed", "altoroute/feed/spool", "altoroute/health", "altoroute/alto", "altoroute", "geo"},
	"caddymodule/caddy":    {"caddymodule"},
}

// A listed package is what `go list -json` prints of it.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, p := range goList(t, "./altoroute/...", "./geo/...", "./caddymodule/...", "./internal/...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s is new: say in mayImport what it may import", name)
			continue
		}
		seen[name] = true
		for _, path := range p.Imports {
			if ours, ok := strings.CutPrefix(path, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s: it may import %q", name, ours, allowed)
			}
		}
		// Tests may import any of the core, for example to read maps from files.
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			ours, ok := strings.CutPrefix(path, module)
			if ok && !strings.HasPrefix(name, "caddymodule") && strings.HasPrefix(ours, "caddymodule") {
				t.Errorf("the tests of %s import %s: they must do without Caddy", name, ours)
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("mayImport names package %s, which is not there", name)
		}
	}
}

// TestNoCaddyInTheCore holds that the decision can be used without Caddy and
// logs through log/slog only, also by way of what it imports.
func TestNoCaddyInTheCore(t *testing.T) {
	t.Parallel()
	packages := goList(t, "-deps", "./altoroute/...", "./geo/...")
	if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+"geo" }) {
		t.Fatal("go list does not list the core itself")
	}
	for _, p := range packages {
		for _, banned := range []string{"github.com/caddyserver", "go.uber.org/zap"} {
			if p.ImportPath != banned && !strings.HasPrefix(p.ImportPath, banned+"/") {
				continue
			}
			var by []string
			for _, q := range packages {
				if slices.Contains(q.Imports, p.ImportPath) {
					by = append(by, q.ImportPath)
				}
			}
			t.Errorf("the core depends on %s, which is imported by %q", p.ImportPath, by)
		}
	}
}

// goList runs `go list` in the project's root. A failure is never a reason to
// skip: without the list these tests would hold nothing.
func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestEveryFileHasTheHeader(t *testing.T) {
	t.Parallel()
	const header = "// Copyright 2026 The altoroute authors\n// SPDX-License-Identifier: Apache-2.0\n\n"
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		files++
		content, err := os.ReadFile(path)
		if err == nil && !strings.HasPrefix(string(content), header) {
			t.Errorf("%s must begin with these two lines and an empty one:\n%s", path, header)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("found %d Go files only: is this the project's root?", files)
	}
}
