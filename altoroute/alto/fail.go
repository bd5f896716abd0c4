// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// errorf returns an error about the value read last, or the member whose value
// comes next.
func (d *decoder) errorf(format string, args ...any) error {
	return d.errorAt(d.path(), format, args...)
}

// nameError says where the member is whose name is at fault.
func (d *decoder) nameError(err error) error {
	path := d.path()
	return d.errorAt(path[:max(len(path)-1, 0)], "%w", err)
}

func (d *decoder) errorAt(path []string, format string, args ...any) error {
	where := joinPath(path)
	if where == "" {
		where = "the document"
	}
	return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
}

// path returns the names of the members that lead to where the decoder is.
// Array indexes are left out: a fault in an element is reported of the array,
// as RFC 7285 §8.5.2 does it.
func (d *decoder) path() []string {
	path := slices.Clone(d.prefix)
	depth := 0
	for token := range d.json.StackPointer().Tokens() {
		depth++
		if kind, _ := d.json.StackIndex(depth); kind == jsontext.KindBeginObject {
			path = append(path, token)
		}
	}
	return path
}

// fail turns an error of the JSON decoder into one that says where and what.
func (d *decoder) fail(err error) error {
	if err == nil {
		return nil
	}
	// The decoder wraps what the input failed with in words of its own, and
	// sometimes blames the syntax.
	var syntax *jsontext.SyntacticError
	switch {
	case d.input.err == errTokenTooLong: //nolint:errorlint // our own, never wrapped
		return d.errorf("%w", errTokenTooLong)
	case d.input.err != nil:
		return fmt.Errorf("reading the document at byte %d: %w", d.json.InputOffset(), d.input.err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the document is empty: %w", io.ErrUnexpectedEOF)
	case !errors.As(err, &syntax):
		return d.errorf("%w", err)
	}
	path := slices.Clone(d.prefix)
	for token := range syntax.JSONPointer.Tokens() {
		path = append(path, token)
	}
	switch {
	case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
		return d.errorAt(path, "the document is cut off after %d bytes: %w", syntax.ByteOffset, syntax.Err)
	case errors.Is(syntax.Err, jsontext.ErrDuplicateName) && len(path) > 0:
		last := len(path) - 1
		return d.errorAt(path[:last], "the member %s occurs twice: %w", quote(path[last]), syntax.Err)
	}
	return d.errorAt(path, "no valid JSON at byte %d: %w", syntax.ByteOffset, syntax.Err)
}

// maxPath bounds the members that an error names of a deeply nested document.
const maxPath = 8

func joinPath(path []string) string {
	var b strings.Builder
	for i, name := range path {
		if i > 0 {
			b.WriteByte('/')
		}
		if i == maxPath {
			b.WriteString("…")
			break
		}
		plain := name != "" && len(name) <= maxQuoted &&
			strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == '"' }) < 0
		if !plain {
			name = quote(name)
		}
		b.WriteString(name)
	}
	return b.String()
}

// kindName names a kind of JSON value in an error.
func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "something else"
	}
}

// maxErrors bounds what is told of one directory: it is as long as its server
// pleases, and goes to a log.
const maxErrors = 100

// An errorList keeps the first maxErrors errors in sorted order, whatever the
// order they come in.
type errorList struct {
	errs []error
	more int // how many were left out
}

func (l *errorList) add(err error) {
	text := err.Error()
	i, _ := slices.BinarySearchFunc(l.errs, text, func(e error, text string) int { return strings.Compare(e.Error(), text) })
	if i < maxErrors {
		l.errs = slices.Insert(l.errs, i, err)
	}
	if len(l.errs) > maxErrors || i == maxErrors {
		l.errs = l.errs[:maxErrors]
		l.more++
	}
}

// all returns the errors, and last one that tells of those left out.
func (l *errorList) all() []error {
	if l.more == 0 {
		return l.errs
	}
	return append(l.errs, fmt.Errorf("and %d more", l.more))
}
