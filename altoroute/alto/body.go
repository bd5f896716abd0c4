// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// A sizeLimiter reads up to a number of bytes and then, unlike
// [io.LimitedReader], fails instead of pretending that this was the end.
type sizeLimiter struct {
	r     io.Reader
	limit int64
	read  int64
}

func (l *sizeLimiter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than allowed tells a body that ends at the limit from
	// one that goes on.
	if room := l.limit - l.read + 1; int64(len(p)) > room {
		p = p[:max(room, 0)]
	}
	if len(p) == 0 {
		return 0, errTooLarge(l.limit)
	}
	n, err := l.r.Read(p)
	l.read += int64(n)
	if l.read > l.limit {
		return n - 1, errTooLarge(l.limit)
	}
	return n, err
}

// ErrTooLarge is the cause of the error for a document that is larger than the limit.
var ErrTooLarge = errors.New("the document is larger than the limit")

func errTooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit) }

// A body is the body of an answer: decompressed, limited in size, and ended
// when nothing comes for too long.
type body struct {
	r        io.Reader // what is read
	raw      io.ReadCloser
	turn     turnTaker
	unzipper *gzip.Reader // nil where there is nothing to decompress

	ctx    context.Context //nolint:containedctx // the context of the one exchange this is a part of
	cancel context.CancelCauseFunc
}

// newBody takes over raw and cancel, also on an error.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, raw io.ReadCloser, encoding string, limit int64) (*body, error) {
	b := &body{raw: raw, ctx: ctx, cancel: cancel, turn: turnTaker{r: &stallGuard{r: raw, cancel: cancel}}}
	var r io.Reader = &b.turn
	switch encoding {
	case "":
	case "gzip":
		unzipper, err := gzip.NewReader(r)
		if err != nil {
			err = b.cause(err)
			_ = b.Close()
			return nil, fmt.Errorf("decompressing the answer: %w", err)
		}
		b.unzipper, r = unzipper, unzipper
	default:
		_ = b.Close()
		return nil, fmt.Errorf("the answer has the content encoding %s, only gzip was offered", quote(encoding))
	}
	b.r = &sizeLimiter{r: r, limit: limit}
	return b, nil
}

func (b *body) Read(p []byte) (int, error) {
	b.turn.yield() // little that has come may become much
	n, err := b.r.Read(p)
	if err != nil {
		b.turn.done() // whoever does not close it is in nobody's way
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.cause(err)
	}
	return n, err
}

// cause replaces an error that only says that the context has ended by why it
// has.
func (b *body) cause(err error) error {
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	return err
}

// Close ends the exchange. It may be called more than once.
func (b *body) Close() error {
	if b.unzipper != nil {
		_ = b.unzipper.Close() // checks nothing and holds nothing
	}
	b.turn.done()
	err := b.raw.Close()
	b.cancel(errClosed)
	return err
}

var errClosed = errors.New("the body has been closed")

// turns are for using what has come of a body: one processor is left to those who do
// something else, however many documents there are and whatever is in them.
var turns = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)) //nolint:gochecknoglobals // of the process

// A turnTaker has its turn from the end of a Read on to the next one, or until it is done.
// It waits for more without one.
type turnTaker struct {
	r   io.Reader
	has bool
}

func (t *turnTaker) Read(p []byte) (int, error) {
	t.done()
	n, err := t.r.Read(p)
	t.take()
	return n, err
}

func (t *turnTaker) take() {
	turns <- struct{}{}
	t.has = true
}

func (t *turnTaker) done() {
	if t.has {
		t.has = false
		<-turns
	}
}

// yield lets those go first who wait for their turn.
func (t *turnTaker) yield() {
	if t.has {
		t.done()
		t.take()
	}
}

// stallTimeout is how long an answer may go without a byte.
const stallTimeout = 30 * time.Second

// A stallGuard cancels the exchange when one read takes too long. A reader
// that takes its time between reads is not held against the server.
type stallGuard struct {
	r      io.Reader
	cancel context.CancelCauseFunc
}

func (g *stallGuard) Read(p []byte) (int, error) {
	timer := time.AfterFunc(stallTimeout, func() {
		g.cancel(fmt.Errorf("nothing came for %s: %w", stallTimeout, context.DeadlineExceeded))
	})
	defer timer.Stop()
	return g.r.Read(p)
}
