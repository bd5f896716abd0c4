// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Every exchange that RFC 7285 prints with its HTTP header, as a client of this
// package sees it: the request is the printed one, and the answer is read or
// refused. The printed Content-Length is left out: it is not that of the text as
// it is printed.
func TestRFCExchanges(t *testing.T) {
	const (
		custom = "http://custom.alto.example.com"
		server = "http://alto.example.com"

		networkMapFilter  = "application/alto-networkmapfilter+json"
		endpointProp      = "application/alto-endpointprop+json"
		endpointPropQuery = "application/alto-endpointpropparams+json"
		endpointCost      = "application/alto-endpointcost+json"
		endpointCostQuery = "application/alto-endpointcostparams+json"
	)
	readDirectory := func(r io.Reader) (string, error) {
		d, err := alto.ReadDirectory(r, nil)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d resources, %d cost types, default %q, skipped %v", len(d.Resources), len(d.CostTypes), d.DefaultNetworkMap, d.Skipped), nil
	}
	readNetworkMap := func(r io.Reader) (string, error) {
		var m networkMap
		info, err := alto.ReadNetworkMap(r, &m)
		return fmt.Sprintf("%v %v, %d with host bits, the first %q", info.VersionTag.Tag, m.prefixes, info.HostBits, info.FirstHostBits), err
	}
	readCostMap := func(r io.Reader) (string, error) {
		var m costMap
		info, err := alto.ReadCostMap(r, &m)
		return fmt.Sprintf("%v %v %v", info.DependentVersionTag.Tag, info.CostType, m.costs), err
	}
	for _, c := range []struct {
		section   string
		url       string
		bodyType  string // empty for GET
		mediaType string // that is asked for
		accept    string
		sent      string // Content-Type of the answer
		answer    string
		read      func(io.Reader) (string, error)
		want, err string
	}{
		{
			// A comma trails the capabilities of "endpoint-property".
			"9.2.3, as printed", server + "/directory", "", alto.MediaTypeDirectory, "application/alto-directory+json,application/alto-error+json",
			alto.MediaTypeDirectory, rfcDirectory, readDirectory, "", "resources/endpoint-property: no valid JSON at byte",
		},
		{
			"9.2.3, mended", server + "/directory", "", alto.MediaTypeDirectory, "application/alto-directory+json,application/alto-error+json",
			alto.MediaTypeDirectory, strings.Replace(rfcDirectory, "},\n     },", "}\n     },", 1), readDirectory,
			`6 resources, 4 cost types, default "my-default-network-map", skipped []`, "",
		},
		{
			// It uses a network map of the directory it is nested in: see
			// TestReadClosureRFC.
			"9.2.4", custom + "/maps", "", alto.MediaTypeDirectory, "application/alto-directory+json,application/alto-error+json",
			alto.MediaTypeDirectory, rfcNestedDirectory, readDirectory, `4 resources, 4 cost types, default "", skipped []`, "",
		},
		{
			"11.2.1.7", server + "/networkmap", "", alto.MediaTypeNetworkMap, "application/alto-networkmap+json,application/alto-error+json",
			alto.MediaTypeNetworkMap, rfcNetworkMap, readNetworkMap,
			"da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785 map[PID1:[192.0.2.0/24 198.51.100.0/25] PID2:[198.51.100.128/25] PID3:[0.0.0.0/0 ::/0]], 0 with host bits, the first \"\"", "",
		},
		{
			// Its tag is not that of §11.2.1.7: whoever uses both must refuse
			// the pair (§6.3).
			"11.2.3.7", server + "/costmap/num/routingcost", "", alto.MediaTypeCostMap, "application/alto-costmap+json,application/alto-error+json",
			alto.MediaTypeCostMap, rfcCostMap, readCostMap,
			"3ee2cb7e8d63d9fab71b9b34cbf764436315542e routingcost (numerical) map[[PID1 PID1]:1 [PID1 PID2]:5 [PID1 PID3]:10 [PID2 PID1]:5 [PID2 PID2]:1 [PID2 PID3]:15 [PID3 PID1]:20 [PID3 PID2]:15]", "",
		},
		{
			// The bits beyond the length are dropped and told of. The sink
			// then has 198.51.100.0/24 twice, in two PIDs, which it must
			// refuse (§11.2.2): meant was 198.51.100.128/25, as elsewhere.
			"11.3.1.7", custom + "/networkmap/filtered", networkMapFilter, alto.MediaTypeNetworkMap, "application/alto-networkmap+json,application/alto-error+json",
			alto.MediaTypeNetworkMap, rfcFilteredNetworkMap, readNetworkMap,
			"c0ce023b8678a7b9ec00324673b98e54656d1f6d map[PID1:[192.0.2.0/24 198.51.100.0/24] PID2:[198.51.100.0/24]], 1 with host bits, the first \"198.51.100.128/24\"", "",
		},
		{
			"11.3.2.7", custom + "/costmap/filtered", alto.MediaTypeCostMapFilter, alto.MediaTypeCostMap, "application/alto-costmap+json,application/alto-error+json",
			alto.MediaTypeCostMap, rfcFilteredCostMap, readCostMap,
			"75ed013b3cb58f896e839582504f622838ce670f routingcost (numerical) map[[PID1 PID1]:0 [PID1 PID2]:1 [PID1 PID3]:2]", "",
		},
		// The package has no reader for the endpoint services. By its type
		// such an answer can be had; taken for a map, it is known for what it
		// is.
		{
			"11.4.1.7", server + "/endpointprop/lookup", endpointPropQuery, endpointProp, "application/alto-endpointprop+json,application/alto-error+json",
			endpointProp, rfcEndpointProperties, readNetworkMap, "", "the document is an endpoint property document, not a network map",
		},
		{
			"11.5.1.7", server + "/endpointcost/lookup", endpointCostQuery, endpointCost, "application/alto-endpointcost+json,application/alto-error+json",
			endpointCost, rfcEndpointCosts, readCostMap, "", "the document is an endpoint cost map, not a cost map",
		},
		{
			"11.5.1.7 instead of a cost map", server + "/endpointcost/lookup", endpointCostQuery, alto.MediaTypeCostMap, "application/alto-costmap+json,application/alto-error+json",
			endpointCost, rfcEndpointCosts, readCostMap, "", "the document is an endpoint cost map, not a cost map",
		},
	} {
		handler := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if "http://"+r.Host+r.URL.Path != c.url || r.Header.Get("Accept") != c.accept || r.Header.Get("Content-Type") != c.bodyType || (r.Method == http.MethodPost) != (c.bodyType != "") {
				t.Errorf("§%s: asked %s %s%s %v", c.section, r.Method, r.Host, r.URL.Path, r.Header)
			}
			answer(c.sent, 200, c.answer)(w, r)
		}))
		client := &alto.Client{HTTP: everywhere(handler, handler)}
		got, err := func() (string, error) {
			var res *alto.Response
			var err error
			if c.bodyType == "" {
				res, err = client.Get(t.Context(), mustURL(c.url), c.mediaType, alto.Validators{})
			} else {
				res, err = client.Post(t.Context(), mustURL(c.url), []byte("{}"), c.bodyType, c.mediaType, alto.Validators{})
			}
			if err != nil {
				return "", err
			}
			defer res.Body.Close()
			return c.read(res.Body)
		}()
		handler.Close()
		checkError(t, "§"+c.section, err, c.err)
		if err == nil && got != c.want {
			t.Errorf("§%s: got\n%s, want\n%s", c.section, got, c.want)
		}
	}
}

