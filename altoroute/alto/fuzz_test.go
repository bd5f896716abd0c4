// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A slowReader reads what the readers of this package read, but from a tree and
// with no thought of cost. It is lenient: it is only asked about documents that
// both accept.
type slowReader map[string]json.RawMessage

func (s slowReader) object(name string) (o slowReader) {
	if json.Unmarshal(s[name], &o) != nil {
		return nil
	}
	return o
}

func (s slowReader) text(name string) (text string) {
	if json.Unmarshal(s[name], &text) != nil {
		return ""
	}
	return text
}

func (s slowReader) versionTag(name string) alto.VersionTag {
	tag := s.object(name)
	return alto.VersionTag{ResourceID: tag.text("resource-id"), Tag: tag.text("tag")}
}

// networkMap returns the tag and the prefixes of each PID, masked.
func (s slowReader) networkMap() (alto.VersionTag, map[string][]netip.Prefix, error) {
	pids := make(map[string][]netip.Prefix)
	for pid := range s.object("network-map") {
		pids[pid] = nil
		for _, addressType := range []string{"ipv4", "ipv6"} {
			var list []string
			group := s.object("network-map").object(pid)
			if raw, ok := group[addressType]; ok && json.Unmarshal(raw, &list) != nil {
				return alto.VersionTag{}, nil, errors.New("no list")
			}
			for _, written := range list {
				p, err := netip.ParsePrefix(written)
				if err != nil {
					return alto.VersionTag{}, nil, err
				}
				if p.Addr().Is4In6() {
					p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
				}
				pids[pid] = append(pids[pid], p.Masked())
			}
		}
		slices.SortFunc(pids[pid], netip.Prefix.Compare)
	}
	return s.object("meta").versionTag("vtag"), pids, nil
}

func FuzzReadNetworkMap(f *testing.F) {
	f.Add(rfcNetworkMap)
	f.Add(rfcCostMap)
	f.Add(errorDocument)
	// The second map of §11.2.2, of which only the body is printed.
	f.Add(netmap(`{"PID0":{"ipv6":["::/0"]},"PID1":{"ipv4":["0.0.0.0/0"]},
		"PID2":{"ipv4":["192.0.2.0/24","198.51.100.0/24"]},"PID3":{"ipv4":["192.0.2.0/25","192.0.2.128/25"]}}`))
	f.Add(netmap(`{"a":{"ipv6":["::ffff:192.0.2.1/120","2001:DB8::1/32"],"asn":[1]},"b":{}}`))
	f.Fuzz(func(t *testing.T, document string) {
		var got networkMap
		info, err := alto.ReadNetworkMap(strings.NewReader(document), &got)
		if err != nil {
			checkError(t, document, err, err.Error()) // one short line
			return
		}
		for pid, prefixes := range got.prefixes {
			if err := alto.CheckPIDName(pid); err != nil {
				t.Error(err)
			}
			for _, p := range prefixes {
				if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
					t.Errorf("%s has the prefix %v", pid, p)
				}
			}
			slices.SortFunc(prefixes, netip.Prefix.Compare)
		}
		checkTag(t, info.VersionTag)
		if (info.HostBits == 0) != (info.FirstHostBits == "") || !slices.IsSorted(info.UnknownTypes) || len(info.UnknownTypes) > 8 {
			t.Errorf("%+v", info)
		}
		var slow slowReader
		if json.Unmarshal([]byte(document), &slow) != nil {
			t.Fatal("accepted what encoding/json does not")
		}
		tag, pids, err := slow.networkMap()
		if err != nil {
			t.Fatalf("accepted what the slow reader does not: %v", err)
		}
		if len(pids) == 0 {
			pids = nil
		}
		if tag != info.VersionTag || !reflect.DeepEqual(pids, got.prefixes) {
			t.Errorf("read as %+v %+v, slowly as %+v %+v", info, got.prefixes, tag, pids)
		}
	})
}

func checkTag(t *testing.T, tag alto.VersionTag) {
	t.Helper()
	if err := errors.Join(alto.CheckResourceID(tag.ResourceID), alto.CheckTag(tag.Tag)); err != nil {
		t.Error(err)
	}
}

func checkCostType(t *testing.T, costType alto.CostType) {
	t.Helper()
	if err := errors.Join(alto.CheckCostMode(costType.Mode), alto.CheckCostMetric(costType.Metric)); err != nil {
		t.Error(err)
	}
}

