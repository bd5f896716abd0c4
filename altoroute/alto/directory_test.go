// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"errors"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// The example of §9.2.3 is read once its stray comma is gone, and before that
// the comma is reported.
func TestReadDirectoryRFC(t *testing.T) {
	_, err := alto.ReadDirectory(strings.NewReader(rfcDirectory), nil)
	checkError(t, "as printed", err, "no valid JSON at byte")
	checkError(t, "as printed", err, "resources/endpoint-property")

	mended := strings.Replace(rfcDirectory, "},\n     },", "}\n     },", 1)
	got, err := alto.ReadDirectory(strings.NewReader(mended), nil)
	if err != nil {
		t.Fatal(err)
	}
	const base = "http://alto.example.com/"
	network := []string{"my-default-network-map"}
	costType := func(name string) alto.Capabilities {
		return alto.Capabilities{CostTypeNames: []string{name}}
	}
	want := alto.Directory{
		DefaultNetworkMap: "my-default-network-map",
		CostTypes: map[string]alto.CostType{
			"num-routing": {Mode: "numerical", Metric: "routingcost", Description: "My default"},
			"num-hop":     {Mode: "numerical", Metric: "hopcount"},
			"ord-routing": {Mode: "ordinal", Metric: "routingcost"},
			"ord-hop":     {Mode: "ordinal", Metric: "hopcount"},
		},
		Resources: map[string]alto.Resource{
			"my-default-network-map":      {URI: mustURL(base + "networkmap"), MediaType: alto.MediaTypeNetworkMap},
			"numerical-routing-cost-map":  {URI: mustURL(base + "costmap/num/routingcost"), MediaType: alto.MediaTypeCostMap, Capabilities: costType("num-routing"), Uses: network},
			"numerical-hopcount-cost-map": {URI: mustURL(base + "costmap/num/hopcount"), MediaType: alto.MediaTypeCostMap, Capabilities: costType("num-hop"), Uses: network},
			"custom-maps-resources":       {URI: mustURL("http://custom.alto.example.com/maps"), MediaType: alto.MediaTypeDirectory},
			"endpoint-property": {
				URI: mustURL(base + "endpointprop/lookup"), MediaType: "application/alto-endpointprop+json",
				Accepts:      "application/alto-endpointpropparams+json",
				Capabilities: alto.Capabilities{PropTypes: []string{"my-default-network-map.pid", "priv:ietf-example-prop"}},
			},
			"endpoint-cost": {
				URI: mustURL(base + "endpointcost/lookup"), MediaType: "application/alto-endpointcost+json",
				Accepts: "application/alto-endpointcostparams+json",
				Capabilities: alto.Capabilities{
					CostTypeNames:   []string{"num-routing", "num-hop", "ord-routing", "ord-hop"},
					CostConstraints: true,
				},
			},
		},
	}
	for id, res := range want.Resources {
		res.ID = id
		for _, name := range res.Capabilities.CostTypeNames {
			res.CostTypes = append(res.CostTypes, want.CostTypes[name])
		}
		want.Resources[id] = res
	}
	if len(got.Skipped) > 0 {
		t.Errorf("skipped %v", got.Skipped)
	}
	if !reflect.DeepEqual(got.Resources, want.Resources) || !reflect.DeepEqual(got.CostTypes, want.CostTypes) || got.DefaultNetworkMap != want.DefaultNetworkMap {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

// The nested directory of §9.2.4 has no default map and uses one that it does
// not define. Nothing of it is skipped.
func TestReadDirectoryNestedRFC(t *testing.T) {
	got, err := alto.ReadDirectory(strings.NewReader(rfcNestedDirectory), nil)
	if err != nil || len(got.Resources) != 4 || len(got.Skipped) != 0 || got.DefaultNetworkMap != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadDirectoryURIs(t *testing.T) {
	base := mustURL("https://user:secret@alto.example.com/a/directory?x=1")
	for _, c := range []struct{ uri, want, err string }{
		{"networkmap", "https://user:secret@alto.example.com/a/networkmap", ""},
		{"/x", "https://user:secret@alto.example.com/x", ""},
		{"../x?y=2", "https://user:secret@alto.example.com/x?y=2", ""},
		{"//cdn.example.net/x", "https://cdn.example.net/x", ""},
		{"http://192.0.2.1:8080/x", "http://192.0.2.1:8080/x", ""},
		{"http://[2001:db8::1]/x", "http://[2001:db8::1]/x", ""},
		{"ftp://alto.example.com/x", "", `resources/r/uri: "ftp://alto.example.com/x" has the scheme "ftp", only http and https are known`},
		{"file:///etc/passwd", "", `has the scheme "file"`},
		{"mailto:x@example.com", "", `has the scheme "mailto"`},
		{"http:///x", "", `"http:///x" has no host`},
		{"http://me:secret@:80/", "", "has no host"},
		{"http://me:secret@exa mple.com/", "", "resources/r/uri: not a URI: "},
		{"%zz", "", "not a URI: "},
		{"a\\nb", "", "not a URI: "},
	} {
		document := `{"meta":{},"resources":{"r":{"uri":"` + c.uri + `","media-type":"application/alto-networkmap+json"}}}`
		got, err := alto.ReadDirectory(strings.NewReader(document), base)
		if err != nil {
			t.Errorf("%s: %v", c.uri, err)
			continue
		}
		checkError(t, c.uri, errors.Join(got.Skipped...), c.err)
		if len(got.Skipped) > 0 && strings.Contains(got.Skipped[0].Error(), "secret") {
			t.Errorf("%s: the error %q shows the password", c.uri, got.Skipped[0])
		}
		if c.err == "" && (len(got.Resources) != 1 || got.Resources["r"].URI.String() != c.want) {
			t.Errorf("%s: %+v", c.uri, got.Resources)
		}
	}
	got, err := alto.ReadDirectory(strings.NewReader(`{"resources":{"r":{"uri":"/x","media-type":"a/b"}}}`), nil)
	if err != nil || len(got.Skipped) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	checkError(t, "without a base", got.Skipped[0], `"/x" is not an absolute URI`)
}

// A broken entry disables itself and no other.
func TestReadDirectorySkips(t *testing.T) {
	const (
		net     = `"media-type":"application/alto-networkmap+json"`
		cost    = `"media-type":"application/alto-costmap+json"`
		uri     = `"uri":"/x"`
		usesNet = `"uses":["net"]`
	)
	for _, c := range []struct{ id, entry, err string }{
		{"r", `{` + uri + `,` + net + `}`, ""},
		{"r", `{` + uri + `,"media-type":"Application/ALTO-NetworkMap+JSON; Charset=x"}`, ""},
		{"r", `{` + uri + `,"media-type":"application/unheard-of","x":[{}],"capabilities":{"x":1}}`, ""},
		{"r", `{` + uri + `,` + net + `,"accepts":"","uses":[],"capabilities":{}}`, ""},
		{"r.x", `{` + uri + `,` + net + `}`, `resources: "r.x" is not a resource id: "." is reserved`},
		{"r", `[]`, "resources/r: an array instead of an object"},
		{"r", `null`, "resources/r: null instead of an object"},
		{"r", `{}`, "resources/r: uri is missing"},
		{"r", `{` + uri + `}`, "resources/r: media-type is missing"},
		{"r", `{` + net + `}`, "resources/r: uri is missing"},
		{"r", `{"uri":5,` + net + `}`, "resources/r/uri: a number instead of a string"},
		{"r", `{` + uri + `,"media-type":"json"}`, `resources/r/media-type: "json" is not a media type`},
		{"r", `{` + uri + `,"media-type":"a/b/c"}`, `resources/r/media-type: "a/b/c" is not a media type`},
		{"r", `{` + uri + `,"media-type":["a/b"]}`, "resources/r/media-type: an array instead of a string"},
		{"r", `{` + uri + `,` + net + `,"accepts":null}`, "resources/r/accepts: null instead of a string"},
		{"r", `{` + uri + `,` + net + `,"uses":"net"}`, "resources/r/uses: a string instead of an array"},
		{"r", `{` + uri + `,` + net + `,"uses":[1]}`, "resources/r/uses: a number instead of a string"},
		{"r", `{` + uri + `,` + net + `,"uses":["a b"]}`, `resources/r/uses: "a b" is not a resource id`},
		{"r", `{` + uri + `,` + net + `,"uses":["gone"]}`, ""}, // see ReadClosure
		{"r", `{` + uri + `,` + net + `,"x":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "resources/r/x: objects and arrays are nested more than 100 deep"},
		{"r", `{` + uri + `,` + net + `,"capabilities":[]}`, "resources/r/capabilities: an array instead of an object"},
		{"r", `{` + uri + `,` + net + `,"capabilities":{"cost-type-names":"c"}}`, "resources/r/capabilities/cost-type-names: a string instead of an array"},
		{"r", `{` + uri + `,` + net + `,"capabilities":{"cost-constraints":"yes"}}`, "resources/r/capabilities/cost-constraints: a string instead of a boolean"},
		{"r", `{` + uri + `,` + net + `,"capabilities":{"max-cost-types":-1}}`, "resources/r/capabilities/max-cost-types: -1 is not a non-negative integer"},
		{"r", `{` + uri + `,` + net + `,"capabilities":{"max-cost-types":"1"}}`, "a string instead of a number"},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"capabilities":{"cost-type-names":["num"]}}`, ""},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"capabilities":{"cost-type-names":["nix"]}}`, `resources/r/capabilities/cost-type-names: "nix" is not defined in meta/cost-types`},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"capabilities":{"cost-type-names":["bad"]}}`, `"bad" is not defined in meta/cost-types`},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"capabilities":{"cost-type-names":["num","ord"]}}`, "2 names instead of the one of an unfiltered cost map"},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"capabilities":{"cost-type-names":["num","num"]}}`, `"num" is named twice`},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"accepts":"a/b","capabilities":{"cost-type-names":["ord","num","\u006frd"]}}`, `resources/r/capabilities/cost-type-names: "ord" is named twice`},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `}`, "0 names instead of the one"},
		{"r", `{` + uri + `,` + cost + `,` + usesNet + `,"accepts":"a/b","capabilities":{"cost-type-names":["num","ord"],"cost-constraints":false,"max-cost-types":2}}`, ""},
	} {
		document := `{
			"resources": {"net": {` + uri + `,` + net + `}, "` + c.id + `": ` + c.entry + `},
			"meta": {"default-alto-network-map": "net", "cost-types": {
				"num": {"cost-mode": "numerical", "cost-metric": "routingcost"},
				"ord": {"cost-mode": "ordinal", "cost-metric": "routingcost", "description": {"not": "text"}},
				"bad": {"cost-mode": "numerical"}}}}`
		got, err := alto.ReadDirectory(strings.NewReader(document), mustURL("http://alto.example.com/"))
		if err != nil {
			t.Errorf("%s: %v", c.entry, err)
			continue
		}
		// The bad cost type is always told of.
		skipped := slices.DeleteFunc(got.Skipped, func(err error) bool {
			return err.Error() == "meta/cost-types/bad: cost-metric is missing from the cost type"
		})
		if len(skipped) != len(got.Skipped)-1 && len(skipped) > 1 {
			t.Errorf("%s: skipped %v", c.entry, got.Skipped)
		}
		checkError(t, c.entry, errors.Join(skipped...), c.err)
		if _, ok := got.Resources[c.id]; ok != (c.err == "") {
			t.Errorf("%s: usable %t", c.entry, ok)
		}
		if _, ok := got.Resources["net"]; !ok || got.DefaultNetworkMap != "net" {
			t.Errorf("%s: spoilt the rest: %+v", c.entry, got)
		}
	}
}

func TestReadDirectoryMeta(t *testing.T) {
	for _, c := range []struct{ document, skipped, err string }{
		{`{"resources":{}}`, "", ""},
		{`{"meta":{},"resources":{}}`, "", ""},
		{`{"meta":{"default-alto-network-map":5},"resources":{}}`, "meta/default-alto-network-map: a number instead of a string", ""},
		{`{"meta":{"default-alto-network-map":"a b"},"resources":{}}`, `meta/default-alto-network-map: "a b" is not a resource id`, ""},
		{`{"meta":{"cost-types":{"c":[]}},"resources":{}}`, "meta/cost-types/c: an array instead of a cost type", ""},
		{`{"meta":{"cost-types":{"c d":{"cost-mode":"a b"}}},"resources":{}}`, `meta/cost-types/"c d"/cost-mode: "a b" is not a cost mode`, ""},
		{`{"meta":{"cost-types":[]},"resources":{}}`, "", "meta/cost-types: an array instead of an object"},
		{`{"meta":5,"resources":{}}`, "", "meta: a number instead of an object"},
		{`{"meta":{}}`, "", "resources is missing: the document is not a directory"},
		{`{"resources":[]}`, "", "resources: an array instead of an object of resources"},
		{`{"resources":{"a":{},"a":{}}}`, "", `resources: the member "a" occurs twice`},
		{`{"resources":{"a":{"uri":"x","uri":"y"}}}`, "", `resources/a: the member "uri" occurs twice`},
		{`{"resources":{"a":`, "", "cut off"},
		{`{"resources":{}}x`, "", "data follow the end"},
	} {
		got, err := alto.ReadDirectory(strings.NewReader(c.document), nil)
		checkError(t, c.document, err, c.err)
		if err == nil {
			checkError(t, c.document, errors.Join(got.Skipped...), c.skipped)
		}
	}
}

// A directory is kept whole, so it may not be of any size.
func TestReadDirectoryTooLarge(t *testing.T) {
	r := io.MultiReader(strings.NewReader(`{"resources":{"a":{"x":[`), &repeater{text: "12345678,"})
	_, err := alto.ReadDirectory(r, nil)
	checkError(t, "one endless entry", err, "resources/a: one value of the document is longer")
	r = io.MultiReader(strings.NewReader(`{"x":[`), &repeater{text: "12345678,"})
	_, err = alto.ReadDirectory(r, nil)
	checkError(t, "endless", err, "larger than the limit of 16777216 bytes")
}

// repeater repeats a text without end, or left times.
type repeater struct {
	text   string
	offset int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], r.text[r.offset:])
		n += c
		r.offset = (r.offset + c) % len(r.text)
	}
	return n, nil
}

func TestReadError(t *testing.T) {
	for _, c := range []struct {
		document string
		want     alto.Error
		text     string
		err      string
	}{
		{
			errorDocument,
			alto.Error{Code: "E_INVALID_FIELD_VALUE", Field: "cost-type/cost-mode", Value: "foo"},
			`the ALTO server reports E_INVALID_FIELD_VALUE, field "cost-type/cost-mode", value "foo"`, "",
		},
		{
			`{"meta":{"code":"E_SYNTAX","syntax-error":"line 1","x":1}}`,
			alto.Error{Code: "E_SYNTAX", SyntaxError: "line 1"},
			`the ALTO server reports E_SYNTAX, syntax error "line 1"`, "",
		},
		{
			`{"x":{},"meta":{"field":["a"],"value":5,"code":"evil\ncode"}}`,
			alto.Error{Code: "evil\ncode", Value: "5"},
			`the ALTO server reports "evil\ncode", value "5"`, "",
		},
		{`{}`, alto.Error{}, "", "meta/code is missing: the document is not an ALTO error document"},
		{`{"meta":{"code":""}}`, alto.Error{}, "", "meta/code is missing"},
		{`{"code":"E_SYNTAX"}`, alto.Error{}, "", "meta/code is missing"}, // it belongs inside meta
		{`{"meta":{"code":"E_SYNTAX"`, alto.Error{}, "", "cut off"},
		{`{"meta":[]}`, alto.Error{}, "", "meta: an array instead of an object"},
		{``, alto.Error{}, "", "the document is empty"},
	} {
		got, err := alto.ReadError(strings.NewReader(c.document))
		checkError(t, c.document, err, c.err)
		if err == nil && (*got != c.want || got.Error() != c.text) {
			t.Errorf("%s: %#v: %v", c.document, *got, got)
		}
	}
}
