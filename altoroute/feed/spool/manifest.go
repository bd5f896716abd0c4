// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// version is that of the format of manifests and documents.
const version = 1

const (
	// maxManifest bounds a manifest in bytes. The longest header of an answer
	// that is taken is 64 KiB, so that two validators of a document can be a
	// tenth of it.
	maxManifest = 1 << 20
	// maxSequence is the largest sequence number: JSON's numbers are exact up to
	// there (RFC 8259 §6).
	maxSequence = 1<<53 - 1
)

// A manifest is the JSON of a set. Its first member is the SHA-256 of all that
// follows that member's line, to the end of the file. What is compared is the
// bytes as they are, so that nothing depends on how JSON is written.
type manifest struct {
	SHA256     string               `json:"sha256"`
	Version    int                  `json:"version"`
	Source     string               `json:"source"`
	Sequence   uint64               `json:"sequence"`
	InForce    time.Time            `json:"in_force"`
	Documents  []manifestDocument   `json:"documents"`
	NotInForce []manifestNotInForce `json:"not_in_force,omitempty"`
}

type manifestDocument struct {
	Role         Role      `json:"role"`
	Name         string    `json:"name"`
	ResourceID   string    `json:"resource_id,omitempty"`
	MediaType    string    `json:"media_type,omitempty"`
	VersionTag   tag       `json:"version_tag,omitzero"`
	Filter       string    `json:"filter,omitempty"`
	DependsOn    tag       `json:"depends_on,omitzero"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	FetchedAt    time.Time `json:"fetched_at"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
}

// JSON's numbers are not exact beyond 1<<53, so that the sums are written as text.
type manifestNotInForce struct {
	VersionTag tag       `json:"version_tag"`
	Sums       []string  `json:"sums"`
	Filter     string    `json:"filter,omitempty"`
	Since      time.Time `json:"since"`
	Over       string    `json:"over,omitempty"`
	Reasons    []string  `json:"reasons,omitempty"`

	Documents []manifestDocument `json:"documents,omitempty"`
}

// tag is alto.VersionTag as the RFC writes it.
type tag struct {
	ResourceID string `json:"resource-id"`
	Tag        string `json:"tag"`
}

// The first lines of a manifest, around the checksum.
const (
	headStart = "{\n\t\"sha256\": \""
	headEnd   = "\",\n"
	headSize  = len(headStart) + 2*sha256.Size + len(headEnd)
)

// encode returns the manifest of a set.
func (s *Spool) encode(set *Set) ([]byte, error) {
	m := manifest{
		SHA256:  strings.Repeat("0", 2*sha256.Size), // its place
		Version: version, Source: s.source, Sequence: set.Sequence, InForce: set.InForce,
	}
	m.Documents = encodeDocuments(set.Documents)
	for _, x := range set.NotInForce {
		other := manifestNotInForce{VersionTag: tag(x.VersionTag), Filter: hexadecimal(x.Filter), Since: x.Since, Reasons: x.Reasons}
		other.Documents = encodeDocuments(x.Documents)
		if x.Over != 0 {
			other.Over = x.Over.String()
		}
		for _, sum := range x.Sums {
			other.Sums = append(other.Sums, strconv.FormatUint(sum, 16))
		}
		m.NotInForce = append(m.NotInForce, other)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // an ampersand in a URL is to be read by people
	e.SetIndent("", "\t")
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	body := b.Bytes()
	if len(body) > maxManifest {
		return nil, fmt.Errorf("the manifest is larger than %d bytes", maxManifest)
	}
	copy(body[len(headStart):], checksum(body))
	return body, nil
}

func encodeDocuments(documents []Document) (encoded []manifestDocument) {
	for _, d := range documents {
		encoded = append(encoded, manifestDocument{
			Role: d.Role, Name: d.Name, ResourceID: d.ResourceID, MediaType: d.MediaType, Filter: hexadecimal(d.Filter),
			VersionTag: tag(d.VersionTag), DependsOn: tag(d.DependsOn),
			ETag: d.Validators.ETag, LastModified: d.Validators.LastModified,
			FetchedAt: d.FetchedAt, Size: d.Content.Size, SHA256: hex.EncodeToString(d.Content.SHA256[:]),
		})
	}
	return encoded
}

// hexadecimal returns a sum as text; 0 is none.
func hexadecimal(sum uint64) string {
	if sum == 0 {
		return ""
	}
	return strconv.FormatUint(sum, 16)
}

// parseSum reads a sum, which an error names by its place.
func parseSum(at, text string) (uint64, error) {
	sum, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %.80q, want at most 16 hexadecimal digits", at, text)
	}
	return sum, nil
}

