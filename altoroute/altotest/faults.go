// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A Fault is a way to be wrong that no client may take for guidance.
type Fault struct {
	// Name is unique, lower case and fit for a subtest.
	Name string
	// MediaTypes are the kinds of documents that it is for; nil means any.
	MediaTypes []string
	// Content tells that the answer comes through, whole and as the document
	// that was asked for, and that what it says is wrong. Other faults are of
	// availability: there is no answer, or it says itself that it is another.
	Content bool
	// NeedsTimeout and NeedsMaxBody tell that only a client's limit in time, or
	// in size after decompression, ends it soon. A test has to set it low: to
	// some MiB at most.
	NeedsTimeout, NeedsMaxBody bool
	Behavior                   Behavior
}

// On reports whether the fault is for documents of a media type.
func (f *Fault) On(mediaType string) bool {
	return f.MediaTypes == nil || slices.Contains(f.MediaTypes, mediaType)
}

// Faults returns all faults there are, for a test to meet a client with each of
// them. They spoil honest documents: a root directory with a cost map of its
// default network map, a network map with a prefix, a cost map with a cost. Each
// call makes new ones.
func Faults() []Fault {
	return slices.Concat(silence(), refusals(), detours(), brokenDocuments(), brokenDirectories(), brokenNetworkMaps(), brokenCostMaps())
}

// onAny and the like make faults of content.
func onAny(name string, b Behavior) Fault { return Fault{Name: name, Content: true, Behavior: b} }

func onDirectory(name string, b Behavior) Fault {
	return Fault{Name: name, Content: true, MediaTypes: []string{alto.MediaTypeDirectory}, Behavior: b}
}

func onNetworkMap(name string, b Behavior) Fault {
	return Fault{Name: name, Content: true, MediaTypes: []string{alto.MediaTypeNetworkMap}, Behavior: b}
}

func onCostMap(name string, b Behavior) Fault {
	return Fault{Name: name, Content: true, MediaTypes: []string{alto.MediaTypeCostMap}, Behavior: b}
}

func ofMaps() []string { return []string{alto.MediaTypeNetworkMap, alto.MediaTypeCostMap} }

// silence has no answer, or one that does not come to an end.
func silence() []Fault {
	return []Fault{
		{Name: "hang up", Behavior: Hangup()},
		{Name: "no answer", Behavior: Stall(nil), NeedsTimeout: true},
		{Name: "an hour to the first byte", Behavior: Delay(time.Hour), NeedsTimeout: true},
		{Name: "one byte a minute", Behavior: Drip(time.Minute), NeedsTimeout: true},
		{Name: "stall in the body", Behavior: StallAfter(40, nil), NeedsTimeout: true},
		{Name: "cut", Behavior: Cut(40)},
		{Name: "content length too large", Behavior: ContentLength(20)},
		{Name: "endless", Behavior: Endless(), NeedsMaxBody: true},
		{Name: "gzip bomb", Behavior: GzipBomb(4 << 30), NeedsMaxBody: true},
		{Name: "a million PIDs", Behavior: ManyPIDs(1_000_000), NeedsMaxBody: true},
		{Name: "gzip that is none", Behavior: Encoding("gzip")},
		{Name: "unknown encoding", Behavior: Encoding("x-unknown")},
		{Name: "header flood", Behavior: HeaderFlood(11 << 20)}, // Go's limit is 10 MiB
	}
}

// refusals are answers that are no document of the kind, and say so.
func refusals() []Fault {
	var list []Fault
	for _, status := range []int{
		http.StatusNoContent, http.StatusPartialContent, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusGone, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
	} {
		list = append(list, Fault{Name: fmt.Sprint("status ", status), Behavior: Status(status)})
	}
	bad := alto.Error{Status: http.StatusBadRequest, Code: codeFieldValue, Field: "cost-type/cost-mode", Value: "numerical"}
	good := bad
	good.Status = http.StatusOK
	return append(list,
		Fault{Name: "retry after seconds", Behavior: RetryAfter(2 * time.Minute)},
		Fault{Name: "retry after a date", Behavior: RetryAfterDate(time.Now().Add(2 * time.Minute))},
		Fault{Name: "error document", Behavior: Error(bad)},
		Fault{Name: "error document with status 200", Behavior: Error(good)},
		Fault{Name: "HTML", Behavior: HTML()},
		Fault{Name: "wrong media type", Behavior: ContentType("application/json")},
		Fault{Name: "directory for map", MediaTypes: ofMaps(), Behavior: Instead(DirectoryPath)},
	)
}

