// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// leftover is how old a temporary file is that nobody writes to any more. No
// answer takes so long to come in. Those of another process cannot be told from
// leftovers otherwise.
const leftover = time.Hour

// Commit makes a set the newest one. The content of each of its documents was kept by
// a [Writer], or is in the spool already as that of a document of a set. There is one
// network map among them, and the cost maps depend on it. Afterwards the set is as it
// will be read again; its Sequence is given by Commit.
//
// If the contents are those of the newest set, in the same roles and versions, nothing
// is added to the spool, but what is known of them may have changed: where they were
// found, their validators and times are written anew, and the others, whose documents
// are left out where their content is not to be had. Such a set stays in force since
// when it was.
//
// Commit returns when the set would outlive a power failure, and removes sets
// that are too old, not used, or of the contents of a newer one, and what is no
// longer part of any. After an
// error the sets are as before, and what was kept may be gone. The error wraps
// ErrDamaged if content that should be in the spool is not, or is known to be
// damaged: then it is to be written again.
func (s *Spool) Commit(set *Set) error {
	set.InForce, set.Documents = set.InForce.Round(0).UTC(), storable(set.Documents)
	for _, x := range []**NotInForce{&set.Aside, &set.Incoming, &set.Held} {
		if *x != nil {
			stored := **x
			stored.Since, stored.Documents = stored.Since.Round(0).UTC(), storable(stored.Documents)
			*x = &stored
		}
	}
	if err := set.check(); err != nil {
		return fmt.Errorf("%s: these documents cannot be spooled: %w", s.cfg.Folder, err)
	}
	s.committing.Lock()
	defer s.committing.Unlock()
	for _, x := range set.each() {
		// They are not worth the set itself.
		if slices.ContainsFunc(x.Documents, func(d Document) bool { return !s.isKept(d.Content) && s.has(d.Content) != nil }) {
			x.Documents = nil
		}
	}
	if err := s.commit(set); err != nil {
		return err
	}
	s.collect()
	return nil
}

func (s *Spool) commit(set *Set) error {
	if err := s.disk.makeFolder(s.cfg.Folder); err != nil {
		return s.cannotWrite(err)
	}
	added, err := s.install(set)
	if err == nil {
		err = s.announce(set)
	}
	if err != nil {
		// The room is given back, above all where there is none.
		for _, c := range added {
			s.removeDocument(c.file())
		}
		return err
	}
	if err := s.disk.syncFolder(s.cfg.Folder); err != nil {
		return s.cannotWrite(err)
	}
	if err := s.complete(set); err != nil { // another process did not know of it yet
		return &Error{File: s.path(manifestFile(set.Sequence)), Err: err}
	}
	return nil
}

// install gives the documents of a set that were kept their names and returns
// the contents that the spool did not have before.
func (s *Spool) install(set *Set) (added []Content, err error) {
	for _, d := range set.Documents {
		if s.isKept(d.Content) {
			continue
		}
		if err := s.has(d.Content); err != nil {
			return nil, fmt.Errorf("%s: %s cannot be spooled: it was not written, and %w", s.cfg.Folder, d.Name, err)
		}
	}
	installed := false
	for _, d := range set.all() {
		c := d.Content
		w := s.claim(c)
		if w == nil {
			if err := s.has(c); err != nil { // it was discarded just now
				return added, fmt.Errorf("%s: %s cannot be spooled: %w", s.cfg.Folder, d.Name, err)
			}
			continue
		}
		isNew := errors.Is(s.disk.stat(s.path(c.file())), fs.ErrNotExist)
		// Also where there is one: it may be damaged.
		if err := s.settle(w.file, c.file()); err != nil {
			return added, s.cannotWrite(err)
		}
		installed = true
		if isNew {
			added = append(added, c)
		}
		s.mu.Lock()
		delete(s.damaged, c)
		s.mu.Unlock()
	}
	if installed {
		// Before there is a manifest that counts on them.
		if err := s.disk.syncFolder(s.cfg.Folder); err != nil {
			return added, s.cannotWrite(err)
		}
	}
	return added, nil
}

