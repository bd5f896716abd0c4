// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/altoroute/caddy-alto/internal/localfile"
)

// maxFileSize bounds what is read into memory. The largest databases that
// MaxMind sells are a quarter of it.
const maxFileSize int64 = 2 << 30

// readFile returns a whole file in one version.
//
// Databases are read into memory, not mapped: a mapped file that somebody
// truncates in place kills the process by SIGBUS, and one that is overwritten
// in place gives wrong answers, or errors until a restart. What is in memory
// can be neither taken away nor changed, and is freed by the garbage collector
// when the last request that uses it is done, so that nothing needs closing.
func readFile(path string) ([]byte, localfile.Stamp, error) {
	f, stamp, err := localfile.Open(path)
	if err != nil {
		return nil, localfile.Stamp{}, missing(err)
	}
	defer f.Close()
	content, err := readAll(f)
	if changed := stamp.Check(f); changed != nil {
		err = changed // whatever came of it
	}
	if err != nil {
		return nil, localfile.Stamp{}, err
	}
	return content, stamp, nil
}

func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	size := info.Size()
	switch {
	case size == 0:
		return nil, errors.New("it is empty: fetch the database again")
	case size > maxFileSize:
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read into memory: "+
			"use a smaller database", size, maxFileSize)
	}
	content := make([]byte, size)
	_, err = io.ReadFull(f, content)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, localfile.ErrWritten // cut short since
	case err != nil:
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	return content, nil
}

// missing adds to an error what should be there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: put a MaxMind database there, readable to this process", err)
	}
	return err
}

// A database is one opened and checked file. It is immutable.
type database struct {
	reader   *geoip2.Reader
	lookup   func(netip.Addr) (record, netip.Prefix, error)
	has      fields // what at least one of its records knows
	only4    bool   // it has no IPv6 addresses
	sum      uint64 // of its content
	loadedAt time.Time
}

// seed makes sums comparable within a process, which is all they are for.
var seed = maphash.MakeSeed() //nolint:gochecknoglobals // one for all that is compared

func sumOf(content []byte) uint64 { return maphash.Bytes(seed, content) }

// openDatabase checks a file's content. Errors say what is wrong with the
// content and what would be right; the caller names the file.
func openDatabase(content []byte) (*database, error) {
	if len(content) > 2 && content[0] == 0x1f && content[1] == 0x8b {
		return nil, errors.New("it is compressed by gzip: unpack it and name the .mmdb file in it")
	}
	raw, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("it is not a MaxMind database, or is cut short: %w: fetch it again", err)
	}
	reader, err := geoip2.OpenBytes(content)
	if unknown, ok := errors.AsType[geoip2.UnknownDatabaseTypeError](err); ok {
		return nil, fmt.Errorf("its database type %q is unknown: use %s", unknown.DatabaseType, useful)
	}
	if err != nil {
		return nil, fmt.Errorf("it is not a MaxMind database, or is cut short: %w: fetch it again", err)
	}
	db := &database{reader: reader, only4: raw.Metadata.IPVersion == 4, sum: sumOf(content), loadedAt: time.Now()}
	if db.lookup = lookupOf(reader); db.lookup == nil {
		return nil, fmt.Errorf("its database type %q does not say where addresses are: use %s",
			raw.Metadata.DatabaseType, useful)
	}
	if err := verify(raw); err != nil {
		return nil, fmt.Errorf("it is damaged: %w: fetch it again", err)
	}
	if db.has = probe(raw, db); db.has == 0 {
		return nil, fmt.Errorf("none of its records has a country, a continent or an AS number "+
			"(its database type is %q): use %s", raw.Metadata.DatabaseType, useful)
	}
	return db, nil
}

const useful = "a GeoIP2 or GeoLite2 Country, City, Enterprise, ASN or ISP database, or DB-IP's equivalent"

// verify reads the whole tree and every record, so that a lookup cannot meet a
// fault later, when there is nobody to tell. It takes about 4 ms per megabyte;
// see BenchmarkOpen.
func verify(raw *maxminddb.Reader) error {
	if len(raw.Metadata.Description) == 0 {
		// Verify insists on a description, which no reader needs and databases
		// that people build for themselves lack.
		raw.Metadata.Description = map[string]string{"en": "none"}
	}
	return raw.Verify()
}

// lookupOf returns how a database of this type is asked, nil where its type
// knows nothing of use. The reader keeps its type to itself, but tells by the
// error which questions it can be asked.
func lookupOf(r *geoip2.Reader) func(netip.Addr) (record, netip.Prefix, error) {
	answers := func(err error) bool {
		var invalid geoip2.InvalidMethodError
		return !errors.As(err, &invalid)
	}
	probe := netip.IPv4Unspecified()
	// Enterprise first: such a database also answers Country, but has more.
	if _, err := r.Enterprise(probe); answers(err) {
		return func(addr netip.Addr) (record, netip.Prefix, error) {
			e, err := r.Enterprise(addr)
			if err != nil {
				return record{}, netip.Prefix{}, err
			}
			return record{
				country:   countryCode(e.Country.ISOCode),
				continent: continentCode(e.Continent.Code),
				asn:       asNumber(uint64(e.Traits.AutonomousSystemNumber)),
			}, e.Traits.Network, nil
		}
	}
	// Country reads City databases as well, and skips what it does not need.
	if _, err := r.Country(probe); answers(err) {
		return func(addr netip.Addr) (record, netip.Prefix, error) {
			c, err := r.Country(addr)
			if err != nil {
				return record{}, netip.Prefix{}, err
			}
			return record{
				country:   countryCode(c.Country.ISOCode),
				continent: continentCode(c.Continent.Code),
			}, c.Traits.Network, nil
		}
	}
	if _, err := r.ASN(probe); answers(err) {
		return func(addr netip.Addr) (record, netip.Prefix, error) {
			a, err := r.ASN(addr)
			if err != nil {
				return record{}, netip.Prefix{}, err
			}
			return record{asn: asNumber(uint64(a.AutonomousSystemNumber))}, a.Network, nil
		}
	}
	return nil
}

// probe returns which fields any record has, asking in the same way as Locate
// does. Networks share records, so each record is asked once; it ends as soon
// as there is nothing left to find.
func probe(raw *maxminddb.Reader, db *database) (has fields) {
	// A binary tree has one leaf more than nodes. A file whose nodes share
	// children passes verify but has up to 2^128 paths: nobody would see the
	// end of them. Empty networks are walked only to be counted.
	left := raw.Metadata.NodeCount + 1
	seen := map[uintptr]struct{}{}
	for result := range raw.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if left == 0 || has == hasCountry|hasContinent|hasASN {
			break
		}
		left--
		if _, ok := seen[result.Offset()]; ok || !result.Found() {
			continue
		}
		seen[result.Offset()] = struct{}{}
		r, _ := db.find(result.Prefix().Addr())
		has |= r.fields()
	}
	return has
}

// find returns what the database says of an unmapped address, and the length
// of the prefix for which that holds. An error is "unknown": Locate has nobody
// to tell, and verify has left none to meet.
func (db *database) find(addr netip.Addr) (record, int) {
	if db.only4 && !addr.Is4() {
		return record{}, 0
	}
	r, network, err := db.lookup(addr)
	if err != nil {
		return record{}, addr.BitLen()
	}
	if addr.Is4() && !network.Addr().Is4() {
		// An IPv6 network wide enough to hold all that stands for IPv4, which
		// is below ::/96.
		return r, 0
	}
	return r, network.Bits()
}
