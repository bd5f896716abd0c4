// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"errors"
	"net/netip"
	"testing"
)

// TestBuildersAfterBuild: what is published does not change any more.
func TestBuildersAfterBuild(t *testing.T) {
	r, _ := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("fra", "x")}})
	tag := VersionTag{"network", "1"}
	var n NetworkMapBuilder
	_ = n.PID("x")
	_ = n.Prefix(netip.MustParsePrefix("192.0.2.0/24"))
	network, err := n.Build(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Prefix(netip.MustParsePrefix("198.51.100.0/24")); err == nil {
		t.Error("a prefix was taken")
	}
	if _, err := n.Build(VersionTag{}); !errors.Is(err, ErrEmptyMap) {
		t.Errorf("built again: %v", err)
	}
	if _, _, ok := network.Lookup(netip.MustParseAddr("198.51.100.1")); ok || network.Prefixes() != 1 || network.Tag() != tag {
		t.Errorf("the network map has changed: %d prefixes, %s", network.Prefixes(), network.Tag())
	}
	_ = n.PID("y")
	_ = n.Prefix(netip.MustParsePrefix("192.0.2.0/24"))
	if m, err := n.Build(tag); err != nil || m.Has("x") || network.Has("y") {
		t.Errorf("not another map: %v", err)
	}

	c := NewCostMapBuilder(network, r.Rows("own", network))
	c.Row("nobody")
	c.Row("x")
	c.Cost("x", 1)
	costs, err := c.Build(CostInfo{Mode: "numerical"}, tag, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.Cost("x", 2)
	kept := c.Row("x")
	c.Cost("x", 3)
	if again, _ := c.Build(CostInfo{Mode: "ordinal"}, tag, 2); kept || again == costs {
		t.Error("a row of a spent builder is kept")
	}
	if cost, _ := costs.Cost("x", "x"); cost != 1 || costs.Pairs() != 1 || costs.Info().Mode != "numerical" {
		t.Errorf("the cost map has changed: %v", cost)
	}
	if rows, first := c.Unknown(); rows != 1 || first != "nobody" {
		t.Errorf("%d unknown rows, %q", rows, first)
	}
}

func TestMapsThatAreRefused(t *testing.T) {
	var b NetworkMapBuilder
	if err := b.Prefix(netip.MustParsePrefix("192.0.2.0/24")); err == nil {
		t.Error("a prefix before any PID was taken")
	}
	_ = b.PID("x")
	if err := b.PID("x"); err == nil {
		t.Error("a PID was taken twice")
	}
	if _, err := b.Build(VersionTag{}); !errors.Is(err, ErrEmptyMap) {
		t.Errorf("a map without prefixes: %v", err)
	}
	for _, p := range []string{"192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32"} {
		var b NetworkMapBuilder
		_ = b.PID("x")
		for range 2 { // twice in one PID is harmless
			if err := b.Prefix(netip.MustParsePrefix(p)); err != nil {
				t.Error(err)
			}
		}
		_ = b.PID("y")
		var dup *DuplicatePrefixError
		if err := b.Prefix(netip.MustParsePrefix(p)); !errors.As(err, &dup) || dup.PIDs != [2]string{"x", "y"} || dup.Prefix.String() != p {
			t.Errorf("%s in two PIDs: %v", p, err)
		}
		if m, err := b.Build(VersionTag{}); err != nil || m.Prefixes() != 1 {
			t.Errorf("%s: %v", p, err)
		}
	}

	r, _ := New(Config{Sources: []Source{{Name: "own"}}, Edges: []Edge{edgeAt("fra", "x")}})
	m := mustMaps(t, r, "own", []string{"x 192.0.2.0/24"}, "x x 0")
	c := NewCostMapBuilder(m.Network, []string{"x"})
	var mismatch *TagMismatchError
	if _, err := c.Build(CostInfo{}, VersionTag{"network", "2"}, 1); !errors.As(err, &mismatch) {
		t.Errorf("a cost map of another version: %v", err)
	}
	if _, err := c.Build(CostInfo{}, m.Network.Tag(), 0); !errors.Is(err, ErrEmptyMap) {
		t.Errorf("a cost map without costs: %v", err)
	}
	c.Row("nobody")
	c.Cost("x", 1)
	if _, err := c.Build(CostInfo{}, m.Network.Tag(), 1); !errors.Is(err, ErrEmptyMap) {
		t.Errorf("a cost map between PIDs that there are not: %v", err)
	}
	other := mustMaps(t, r, "own", []string{"x 192.0.2.0/24"}, "x x 0")
	for name, bad := range map[string]*Maps{"no cost map": {Network: m.Network}, "no network map": {Costs: m.Costs}, "a cost map of another network map": {Network: m.Network, Costs: other.Costs}} {
		if err := r.Update("own", bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := r.Update("b", m); !errors.Is(err, ErrNoSuchSource) {
		t.Errorf("maps of an unknown source: %v", err)
	}
}
