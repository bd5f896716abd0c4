// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/altoroute/caddy-alto/altoroute"
)

const (
	// defaultCacheSize is the number of clients remembered unless set.
	defaultCacheSize = 65_536
	// maxShards and minShardSize bound the number of shards. Small shards evict
	// what a whole cache would keep, so there are few. On two processors eight
	// save about a quarter over one with uniformly random clients, when every
	// lookup evicts; with skewed ones no number from 1 to 16 is better beyond
	// noise, and on one processor up to eight cost nothing that shows. See BenchmarkCacheShards.
	maxShards    = 8
	minShardSize = 4096
)

// A cacheKey is a client: an IPv4 address, an IPv6 /64, or one IPv6 address.
type cacheKey struct {
	hi, lo uint64
	whole  bool // the whole /64 of hi
}

// keyOf returns the key of an unmapped address, and that of its own where the
// first stands for a whole /64.
func keyOf(addr netip.Addr) (wide, own cacheKey) {
	b := addr.As16()
	own = cacheKey{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
	if addr.Is4() {
		return own, own
	}
	return cacheKey{hi: own.hi, whole: true}, own
}

// divided stands in a cache for a /64 to which the databases give more than
// one answer; its addresses have entries of their own.
var divided = new(altoroute.Place) //nolint:gochecknoglobals // known by its address

// A cache remembers the places of clients, unknown ones (nil) included.
//
// An IPv6 client is remembered by its /64 wherever the databases have one
// answer for all of that: a host can take any of the 2^64 addresses there
// (RFC 8981) and would otherwise push every other client out by itself.
//
// It is several LRU caches, so that their mutexes scale with processors. It
// belongs to one Snapshot and ends with it: that is the invalidation.
type cache struct {
	shards []*lru.Cache[cacheKey, *altoroute.Place]
	shift  uint      // 64 minus the logarithm of len(shards)
	mix    [2]uint64 // random, odd: nobody can choose addresses that share a shard
	count  *counters
}

// counters count lookups, by shard so that they do not contend. They outlive
// caches.
type counters [maxShards]struct {
	hits, misses atomic.Uint64
	_            [112]byte // two cache lines: neighbours are prefetched in pairs
}

func (c *counters) sum() (hits, misses uint64) {
	for i := range c {
		hits += c[i].hits.Load()
		misses += c[i].misses.Load()
	}
	return hits, misses
}

// shardCount returns a power of two.
func shardCount(size int) int {
	n := 1
	for n < maxShards && size/(2*n) >= minShardSize {
		n *= 2
	}
	return n
}

func newCache(size, shards int, count *counters) (*cache, error) {
	if size < shards {
		return nil, errors.New("cache is smaller than its shards")
	}
	c := &cache{
		shift: 64, mix: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}, count: count, //nolint:gosec // spreads keys, hides nothing
	}
	for n := 1; n < shards; n *= 2 {
		c.shift--
	}
	for i := range shards {
		n := size / shards
		if i < size%shards {
			n++
		}
		s, err := lru.New[cacheKey, *altoroute.Place](n)
		if err != nil {
			return nil, err
		}
		c.shards = append(c.shards, s)
	}
	return c, nil
}

// shard is a function of the upper 64 bits for IPv6, so that a /64 and its
// addresses meet in one shard, and of the whole address for IPv4.
func (c *cache) shard(wide cacheKey) uint64 {
	return (wide.hi*c.mix[0] + wide.lo*c.mix[1]) >> c.shift
}

// get returns the place of a client, asking find where it is not remembered.
// find's second result is the length of the prefix for which its answer holds.
func (c *cache) get(addr netip.Addr, find func(netip.Addr) (*altoroute.Place, int)) *altoroute.Place {
	wide, own := keyOf(addr)
	i := c.shard(wide)
	shard, count := c.shards[i], &c.count[i%maxShards]
	place, ok := shard.Get(wide)
	if ok && place == divided {
		place, ok = shard.Get(own)
	}
	if ok {
		count.hits.Add(1)
		return place
	}
	count.misses.Add(1)
	place, bits := find(addr)
	if addr.Is4() || bits <= 64 {
		shard.Add(wide, place)
		return place
	}
	shard.Add(wide, divided)
	shard.Add(own, place)
	return place
}

func (c *cache) size() (n int) {
	for _, s := range c.shards {
		n += s.Len()
	}
	return n
}
