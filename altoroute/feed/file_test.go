// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bytes"
	"net/url"
	"os"
	"slices"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/altotest"
)

// twoFiles returns a folder with maps of version 1, cost 1, and a feed of them.
func twoFiles(t testing.TB, rows ...string) (*folder, *subject) {
	t.Helper()
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("cost", costDocument("1", 1, numerical))
	return d, watch(t, Config{Files: []string{d.file("net"), d.file("cost")}}, rows...)
}

func wantReads(t testing.TB, s *subject, want ...uint64) {
	t.Helper()
	if got := s.reads(); !slices.Equal(got, want) {
		t.Errorf("read %v times, want %v", got, want)
	}
}

func TestFilesAreReadWhenTheyChange(t *testing.T) {
	d, s := twoFiles(t, "a")
	if got := version(s.Maps()); got != "1 num1" {
		t.Fatalf("at first %s", got)
	}
	s.wants("1 num1", Fresh, "")
	if err := s.more("a"); err != nil {
		t.Fatal(err)
	}
	wantReads(t, s, 1, 1)

	d.put("cost", costDocument("1", 2, numerical)) // of the same size
	s.wants("1 num2", Fresh, "")
	wantReads(t, s, 1, 2)

	kept := s.Maps().Costs[0]
	wider := network("1")
	wider.PIDs["d"] = []string{"198.18.0.0/15"}
	d.put("net", encoded(t, wider))
	s.wants("1 num2", Fresh, "")
	// Its rows are by the index of the PIDs, so that it must be read again.
	wantReads(t, s, 2, 3)
	if s.Maps().Costs[0] == kept || !s.Maps().Network.Has("d") {
		t.Error("the new network map is not in force")
	}
	if got := s.Status().Updates; got != 3 || s.times() != 6 {
		t.Errorf("%d updates, told %d times; want 3 and 6", got, s.times())
	}
}

func TestGzipIsKnownByContent(t *testing.T) {
	d := newFolder(t)
	d.put("net.json", zipped(networkDocument("1")))
	d.put("cost.json.gz", costDocument("1", 1, numerical)) // is not
	s := watch(t, Config{Files: []string{d.file("net.json"), d.file("cost.json.gz")}}, "a")
	s.wants("1 num1", Fresh, "")
	d.put("cost.json.gz", zipped(costDocument("1", 2, numerical)))
	s.wants("1 num2", Fresh, "")
	status := s.Status()
	if got, want := status.Resources[0].Bytes, int64(len(networkDocument("1"))); got != want {
		t.Errorf("%d bytes, want the decompressed %d", got, want)
	}
}

func TestTouchedFilesAreNoNews(t *testing.T) {
	d, s := twoFiles(t, "a")
	before := s.Maps()
	d.touch("net")
	s.wants("1 num1", Fresh, "")
	wantReads(t, s, 2, 1)
	d.touch("cost")
	s.wants("1 num1", Fresh, "")
	d.put("net", networkDocument("1"))
	d.put("cost", zipped(costDocument("1", 1, numerical)))
	s.wants("1 num1", Fresh, "")
	wantReads(t, s, 3, 3)
	if s.Maps() != before || s.Status().Updates != 1 || s.times() != 1 {
		t.Errorf("a new set of the same content: %d updates", s.Status().Updates)
	}
}

func TestNewRowsAreReadAtOnce(t *testing.T) {
	_, s := twoFiles(t, "a")
	if s.Maps().Costs[0].Keeps([]string{"b"}) {
		t.Fatal("a row is kept that nobody asked for")
	}
	before := s.Maps()
	if err := s.more("b", "addressless", "unheard-of"); err != nil {
		t.Fatal(err)
	}
	if !s.Maps().Costs[0].Keeps([]string{"a", "b"}) {
		t.Error("the new row is missing")
	}
	wantReads(t, s, 1, 2)
	if s.Maps().Network != before.Network {
		t.Error("the network map was replaced")
	}
	s.wants("1 num1", Fresh, "")
	wantReads(t, s, 1, 2)
}

// The files of a new version come one after the other, in either order.
func TestFilesOfOneVersionAreSwappedAsOne(t *testing.T) {
	for name, order := range map[string][]string{"network first": {"net", "cost"}, "cost first": {"cost", "net"}} {
		t.Run(name, func(t *testing.T) {
			d, s := twoFiles(t, "a")
			before := s.Maps()
			content := map[string][]byte{"net": networkDocument("2"), "cost": costDocument("2", 2, numerical)}
			d.put(order[0], content[order[0]])
			for range 3 {
				s.wants("1 num1", Stale, d.file("cost")+": the cost map depends on network map net@")
			}
			if s.Maps() != before {
				t.Error("the set in force was replaced")
			}
			if got := s.Status().Refusals[Mismatch]; got != 1 || s.log.count("WARN", "refused") != 1 {
				t.Errorf("counted %d times, logged %d times; want once", got, s.log.count("WARN", "refused"))
			}
			d.put(order[1], content[order[1]])
			s.wants("2 num2", Fresh, "")
			if s.times() != 2 || s.Status().Updates != 2 || s.log.count("recovered") != 1 {
				t.Errorf("told of %d sets, %d updates, %d recoveries", s.times(), s.Status().Updates, s.log.count("recovered"))
			}
		})
	}
}

