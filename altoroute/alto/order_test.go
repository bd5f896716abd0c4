// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// shuffled writes a JSON value with the members of every object in random
// order.
func shuffled(rng *rand.Rand, value any) string {
	switch value := value.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(value))
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for i, name := range names {
			quoted, _ := json.Marshal(name)
			names[i] = string(quoted) + ":" + shuffled(rng, value[name])
		}
		return "{" + strings.Join(names, ",") + "}"
	case []any:
		var elements []string
		for _, element := range value {
			elements = append(elements, shuffled(rng, element))
		}
		return "[" + strings.Join(elements, ",") + "]"
	default:
		text, _ := json.Marshal(value)
		return string(text)
	}
}

// Members in any order give the same result, for every kind of document, with
// and without members that are not known.
func TestOrderOfMembers(t *testing.T) {
	readers := map[string]func(string) (any, error){
		`{"meta":{"x":[{}],"vtag":{"resource-id":"m","tag":"1","x":0}},"x":{"network-map":1},"network-map":{
			"a":{"ipv4":["10.0.0.0/8","11.0.0.0/8"],"ipv6":["2001:db8::/32"],"asn":[1],"b":2},"c":{},"d":{"ipv6":["::1/64"]}}}`: func(s string) (any, error) {
			var m networkMap
			info, err := alto.ReadNetworkMap(strings.NewReader(s), &m)
			for _, prefixes := range m.prefixes {
				slices.SortFunc(prefixes, netip.Prefix.Compare)
			}
			return []any{info, m.prefixes}, err
		},
		`{"meta":{"vtag":{"resource-id":"c","tag":"2"},"cost-type":{"cost-mode":"ordinal","cost-metric":"hopcount","description":"x","y":[]},
			"dependent-vtags":[{"resource-id":"m","tag":"1"}],"x":null},"x":{},"cost-map":{"a":{"a":0,"b":1},"b":{"a":7},"c":{}}}`: func(s string) (any, error) {
			var m costMap
			info, err := alto.ReadCostMap(strings.NewReader(s), &m)
			return []any{info, m.costs}, err
		},
		strings.Replace(rfcDirectory, "},\n     },", "}\n     },", 1): func(s string) (any, error) {
			return alto.ReadDirectory(strings.NewReader(s), nil)
		},
		`{"meta":{"default-alto-network-map":"n","cost-types":{"c":{"cost-mode":"numerical"}}},"resources":{
			"x":{"uri":"http://h/","media-type":"a/b","uses":["y","z"]},"y":{"uri":"http://h/","media-type":"a/b","uses":["z"]},
			"v":{"uri":"http://h/","media-type":"a/b","capabilities":{"cost-type-names":["c"]}},"n":{"uri":"http://h/","media-type":"a/b"}}}`: func(s string) (any, error) {
			return alto.ReadDirectory(strings.NewReader(s), nil)
		},
		errorDocument: func(s string) (any, error) { return alto.ReadError(strings.NewReader(s)) },
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for document, read := range readers {
		want, err := read(document)
		if err != nil {
			t.Errorf("%s: %v", document, err)
			continue
		}
		var tree any
		if err := json.Unmarshal([]byte(document), &tree); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			other := shuffled(rng, tree)
			got, err := read(other)
			if err != nil || !reflect.DeepEqual(printed(got), printed(want)) {
				t.Fatalf("%s: %v\ngot  %s\nwant %s", other, err, printed(got), printed(want))
			}
		}
	}
}

// printed makes values comparable that hold errors.
func printed(value any) string {
	if directory, ok := value.(*alto.Directory); ok {
		return fmt.Sprintf("%v %v %v %v", directory.DefaultNetworkMap, directory.CostTypes, directory.Resources, directory.Skipped)
	}
	return fmt.Sprintf("%+v", value)
}
