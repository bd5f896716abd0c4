// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// networkMap keeps a whole network map.
type networkMap struct {
	pids     []string
	prefixes map[string][]netip.Prefix
}

func (m *networkMap) PID(name string) error {
	if m.prefixes == nil {
		m.prefixes = make(map[string][]netip.Prefix)
	}
	if _, ok := m.prefixes[name]; ok {
		return fmt.Errorf("PID %q came twice", name)
	}
	m.pids = append(m.pids, name)
	m.prefixes[name] = nil
	return nil
}

func (m *networkMap) Prefix(p netip.Prefix) error {
	pid := m.pids[len(m.pids)-1]
	m.prefixes[pid] = append(m.prefixes[pid], p)
	return nil
}

// netmap makes a document of the body of a network map.
func netmap(body string) string {
	return `{"meta":{"vtag":{"resource-id":"m","tag":"1"}},"network-map":` + body + `}`
}

// list makes a document of one prefix.
func list(addressType, prefix string) string {
	return netmap(`{"PID1":{"` + addressType + `":["` + prefix + `"]}}`)
}

func TestReadNetworkMapRFC(t *testing.T) {
	var got networkMap
	info, err := alto.ReadNetworkMap(strings.NewReader(rfcNetworkMap), &got)
	if err != nil {
		t.Fatal(err)
	}
	wantInfo := alto.NetworkMapInfo{VersionTag: alto.VersionTag{
		ResourceID: "my-default-network-map", Tag: "da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785",
	}}
	if !reflect.DeepEqual(info, wantInfo) {
		t.Errorf("info %+v", info)
	}
	want := networkMap{
		pids: []string{"PID1", "PID2", "PID3"},
		prefixes: map[string][]netip.Prefix{
			"PID1": {netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/25")},
			"PID2": {netip.MustParsePrefix("198.51.100.128/25")},
			"PID3": {netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("map %+v", got)
	}
}

// Each prefix is read as it is in any of its legal forms, or refused with a
// reason.
func TestReadNetworkMapPrefixes(t *testing.T) {
	withHostBits := []string{"255.255.255.255/1", "2001:db8::1/32", "::ffff:192.0.2.1/120"}
	for _, c := range []struct{ addressType, prefix, want, err string }{
		{"ipv4", "10.0.0.0/8", "10.0.0.0/8", ""},
		{"ipv4", "0.0.0.0/0", "0.0.0.0/0", ""},
		{"ipv4", "192.0.2.1/32", "192.0.2.1/32", ""},
		{"ipv4", "255.255.255.255/1", "128.0.0.0/1", ""},
		{"ipv4", `192.0.2.0\/24`, "192.0.2.0/24", ""}, // escaped, as some writers do
		{"ipv4", `\u0031.0.0.0/8`, "1.0.0.0/8", ""},
		{"ipv4", "10.0.0.0/33", "", `network-map/PID1/ipv4: "10.0.0.0/33" is not an IPv4 prefix: prefix length out of range`},
		{"ipv4", "192.0.2.1", "", "the prefix length is missing"},
		{"ipv4", "192.0.2.1/", "", "bad bits after slash"},
		{"ipv4", "192.0.2.1/08", "", "bad bits after slash"},
		{"ipv4", "192.0.2.1/+8", "", "bad bits after slash"},
		{"ipv4", "192.0.2.1/-1", "", "bad bits after slash"},
		{"ipv4", "192.0.02.0/24", "", "leading zero"},
		{"ipv4", "192.0.2/24", "", "IPv4 address too short"},
		{"ipv4", "192.0.2.256/24", "", ">255"},
		{"ipv4", "192.0.2.0/255.255.255.0", "", "bad bits after slash"},
		{"ipv4", " 192.0.2.0/24", "", "is not an IPv4 prefix: unexpected character"},
		{"ipv4", "", "", `"" is not an IPv4 prefix`},
		{"ipv4", "2001:db8::/32", "", `it is an IPv6 one and belongs under ipv6`},
		{"ipv4", "::ffff:192.0.2.0/120", "", `belongs under ipv6`},
		{"ipv4", strings.Repeat("1", 100_000), "", "it is too long"},

		{"ipv6", "2001:db8::/32", "2001:db8::/32", ""},
		{"ipv6", "2001:DB8:0:0:0::/32", "2001:db8::/32", ""},
		{"ipv6", "2001:0db8:0000:0000:0000:0000:0000:0000/32", "2001:db8::/32", ""},
		{"ipv6", "::/0", "::/0", ""},
		{"ipv6", "::1/128", "::1/128", ""},
		{"ipv6", "1::/16", "1::/16", ""},
		{"ipv6", "1:2:3:4:5:6:7::/112", "1:2:3:4:5:6:7:0/112", ""},
		{"ipv6", "64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120", ""},
		{"ipv6", "2001:db8::1/32", "2001:db8::/32", ""},
		{"ipv6", "2001:db8::/129", "", `is not an IPv6 prefix: prefix length out of range`},
		{"ipv6", "2001:db8::", "", "the prefix length is missing"},
		{"ipv6", "1:2:3:4:5:6:7::8/128", "", "::"},
		{"ipv6", "1::2::3/64", "", "::"},
		{"ipv6", "1:2:3/64", "", "too short"},
		{"ipv6", "12345::/16", "", "4 or less digits"},
		{"ipv6", "fe80::1%eth0/64", "", "zone"},
		{"ipv6", "[2001:db8::]/32", "", "is not an IPv6 prefix"},
		{"ipv6", "192.0.2.0/24", "", "it is an IPv4 one and belongs under ipv4"},

		// IPv4-mapped prefixes mean the IPv4 prefix.
		{"ipv6", "::ffff:192.0.2.0/120", "192.0.2.0/24", ""},
		{"ipv6", "::ffff:c000:200/120", "192.0.2.0/24", ""},
		{"ipv6", "::ffff:192.0.2.1/120", "192.0.2.0/24", ""},
		{"ipv6", "::ffff:0:0/96", "0.0.0.0/0", ""},
		{"ipv6", "::ffff:192.0.2.1/128", "192.0.2.1/32", ""},
		{"ipv6", "::ffff:0:0/95", "", "write IPv4 prefixes under ipv4"},
		{"ipv6", "::/80", "::/80", ""},
	} {
		var got networkMap
		info, err := alto.ReadNetworkMap(strings.NewReader(list(c.addressType, c.prefix)), &got)
		checkError(t, c.prefix, err, c.err)
		if err != nil {
			continue
		}
		prefixes := got.prefixes["PID1"]
		if len(prefixes) != 1 || prefixes[0].String() != c.want {
			t.Errorf("%s is read as %v, want %s", c.prefix, prefixes, c.want)
		}
		if hostBits := slices.Contains(withHostBits, c.prefix); hostBits != (info.HostBits == 1) || hostBits != (info.FirstHostBits == c.prefix) {
			t.Errorf("%s has %d prefixes with host bits, the first %q", c.prefix, info.HostBits, info.FirstHostBits)
		}
	}
}

func TestReadNetworkMapHostBits(t *testing.T) {
	var got networkMap
	document := netmap(`{"a":{"ipv4":["10.0.0.0/8","10.0.0.1/8"]},"b":{"ipv6":["2001:db8::1/64"]}}`)
	info, err := alto.ReadNetworkMap(strings.NewReader(document), &got)
	if err != nil || info.HostBits != 2 || info.FirstHostBits != "10.0.0.1/8" {
		t.Errorf("%+v, %v", info, err)
	}
}

// Address types that are not known are ignored, whatever their value, and the
// PID stays (RFC 7285 §11.2.1.7).
func TestReadNetworkMapUnknownTypes(t *testing.T) {
	var got networkMap
	info, err := alto.ReadNetworkMap(strings.NewReader(netmap(`{
		"a": {"asn": [1, {"x": [null]}], "IPv4": "10.0.0.0/8", "": null},
		"b": {"ipv4": ["10.0.0.0/8"], "asn": 7, "mac": true},
		"c": {}
	}`)), &got)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"", "IPv4", "asn", "mac"}; !slices.Equal(info.UnknownTypes, want) {
		t.Errorf("unknown types %q", info.UnknownTypes)
	}
	if !slices.Equal(got.pids, []string{"a", "b", "c"}) || len(got.prefixes["a"]) != 0 || len(got.prefixes["b"]) != 1 {
		t.Errorf("%+v", got)
	}

	var types []string
	for i := range 20 {
		types = append(types, fmt.Sprintf(`"type%02d":0`, 19-i))
	}
	got = networkMap{}
	info, err = alto.ReadNetworkMap(strings.NewReader(netmap(`{"a":{`+strings.Join(types, ",")+`}}`)), &got)
	if err != nil || len(info.UnknownTypes) != 8 || info.UnknownTypes[0] != "type00" || info.UnknownTypes[7] != "type07" {
		t.Errorf("unknown types %q, %v", info.UnknownTypes, err)
	}
}

func TestReadNetworkMapRefuses(t *testing.T) {
	for _, c := range []struct{ document, err string }{
		{``, "the document is empty"},
		{" \n", "the document is empty"},
		{`[]`, "the document: an array instead of an object"},
		{`"x"`, "the document: a string instead of an object"},
		{`null`, "the document: null instead of an object"},
		{`<!DOCTYPE html>`, "no valid JSON at byte 0: invalid character '<'"},
		{`{}`, "network-map is missing: the document is not a network map"},
		{`{"meta":{}}`, "network-map is missing"},
		{`{"network-map":{}}`, "meta/vtag is missing"},
		{`{"meta":{},"network-map":{}}`, "meta/vtag is missing"},
		{`{"meta":[],"network-map":{}}`, "meta: an array instead of an object"},
		{`{"meta":{"vtag":null},"network-map":{}}`, "meta/vtag: null instead of a version tag"},
		{`{"meta":{"vtag":{}},"network-map":{}}`, "meta/vtag: resource-id is missing"},
		{`{"meta":{"vtag":{"resource-id":"m"}},"network-map":{}}`, "meta/vtag: tag is missing"},
		{`{"meta":{"vtag":{"resource-id":"m","tag":1}},"network-map":{}}`, "meta/vtag/tag: a number instead of a string"},
		{`{"meta":{"vtag":{"resource-id":"m","tag":""}},"network-map":{}}`, `meta/vtag/tag: "" is not a tag: it is empty`},
		{`{"meta":{"vtag":{"resource-id":"a.b","tag":"1"}},"network-map":{}}`, `meta/vtag/resource-id: "a.b" is not a resource id: "." is reserved`},
		{netmap(`[]`), "network-map: an array instead of an object of PIDs"},
		{netmap(`null`), "network-map: null instead of an object of PIDs"},
		{netmap(`{"a.b":{}}`), `network-map: "a.b" is not a PID name: "." is reserved`},
		{netmap(`{"":{}}`), `network-map: "" is not a PID name: it is empty`},
		{netmap(`{"PID1":[]}`), "network-map/PID1: an array instead of an object of address types"},
		{netmap(`{"PID1":{"ipv4":"10.0.0.0/8"}}`), "network-map/PID1/ipv4: a string instead of an array of prefixes"},
		{netmap(`{"PID1":{"ipv6":null}}`), "network-map/PID1/ipv6: null instead of an array of prefixes"},
		{netmap(`{"PID1":{"ipv4":[1]}}`), "network-map/PID1/ipv4: a number instead of a prefix"},
		{netmap(`{"PID1":{"ipv4":[["10.0.0.0/8"]]}}`), "network-map/PID1/ipv4: an array instead of a prefix"},
		{netmap(`{"PID1":{"ipv4":["10.0.0.0/8",null]}}`), "network-map/PID1/ipv4: null instead of a prefix"},
		{netmap(`{"PID1":{"ipv4":["10.0.0.0/8",{}]}}`), "network-map/PID1/ipv4: an object instead of a prefix"},
		{netmap(`{"PID1":{},"PID1":{}}`), `network-map: the member "PID1" occurs twice`},
		{netmap(`{"PID1":{},"\u0050ID1":{}}`), `network-map: the member "PID1" occurs twice`},
		{netmap(`{"PID1":{"ipv4":[],"ipv4":[]}}`), `network-map/PID1: the member "ipv4" occurs twice`},
		{netmap(`{"PID1":{"ipv4":["10.0.0.0/8",]}}`), "network-map/PID1/ipv4"},
		{netmap(`{}`) + `{}`, "data follow the end of the document at byte"},
		{netmap(`{}`) + `x`, "data follow the end of the document at byte"},
		{netmap(`{}`) + "\n", ""},
		{strings.TrimRight(netmap(`{"PID1":{"ipv4":["10.0.0.0/8"`), "}"), "network-map/PID1/ipv4: the document is cut off after"},
		{netmap(`{}`)[:60], "the document is cut off after 60 bytes"},
		{netmap("{\"PID1\":{\"\xff\":1}}"), "invalid UTF-8"},
		{netmap(`{"\ud800":{}}`), "surrogate"},
		{`{"x":` + strings.Repeat("[", 20_000), "nested more than 100 deep"},
		{`{"x":` + strings.Repeat(`{"a":`, 20_000), "nested more than 100 deep"},
		{`{"x":"` + strings.Repeat("x", 2<<20) + `"}`, "one value of the document is longer than 1048576 bytes"},
		{`{"x":` + strings.Repeat(" ", 2<<20) + `1}`, "one value of the document is longer than 1048576 bytes"},
		{`{"x":` + strings.Repeat("1", 2<<20) + `}`, "one value of the document is longer than 1048576 bytes"},
	} {
		_, err := alto.ReadNetworkMap(strings.NewReader(c.document), new(networkMap))
		checkError(t, c.document, err, c.err)
	}
}

func TestWrongKind(t *testing.T) {
	readers := map[string]func(string) error{
		alto.MediaTypeNetworkMap: func(s string) error {
			_, err := alto.ReadNetworkMap(strings.NewReader(s), new(networkMap))
			return err
		},
		alto.MediaTypeCostMap: func(s string) error {
			_, err := alto.ReadCostMap(strings.NewReader(s), new(costMap))
			return err
		},
		alto.MediaTypeDirectory: func(s string) error {
			_, err := alto.ReadDirectory(strings.NewReader(s), nil)
			return err
		},
		alto.MediaTypeError: func(s string) error {
			_, err := alto.ReadError(strings.NewReader(s))
			return err
		},
	}
	documents := map[string]string{
		alto.MediaTypeNetworkMap:             rfcNetworkMap,
		alto.MediaTypeCostMap:                rfcCostMap,
		alto.MediaTypeDirectory:              rfcNestedDirectory,
		alto.MediaTypeError:                  errorDocument,
		"application/alto-endpointcost+json": `{"meta":{},"endpoint-cost-map":{}}`,
	}
	for want, read := range readers {
		for got, document := range documents {
			err := read(document)
			var kind *alto.KindError
			switch {
			case want == got:
				checkError(t, document, err, "")
			case !errors.As(err, &kind) || kind.Want != want || kind.Got != got:
				t.Errorf("%s read as %s: %v", got, want, err)
			case got == alto.MediaTypeError:
				var doc *alto.Error
				if !errors.As(err, &doc) || doc.Code != "E_INVALID_FIELD_VALUE" {
					t.Errorf("%s read as %s: %v", got, want, err)
				}
			}
		}
	}
	err := readers[alto.MediaTypeNetworkMap](rfcCostMap)
	checkError(t, "cost map", err, "the document is a cost map, not a network map")

	// Beside the right body, the others are members that are not known.
	checkError(t, "both", readers[alto.MediaTypeNetworkMap](
		`{"cost-map":5,"resources":null,"meta":{"code":"x","vtag":{"resource-id":"m","tag":"1"}},"network-map":{}}`), "")
}

// failingSink fails at its nth call.
type failingSink struct {
	left int
	err  error
}

func (s *failingSink) call() error {
	if s.left--; s.left < 0 {
		return s.err
	}
	return nil
}
func (s *failingSink) PID(string) error          { return s.call() }
func (s *failingSink) Prefix(netip.Prefix) error { return s.call() }

func TestReadNetworkMapSinkError(t *testing.T) {
	cause := errors.New("no more")
	for calls, want := range map[int]string{
		0: "network-map/PID1: no more",
		1: `network-map/PID1/ipv4: "192.0.2.0/24": no more`,
		7: `network-map/PID3/ipv6: "::/0": no more`,
		8: "",
	} {
		_, err := alto.ReadNetworkMap(strings.NewReader(rfcNetworkMap), &failingSink{calls, cause})
		checkError(t, fmt.Sprint(calls, " calls"), err, want)
		if want != "" && !errors.Is(err, cause) {
			t.Errorf("%v is not the sink's error", err)
		}
	}
}

// An error of the reader below is passed on, and a cut-off document is known
// by io.ErrUnexpectedEOF.
func TestReaderErrors(t *testing.T) {
	cause := errors.New("the line is dead")
	r := io.MultiReader(strings.NewReader(rfcNetworkMap[:100]), iotest.ErrReader(cause))
	_, err := alto.ReadNetworkMap(r, new(networkMap))
	checkError(t, "dead line", err, "reading the document at byte")
	if !errors.Is(err, cause) {
		t.Errorf("%v is not the reader's error", err)
	}
	for i := range rfcNetworkMap {
		_, err := alto.ReadNetworkMap(strings.NewReader(rfcNetworkMap[:i]), new(networkMap))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off after %d bytes: %v", i, err)
		}
	}
	_, err = alto.ReadNetworkMap(stuckReader{}, new(networkMap))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader without progress: %v", err)
	}
	var whole networkMap
	if _, err := alto.ReadNetworkMap(iotest.OneByteReader(strings.NewReader(rfcNetworkMap)), &whole); err != nil || len(whole.pids) != 3 {
		t.Errorf("byte by byte: %v, %v", whole.pids, err)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }
