// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxToken bounds what the decoder must hold at once: one string or number
// with the white space before it, or one entry of a directory. No legal
// document comes near it, and without it one endless string would fill the
// memory.
const maxToken = 1 << 20

// What the decoder must remember of a document while it reads on.
const (
	// maxDepth bounds the objects and arrays that are open at once. ALTO
	// needs five, extensions some more.
	maxDepth = 100
	// maxNames bounds the member names of the objects that are open, in bytes
	// with nameOverhead for each: some 200,000 of the longest PID names.
	maxNames     = 16 << 20
	nameOverhead = 16
)

// errTokenTooLong is what a tokenLimiter returns.
var errTokenTooLong = fmt.Errorf("one value of the document is longer than %d bytes", maxToken)

// A tokenLimiter refuses to read on when the decoder has taken in more than
// maxToken bytes without finishing a token.
type tokenLimiter struct {
	r    io.Reader
	dec  *jsontext.Decoder
	read int64 // bytes handed to dec so far
	err  error // what Read failed with, if not the end of the document
}

func (l *tokenLimiter) Read(p []byte) (int, error) {
	if l.read-l.dec.InputOffset() > maxToken {
		l.err = errTokenTooLong
		return 0, l.err
	}
	// The decoder would spin on a reader that makes no progress.
	for range 100 {
		n, err := l.r.Read(p)
		l.read += int64(n)
		if n > 0 {
			return n, nil // an error will come again
		}
		if err != nil {
			if err != io.EOF { // a wrapped one is not the end, see io.Reader
				l.err = err
			}
			return 0, err
		}
	}
	l.err = io.ErrNoProgress
	return 0, l.err
}

// A decoder reads one ALTO document, token by token, and keeps what all kinds
// of documents have in common. The methods that read a value leave the decoder
// behind it; on an error the document is lost.
type decoder struct {
	json  *jsontext.Decoder
	input *tokenLimiter // what json reads
	// prefix is the path of the value that is read, if it is a part of a
	// larger document.
	prefix []string

	// names is the size of the member names of the objects that are open,
	// which json keeps to refuse duplicates.
	names int
	// bodies has a bit for each entry of kinds whose body the document has
	// at its top level.
	bodies uint
	// errorDoc collects the members of meta that an error document has, in
	// case this is one.
	errorDoc Error
}

func newDecoder(r io.Reader) *decoder {
	input := &tokenLimiter{r: r}
	input.dec = jsontext.NewDecoder(input)
	return &decoder{json: input.dec, input: input}
}

// document reads the whole document, an object, calling member for each of its
// members; member must read the value.
func (d *decoder) document(member func(name string) error) error {
	err := d.object("an object", func(name string) error {
		d.noteBody(name)
		return member(name)
	})
	if err != nil {
		return err
	}
	end := d.json.InputOffset()
	_, err = d.json.ReadToken()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil || errors.As(err, &syntax):
		return fmt.Errorf("data follow the end of the document at byte %d", end)
	}
	return d.fail(err)
}

// meta reads the member "meta" of any document (RFC 7285 §8.4.1). The members
// named in members are read by their functions.
func (d *decoder) meta(members map[string]func() error) error {
	return d.object("an object", func(name string) error {
		if read, ok := members[name]; ok {
			return read()
		}
		switch name {
		case "code":
			return d.text(&d.errorDoc.Code)
		case "syntax-error":
			return d.text(&d.errorDoc.SyntaxError)
		case "field":
			return d.text(&d.errorDoc.Field)
		case "value":
			return d.text(&d.errorDoc.Value)
		}
		return d.skip()
	})
}

