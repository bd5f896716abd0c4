// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package spool keeps the last good documents of a source on disk, whole and
// compressed, so that they can be read again when the source cannot: after a
// restart, for rows of costs that were not kept in memory, or to go back.
//
// What counts is a set: a network map and the cost maps of that version of it. It
// is described by a manifest, which is written when all its documents are, so
// that there are whole sets only, whenever the process or the machine stops.
//
// A folder is for one source:
//
//	set-12.json                                   a manifest
//	doc-9f86d081884c7d659a2feaa0c55ad015….zst     a document, named by the SHA-256 of its content
//	new-2416320198.tmp                            a file that is being written
//
// Nothing of what a server says gets into the name of a file. There are no
// locks: of two processes that share a folder the last one to write wins.
package spool

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// keptSets is how many sets of different content stay on disk, the newest ones.
const keptSets = 3

// Config says where a source is spooled.
type Config struct {
	// Folder is made when the first document is written, for this user only. It
	// must be of this source alone. Files in it that are not the spool's are
	// left alone.
	Folder string
	// Source is the source's identity, such as its URLs. What was spooled under
	// another one is not used. Only its hash is stored, so that it may hold
	// credentials.
	Source string
}

// A Spool is the spool of one source. Make it with New. It may be used by many
// goroutines.
type Spool struct {
	cfg    Config
	source string // hash of Config.Source
	disk   disk
	keep   int // keptSets; fewer in tests

	committing sync.Mutex // held while a set is written and old ones are removed

	mu      sync.Mutex            // guards what follows
	temps   map[string]bool       // names of the temporary files that are in use
	kept    map[Content][]*Writer // written, and waiting for Commit
	held    map[Content]int       // how often it must not be removed
	damaged map[Content]bool      // reading it has shown so
}

// New returns a Spool. It does no I/O.
func New(cfg Config) (*Spool, error) {
	if cfg.Folder == "" {
		return nil, errors.New("a spool needs a folder")
	}
	sum := sha256.Sum256([]byte(cfg.Source))
	return &Spool{
		cfg: cfg, source: hex.EncodeToString(sum[:]), disk: realDisk{}, keep: keptSets,
		temps: make(map[string]bool), kept: make(map[Content][]*Writer),
		held: make(map[Content]int), damaged: make(map[Content]bool),
	}, nil
}

// A Set is documents that belong together, on disk. It is not to be changed.
type Set struct {
	// Sequence tells sets apart and grows from each to the next. It is 1 or more.
	Sequence uint64 `json:"sequence"`
	// First is its Place where it was put back; 0 is that it was not.
	First uint64 `json:"first,omitzero"`
	// InForce is when the set came in force.
	InForce time.Time `json:"in_force"`
	// Documents are in the order in which they were committed.
	Documents []Document `json:"documents"`
	// Others are what the source had besides, so that a restart does not change that.
	Others
}

// Others are the sets of a source that are not in force, or not for all content yet; nil
// where there is none.
type Others struct {
	// Aside was put aside by hand.
	Aside *NotInForce `json:"aside,omitempty"`
	// Incoming comes in force by degrees.
	Incoming *NotInForce `json:"incoming,omitempty"`
	// Held is not let in yet.
	Held *NotInForce `json:"held,omitempty"`
}

// NotInForce is a set that is not in force, or not for all content yet.
type NotInForce struct {
	// VersionTag is that of its network map.
	VersionTag alto.VersionTag `json:"version_tag"`
	// Sums tell its content from any other: one for each of its documents.
	Sums []Sum `json:"sums"`
	// Filter tells what costs were asked for; 0 is all.
	Filter Sum `json:"filter,omitzero"`
	// Since is when it was first kept out, or when it began to come in.
	Since time.Time `json:"since"`
	// Over is how long it takes to come in, where it does.
	Over time.Duration `json:"over_ns,omitzero"`
	// Reasons are why it is held.
	Reasons []string `json:"reasons,omitempty"`
	// Documents are its own, where they are at hand and it may come in.
	Documents []Document `json:"documents,omitempty"`
}

// Role is what a document is in its set.
type Role string

// The roles.
const (
	NetworkMap Role = "network_map"
	CostMap    Role = "cost_map"
)

// A Document is what is known of one document of a set besides its content.
type Document struct {
	Role Role `json:"role"`
	// Name is a path or a URL, without credentials: it is stored as it is.
	Name string `json:"name"`
	// ResourceID is the id in the server's directory; empty for files.
	ResourceID string `json:"resource_id,omitempty"`
	MediaType  string `json:"media_type,omitempty"`
	// Filter tells which rows a cost map has that were asked for (RFC 7285 §11.3.2); 0
	// is all.
	Filter Sum `json:"filter,omitzero"`
	// VersionTag is that of the document (RFC 7285 §10.3). Only a network map
	// must have one.
	VersionTag alto.VersionTag `json:"version_tag,omitzero"`
	// DependsOn is the version of the network map that a cost map is for (RFC
	// 7285 §10.3). Of a network map it is zero.
	DependsOn alto.VersionTag `json:"depends_on,omitzero"`
	// Validators are for the next request. One that is no UTF-8 is not stored.
	Validators alto.Validators `json:"validators,omitzero"`
	// FetchedAt is when the content was last read from the source or found to be
	// the current one.
	FetchedAt time.Time `json:"fetched_at"`
	// Content is what [Writer.Keep] returned, or that of a document of a set.
	Content Content `json:"content"`
}

