// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func edgeAt(name, pid string) Edge {
	p, err := ParseSourcePID(pid)
	if err != nil {
		panic(err)
	}
	return Edge{Name: name, URL: mustURL("https://" + name + ".example.net"), PIDs: []SourcePID{p}}
}

// places answers what a test says.
type places map[netip.Addr]*Place

func (p places) Locate(a netip.Addr) *Place { return p[a] }

func decide(t *testing.T, r *Router, client string) Decision {
	t.Helper()
	d, err := r.Route(Query{Client: ParseClient(client), Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLadder(t *testing.T) {
	r := mustRouter(t, Config{
		Sources: []Source{{Name: "a"}, {Name: "b", Only: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}},
		Edges:   []Edge{edgeAt("e1", "a/x"), edgeAt("e2", "b/y")},
		Default: SourcePID{"a", "rest"},
	}, "a", []string{"x 192.0.2.0/24 198.51.100.0/24", "nocost 203.0.113.0/24", "geo", "rest", "all ::/0"}, "x x 1", "x geo 2", "x rest 3", "x all 4")
	if err := r.Update("b", mustMaps(t, r, "b", []string{"y 198.51.100.0/24", "z 198.51.100.128/25 192.0.2.0/25 0.0.0.0/0"}, "y y 1", "y z 1")); err != nil {
		t.Fatal(err)
	}
	r.SetLocator(places{
		netip.MustParseAddr("203.0.113.1"): {PIDs: []SourcePID{{"a", "unknown"}, {"a", "nocost"}, {"a", "geo"}}, Country: "DE"},
		netip.MustParseAddr("192.0.2.1"):   {PIDs: []SourcePID{{"a", "geo"}}},
	})
	for _, c := range []struct{ client, how, at, prefix, edge string }{
		{"192.0.2.1", "prefix", "a/x", "192.0.2.0/24", "e1"},           // geo is not asked; b has a longer prefix but may not speak
		{"::ffff:192.0.2.1", "prefix", "a/x", "192.0.2.0/24", "e1"},    // unmapped
		{"198.51.100.1", "prefix", "a/x", "198.51.100.0/24", "e1"},     // equal lengths: the earlier source
		{"198.51.100.129", "prefix", "b/z", "198.51.100.128/25", "e2"}, // the longer prefix
		{"203.0.113.1", "geo", "a/geo", "", "e1"},                      // the prefix's PID has no cost, nor has the first place
		{"203.0.113.2", "default", "a/rest", "", "e1"},                 // b's 0.0.0.0/0 is outside its space
		{"2001:db8::1", "catch_all", "a/all", "::/0", "e1"},
		{"@", "default", "a/rest", "", "e1"}, // no address at all
	} {
		d := decide(t, r, c.client)
		prefix := ""
		if d.Prefix.IsValid() {
			prefix = d.Prefix.String()
		}
		if got := d.How.String(); got != c.how || d.Source+"/"+d.PID != c.at || prefix != c.prefix || d.Edge == nil || d.Edge.Name != c.edge {
			t.Errorf("%s: %s at %s/%s by %q to %v, want %+v", c.client, got, d.Source, d.PID, prefix, d.Edge, c)
		}
	}
}

func TestFirstPIDFoundWithoutCosts(t *testing.T) {
	r := mustRouter(t, Config{
		Sources: []Source{{Name: "own"}},
		Edges:   []Edge{edgeAt("e1", "x"), edgeAt("e2", "nocost"), edgeAt("e3", "nocost")},
	}, "own", []string{"x 192.0.2.0/24", "nocost 203.0.113.0/24", "other 198.51.100.0/24"}, "x x 0")
	d := decide(t, r, "203.0.113.1")
	if d.How != Unplaced || d.PID != "nocost" || d.Reason != SamePID || d.Edge.Name == "e1" || !math.IsNaN(d.Cost) {
		t.Errorf("%+v", d)
	}
	if d := decide(t, r, "198.51.100.1"); d.PID != "other" || d.Reason != NoGuidance || d.Edge == nil {
		t.Errorf("%+v", d)
	}
	if d := decide(t, r, "233.252.0.1"); d.PID != "" || d.Reason != NoGuidance || d.Edge == nil {
		t.Errorf("%+v", d)
	}
}

func TestNoGuidanceYet(t *testing.T) {
	r, err := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("e1", "x")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := decide(t, r, "192.0.2.1"); d.Edge == nil || d.Reason != NoGuidance || r.Guided("") {
		t.Errorf("%+v", d)
	}
	m := mustMaps(t, r, "own", []string{"x 192.0.2.0/24"}, "x x 0")
	if err := r.Update("own", m); err != nil || !r.Guided("") || !r.Guided(DefaultName) || r.Maps("own") != m {
		t.Errorf("not guided: %v", err)
	}
	if err := r.Update("own", nil); err != nil || r.Guided("") {
		t.Errorf("still guided: %v", err)
	}
}

func TestHTTPSNeverGoesToHTTP(t *testing.T) {
	e := edgeAt("e1", "x")
	e.URL.Scheme = "http"
	r := mustRouter(t, Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{e}}, "own", []string{"x 0.0.0.0/0"}, "x x 0")
	if d, _ := r.Route(Query{Client: ParseClient("192.0.2.1"), HTTPS: true}); d.Edge != nil || d.Reason != NoEdge {
		t.Errorf("%+v", d)
	}
	if d, _ := r.Route(Query{Client: ParseClient("192.0.2.1")}); d.Edge == nil {
		t.Errorf("%+v", d)
	}
}

func TestPoolURL(t *testing.T) {
	r := mustRouter(t, Config{
		Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("e1", "x")},
		Pools: []Pool{{Name: "video", URL: "https://{edge}.video.example.net/v"}, {Name: "files"}},
	}, "own", []string{"x 0.0.0.0/0"}, "x x 0")
	for pool, want := range map[string]string{"video": "https://e1.video.example.net/v/a?b", "files": "https://e1.example.net/a?b"} {
		d, err := r.Route(Query{Pool: pool, Client: ParseClient("192.0.2.1")})
		if base := r.EdgeURL(pool, d.Edge); Location(base, &url.URL{Path: "/a", RawQuery: "b"}) != want {
			t.Errorf("%s: the edge's URL is %s", pool, base)
		}
		if got := d.Location(&url.URL{Path: "/a", RawQuery: "b"}); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", pool, got, err, want)
		}
	}
	if _, err := r.Route(Query{}); !errors.Is(err, ErrNoSuchPool) || !strings.Contains(err.Error(), "files, video") {
		t.Errorf("no pool named among two: %v", err)
	}
	if _, err := r.PoolName("audio"); !errors.Is(err, ErrNoSuchPool) {
		t.Errorf("unknown pool: %v", err)
	}
}