// detours lead nowhere.
func detours() []Fault {
	return []Fault{
		{Name: "redirect loop", Behavior: RedirectLoop()},
		{Name: "redirect chain", Behavior: RedirectChain(50)},
		{Name: "redirect to a host that is down", Behavior: Redirect(http.StatusFound, "http://127.0.0.1:1/")},
		{Name: "redirect out of HTTP", Behavior: Redirect(http.StatusFound, "ftp://192.0.2.1/map")},
		{Name: "redirect without a place", Behavior: Status(http.StatusFound)},
	}
}

func constant(text string) Behavior { return Rewrite(func([]byte) []byte { return []byte(text) }) }

// brokenDocuments are no ALTO documents, whatever their kind.
func brokenDocuments() []Fault {
	return []Fault{
		onAny("nothing", constant("")),
		onAny("HTML as the document", constant("<!doctype html><title>Please log in</title>")),
		onAny("error document as the document", constant(`{"meta":{"code":"E_SYNTAX"}}`)),
		onAny("null", constant("null")),
		onAny("array", constant("[]")),
		onAny("empty object", constant("{}")),
		onAny("truncated", Rewrite(func(document []byte) []byte { return document[:len(document)/2] })),
		onAny("content length too small", ContentLength(-20)),
		onAny("garbage at the end", Trailing("garbage")),
		onAny("two documents", Rewrite(func(document []byte) []byte { return bytes.Repeat(document, 2) })),
		onAny("duplicate members", DuplicateNames(0)),
		onAny("duplicate PIDs", DuplicateNames(1)),
		onAny("duplicate costs", DuplicateNames(2)),
		onAny("invalid UTF-8", InvalidUTF8()),
		onAny("deep nesting", Nested(100_000)),
		onAny("huge string", HugeString(8<<20)),
		{Name: "directory as the map", Content: true, MediaTypes: ofMaps(), Behavior: func(w http.ResponseWriter, r *http.Request, x Exchange) {
			directory := Exchange{Honest: x.At(DirectoryPath)}.honestAnswer(r).Body.Bytes()
			_, _ = sendPart(w, x.honestAnswer(r), directory, -1, nil)
		}},
	}
}

// brokenDirectories are sound documents whose guidance cannot be used.
func brokenDirectories() []Fault {
	meta := func(name string, edit func(meta object)) Fault {
		return onDirectory(name, other(func(document object) { edit(memberOf(document, "meta")) }))
	}
	entries := func(name string, edit func(entry object)) Fault {
		return onDirectory(name, other(func(document object) {
			resources := memberOf(document, "resources")
			for id := range resources {
				edit(memberOf(resources, id))
			}
		}))
	}
	return []Fault{
		onDirectory("no resources", other(func(document object) { document["resources"] = object{} })),
		onDirectory("no cost maps", other(func(document object) {
			maps.DeleteFunc(memberOf(document, "resources"), func(_ string, entry any) bool {
				e, _ := entry.(object)
				return e["media-type"] == alto.MediaTypeCostMap
			})
		})),
		meta("no default network map", func(meta object) { delete(meta, "default-alto-network-map") }),
		meta("unknown default network map", func(meta object) { meta["default-alto-network-map"] = "gone" }),
		meta("no cost types", func(meta object) { delete(meta, "cost-types") }),
		entries("unknown cost types", func(entry object) { entry["capabilities"] = object{"cost-type-names": []string{"gone"}} }),
		entries("unknown dependencies", func(entry object) { entry["uses"] = []string{"gone"} }),
		entries("unknown media types", func(entry object) { entry["media-type"] = "application/x-unknown" }),
		entries("URIs that are not HTTP", func(entry object) { entry["uri"] = "ftp://192.0.2.1/map" }),
		entries("URIs that are none", func(entry object) { entry["uri"] = "http://[" }),
		entries("URIs that are numbers", func(entry object) { entry["uri"] = 1 }),
	}
}