// object reads an object, calling member for each of its members; member must
// read the value. What was wanted is named in the error if it is no object.
func (d *decoder) object(want string, member func(name string) error) error {
	if err := d.begin(jsontext.KindBeginObject, want); err != nil {
		return err
	}
	before := d.names
	for d.json.PeekKind() == jsontext.KindString {
		token, err := d.json.ReadToken()
		if err != nil {
			return d.fail(err)
		}
		name := token.String()
		if err := d.countName(len(name)); err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	d.names = before
	// The end of the object, or the fault that was peeked at.
	_, err := d.json.ReadToken()
	return d.fail(err)
}

// countName counts a member name of so many bytes, until d.names is set back
// at the end of its object.
func (d *decoder) countName(size int) error {
	d.names += size + nameOverhead
	if d.names > maxNames {
		path := d.path()
		return d.errorAt(path[:max(len(path)-1, 0)], "the member names take more than %d bytes", maxNames)
	}
	return nil
}

// array reads an array, calling element for each of its elements.
func (d *decoder) array(want string, element func() error) error {
	if err := d.begin(jsontext.KindBeginArray, want); err != nil {
		return err
	}
	for {
		switch d.json.PeekKind() {
		case jsontext.KindEndArray, jsontext.KindInvalid:
			_, err := d.json.ReadToken()
			return d.fail(err)
		default:
			if err := element(); err != nil {
				return err
			}
		}
	}
}

// begin reads the opening brace or bracket of a value.
func (d *decoder) begin(kind jsontext.Kind, want string) error {
	if err := d.expect(kind, want); err != nil {
		return err
	}
	_, err := d.json.ReadToken()
	return d.fail(err)
}

// expect returns an error unless the next value is of the kind.
func (d *decoder) expect(kind jsontext.Kind, want string) error {
	switch got := d.json.PeekKind(); got {
	case kind:
		return nil
	case jsontext.KindInvalid, jsontext.KindEndObject, jsontext.KindEndArray:
		// No value at all: reading it tells what is wrong.
		if _, err := d.json.ReadToken(); err != nil {
			return d.fail(err)
		}
		return d.errorf("a value is missing")
	default:
		return d.errorf("%s instead of %s", kindName(got), want)
	}
}

// string reads a string.
func (d *decoder) string() (string, error) {
	if err := d.expect(jsontext.KindString, "a string"); err != nil {
		return "", err
	}
	token, err := d.json.ReadToken()
	if err != nil {
		return "", d.fail(err)
	}
	return token.String(), nil
}

// strings reads an array of strings.
func (d *decoder) strings() ([]string, error) {
	var list []string
	err := d.array("an array of strings", func() error {
		s, err := d.string()
		list = append(list, s)
		return err
	})
	return list, err
}

// bool reads true or false.
func (d *decoder) bool() (bool, error) {
	kind := d.json.PeekKind()
	if kind != jsontext.KindTrue {
		if err := d.expect(jsontext.KindFalse, "a boolean"); err != nil {
			return false, err
		}
	}
	_, err := d.json.ReadToken()
	return kind == jsontext.KindTrue, d.fail(err)
}

// count reads a non-negative integer.
func (d *decoder) count() (int, error) {
	if err := d.expect(jsontext.KindNumber, "a number"); err != nil {
		return 0, err
	}
	token, err := d.json.ReadToken()
	if err != nil {
		return 0, d.fail(err)
	}
	n, err := strconv.ParseUint(token.String(), 10, 31)
	if err != nil {
		return 0, d.errorf("%s is not a non-negative integer", shorten(token.String()))
	}
	return int(n), nil
}

// checked reads a string that must satisfy a grammar.
func (d *decoder) checked(to *string, check func(string) error) error {
	s, err := d.string()
	if err != nil {
		return err
	}
	if err := check(s); err != nil {
		return d.errorf("%w", err)
	}
	*to = s
	return nil
}

// text reads a value that is only shown to people: a string as it is, another
// scalar as it is written, anything else not at all.
func (d *decoder) text(to *string) error {
	switch d.json.PeekKind() {
	case jsontext.KindString:
		s, err := d.string()
		*to = s
		return err
	case jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		value, err := d.json.ReadValue()
		*to = string(value)
		return d.fail(err)
	default:
		return d.skip()
	}
}

// skip reads a value that is not wanted, of any size. Its syntax is checked all
// the same, and so are the limits.
func (d *decoder) skip() error {
	outside, before := d.json.StackDepth(), d.names
	var open []int // d.names at the start of each object and array
	for {
		token, err := d.json.ReadToken()
		if err != nil {
			return d.fail(err)
		}
		depth := d.json.StackDepth()
		switch token.Kind() {
		case jsontext.KindBeginObject, jsontext.KindBeginArray:
			if depth > maxDepth {
				return d.errorf("objects and arrays are nested more than %d deep", maxDepth)
			}
			open = append(open, d.names)
		case jsontext.KindEndObject, jsontext.KindEndArray:
			if len(open) == 0 {
				return d.errorf("a value is missing")
			}
			last := len(open) - 1
			d.names, open = open[last], open[:last]
		case jsontext.KindString:
			// In an object every other one of its parts is a name.
			if kind, parts := d.json.StackIndex(depth); depth > outside && kind == jsontext.KindBeginObject && parts%2 == 1 {
				if err := d.countName(len(token.String())); err != nil {
					return err
				}
			}
		default:
		}
		if depth == outside {
			d.names = before
			return nil
		}
	}
}

// versionTag reads a version tag (RFC 7285 §10.3).
func (d *decoder) versionTag() (VersionTag, error) {
	var tag VersionTag
	err := d.object("a version tag", func(name string) error {
		switch name {
		case "resource-id":
			return d.checked(&tag.ResourceID, CheckResourceID)
		case "tag":
			return d.checked(&tag.Tag, CheckTag)
		}
		return d.skip()
	})
	switch {
	case err != nil:
		return VersionTag{}, err
	case tag.ResourceID == "":
		return VersionTag{}, d.errorf("resource-id is missing from the version tag")
	case tag.Tag == "":
		return VersionTag{}, d.errorf("tag is missing from the version tag")
	}
	return tag, nil
}

// costType reads a cost type (RFC 7285 §10.7).
func (d *decoder) costType() (CostType, error) {
	var t CostType
	err := d.object("a cost type", func(name string) error {
		switch name {
		case "cost-mode":
			return d.checked(&t.Mode, CheckCostMode)
		case "cost-metric":
			return d.checked(&t.Metric, CheckCostMetric)
		case "description":
			return d.text(&t.Description)
		}
		return d.skip()
	})
	switch {
	case err != nil:
		return CostType{}, err
	case t.Mode == "":
		return CostType{}, d.errorf("cost-mode is missing from the cost type")
	case t.Metric == "":
		return CostType{}, d.errorf("cost-metric is missing from the cost type")
	}
	return t, nil
}
