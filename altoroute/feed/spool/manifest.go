// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	SHA256  string `json:"sha256"`
	Version int    `json:"version"`
	Source  string `json:"source"`
	Set
}

// A Sum tells content from any other, among the few that there are. It is written as
// hexadecimal text: JSON's numbers are not exact beyond 1<<53 (RFC 8259 §6).
type Sum uint64

// MarshalText implements [encoding.TextMarshaler].
func (s Sum) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(s), 16), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Sum) UnmarshalText(text []byte) error {
	sum, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return fmt.Errorf("%.80q is no sum, want at most 16 hexadecimal digits", text)
	}
	*s = Sum(sum)
	return nil
}

// A Hash is a SHA-256, written as hexadecimal text.
type Hash [sha256.Size]byte

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hash) UnmarshalText(text []byte) error {
	sum, err := hex.DecodeString(string(text))
	if err != nil || len(sum) != len(h) {
		return fmt.Errorf("%.80q is no SHA-256, want %d hexadecimal digits", text, 2*len(h))
	}
	*h = Hash(sum)
	return nil
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
		Version: version, Source: s.source, Set: *set,
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
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Source != s.source {
		return nil, fmt.Errorf("%w, with the network map %s", ErrOtherSource, m.networkMap().Name)
	}
	return &m.Set, nil
}

// check returns an error unless a set can be used: its documents belong together, and
// the others can be told from it.
func (s *Set) check() error {
	if s.First > maxSequence {
		return fmt.Errorf("first is %d, want at most %d", s.First, uint64(maxSequence))
	}
	var network *Document
	for i := range s.Documents {
		d := &s.Documents[i]
		switch {
		case d.Role != NetworkMap && d.Role != CostMap:
			return fmt.Errorf("documents[%d]/role is %.80q, want %s or %s", i, d.Role, NetworkMap, CostMap)
		case d.Content.Size < 0:
			return fmt.Errorf("documents[%d]/content/size is %d, want 0 or more", i, d.Content.Size)
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
	for member, x := range map[string]*NotInForce{"aside": s.Aside, "incoming": s.Incoming, "held": s.Held} {
		switch {
		case x == nil:
		case len(x.Sums) == 0:
			return fmt.Errorf("%s/sums is missing", member)
		case x.Over < 0 || x.Over == 0 && x == s.Incoming:
			return fmt.Errorf("%s/over_ns is %d, want 0 or more, and more of what is coming in", member, x.Over)
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