// announce writes the manifest.
func (s *Spool) announce(set *Set) error {
	dir, err := s.look()
	if err != nil {
		return s.cannotWrite(err)
	}
	set.Sequence = dir.highest + 1
	var before []byte
	if i := slices.IndexFunc(dir.manifests, func(m foundManifest) bool { return m.err == nil }); i >= 0 {
		if newest := dir.manifests[i].set; sameButForOrigin(newest.Documents, set.Documents) {
			set.Sequence, set.First, set.InForce = newest.Sequence, newest.First, newest.InForce
			before, _ = s.encode(newest)
		}
	}
	if set.Sequence > maxSequence {
		return fmt.Errorf("%s: the maps cannot be spooled: there is no number after that of %s, which should not be there: remove it", s.cfg.Folder, s.path(manifestFile(dir.highest)))
	}
	body, err := s.encode(set)
	if err != nil {
		return fmt.Errorf("%s: the maps cannot be spooled: %w", s.cfg.Folder, err)
	}
	if bytes.Equal(body, before) {
		return nil
	}
	f, err := s.createTemp()
	if err != nil {
		return s.cannotWrite(err)
	}
	if _, err := f.Write(body); err != nil {
		_ = f.Close()
		s.removeTemp(f)
		return s.cannotWrite(err)
	}
	if err := s.settle(f, manifestFile(set.Sequence)); err != nil {
		return s.cannotWrite(err)
	}
	return nil
}

// collect removes what the set just written has made useless. What cannot be
// removed now is found again the next time.
func (s *Spool) collect() {
	dir, err := s.look()
	if err != nil {
		return
	}
	needed := make(map[string]bool)
	var useless []string
	var kept []*Set
	for _, m := range dir.manifests {
		isKept := func(o *Set) bool { return sameButForOrigin(o.Documents, m.set.Documents) }
		switch {
		case m.err == nil && len(kept) < s.keep && !slices.ContainsFunc(kept, isKept):
			documents := m.set.Documents
			if len(kept) == 0 {
				documents = m.set.all()
			}
			kept = append(kept, m.set)
			for _, d := range documents {
				needed[d.Content.file()] = true
			}
		case m.err == nil || isUseless(m.err):
			useless = append(useless, m.file)
		default:
			return // it may be good, and need any document
		}
	}
	for _, name := range useless {
		_ = s.disk.remove(s.path(name))
	}
	for _, name := range dir.documents {
		if !needed[name] {
			s.removeDocument(name)
		}
	}
	for _, e := range dir.temps {
		s.removeLeftover(e)
	}
}

// isUseless reports whether a manifest that cannot be used will never be. One
// that must not be read is of another user, and would be in the way for ever.
func isUseless(err error) bool {
	for _, fault := range []error{ErrDamaged, ErrVersion, ErrOtherSource, fs.ErrPermission} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// removeDocument removes a document unless it is held.
func (s *Spool) removeDocument(name string) {
	s.mu.Lock() // so that nobody takes hold of it at this moment
	defer s.mu.Unlock()
	for c := range s.held {
		if c.file() == name {
			return
		}
	}
	if s.disk.remove(s.path(name)) != nil {
		return
	}
	for c := range s.damaged {
		if c.file() == name {
			delete(s.damaged, c)
		}
	}
}

func (s *Spool) removeLeftover(e fs.DirEntry) {
	s.mu.Lock()
	inUse := s.temps[e.Name()]
	s.mu.Unlock()
	info, err := e.Info()
	// A time far ahead is of a clock that was wrong.
	if inUse || err != nil || time.Since(info.ModTime()).Abs() < leftover {
		return
	}
	_ = s.disk.remove(s.path(e.Name()))
}
