// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/internal/localfile"
)

// interval is how often the files are looked at.
const interval = 2 * time.Second

// A file is a path and what is known of what is there. Its state is written
// with both of DB's mutexes held, so that either suffices to read it.
type file struct {
	path string
	abs  string // the same as an absolute path, empty if there is none
	state
}

// A state of a file is a value: a look makes a new one of it, which comes into
// force if all the files together do.
type state struct {
	db *database // the last good one, which is in use

	// The content judged last.
	stamp   localfile.Stamp
	refused error // why it is not in use; nil where it is
	unfit   bool  // it is good, but left a rule without an answer

	fault error // why what is at the path now is not in use; nil where it is
}

// name says which file an error is about.
func (f *file) name(err error) error { return fmt.Errorf("geo database %s: %w", f.path, err) }

// look judges what is at the path, unless that was judged before. Where it is
// another good database than the one in use, the new state has that.
func (s state) look(path string) state {
	info, err := localfile.Stat(path)
	if err != nil {
		s.fault = missing(err)
		return s
	}
	if s.stamp.Same(info) {
		s.fault = s.refused
		return s
	}
	content, stamp, err := readFile(path)
	if err != nil {
		s.stamp, s.fault = localfile.Stamp{}, err // nothing was judged
		return s
	}
	s.stamp, s.unfit = stamp, false
	if s.db == nil || s.db.sum != sumOf(content) {
		var db *database
		if db, err = openDatabase(content); err == nil {
			s.db = db
		}
	}
	s.refused, s.fault = err, err
	return s
}

// without is the state in which what a look has found is refused because of
// the rules.
func (s state) without(found state, err error) state {
	s.stamp, s.refused, s.fault, s.unfit = found.stamp, err, err, true
	return s
}

func knownBy(states []state) (has fields) {
	for _, s := range states {
		has |= s.db.has
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
	next := make([]state, len(d.files))
	for i, f := range d.files {
		next[i] = f.look(f.path)
	}
	d.fit(next)
	changed, news, err := d.commit(next)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, f := range news {
		errs = append(errs, d.warn(f))
	}
	if changed {
		d.tell()
	}
	return changed, errors.Join(errs...)
}

// fit takes back the databases without which every rule has an answer and with
// which one has not.
func (d *DB) fit(next []state) {
	// Together first: two files may have swapped their roles.
	if d.rules.answerable(knownBy(next)) == nil {
		return
	}
	kept := slices.Clone(next)
	for i, f := range d.files {
		if f.db != nil {
			kept[i].db = f.db
		}
	}
	for i, f := range d.files {
		if kept[i].db == next[i].db {
			continue
		}
		kept[i].db = next[i].db
		if err := d.rules.answerable(knownBy(kept)); err != nil {
			kept[i].db = f.db
			next[i] = f.without(next[i], fmt.Errorf("with it, %w", err))
		}
	}
}

// commit puts new states of all the files in force, in one snapshot if there is
// a new database or none yet. It returns the files with a fault that is new,
// and leaves their former states in next.
func (d *DB) commit(next []state) (changed bool, news []*file, err error) {
	dbs := make([]*database, len(next))
	changed = d.Snapshot() == nil
	for i, f := range d.files {
		dbs[i] = next[i].db
		changed = changed || dbs[i] != f.db
	}
	if changed {
		if err := d.publish(dbs); err != nil {
			return false, nil, err
		}
	}
	for i, f := range d.files {
		is := &next[i]
		if changed && is.unfit {
			is.stamp = localfile.Stamp{} // it may fit now: judge it again at the next look
		}
		if is.fault != nil && (f.fault == nil || f.fault.Error() != is.fault.Error()) {
			news = append(news, f)
		}
	}
	d.mu.Lock()
	for i, f := range d.files {
		f.state, next[i] = next[i], f.state
	}
	d.mu.Unlock()
	for i, f := range d.files {
		switch was := next[i]; {
		case was.db != nil && was.db != f.db:
			meta := f.db.reader.Metadata()
			d.log.Info("geo database replaced", slog.String("file", f.path),
				slog.String("database_type", meta.DatabaseType), slog.Time("built", meta.BuildTime()))
		case was.fault != nil && f.fault == nil:
			d.log.Info("geo database is in order again", slog.String("file", f.path))
		}
	}
	return changed, news, nil
}

// warn logs the fault of a file, and returns it with the file's name.
func (d *DB) warn(f *file) error {
	d.log.Error("geo database refused, the last good one stays in use",
		slog.String("file", f.path), slog.Any("error", f.fault), slog.Time("loaded_at", f.db.loadedAt))
	return f.name(f.fault)
}

// Start begins to refresh until Stop: at once, then every two seconds. It returns
// at once. What is found goes to the logger and to Status. A DB is started once;
// further calls do nothing.
func (d *DB) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		return
	}
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	d.done.Go(func() { d.run(ctx, interval) })
}

// Stop ends what Start began and waits for it. The last snapshot stays in use. Stop
// may be called without Start.
func (d *DB) Stop() {
	d.mu.Lock()
	stop := d.stop
	d.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	d.done.Wait()
}

func (d *DB) run(ctx context.Context, every time.Duration) {
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
