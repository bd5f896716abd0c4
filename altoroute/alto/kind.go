// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import "fmt"

// A KindError says that a document is sound but not of the kind that was
// asked for. A server may legitimately send another one, a directory above
// all (RFC 7285 §8.3.4.2).
type KindError struct {
	// Want and Got are media types. Got may be any that a server sent; it is
	// empty where it sent none.
	Want, Got string
	// Document is the error document, where that is what came; else nil.
	Document *Error
}

// Error says what came and what should have come.
func (e *KindError) Error() string {
	got := kindNoun(e.Got)
	if e.Got == "" {
		got = "without a media type"
	}
	text := fmt.Sprintf("the document is %s, not %s", got, kindNoun(e.Want))
	if e.Document != nil {
		text += ": " + e.Document.Error()
	}
	return text
}

// Unwrap returns the error document, if there is one, so that [errors.As]
// finds it.
func (e *KindError) Unwrap() error {
	if e.Document == nil {
		return nil // not a nil *Error in an interface
	}
	return e.Document
}

// kinds lists the kinds of documents by the member that holds their body,
// which is how one is told from another without its media type.
var kinds = [...]struct{ body, mediaType, noun string }{ //nolint:gochecknoglobals // a table, never changed
	{"network-map", MediaTypeNetworkMap, "a network map"},
	{"cost-map", MediaTypeCostMap, "a cost map"},
	{"resources", MediaTypeDirectory, "a directory"},
	{"endpoint-cost-map", mediaTypeEndpointCost, "an endpoint cost map"},
	{"endpoint-properties", mediaTypeEndpointProperties, "an endpoint property document"},
	{"property-map", mediaTypePropertyMap, "a property map"},
	{"", MediaTypeError, "an ALTO error document"},
}

func kindNoun(mediaType string) string {
	for _, k := range kinds {
		if k.mediaType == mediaType {
			return k.noun
		}
	}
	return quote(mediaType)
}

// noteBody remembers that the document has a top-level member of the name.
func (d *decoder) noteBody(name string) {
	for i, k := range kinds {
		if k.body == name && name != "" {
			d.bodies |= 1 << i
		}
	}
}

// checkKind returns an error unless the document has the body of the wanted
// kind. Only then does it matter which others it has: beside that body they
// are unknown members, to be ignored.
func (d *decoder) checkKind(want string) error {
	got, body := "", ""
	for i, k := range kinds {
		switch {
		case k.mediaType == want && d.bodies&(1<<i) != 0:
			return nil
		case k.mediaType == want:
			body = k.body
		case d.bodies&(1<<i) != 0 && got == "":
			got = k.mediaType
		}
	}
	switch {
	case got != "":
		return &KindError{Want: want, Got: got}
	case d.errorDoc.Code != "":
		doc := d.errorDoc
		return &KindError{Want: want, Got: MediaTypeError, Document: &doc}
	}
	return fmt.Errorf("%s is missing: the document is not %s", body, kindNoun(want))
}
