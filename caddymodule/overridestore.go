// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
)

// settingsVersion is that of the format. One that it is not is refused: to guess
// could put an edge into service that was taken out.
const settingsVersion = 1

// storageTimeout is how long one access to the storage may take.
const storageTimeout = 10 * time.Second

// store is the place where the settings outlive the process: Caddy's storage, a
// document for each instance. It is read once, for the first configuration; from
// then on what is in memory is newer.
type store struct {
	mu   sync.Mutex // held while the storage is in use, and taken before that of overrides
	name string     // of the storage
	// seen is false where it could not be read what is there, or not understood.
	// Then it is looked at again and again, and before it is written over.
	seen  bool
	moved bool   // what is there is from earlier: the process has come from another storage
	body  []byte // what is there; nil is nothing
}

// open reads what is stored, unless what is in memory is newer.
func (o *overrides) open(ctx context.Context, s certmagic.Storage) {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	name := storageName(s)
	o.mu.Lock()
	if o.store.name != name && o.inForce() == nil {
		// Nothing stands on what the other storage had.
		o.settings, o.changed, o.unread, o.aside = newSettings(), make(map[string]bool), nil, nil
		o.store.name, o.store.seen, o.store.moved, o.store.body = name, false, false, nil
		for _, u := range o.configs {
			u.apply(plain(time.Now()))
		}
	}
	o.mu.Unlock()
	if o.store.name == name && o.toRead() {
		o.read(ctx, s)
	}
}

// toRead reports whether something may be stored that should be in force.
func (o *overrides) toRead() bool { return !o.store.seen && !o.store.moved }

// read puts in force what is stored.
func (o *overrides) read(ctx context.Context, s certmagic.Storage) {
	body, err := o.load(ctx, s)
	if err == nil {
		err = o.take(body)
	}
	if ctx.Err() != nil {
		return // nobody waits for it
	}
	o.mu.Lock()
	before := o.unread
	o.unread = err
	o.mu.Unlock()
	switch {
	case err == nil:
		o.store.seen, o.store.body = true, body
		if before != nil {
			o.logger.Info("what was set by hand could be read after all, and is in force")
		}
	case before == nil || before.Error() != err.Error():
		o.logger.Error("what was set by hand is not in force: it cannot be read", slog.Any("error", err))
	}
}

// The time between two attempts to read what could not be read, each twice that
// before.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// retry reads what could not be read, until it can be.
func (o *overrides) retry(ctx context.Context, s certmagic.Storage) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		o.store.mu.Lock()
		again := o.toRead() && o.store.name == storageName(s)
		if again {
			o.read(ctx, s)
			again = o.toRead()
		}
		o.store.mu.Unlock()
		if !again {
			_ = o.save() // what has been set since; an error has been logged
			return
		}
	}
}

// unreadError returns why what was set by hand is not in force, nil where it is.
func (o *overrides) unreadError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cmp.Or(o.unread, o.aside)
}

// save writes what is set, if that has changed, for a configuration in force.
// An error is logged, and tried to mend with the next change.
func (o *overrides) save() error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	o.mu.Lock()
	u := o.inForce()
	o.mu.Unlock()
	if u == nil {
		return nil
	}
	if err := o.write(u.storage); err != nil {
		err = fmt.Errorf("what was set by hand will not survive a restart: %w", err)
		o.logger.Error("what was set by hand will not survive a restart", slog.Any("error", errors.Unwrap(err)))
		return err
	}
	return nil
}

func (o *overrides) write(s certmagic.Storage) error {
	if name := storageName(s); o.store.name != name {
		// What could not be read is not newer.
		o.store.name, o.store.seen, o.store.moved, o.store.body = name, false, o.store.seen || o.store.moved, nil
	}
	if !o.store.seen {
		if o.nothing() && !o.hasChanged() {
			return nil // that there could be lost
		}
		if err := o.look(s); err != nil {
			return err
		}
	}
	body, err := o.encode()
	if err != nil || bytes.Equal(body, o.store.body) {
		return err
	}
	key, err := settingsKey()
	if err != nil {
		return err
	}
	if err := put(s, key, body); err != nil {
		return err
	}
	o.store.body = body
	return nil
}

// encode returns what is set as it is stored; nil if that is nothing and
// nothing is there.
func (o *overrides) encode() ([]byte, error) {
	if o.nothing() && o.store.body == nil {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return json.MarshalIndent(o.settings, "", "\t")
}

// nothing reports whether nothing is set.
func (o *overrides) nothing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.settings.Edges)+len(o.settings.Pools)+len(o.settings.Config) == 0
}

// hasChanged reports whether something was set before what is stored could be read.
func (o *overrides) hasChanged() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.changed) > 0
}