// A version that is taken back is no fault any more.
func TestHalfAnUpdateIsTakenBack(t *testing.T) {
	for _, name := range []string{"net", "cost"} {
		t.Run(name, func(t *testing.T) {
			d, s := twoFiles(t, "a")
			d.must(os.Rename(d.file(name), d.file("good")))
			d.put(name, map[string][]byte{"net": networkDocument("2"), "cost": costDocument("2", 2, numerical)}[name])
			s.wants("1 num1", Stale, "depends on")
			d.must(os.Rename(d.file("good"), d.file(name)))
			s.wants("1 num1", Fresh, "")
		})
	}
}

func TestCostMapsAreRanked(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("num", costDocument("1", 1, numerical))
	d.put("ord", costDocument("1", 2, ordinal))
	files := []string{d.file("net"), d.file("num"), d.file("ord")}
	for _, test := range []struct {
		cost altoroute.CostInfo
		want string
	}{
		{altoroute.CostInfo{}, "1 num1 ord2"},
		{altoroute.CostInfo{Mode: "ordinal"}, "1 ord2 num1"},
		{altoroute.CostInfo{Metric: "routingcost"}, "1 num1 ord2"},
		{altoroute.CostInfo{Metric: "routingcost", Mode: "ordinal"}, "1 ord2 num1"},
	} {
		s := watch(t, Config{Files: files, Cost: test.cost}, "a")
		s.wants(test.want, Fresh, "")
		if s.Status().Updates != 1 {
			t.Errorf("%d updates", s.Status().Updates)
		}
	}
	s := subject{t: t}
	s.Feed, _ = New(Config{Name: "own", Files: files, Cost: altoroute.CostInfo{Metric: "hopcount"}})
	if err := s.more("a"); err == nil || err.Error() != "cost: no cost map is of hopcount (any mode); there is routingcost (numerical), routingcost (ordinal)" {
		t.Error(err)
	}
}

// All cost maps must belong to the network map, not only the one that ranks.
func TestEveryCostMapCounts(t *testing.T) {
	d := newFolder(t)
	d.put("net", networkDocument("1"))
	d.put("num", costDocument("1", 1, numerical))
	d.put("ord", costDocument("1", 2, ordinal))
	s := watch(t, Config{Files: []string{d.file("net"), d.file("num"), d.file("ord")}}, "a")
	d.put("net", networkDocument("2"))
	d.put("num", costDocument("2", 3, numerical))
	s.wants("1 num1 ord2", Stale, d.file("ord"))
	d.put("ord", costDocument("2", 4, ordinal))
	s.wants("2 num3 ord4", Fresh, "")
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{{}, {Files: []string{"one"}}, {Files: []string{"one", "two"}, Servers: []*url.URL{mustURL("http://192.0.2.1/")}}} {
		if f, err := New(cfg); err == nil {
			t.Errorf("%+v was taken: %v", cfg, f)
		}
	}
}

// A cost map that was no good with one network map may be good with the next.
func TestCostMapRefusedByANetworkMap(t *testing.T) {
	d := newFolder(t)
	wrong := network("1")
	wrong.PIDs = map[string][]string{"x": {"192.0.2.0/25"}, "y": {"192.0.2.128/25"}}
	var b bytes.Buffer
	d.must(altotest.WriteNetworkMap(&b, wrong))
	d.put("net", b.Bytes())
	d.put("cost", costDocument("1", 1, numerical))
	f, err := New(Config{Files: []string{d.file("net"), d.file("cost")}})
	d.must(err)
	s := &subject{Feed: f, t: t, log: new(recorder)}
	if err := s.more("a"); err == nil {
		t.Fatal("costs of no PID of the network map are good")
	}
	for range 2 {
		s.wants("none", None, "empty")
	}
	reads := s.reads()
	s.wants("none", None, "empty")
	if got := s.reads(); !slices.Equal(got, reads) {
		t.Errorf("read %v times, before %v: what is refused is read again and again", got, reads)
	}
	d.put("net", networkDocument("1"))
	s.wants("1 num1", Fresh, "")
}
