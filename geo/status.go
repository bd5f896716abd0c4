// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import "time"

// Status is what a DB stands on.
type Status struct {
	// Files are in the order of Config.Files.
	Files []FileStatus
	// Cache is that of the current snapshot.
	Cache CacheStatus
}

// FileStatus is the state of one file.
type FileStatus struct {
	// Path is the path as it was configured.
	Path string
	// Type is the database type of the database in use, such as
	// "GeoLite2-Country".
	Type string
	// BuildTime is when its publisher built it.
	BuildTime time.Time
	// LoadedAt is when it was read.
	LoadedAt time.Time
	// LastError says why what is at Path now is not in use; nil where it is.
	// The text does not repeat the path.
	LastError error
}

// CacheStatus counts remembered clients. Hits and Misses only ever grow, also
// when a new snapshot begins with an empty cache.
type CacheStatus struct {
	// Size is the number of entries now, Capacity the most there can be.
	Size, Capacity int
	// Hits and Misses are calls of Locate since New that were answered from
	// the cache, and by the databases.
	Hits, Misses uint64
}

// Status returns the present state. It never waits for a file to be read.
func (d *DB) Status() Status {
	var s Status
	d.mu.Lock()
	for _, f := range d.files {
		meta := f.db.reader.Metadata()
		s.Files = append(s.Files, FileStatus{
			Path: f.path, Type: meta.DatabaseType, BuildTime: meta.BuildTime(),
			LoadedAt: f.db.loadedAt, LastError: f.fault,
		})
	}
	d.mu.Unlock()
	s.Cache.Size, s.Cache.Capacity = d.Snapshot().cache.size(), d.cacheSize
	s.Cache.Hits, s.Cache.Misses = d.counters.sum()
	return s
}
