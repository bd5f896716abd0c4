// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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

// notOnThePage are the members that the page does not show: alternatives of what it does.
var notOnThePage = []string{
	"app.edges.unchecked",                                                              // health off
	"app.pools.guidance_off",                                                           // guidance off
	"app.pools.serves.countries", "app.pools.serves.hosts", "app.pools.serves.schemes", // as with an edge
	"app.sources.auth.password", "app.sources.auth.username", // auth basic and digest
	"handler.retry.header",
}

// The page of every option shows every one: what it adapts to has each member of the
// JSON.
func TestPageShowsEveryOption(t *testing.T) {
	page, err := os.ReadFile("README.md")
	must(t, err)
	_, block, _ := strings.Cut(string(page), "```caddyfile\n")
	block, _, _ = strings.Cut(block, "\n```")
	made, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(block), nil)
	must(t, err)
	var config any
	must(t, json.Unmarshal(made, &config))
	shown := make(map[string]bool)
	eachObject(config, func(o map[string]any) {
		if apps, ok := o["apps"].(map[string]any); ok {
			addMembers(shown, "app", reflect.TypeFor[App](), apps["altoroute"])
		}
		addMembers(shown, "alto_pid", reflect.TypeFor[MatchPID](), o["alto_pid"])
		switch {
		case o["handler"] == "altoroute":
			addMembers(shown, "handler", reflect.TypeFor[Handler](), o)
		case o["source"] == "altoroute":
			addMembers(shown, "upstreams", reflect.TypeFor[Upstreams](), o)
		case o["policy"] == "alto_cost":
			addMembers(shown, "alto_cost", reflect.TypeFor[CostSelection](), o)
		}
	})
	var missing []string
	for member, is := range shown {
		if !is {
			missing = append(missing, member)
		}
	}
	slices.Sort(missing)
	if !slices.Equal(missing, notOnThePage) {
		t.Errorf("the page does not show\n%s\nwant\n%s", strings.Join(missing, "\n"), strings.Join(notOnThePage, "\n"))
	}
	if len(shown) < 70 {
		t.Errorf("there are but %d members", len(shown))
	}
}

// eachObject calls a function for each object in a JSON value.
func eachObject(value any, do func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		do(v)
		for _, in := range v {
			eachObject(in, do)
		}
	case []any:
		for _, in := range v {
			eachObject(in, do)
		}
	}
}

// addMembers notes the members that a type has in JSON, and whether a value has them.
func addMembers(shown map[string]bool, path string, of reflect.Type, value any) {
	switch of.Kind() {
	case reflect.Pointer:
		addMembers(shown, path, of.Elem(), value)
	case reflect.Slice:
		all, _ := value.([]any)
		for _, v := range append(all, nil) {
			addMembers(shown, path, of.Elem(), v)
		}
	case reflect.Map:
		all, _ := value.(map[string]any)
		addMembers(shown, path, of.Elem(), nil)
		for _, v := range all {
			addMembers(shown, path, of.Elem(), v)
		}
	case reflect.Struct:
		object, _ := value.(map[string]any)
		for field := range of.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				_, is := object[name]
				shown[path+"."+name] = shown[path+"."+name] || is
				addMembers(shown, path+"."+name, field.Type, object[name])
			}
		}
	default: // has no members
	}
}