func FuzzReadCostMap(f *testing.F) {
	f.Add(rfcCostMap)
	f.Add(rfcNetworkMap)
	f.Add(costs("ordinal", `{"a":{"b":1,"\u0063":2e3}}`))
	f.Add(costsFirst("ordinal", `{"a":{"b":-1}}`))
	f.Add(costs("priv:x", `{"a":{"b":-1.5e-3},"":{}}`))
	f.Fuzz(func(t *testing.T, document string) {
		var got costMap
		info, err := alto.ReadCostMap(strings.NewReader(document), &got)
		if err != nil {
			checkError(t, document, err, err.Error())
			return
		}
		checkTag(t, info.DependentVersionTag)
		checkCostType(t, info.CostType)
		if info.VersionTag != (alto.VersionTag{}) {
			checkTag(t, info.VersionTag)
		}
		var slow slowReader
		if json.Unmarshal([]byte(document), &slow) != nil {
			t.Fatal("accepted what encoding/json does not")
		}
		body := slow.object("cost-map")
		if len(body) != len(got.rows) || info.Pairs != len(got.costs) {
			t.Errorf("%d rows, slowly %d; %d costs of %d pairs", len(got.rows), len(body), len(got.costs), info.Pairs)
		}
		for pair, cost := range got.costs {
			if err := errors.Join(alto.CheckPIDName(pair[0]), alto.CheckPIDName(pair[1])); err != nil {
				t.Error(err)
			}
			var slowly float64
			if err := json.Unmarshal(body.object(pair[0])[pair[1]], &slowly); err != nil || slowly != cost {
				t.Errorf("%v costs %g, slowly %g, %v", pair, cost, slowly, err)
			}
			if math.IsInf(cost, 0) || math.IsNaN(cost) || info.CostType.Mode == "ordinal" && (cost < 0 || cost != math.Trunc(cost)) {
				t.Errorf("%v costs %g in mode %s", pair, cost, info.CostType.Mode)
			}
		}
	})
}

func FuzzReadDirectory(f *testing.F) {
	f.Add(rfcDirectory)
	f.Add(strings.Replace(rfcDirectory, "},\n     },", "}\n     },", 1))
	f.Add(rfcNestedDirectory)
	f.Add(`{"meta":{"default-alto-network-map":"n"},"resources":{"a":{"uri":"//h/","media-type":"a/b;c=d","uses":["b"]},"b":{}}}`)
	f.Add(`{"meta":{"cost-types":{"c":{"cost-mode":"ordinal","cost-metric":"x"}}},"resources":{"a":{"uri":"/","media-type":"a/b","capabilities":{"cost-type-names":["c","c"]}}}}`)
	base := mustURL("https://alto.example.com/directory")
	f.Fuzz(func(t *testing.T, document string) {
		got, err := alto.ReadDirectory(strings.NewReader(document), base)
		if err != nil {
			checkError(t, document, err, err.Error())
			return
		}
		for _, err := range got.Skipped {
			checkError(t, document, err, err.Error())
		}
		for _, costType := range got.CostTypes {
			checkCostType(t, costType)
		}
		for id, res := range got.Resources {
			if err := alto.CheckResourceID(id); err != nil || id != res.ID {
				t.Errorf("%q: %v", id, err)
			}
			if (res.URI.Scheme != "http" && res.URI.Scheme != "https") || res.URI.Hostname() == "" || !strings.Contains(res.MediaType, "/") {
				t.Errorf("%q: %+v", id, res)
			}
			for _, name := range res.Capabilities.CostTypeNames {
				if _, ok := got.CostTypes[name]; !ok {
					t.Errorf("%q: no cost type %q", id, name)
				}
			}
			if len(res.CostTypes) != len(res.Capabilities.CostTypeNames) {
				t.Errorf("%q: cost types %v", id, res.CostTypes)
			}
		}
		again, err := alto.ReadDirectory(strings.NewReader(document), base)
		if err != nil || printed(again) != printed(got) {
			t.Errorf("read as %v, and again as %v, %v", printed(got), printed(again), err)
		}
	})
}

func FuzzReadError(f *testing.F) {
	f.Add(errorDocument)
	f.Add(`{"meta":{"code":"E_SYNTAX","syntax-error":"line 1\nline 2","value":[1]}}`)
	f.Add(rfcCostMap)
	f.Fuzz(func(t *testing.T, document string) {
		got, err := alto.ReadError(strings.NewReader(document))
		if err == nil {
			if got.Code == "" {
				t.Errorf("no code: %+v", got)
			}
			err = fmt.Errorf("the document: %w", got)
		}
		checkError(t, document, err, err.Error())
	})
}