// Content names the content of a document. Two documents have the same one if
// and only if these are equal by ==.
type Content struct {
	SHA256 Hash  `json:"sha256"`
	Size   int64 `json:"size"` // in bytes, decompressed
}

func (c Content) file() string {
	return documentPrefix + hex.EncodeToString(c.SHA256[:]) + documentSuffix
}

// Sets returns the sets that can be used, newest first, and errors that tell
// why others cannot. Each is an [Error], or of the folder itself. Only the
// manifests are read, and there is a file for each document; what is in it is
// checked when it is read.
//
// Where nothing has been written yet there are neither.
func (s *Spool) Sets() (sets []*Set, unusable []error) {
	dir, err := s.look()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{fmt.Errorf("%s: cannot read the folder: %w: the spool is not used", s.cfg.Folder, pathless(err))}
	}
	for _, m := range dir.manifests {
		if m.err != nil {
			unusable = append(unusable, &Error{File: s.path(m.file), Err: m.err})
			continue
		}
		sets = append(sets, m.set)
	}
	return sets, unusable
}

// Place is what the Sequence was before the set was put back. The set that was in force
// before it is the newest one of a lower Sequence than that.
func (s *Set) Place() uint64 { return cmp.Or(s.First, s.Sequence) }

// all returns the documents of a set, and of what is not in force beside it.
func (s *Set) all() []Document {
	all := slices.Clone(s.Documents)
	for _, x := range s.each() {
		all = append(all, x.Documents...)
	}
	return all
}

// each returns those that there are.
func (o *Others) each() []*NotInForce {
	return slices.DeleteFunc([]*NotInForce{o.Aside, o.Incoming, o.Held}, func(x *NotInForce) bool { return x == nil })
}

// complete returns an error unless there is a file for each document of a set.
func (s *Spool) complete(set *Set) error {
	for _, d := range set.Documents {
		if err := s.has(d.Content); err != nil {
			return fmt.Errorf("its document %s: %w", d.Name, err)
		}
	}
	return nil
}

// has returns an error unless there is a file for the content and nothing is
// known to be wrong with it.
func (s *Spool) has(c Content) error {
	name := c.file()
	s.mu.Lock()
	damaged := s.damaged[c]
	s.mu.Unlock()
	if damaged {
		return fmt.Errorf("%s: %w", name, ErrDamaged)
	}
	err := s.disk.stat(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = errMissing
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Hold keeps the documents of a set on disk, whatever is committed, until
// release is called. Where several of them are read one after the other, it
// goes before the first. It fails, with an [Error], if they are there no longer.
// From another process they are not safe.
func (s *Spool) Hold(set *Set) (release func(), err error) {
	for _, d := range set.all() {
		s.hold(d.Content, 1)
	}
	release = sync.OnceFunc(func() {
		for _, d := range set.all() {
			s.hold(d.Content, -1)
		}
	})
	if err := s.complete(set); err != nil {
		release()
		return nil, &Error{File: s.path(manifestFile(set.Sequence)), Err: err}
	}
	return release, nil
}

func (s *Spool) hold(c Content, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[c] += n; s.held[c] == 0 {
		delete(s.held, c)
	}
}

func (s *Spool) path(name string) string { return filepath.Join(s.cfg.Folder, name) }

// Why something in a spool is not used.
var (
	// ErrDamaged is the fault of content that is not what was written, or gone.
	ErrDamaged = errors.New("it is damaged")
	// ErrVersion is the fault of a manifest in a format of another version.
	ErrVersion = errors.New("it has another version of the format")
	// ErrOtherSource is no fault, but a manifest of a source with another
	// identity. The source was configured differently when it was written.
	ErrOtherSource = errors.New("it is of another source")

	errMissing = fmt.Errorf("%w: the file is missing", ErrDamaged)
)

// An Error says which file is not used and why.
type Error struct {
	// File is the path of a manifest or a document.
	File string
	// Err wraps ErrDamaged, ErrVersion, ErrOtherSource or an error of the file
	// system.
	Err error
}

// Error says also what becomes of the file.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %v: it is not used, and the next good set replaces it", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// cannotWrite tells that the caller has to go on without the spool.
func (s *Spool) cannotWrite(err error) error {
	return fmt.Errorf("%s: the maps cannot be spooled: %w: what was spooled before stays; see that the folder can be written to and has room", s.cfg.Folder, pathless(err))
}

// sameButForOrigin reports whether two sets differ in nothing but where they were
// found, and when: several servers of a source have the same at other URLs.
func sameButForOrigin(a, b []Document) bool {
	return slices.EqualFunc(a, b, func(a, b Document) bool {
		return a.Role == b.Role && a.VersionTag == b.VersionTag && a.DependsOn == b.DependsOn && a.Content == b.Content
	})
}

// storable returns documents as they will be when they are read again: what is
// written as JSON must be UTF-8, and times are of no zone.
func storable(documents []Document) []Document {
	documents = slices.Clone(documents)
	for i := range documents {
		d := &documents[i]
		d.Name = strings.ToValidUTF8(d.Name, "\uFFFD")
		// A validator that is not the server's to the byte is of no use.
		if strings.ToValidUTF8(d.Validators.ETag, "") != d.Validators.ETag {
			d.Validators.ETag = ""
		}
		if strings.ToValidUTF8(d.Validators.LastModified, "") != d.Validators.LastModified {
			d.Validators.LastModified = ""
		}
		d.FetchedAt = d.FetchedAt.Round(0).UTC()
	}
	return documents
}
