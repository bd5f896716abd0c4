// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Error is an ALTO error document, RFC 7285 §8.5.2, as a Go error. What it
// says comes from the server and is shown, not trusted.
type Error struct {
	// Code is the ALTO error code, such as "E_INVALID_FIELD_VALUE".
	Code string
	// SyntaxError describes the fault of an E_SYNTAX error. Often empty.
	SyntaxError string
	// Field is the path of the member of the request that is at fault, such
	// as "cost-type/cost-metric". Often empty.
	Field string
	// Value is the value at fault, as a string. Often empty.
	Value string
	// Status is the HTTP status the document came with; 0 if it did not come
	// by HTTP.
	Status int
}

// Error describes the document on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("the ALTO server reports ")
	if strings.Trim(e.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" && len(e.Code) <= maxQuoted {
		b.WriteString(e.Code)
	} else {
		b.WriteString(quote(e.Code))
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " with status %d", e.Status)
	}
	for _, detail := range []struct{ name, value string }{
		{"syntax error", e.SyntaxError},
		{"field", e.Field},
		{"value", e.Value},
	} {
		if detail.value != "" {
			fmt.Fprintf(&b, ", %s %s", detail.name, quote(detail.value))
		}
	}
	return b.String()
}

// ReadError reads an ALTO error document (RFC 7285 §8.5.2). It is lenient
// about everything but the code, since the document explains a failure that
// must not be hidden by another. A document of another kind is a [KindError].
func ReadError(r io.Reader) (*Error, error) {
	d := newDecoder(r)
	err := d.document(func(name string) error {
		if name == "meta" {
			return d.meta(nil)
		}
		return d.skip()
	})
	if err != nil {
		return nil, err
	}
	if d.errorDoc.Code == "" {
		if kind := new(KindError); errors.As(d.checkKind(MediaTypeError), &kind) {
			return nil, kind
		}
		return nil, errors.New("meta/code is missing: the document is not an ALTO error document")
	}
	doc := d.errorDoc
	return &doc, nil
}