func TestContentKey(t *testing.T) {
	pattern := ContentKey{Pattern: regexp.MustCompile(`^/vod/([^/]+)/`)}
	query := ContentKey{Query: []string{"v", "q"}}
	for _, c := range []struct {
		name         string
		key          ContentKey
		a, aq, b, bq string
		same         bool
	}{
		{"the path counts", ContentKey{}, "/a", "", "/b", "", false},
		{"the query does not", ContentKey{}, "/a", "x=1", "/a", "x=2", true},
		{"segments of one video", pattern, "/vod/film/1.ts", "", "/vod/film/2.ts", "", true},
		{"two videos", pattern, "/vod/film/1.ts", "", "/vod/other/1.ts", "", false},
		{"no match is the path", pattern, "/live/1.ts", "", "/live/2.ts", "", false},
		{"no group is the match", ContentKey{Pattern: regexp.MustCompile(`^/[^/]+`)}, "/a/1", "", "/a/2", "", true},
		{"chosen parameters count", query, "/a", "v=1", "/a", "v=2", false},
		{"others do not", query, "/a", "v=1&x=1", "/a", "x=2&v=1", true},
		{"nor their order", query, "/a", "q=1&v=2", "/a", "v=2&q=1", true},
		{"nor their spelling", query, "/a", "%76=a+b", "/a", "v=a%20b", true},
		{"which parameter counts", query, "/a", "v=1", "/a", "q=1", false},
		{"empty is not absent", query, "/a", "v=", "/a", "", false},
		{"the path counts beside them", query, "/a", "v=1", "/b", "v=1", false},
	} {
		if got := c.key.Sum(c.a, c.aq) == c.key.Sum(c.b, c.bq); got != c.same {
			t.Errorf("%s: same key %v", c.name, got)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	own := []Source{{Name: "own"}}
	edge := func(change func(*Edge)) []Edge {
		e := edgeAt("fra", "x")
		change(&e)
		return []Edge{e}
	}
	fine := edge(func(*Edge) {})
	for want, cfg := range map[string]Config{
		"there are no edges":            {Sources: own},
		"edge fra is defined twice":     {Sources: own, Edges: append(edge(func(*Edge) {}), fine...)},
		"neither a PID nor an address":  {Sources: own, Edges: edge(func(e *Edge) { e.PIDs = nil })},
		"must not have a query":         {Sources: own, Edges: edge(func(e *Edge) { e.URL = mustURL("https://fra/?a") })},
		"has no host":                   {Sources: own, Edges: edge(func(e *Edge) { e.URL = mustURL("https:///a") })},
		"begin with http":               {Sources: own, Edges: edge(func(e *Edge) { e.URL = mustURL("ftp://fra") })},
		"must not hold a user name":     {Sources: own, Edges: edge(func(e *Edge) { e.URL = mustURL("https://u:p@fra") })},
		"must not have a fragment":      {Sources: own, Edges: edge(func(e *Edge) { e.URL = mustURL("https://fra/#a") })},
		"fra has no URL":                {Sources: own, Edges: edge(func(e *Edge) { e.URL = nil })},
		"is not a name":                 {Sources: own, Edges: edge(func(e *Edge) { e.Name = "fra/1" })},
		"weight -1 is out of range":     {Sources: own, Edges: edge(func(e *Edge) { e.Weight = -1 })},
		"two PIDs in one source":        {Sources: own, Edges: edge(func(e *Edge) { e.PIDs = append(e.PIDs, SourcePID{"own", "y"}) })},
		"is not a plain IPv4":           {Sources: own, Edges: edge(func(e *Edge) { e.Addrs = []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")} })},
		"names no source":               {Sources: append(slices.Clone(own), Source{Name: "b"}), Edges: fine},
		"no such source":                {Sources: own, Edges: edge(func(e *Edge) { e.PIDs[0].Source = "b" })},
		"is not a name for CDN-Loop":    {Sources: own, Edges: fine, CDNID: "a;b"},
		"default PID":                   {Sources: own, Edges: fine, Default: SourcePID{"b", "x"}},
		"source own is defined twice":   {Sources: append(slices.Clone(own), own...), Edges: fine},
		"pool: \"\" is not a name":      {Sources: own, Edges: fine, Pools: []Pool{{}}},
		"there is no edge par":          {Sources: own, Edges: fine, Pools: []Pool{{Name: "p", Edges: []string{"par"}}}},
		"lists edge fra twice":          {Sources: own, Edges: fine, Pools: []Pool{{Name: "p", Edges: []string{"fra", "fra"}}}},
		"pool p is defined twice":       {Sources: own, Edges: fine, Pools: []Pool{{Name: "p"}, {Name: "p"}}},
		"tolerance -1 is out of range":  {Sources: own, Edges: fine, Pools: []Pool{{Name: "p", Tolerance: -1}}},
		"is the same for all its edges": {Sources: own, Edges: append(edge(func(e *Edge) { e.Name = "par" }), fine...), Pools: []Pool{{Name: "p", URL: "https://cdn.example.net"}}},
		"the only placeholder":          {Sources: own, Edges: fine, Pools: []Pool{{Name: "p", URL: "https://{edgy}.example.net"}}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestUnknownPIDs(t *testing.T) {
	r, err := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("fra", "x"), edgeAt("par", "empty"), edgeAt("ams", "gone")}, Default: SourcePID{PID: "missing"}})
	if err != nil {
		t.Fatal(err)
	}
	m := mustMaps(t, r, "own", []string{"x 192.0.2.0/24", "empty"}, "x x 0")
	got := fmt.Sprint(r.UnknownPIDs("own", m.Network))
	if want := `[edge ams: source own has no PID "gone" in network map network@1: name one that it has default_pid: source own has no PID "missing" in network map network@1: name one that it has]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEdgeURLs(t *testing.T) {
	for url, want := range map[string]string{
		"https://fra.example.net": "", "http://192.0.2.1:8080/a": "", "https://[2001:db8::1]:8443/": "", "https://fra_1.example": "",
		"https://": "has no host", "https://h:99999": "port", "https://h:0": "port", "https://h#": "fragment", "https://a,b": "neither a name",
		"https://h;x": "neither a name", `https://h"x`: "", "https://bücher.example": "neither a name", "https://s3cret@h": "user name", "//h": "must begin",
	} {
		u, err := ParseEdgeURL(url)
		if url == `https://h"x` { // refused by the URL's own parser or by ours
			if err == nil {
				t.Errorf("%s is taken", url)
			}
			continue
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && u == nil {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v gives a secret away", err)
		}
	}
}

func TestEdgesWithoutCost(t *testing.T) {
	at := func(name, addr string) Edge {
		return Edge{Name: name, URL: mustURL("https://" + name), Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
	}
	r, err := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("fra", "x"), edgeAt("par", "norow"), edgeAt("ams", "gone"), at("ber", "203.0.113.1"), at("lon", "192.0.2.1")}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r.EdgesWithoutCost("own", mustMaps(t, r, "own", []string{"x 192.0.2.0/24", "norow"}, "x x 0", "misspelt x 1")))
	if want := `[edge ber: no prefix of source own covers its address 203.0.113.1 edge par: the cost map of source own has no cost from its PID "norow"]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCostMapKeepsWhatEdgesNeed(t *testing.T) {
	r, _ := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("fra", "x"), {Name: "par", URL: mustURL("https://par"), Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("198.51.100.1")}}}})
	m := mustMaps(t, r, "own", []string{"x 203.0.113.0/24", "y 198.51.100.0/24", "z 233.252.0.0/24"}, "x y 1", "y x 0", "z x 3", "x nowhere 4")
	if rows := r.Rows("own", m.Network); !slices.Equal(rows, []string{"x", "y"}) {
		t.Errorf("rows %v", rows)
	}
	c := m.Costs[0]
	if got, ok := c.Cost("y", "x"); got != 0 || !ok {
		t.Errorf("a cost of zero is %v, %v", got, ok)
	}
	if _, ok := c.Cost("x", "x"); ok {
		t.Error("a missing pair has a cost")
	}
	if _, ok := c.Cost("z", "x"); ok || c.Keeps([]string{"z"}) || !c.Keeps([]string{"x", "y", "nowhere"}) {
		t.Error("a row was kept that no edge needs")
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	r := mustRouter(t, Config{
		Sources: []Source{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Edges:   []Edge{edgeAt("e1", "a/x"), edgeAt("e2", "a/x"), edgeAt("e3", "a/y")},
		Default: SourcePID{"a", "rest"},
		Pools:   []Pool{{Name: "p", Tolerance: 0.2, Key: ContentKey{Query: []string{"v"}}}},
	}, "a", []string{"x 192.0.2.0/24", "y 198.51.100.0/24", "rest", "nocost 203.0.113.0/24"}, "x x 10", "y x 11", "x y 5")
	for _, s := range []string{"b", "c"} {
		if err := r.Update(s, mustMaps(t, r, s, []string{"z 192.0.2.0/25"}, "z z 0")); err != nil {
			t.Fatal(err)
		}
	}
	r.SetLocator(places{netip.MustParseAddr("233.252.0.1"): {PIDs: []SourcePID{{"a", "y"}}}})
	for _, client := range []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "233.252.0.1", "233.252.0.2", "2001:db8::1", "@"} {
		q := Query{Client: ParseClient(client), Path: "/a/b", RawQuery: "x=1&v=2", CDNLoop: []string{"other.example"}}
		if n := testing.AllocsPerRun(100, func() { _, _ = r.Route(q) }); n != 0 {
			t.Errorf("%s: %v allocations", client, n)
		}
	}
}

// A map of many PIDs without costs must not cost much more than their names.
func TestManyPIDsWithoutCosts(t *testing.T) {
	var edges []Edge
	for i := range 20 {
		edges = append(edges, edgeAt(fmt.Sprintf("e%d", i), fmt.Sprintf("p%d", i)))
	}
	r, err := New(Config{Sources: []Source{{Name: "own"}}, Edges: edges, Pools: []Pool{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	network := []string{"p0 192.0.2.0/24"}
	for i := 1; i < 100_000; i++ {
		network = append(network, fmt.Sprintf("p%d", i))
	}
	if err := r.Update("own", mustMaps(t, r, "own", network, "p0 p0 1")); err != nil {
		t.Fatal(err)
	}
	for _, ranking := range r.plan.Load().guidance[0].rankings {
		if len(ranking.order) > 20 {
			t.Errorf("%d places of an order for one PID with costs", len(ranking.order))
		}
	}
	var b NetworkMapBuilder
	for i := range maxPIDs {
		if err := b.PID(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PID("one more"); err == nil || !strings.Contains(err.Error(), "262144") {
		t.Errorf("one PID too many: %v", err)
	}
}

// TestMaxPrefixes pretends that the others have come: they would take a minute.
func TestMaxPrefixes(t *testing.T) {
	var b NetworkMapBuilder
	if err := b.PID("x"); err != nil {
		t.Fatal(err)
	}
	b.m.prefixes = maxPrefixes - 2
	for _, p := range []string{"192.0.2.0/24", "0.0.0.0/0", "192.0.2.0/24", "0.0.0.0/0"} { // twice is harmless
		if err := b.Prefix(netip.MustParsePrefix(p)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, p := range []string{"198.51.100.0/24", "2001:db8::/32", "::/0"} {
		if err := b.Prefix(netip.MustParsePrefix(p)); err == nil || err.Error() != "the map has more than 4194304 prefixes: aggregate them" {
			t.Errorf("%s, one too many: %v", p, err)
		}
	}
}

// BenchmarkNetworkMapMemory tells what a prefix takes, for a million that are next
// to each other, as in a list of all /24s, a million here and there, and the worst:
// pairs that differ in their last bits only, each with a path of nodes of its own.
func BenchmarkNetworkMapMemory(b *testing.B) {
	draw := func(i int) uint32 { return rand.New(rand.NewPCG(1, uint64(i))).Uint32() }
	v4 := func(n uint32) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8)}), 24)
	}
	v6 := func(n uint32) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), 48)
	}
	pair := func(i int) netip.Prefix {
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], draw(i/2))
		a[15] = byte(i % 2)
		return netip.PrefixFrom(netip.AddrFrom16(a), 128)
	}
	for name, prefix := range map[string]func(int) netip.Prefix{
		"dense/24":  func(i int) netip.Prefix { return v4(uint32(i) << 8) },
		"dense/48":  func(i int) netip.Prefix { return v6(uint32(i)) },
		"random/24": func(i int) netip.Prefix { return v4(draw(i)) },
		"random/48": func(i int) netip.Prefix { return v6(draw(i)) },
		"pairs/128": pair,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heapLive()
				var n NetworkMapBuilder
				_ = n.PID("x")
				for i := range 1_000_000 {
					if err := n.Prefix(prefix(i)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heapLive()-before)/float64(n.m.prefixes), "heap-B/prefix")
				runtime.KeepAlive(n.m)
			}
		})
	}
}

// heapLive returns what is alive on the heap.
func heapLive() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