// What RFC 7285 prints of documents without an exchange.
func TestRFCFragments(t *testing.T) {
	tagged := func(body string) string {
		return `{"meta":{"vtag":{"resource-id":"m","tag":"1"}},` + body + `}`
	}
	for section, c := range map[string]struct{ document, want string }{
		"10.4.5": {netmap(`{"PID1":` + rfcAddressGroup + `}`), "map[PID1:[192.0.2.0/24 198.51.100.0/25 2001:db8:0:1::/64 2001:db8:0:2::/64]]"},
		"11.2.2, non-overlapping": {
			tagged(rfcNonOverlapping),
			"map[PID0:[::/0] PID1:[0.0.0.0/0] PID2:[192.0.2.0/24 198.51.100.0/24] PID3:[192.0.2.0/25 192.0.2.128/25]]",
		},
		// A prefix in two PIDs is for the sink to refuse.
		"11.2.2, overlapping": {
			tagged(strings.Replace(rfcNonOverlapping, `"PID3" : { "ipv4" : [ "192.0.2.0/25", "192.0.2.128/25" ] }`, rfcOverlapping, 1)),
			"map[PID0:[::/0] PID1:[0.0.0.0/0] PID2:[192.0.2.0/24 198.51.100.0/24] PID3:[192.0.2.0/24]]",
		},
	} {
		var got networkMap
		if _, err := alto.ReadNetworkMap(strings.NewReader(c.document), &got); err != nil || fmt.Sprint(got.prefixes) != c.want {
			t.Errorf("§%s: %v, %v", section, got.prefixes, err)
		}
	}
	// §8.5.2 describes two error documents and prints none. It gives the path
	// of a field in either order; the second is a misprint (the path of
	// cost-mode is cost-type/cost-mode), and both are shown as they come.
	for document, want := range map[string]string{
		`{"meta":{"code":"E_MISSING_FIELD","field":"cost-type/cost-metric"}}`:                   `the ALTO server reports E_MISSING_FIELD, field "cost-type/cost-metric"`,
		`{"meta":{"code":"E_INVALID_FIELD_VALUE","field":"cost-mode/cost-type","value":"foo"}}`: `the ALTO server reports E_INVALID_FIELD_VALUE, field "cost-mode/cost-type", value "foo"`,
	} {
		if got, err := alto.ReadError(strings.NewReader(document)); err != nil || got.Error() != want {
			t.Errorf("§8.5.2: %v, %v", got, err)
		}
	}
	// The request of §11.3.2.7 is what a filter writes, but for white space.
	filter := alto.CostMapFilter{
		CostType: alto.CostType{Mode: "numerical", Metric: "routingcost"},
		Sources:  []string{"PID1"}, Destinations: []string{"PID1", "PID2", "PID3"},
	}
	body, err := filter.Body()
	var got, want any
	if err != nil || json.Unmarshal(body, &got) != nil || json.Unmarshal([]byte(rfcCostMapFilter), &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("§11.3.2.7: %s, %v", body, err)
	}
}