func decodeDocuments(at string, encoded []manifestDocument) (documents []Document, err error) {
	for i, d := range encoded {
		sum, err := hex.DecodeString(d.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s[%d]/sha256 is %.80q, want %d hexadecimal digits", at, i, d.SHA256, 2*sha256.Size)
		}
		filter, err := parseSum(fmt.Sprintf("%s[%d]/filter", at, i), cmp.Or(d.Filter, "0"))
		if err != nil {
			return nil, err
		}
		documents = append(documents, Document{
			Role: d.Role, Name: d.Name, ResourceID: d.ResourceID, MediaType: d.MediaType, Filter: filter,
			VersionTag: alto.VersionTag(d.VersionTag), DependsOn: alto.VersionTag(d.DependsOn),
			Validators: alto.Validators{ETag: d.ETag, LastModified: d.LastModified},
			FetchedAt:  d.FetchedAt, Content: Content{SHA256: [sha256.Size]byte(sum), Size: d.Size},
		})
	}
	return documents, nil
}

// checksum returns that of a manifest, which is as long as its head at least.
func checksum(body []byte) string {
	sum := sha256.Sum256(body[headSize:])
	return hex.EncodeToString(sum[:])
}

// decode reads a manifest that claims to have the sequence number. It is all
// good or refused.
func (s *Spool) decode(body []byte, sequence uint64) (*Set, error) {
	if len(body) > maxManifest {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrDamaged, maxManifest)
	}
	if len(body) < headSize || string(body[:headSize]) != headStart+checksum(body)+headEnd {
		return nil, fmt.Errorf("%w: the member sha256 is not the checksum of what follows", ErrDamaged)
	}
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &format); err != nil { // also where something follows the end
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if format.Version != version {
		return nil, fmt.Errorf("%w: the member version is %d, and only %d is known; was it written by a newer altoroute?", ErrVersion, format.Version, version)
	}
	var m manifest
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Sequence != sequence {
		return nil, fmt.Errorf("%w: the member sequence is %d, by its name it is %d", ErrDamaged, m.Sequence, sequence)
	}
	set, err := m.set()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Source != s.source {
		return nil, fmt.Errorf("%w, with the network map %s", ErrOtherSource, set.networkMap().Name)
	}
	return set, nil
}

func (m *manifest) set() (*Set, error) {
	set := &Set{Sequence: m.Sequence, InForce: m.InForce}
	var err error
	if set.Documents, err = decodeDocuments("documents", m.Documents); err != nil {
		return nil, err
	}
	for i, x := range m.NotInForce {
		other := NotInForce{VersionTag: alto.VersionTag(x.VersionTag), Since: x.Since, Reasons: x.Reasons}
		for j, text := range x.Sums {
			sum, err := parseSum(fmt.Sprintf("not_in_force[%d]/sums[%d]", i, j), text)
			if err != nil {
				return nil, err
			}
			other.Sums = append(other.Sums, sum)
		}
		if len(other.Sums) == 0 {
			return nil, fmt.Errorf("not_in_force[%d]/sums is missing", i)
		}
		if other.Documents, err = decodeDocuments(fmt.Sprintf("not_in_force[%d]/documents", i), x.Documents); err != nil {
			return nil, err
		}
		if other.Filter, err = parseSum(fmt.Sprintf("not_in_force[%d]/filter", i), cmp.Or(x.Filter, "0")); err != nil {
			return nil, err
		}
		if other.Over, err = time.ParseDuration(cmp.Or(x.Over, "0s")); err != nil || other.Over < 0 {
			return nil, fmt.Errorf("not_in_force[%d]/over is %.80q, want a duration", i, x.Over)
		}
		set.NotInForce = append(set.NotInForce, other)
	}
	if err := set.check(); err != nil {
		return nil, err
	}
	return set, nil
}

// check returns an error unless the documents belong together.
func (s *Set) check() error {
	var network *Document
	for i := range s.Documents {
		d := &s.Documents[i]
		switch {
		case d.Role != NetworkMap && d.Role != CostMap:
			return fmt.Errorf("documents[%d]/role is %.80q, want %s or %s", i, d.Role, NetworkMap, CostMap)
		case d.Content.Size < 0:
			return fmt.Errorf("documents[%d]/size is %d, want 0 or more", i, d.Content.Size)
		case d.Role == NetworkMap && network != nil:
			return fmt.Errorf("documents[%d] is a second network map: a set has one", i)
		case d.Role == NetworkMap && d.VersionTag == alto.VersionTag{}:
			return fmt.Errorf("documents[%d]/version_tag is missing: a network map has one (RFC 7285 §11.2.1.6)", i)
		case d.Role == NetworkMap:
			network = d
		}
	}
	if network == nil {
		return errors.New("documents has no network map: a set has one")
	}
	for i, d := range s.Documents {
		if d.Role == CostMap && d.DependsOn != network.VersionTag {
			return fmt.Errorf("documents[%d]/depends_on is %v, but the network map is %v: they do not belong together", i, d.DependsOn, network.VersionTag)
		}
	}
	return nil
}

// networkMap returns the network map of a set that has been checked.
func (s *Set) networkMap() *Document {
	for i := range s.Documents {
		if s.Documents[i].Role == NetworkMap {
			return &s.Documents[i]
		}
	}
	return nil
}
