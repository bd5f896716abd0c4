// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// assemble reads the documents that have changed and puts a set together: of the server
// in use or, where that fails, of the next one that is in order. What they have said of
// when to ask counts unless it is forced.
func (f *Feed) assemble(ctx context.Context, now time.Time, forced bool) (*set, error) {
	var first error
	for _, at := range f.order(now) {
		o := f.origins[at]
		o.tried = true
		if forced {
			for _, d := range o.all() {
				d.askAgain()
			}
			o.notBefore = time.Time{}
		}
		made, err := f.tryOrigin(ctx, o, now)
		switch {
		case err == nil:
			f.use(at, now)
			f.failures = 0
			return made, nil
		case ctx.Err() != nil:
			return nil, err
		case first == nil:
			first = err
		default:
			first = &alsoError{first, err}
		}
	}
	f.failures++
	return nil, first
}

// tryOrigin puts a set of one origin together, unless it wants to be left alone.
func (f *Feed) tryOrigin(ctx context.Context, o *triedOrigin, now time.Time) (*set, error) {
	if now.Before(o.notBefore) {
		return nil, o.err
	}
	made, err := f.readOrRetry(ctx, o)
	if ctx.Err() != nil {
		return nil, err // stopped: says nothing of the origin
	}
	if err == nil && o != f.origins[0] {
		err = f.outdated(o, made)
	}
	o.err, o.notBefore = err, time.Time{}
	if err == nil {
		o.failures = 0
		return made, nil
	}
	o.failures++
	if refused, ok := errors.AsType[*alto.StatusError](err); ok && refused.RetryAfter > 0 {
		after := min(refused.RetryAfter, maxRetryAfter)
		o.notBefore = now.Add(after + upTo(after/10))
	}
	return nil, err
}

// An alsoError is a fault of a server, and one of the server that was to stand in.
type alsoError struct{ first, also error }

func (e *alsoError) Error() string   { return e.first.Error() + "; " + e.also.Error() }
func (e *alsoError) Unwrap() []error { return []error{e.first, e.also} }

// returnAfter is how long another server than the first is used before those before
// it are tried again: one that comes and goes must not have the maps come and go.
const returnAfter = 10 * time.Minute

// order returns the origins in the order in which they are to be tried.
func (f *Feed) order(now time.Time) []int {
	order := []int{f.at}
	if f.at > 0 && !now.Before(f.tryAt) {
		f.tryAt = now.Add(returnAfter)
		order = nil
	}
	for at := range f.origins {
		if !slices.Contains(order, at) {
			order = append(order, at)
		}
	}
	return order
}

// use notes which origin is used.
func (f *Feed) use(at int, now time.Time) {
	if at == f.at {
		return
	}
	source, server := slog.String("source", f.cfg.Name), slog.String("server", f.origins[at].name())
	before := slog.String("before", f.origins[f.at].name())
	if at < f.at {
		f.cfg.Logger.Info("the preferred server of the source is used again", source, server, before)
	} else {
		f.cfg.Logger.Warn("another server of the source is used", source, server, before, slog.Any("error", f.passedOver(at)))
	}
	f.at, f.tryAt = at, now.Add(returnAfter)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Origin = f.origins[at].name()
}

// passedOver returns what is wrong with the origins before one.
func (f *Feed) passedOver(at int) (err error) {
	for _, o := range f.origins[:at] {
		err = errors.Join(err, o.err)
	}
	return err
}

// maxPast is how many earlier sets are remembered, for servers that stand in.
const maxPast = 16

// leave remembers a set that another one takes the place of. f.mu must be held.
func (f *Feed) leave(was, is *set) {
	f.past = slices.DeleteFunc(f.past, func(p spool.NotInForce) bool { return slices.Equal(p.Sums, is.sums) })
	if was == nil || slices.Equal(was.sums, is.sums) {
		return
	}
	f.past = append(f.past, spool.NotInForce{Sums: was.sums, Filter: was.filter})
	f.past = f.past[max(len(f.past)-maxPast, 0):]
}

// outdated returns an error where a server that stands in has maps that came before those
// that the source had last: it lags behind, and versions do not go back because of that.
// The preferred server may have earlier maps again, and who puts a version back has it.
func (f *Feed) outdated(o *triedOrigin, made *set) error {
	f.mu.Lock()
	newest := f.newest()
	isBase := f.base != nil && slices.Equal(made.sums, f.base.sums) && (f.incoming != nil || f.held != nil)
	isPast := isBase || slices.ContainsFunc(f.past, func(p spool.NotInForce) bool { return made.matches(&p) })
	isLast := newest == nil || !isBase && made.matchesContent(newest.sums, newest.filter) ||
		made.matches(f.aside) || f.held != nil && made.matchesContent(f.held.sums, f.held.filter)
	f.mu.Unlock()
	if isLast || !isPast && !f.isSpooledBefore(newest, made) {
		return nil
	}
	return &Error{
		Document: o.name(), Reason: Outdated,
		Err: fmt.Errorf("its maps of tag %q came before those of the server that it stands in for: they are not taken", made.maps.Network.Tag().Tag),
	}
}

// isSpooledBefore reports whether the spool has a set as one that was in force before
// another.
func (f *Feed) isSpooledBefore(newest, made *set) bool {
	if f.cfg.Spool == nil {
		return false
	}
	sets, _ := f.cfg.Spool.Sets()
	at := slices.IndexFunc(sets, func(s *spool.Set) bool { return sameContents(s.Documents, newest.spooled) })
	return slices.ContainsFunc(sets[at+1:], func(s *spool.Set) bool { return sameContents(s.Documents, made.spooled) })
}
