// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"io"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// A CostMapSink takes in a cost map while it is read. Until [ReadCostMap] has
// returned without error, what it was given may be part of a broken document,
// and its cost type is not known yet.
type CostMapSink interface {
	// Row begins the costs from the PID src, and reports whether they are
	// wanted. A row that is not wanted is checked, but not handed over.
	Row(src string) (wanted bool)
	// Cost gives the cost from the PID named last to dst. It is finite. A
	// pair that is never given has no defined cost (RFC 7285 §11.2.3.6).
	Cost(dst string, cost float64)
}

// CostMapInfo is what a cost map says beside its costs.
type CostMapInfo struct {
	// DependentVersionTag is the version of the network map whose PIDs the
	// costs are about (meta/dependent-vtags).
	DependentVersionTag VersionTag
	// CostType is what the costs measure (meta/cost-type).
	CostType CostType
	// VersionTag is the cost map's own version (meta/vtag), which is
	// optional; zero if there is none.
	VersionTag VersionTag
	// Pairs is the number of costs in the document, wanted or not.
	Pairs int
}

// ReadCostMap reads a cost map (RFC 7285 §11.2.3.6) and hands its costs to the
// sink. A cost that is not a JSON number, or too large for a float64, refuses
// the map, and so does one that is negative or fractional where the mode is
// "ordinal" (§6.1.2.2), or negative where the metric is one of RFC 9439: a delay
// of -1 would be the least of all. A document of another kind is a [KindError].
//
// PIDs are not checked against a network map, only by their grammar.
func ReadCostMap(r io.Reader, sink CostMapSink) (CostMapInfo, error) {
	c := costMapReader{decoder: newDecoder(r), sink: sink, cache: make(map[string]string)}
	err := c.document(func(name string) error {
		switch name {
		case "meta":
			return c.costMapMeta()
		case "cost-map":
			return c.object("an object of PIDs", c.row)
		}
		return c.skip()
	})
	if err == nil {
		err = c.checkKind(MediaTypeCostMap)
	}
	if err == nil {
		err = c.checkMeta()
	}
	if err != nil {
		return CostMapInfo{}, err
	}
	return c.info, nil
}

type costMapReader struct {
	*decoder
	sink CostMapSink
	info CostMapInfo

	// cache maps a member name as written, with its quotes, to the PID name
	// it is, checked. Every row repeats the same names.
	cache map[string]string
	// notOrdinal is the first cost that could not be an ordinal one. It
	// counts only if the mode turns out to be "ordinal".
	notOrdinal error
	// negative is the first cost below 0, which counts only if the metric turns
	// out to be a measured one.
	negative error
}

func (c *costMapReader) costMapMeta() error {
	return c.meta(map[string]func() error{
		"vtag": func() (err error) {
			c.info.VersionTag, err = c.versionTag()
			return err
		},
		"cost-type": func() (err error) {
			c.info.CostType, err = c.costType()
			return err
		},
		"dependent-vtags": func() error {
			count := 0
			err := c.array("an array of one version tag", func() (err error) {
				count++
				c.info.DependentVersionTag, err = c.versionTag()
				return err
			})
			if err == nil && count != 1 {
				err = c.errorf("%d elements instead of the one version tag of the network map", count)
			}
			return err
		},
	})
}

func (c *costMapReader) checkMeta() error {
	switch {
	case c.info.DependentVersionTag == (VersionTag{}):
		return errors.New("meta/dependent-vtags is missing: a cost map must name the version of its network map")
	case c.info.CostType == (CostType{}):
		return errors.New("meta/cost-type is missing: a cost map must carry its cost type")
	case c.info.CostType.Mode == modeOrdinal:
		return c.notOrdinal
	case c.info.CostType.measured():
		return c.negative
	}
	return nil
}

// row reads the costs from one PID.
func (c *costMapReader) row(src string) error {
	if err := CheckPIDName(src); err != nil {
		return c.nameError(err)
	}
	wanted := c.sink.Row(src)
	if err := c.begin(jsontext.KindBeginObject, "an object of costs"); err != nil {
		return err
	}
	before := c.names
	for c.json.PeekKind() == jsontext.KindString {
		dst, err := c.pidName()
		if err != nil {
			return err
		}
		if err := c.countName(len(dst)); err != nil {
			return err
		}
		cost, err := c.cost()
		if err != nil {
			return err
		}
		c.info.Pairs++
		if wanted {
			c.sink.Cost(dst, cost)
		}
	}
	c.names = before
	_, err := c.json.ReadToken()
	return c.fail(err)
}

// maxCache bounds the names that are remembered, for memory's sake only.
const maxCache = 1 << 16

// pidName reads a member name that must be a PID name.
func (c *costMapReader) pidName() (string, error) {
	quoted, err := c.json.ReadValue()
	if err != nil {
		return "", c.fail(err)
	}
	if name, ok := c.cache[string(quoted)]; ok {
		return name, nil
	}
	unquoted, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "", c.nameError(err)
	}
	name := string(unquoted)
	if err := CheckPIDName(name); err != nil {
		return "", c.nameError(err)
	}
	if len(c.cache) >= maxCache {
		clear(c.cache)
	}
	c.cache[string(quoted)] = name
	return name, nil
}

// cost reads the cost of a pair.
func (c *costMapReader) cost() (float64, error) {
	token, err := c.json.ReadToken()
	if err != nil {
		return 0, c.fail(err)
	}
	switch kind := token.Kind(); kind {
	case jsontext.KindNumber:
	case jsontext.KindString:
		return 0, c.errorf("the cost is the string %s, not a number", quote(token.String()))
	case jsontext.KindEndObject:
		return 0, c.errorf("the cost is missing")
	default:
		return 0, c.errorf("the cost is %s, not a number", kindName(kind))
	}
	cost, err := token.Float()
	if err != nil || math.IsInf(cost, 0) {
		return 0, c.errorf("the cost %s is too large for a 64-bit floating-point number", shorten(token.String()))
	}
	if cost < 0 && c.negative == nil {
		c.negative = c.errorf("the cost %s is negative, which no metric of RFC 9439 can be", shorten(token.String()))
	}
	if cost < 0 || cost != math.Trunc(cost) {
		if c.notOrdinal == nil {
			c.notOrdinal = c.errorf("the cost %s is not a non-negative integer, as mode %q demands",
				shorten(token.String()), modeOrdinal)
		}
		if c.info.CostType.Mode == modeOrdinal {
			return 0, c.notOrdinal
		}
	}
	return cost, nil
}