// look sees to what is stored before it is written over: what is set there and
// could not be read at first comes into force after all, what cannot be
// understood is kept aside.
func (o *overrides) look(s certmagic.Storage) error {
	body, err := o.load(context.Background(), s)
	if err != nil {
		return err
	}
	var aside error
	switch {
	case body == nil:
	case o.store.moved:
		o.logger.Warn("what was set by hand replaces what was set in this storage before", slog.String("storage", o.store.name))
	default:
		err := o.take(body)
		if err == nil {
			break
		}
		if o.nothing() {
			return err // and it is left as it is
		}
		key, keyErr := settingsKey()
		if keyErr != nil {
			return keyErr
		}
		if err := put(s, key+".broken", body); err != nil {
			return err
		}
		o.logger.Warn("what could not be read of what was set by hand is kept aside", slog.String("key", key+".broken"))
		aside = fmt.Errorf("%w; it is kept aside as %s.broken", err, key)
	}
	o.store.seen, o.store.body = true, body
	o.mu.Lock()
	o.unread, o.aside, o.changed = nil, cmp.Or(aside, o.aside), make(map[string]bool)
	o.mu.Unlock()
	return nil
}

// take puts stored settings in force, but for what has been set since.
func (o *overrides) take(body []byte) error {
	if body == nil {
		return nil
	}
	found, err := parseSettings(body)
	if err != nil {
		key, _ := settingsKey() // could be made before
		return fmt.Errorf("%s %w", key, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, stored := range found.Edges {
		set := *stored
		is := cmp.Or(o.settings.Edges[name], new(edgeSetting))
		if o.changed[modeOf(name)] {
			set.Mode, set.Over, set.Since, set.By, set.At = is.Mode, is.Over, is.Since, is.By, is.At
		}
		if o.changed[capacityOf(name)] {
			set.Capacity, set.CapacityBy, set.CapacityAt = is.Capacity, is.CapacityBy, is.CapacityAt
		}
		o.settings.Edges = replaced(o.settings.Edges, name, &set, set.isZero())
	}
	for name, stored := range found.Pools {
		set := *stored
		is := cmp.Or(o.settings.Pools[name], new(poolSetting))
		if o.changed[guidanceOf(name)] {
			set.Guidance, set.By, set.At = is.Guidance, is.By, is.At
		}
		set.Pins = slices.DeleteFunc(slices.Clone(set.Pins), func(p pinSetting) bool { return o.changed[pinOf(name, p.Clients)] })
		set.Pins = append(set.Pins, is.Pins...)
		o.settings.Pools = replaced(o.settings.Pools, name, &set, set.isZero())
	}
	o.changed = make(map[string]bool)
	o.settings.Config = found.Config
	for _, u := range o.configs {
		u.configured = o.configured(u.declared, u.joined)
		u.apply(plain(time.Now()))
	}
	if u := o.inForce(); u != nil {
		o.settings.Config = u.configured
	}
	return nil
}

// What can be set, as changed has it. No name has a space in it.
func modeOf(edge string) string         { return "mode " + edge }
func capacityOf(edge string) string     { return "capacity " + edge }
func guidanceOf(pool string) string     { return "guidance " + pool }
func pinOf(pool, clients string) string { return "pin " + pool + " " + clients }

// parseSettings reads what was stored. It is all good or refused.
func parseSettings(body []byte) (settings, error) {
	var format struct {
		Version int `json:"version"`
	}
	made := newSettings()
	if err := json.Unmarshal(body, &format); err != nil {
		return made, fmt.Errorf("is damaged: %w", err)
	}
	if format.Version != settingsVersion {
		return made, fmt.Errorf("has version %d of the format, and only %d is known: was it written by a newer altoroute?", format.Version, settingsVersion)
	}
	err := caddy.StrictUnmarshalJSON(body, &made)
	if err == nil {
		err = made.check()
	}
	if err != nil {
		return made, fmt.Errorf("is damaged: %w", err)
	}
	return made, nil
}

// load returns what is stored, nil where nothing is.
func (o *overrides) load(ctx context.Context, s certmagic.Storage) ([]byte, error) {
	// An instance that has no name yet has stored nothing. To ask for the name
	// would write one, which validating must not.
	if _, err := os.Stat(filepath.Join(caddy.AppDataDir(), "instance.uuid")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	key, err := settingsKey()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	body, err := s.Load(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("loading %s: %w", key, err)
	}
	return append([]byte{}, body...), nil // not nil, though it may be empty
}

func put(s certmagic.Storage, key string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	if err := s.Store(ctx, key, body); err != nil {
		return fmt.Errorf("storing %s: %w", key, err)
	}
	return nil
}

// settingsKey returns the key of the document. Instances that share a storage
// have each their own.
func settingsKey() (string, error) {
	id, err := caddy.InstanceID()
	if err != nil {
		return "", fmt.Errorf("the instance's own ID: %w", err)
	}
	return "altoroute/operator/" + id.String() + ".json", nil
}

// storageName tells storages apart: each configuration has its own value of the
// same one.
func storageName(s certmagic.Storage) string {
	if named, ok := s.(fmt.Stringer); ok {
		return named.String()
	}
	configured, _ := json.Marshal(s) // of one that cannot be written, the type alone
	return fmt.Sprintf("%T %x", s, xxhash.Sum64(configured))
}
