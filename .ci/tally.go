// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Tally reads what `go test -json` writes and counts the tests, subtests
// included. It fails where one failed, and where too few ran.
//
//	go test -json ./... | go run .ci/tally.go [flags] >summary
//
// What it reads goes to standard error as it comes, but of a single test only
// what one says that fails or is skipped. Standard output gets the line of each
// package and, at the end, `N passed, N failed, N skipped`.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// An event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a package that does not build
	FailedBuild                   string
}

type tally struct {
	summary  strings.Builder
	outcomes map[string]int      // passed, failed and skipped tests and subtests
	ran      map[string]int      // by package: those that passed or failed
	output   map[string][]string // of the tests under way, and of the builds
	faults   []string
}

func main() {
	allowSkips := flag.Bool("allow-skips", false, "tests may be skipped")
	floor := flag.Int("floor", 1, "how many tests must run at least")
	required := flag.String("required", "", "a package that must run a test")
	flag.Parse()

	t := tally{outcomes: map[string]int{}, ran: map[string]int{}, output: map[string][]string{}}
	if err := t.read(os.Stdin); err != nil {
		t.fault("the output of go test cannot be read: %v", err)
	}
	passed, failed, skipped := t.outcomes["pass"], t.outcomes["fail"], t.outcomes["skip"]
	if skipped > 0 && !*allowSkips {
		t.fault("%d tests were skipped, and none may be", skipped)
	}
	if passed+failed < *floor {
		t.fault("only %d tests ran, fewer than %d: if they were meant to go, lower the floor in .ci/run", passed+failed, *floor)
	}
	if *required != "" && t.ran[*required] == 0 {
		t.fault("no test of %s ran", *required)
	}
	fmt.Fprintf(&t.summary, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	fmt.Print(t.summary.String())
	for _, f := range t.faults {
		fmt.Fprintln(os.Stderr, "FAIL:", f)
	}
	if len(t.faults) > 0 {
		os.Exit(1)
	}
}

func (t *tally) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case err == io.EOF && line == "":
			return nil
		case err != nil && err != io.EOF:
			return err
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Fprint(os.Stderr, line) // from go itself, not from a test
		case e.Test == "":
			t.ofPackage(e)
		default:
			t.ofTest(e)
		}
	}
}

func (t *tally) ofPackage(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(os.Stderr, e.Output)
	case "output":
		fmt.Fprint(os.Stderr, e.Output)
		for _, word := range []string{"ok  \t", "FAIL\t", "?   \t"} {
			if strings.HasPrefix(e.Output, word) {
				t.summary.WriteString(e.Output)
			}
		}
	case "fail":
		t.fault("package %s", e.Package)
		// What a test had said when its process died was not shown yet.
		for _, test := range slices.Sorted(maps.Keys(t.output)) {
			if strings.HasPrefix(test, e.Package+" ") {
				fmt.Fprint(os.Stderr, strings.Join(t.output[test], ""))
			}
		}
	}
}

func (t *tally) ofTest(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.output[name] = append(t.output[name], e.Output)
		return
	case "pass":
		t.ran[e.Package]++
	case "fail":
		t.ran[e.Package]++
		t.fault("test %s", name)
	case "skip":
	default: // run, pause, cont, start
		return
	}
	if e.Action != "pass" {
		fmt.Fprint(os.Stderr, strings.Join(t.output[name], ""))
	}
	delete(t.output, name)
	t.outcomes[e.Action]++
}