// brokenNetworkMaps have the validators of the right map: nothing of what a
// client refuses may be remembered.
func brokenNetworkMaps() []Fault {
	version := func(edit func(vtag object)) Behavior {
		return Edit(func(document object) { edit(memberOf(memberOf(document, "meta"), "vtag")) })
	}
	pids := func(edit func(pids object)) Behavior {
		return Edit(func(document object) { edit(memberOf(document, "network-map")) })
	}
	addresses := func(value any) Behavior { return pids(func(pids object) { pids["more"] = value }) }
	return []Fault{
		onNetworkMap("no version", Edit(func(document object) { delete(document, "meta") })),
		onNetworkMap("no tag", version(func(vtag object) { delete(vtag, "tag") })),
		onNetworkMap("tag that is none", version(func(vtag object) { vtag["tag"] = "two words" })),
		onNetworkMap("another map", version(func(vtag object) { vtag["resource-id"] = "another" })),
		onNetworkMap("no PIDs", pids(func(pids object) { clear(pids) })),
		onNetworkMap("PID that is none", pids(func(pids object) { pids["no name"] = object{} })),
		onNetworkMap("prefix in two PIDs", pids(func(pids object) { // RFC 7285 §11.2.2
			for _, name := range slices.Sorted(maps.Keys(pids)) {
				if of := memberOf(pids, name); len(of) > 0 {
					pids["more"] = of
				}
			}
		})),
		onNetworkMap("prefix that is none", addresses(object{"ipv4": []string{"192.0.2.0/33"}})),
		onNetworkMap("IPv6 in IPv4", addresses(object{"ipv4": []string{"2001:db8:ffff::/48"}})),
		onNetworkMap("prefix that is a number", addresses(object{"ipv4": []int{1}})),
		onNetworkMap("prefixes that are a string", addresses(object{"ipv4": "203.0.113.255/32"})),
		onNetworkMap("PID that is an array", addresses([]string{"203.0.113.255/32"})),
	}
}

// brokenCostMaps have the validators of the right map too, but for the sound
// ones.
func brokenCostMaps() []Fault {
	meta := func(name string, edit func(meta object)) Fault {
		return onCostMap(name, Edit(func(document object) { edit(memberOf(document, "meta")) }))
	}
	return []Fault{
		onCostMap("costs of another version", OtherVersion("another-version")),
		onCostMap("costs of another network map", other(func(document object) {
			for _, version := range versionsOf(document) {
				version["resource-id"] = "another"
			}
		})),
		meta("no dependency", func(meta object) { delete(meta, "dependent-vtags") }),
		meta("two dependencies", func(meta object) {
			if list, ok := meta["dependent-vtags"].([]any); ok {
				meta["dependent-vtags"] = append(list, list...)
			}
		}),
		onCostMap("costs of another type", OtherCostType(alto.CostType{Mode: "numerical", Metric: "priv:another"})),
		meta("no cost type", func(meta object) { delete(meta, "cost-type") }),
		onCostMap("no costs", Edit(func(document object) { document["cost-map"] = object{} })),
		onCostMap("costs that are strings", StringCosts()),
		onCostMap("costs that are null", costToken("null")),
		onCostMap("costs that are objects", costToken("{}")),
		onCostMap("costs that are NaN", NaN()),
		onCostMap("costs that are Infinity", costToken("Infinity")),
		onCostMap("costs beyond 64 bits", costToken("1e999")),
		onCostMap("costs with leading zeros", costToken("01")),
		onCostMap("costs in hexadecimal", costToken("0x1")),
	}
}
