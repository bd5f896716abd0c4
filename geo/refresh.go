// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// defaultInterval is how often Run looks at the files unless told.
const defaultInterval = 2 * time.Second

// A file is a path and the last good database read there. Its status fields
// are written with both of DB's mutexes held, so that either suffices to read
// them; the others belong to DB.refresh.
type file struct {
	path  string
	stamp stamp  // of the last content judged, good or bad
	sum   uint64 // of db's content
	unfit bool   // the content was good, but left a rule without an answer

	// Status.
	db       *database
	meta     maxminddb.Metadata
	loadedAt time.Time
	fault    error
	since    time.Time
}

// A version is good content found at a file's path.
type version struct {
	db    *database // nil: the content of the database that is in use
	sum   uint64
	stamp stamp
}

// seed makes sums comparable within a process, which is all they are for.
var seed = maphash.MakeSeed() //nolint:gochecknoglobals // one for all that is compared

// name says which file an error is about.
func (f *file) name(err error) error { return fmt.Errorf("geo database %s: %w", f.path, err) }

// look returns the version at the path if it has not been judged yet, else nil.
func (f *file) look() (*version, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.stamp = stamp{} // a file that comes back unchanged is news
		return nil, missing(err)
	}
	if f.stamp.same(info) {
		return nil, nil
	}
	content, st, err := readFile(f.path)
	f.stamp = st
	if err != nil {
		return nil, err
	}
	v := &version{sum: maphash.Bytes(seed, content), stamp: st}
	if f.db != nil && v.sum == f.sum {
		return v, nil
	}
	if v.db, err = openDatabase(content); err != nil {
		return nil, err
	}
	return v, nil
}

// accept makes a version the file's database.
func (f *file) accept(v *version) {
	f.fault, f.since, f.unfit = nil, time.Time{}, false
	if v.db == nil {
		return
	}
	f.db, f.sum, f.meta, f.loadedAt = v.db, v.sum, v.db.reader.Metadata(), time.Now()
}

func (d *DB) databases() []*database {
	dbs := make([]*database, len(d.files))
	for i, f := range d.files {
		dbs[i] = f.db
	}
	return dbs
}

func knownBy(dbs []*database) (has fields) {
	for _, db := range dbs {
		has |= db.has
	}
	return has
}

// Refresh looks at the files once. Where one has changed, by identity, size or
// modification time, it is read and checked. If all is well with at least one,
// a new snapshot is published that holds all the good new files, the watchers
// are called, and changed is true.
//
// A bad file leaves its last good database in use. The error names every file
// that was found bad by this look; one whose fault was reported before is not
// named again, but [DB.Status] shows it for as long as it lasts.
func (d *DB) Refresh() (changed bool, err error) {
	d.refresh.Lock()
	defer d.refresh.Unlock()
	var errs []error
	fresh := map[int]*version{}
	for i, f := range d.files {
		v, err := f.look()
		switch {
		case err != nil:
			errs = append(errs, d.refuse(f, err, false))
		case v != nil && v.db == nil:
			d.restore(f, v)
		case v != nil:
			fresh[i] = v
		}
	}
	errs = append(errs, d.fit(fresh)...)
	if len(fresh) > 0 {
		if err := d.replace(fresh); err != nil {
			return false, errors.Join(append(errs, err)...)
		}
		changed = true
	}
	return changed, errors.Join(errs...)
}

// fit removes and refuses the versions without which every rule has an answer
// and with which one has not.
func (d *DB) fit(fresh map[int]*version) (errs []error) {
	dbs := d.databases()
	all := slices.Clone(dbs)
	for i, v := range fresh {
		all[i] = v.db
	}
	// Together first: two files may have swapped their roles.
	if d.rules.answerable(knownBy(all)) == nil {
		return nil
	}
	for i, f := range d.files {
		v := fresh[i]
		if v == nil {
			continue
		}
		old := dbs[i]
		dbs[i] = v.db
		if err := d.rules.answerable(knownBy(dbs)); err != nil {
			dbs[i] = old
			delete(fresh, i)
			errs = append(errs, d.refuse(f, fmt.Errorf("with it, %w", err), true))
		}
	}
	return errs
}

// replace accepts versions and publishes them in one snapshot.
func (d *DB) replace(fresh map[int]*version) error {
	dbs := d.databases()
	for i, v := range fresh {
		dbs[i] = v.db
	}
	if err := d.publish(dbs); err != nil {
		return err
	}
	for i, f := range d.files {
		if f.unfit {
			f.stamp = stamp{} // it may fit now: judge it again at the next look
		}
		v := fresh[i]
		if v == nil {
			continue
		}
		d.mu.Lock()
		f.accept(v)
		d.mu.Unlock()
		d.log.Info("geo database replaced", slog.String("file", f.path), slog.String("database_type", f.meta.DatabaseType),
			slog.Time("built", f.meta.BuildTime()))
	}
	d.notify(d.Snapshot())
	return nil
}

// refuse keeps a fault and logs it. It returns nil where the file has had this
// very fault before.
func (d *DB) refuse(f *file, fault error, unfit bool) error {
	f.unfit = unfit
	if f.fault != nil && f.fault.Error() == fault.Error() {
		return nil
	}
	d.mu.Lock()
	f.fault, f.since = fault, time.Now()
	d.mu.Unlock()
	d.log.Error("geo database refused, the last good one stays in use",
		slog.String("file", f.path), slog.Any("error", fault), slog.Time("loaded_at", f.loadedAt))
	return f.name(fault)
}

// restore ends a fault: the content in use is at the path again.
func (d *DB) restore(f *file, v *version) {
	if f.fault != nil {
		d.log.Info("geo database is in order again", slog.String("file", f.path))
	}
	d.mu.Lock()
	f.accept(v)
	d.mu.Unlock()
}

// Run refreshes until ctx ends: at once, then at the interval given; 0 means
// every two seconds. What it finds goes to the logger and to Status.
func (d *DB) Run(ctx context.Context, every time.Duration) {
	if every <= 0 {
		every = defaultInterval
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		_, _ = d.Refresh() // logged and kept where it was found
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
