// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/altoroute/feed/spool"
)

// serverOpener fetches a document by HTTP.
type serverOpener struct {
	client      *alto.Client
	url         *url.URL
	mediaType   string
	filter      []byte        // the body of a request by POST; nil is GET
	least, most time.Duration // bounds of what the server says of freshness

	final     *url.URL  // after redirects: the base of relative URIs
	now, kept answered  // the answer being read, the content kept
	sent      bool      // the last open made a request
	status    int       // of its answer, 0 if there was none
	asked     time.Time // when that was
}

// answered is what is remembered of an answer.
type answered struct {
	validators alto.Validators
	// fresh is until when the server need not be asked; zero where it does not say.
	fresh time.Time
}

// filterSum tells what costs are asked for; 0 is all.
func (o *serverOpener) filterSum() spool.Sum {
	if o.filter == nil {
		return 0
	}
	return spool.Sum(xxhash.Sum64(o.filter))
}

// asks reports whether another opener makes the same request.
func (o *serverOpener) asks(other *serverOpener) bool {
	return o.url.String() == other.url.String() && bytes.Equal(o.filter, other.filter)
}

func (o *serverOpener) open(ctx context.Context, conditional bool) (io.ReadCloser, error) {
	now := time.Now()
	o.sent = false
	var known alto.Validators
	if conditional {
		if now.Before(o.kept.fresh) {
			return nil, errUnchanged
		}
		known = o.kept.validators
	}
	o.asked, o.sent, o.status = now, true, 0
	var answer *alto.Response
	var err error
	if o.filter == nil {
		answer, err = o.client.Get(ctx, o.url, o.mediaType, known)
	} else {
		answer, err = o.client.Post(ctx, o.url, o.filter, alto.MediaTypeCostMapFilter, o.mediaType, known)
	}
	if err != nil {
		if refused, ok := errors.AsType[*alto.StatusError](err); ok {
			o.status = refused.Status
		} else if _, ok := errors.AsType[*alto.KindError](err); ok {
			o.status = http.StatusOK
		}
		// The URL is named by the client, and the document is too.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, err
	}
	is := answered{answer.Validators, o.freshUntil(answer, now)}
	if answer.NotModified {
		_ = answer.Body.Close()
		o.status, o.kept = http.StatusNotModified, is
		return nil, errUnchanged
	}
	o.status, o.now, o.final = http.StatusOK, is, answer.URL
	return answer.Body, nil
}

// freshUntil returns until when the server need not be asked again, within bounds:
// one that says a year is not left alone for a year.
func (o *serverOpener) freshUntil(answer *alto.Response, now time.Time) time.Time {
	fresh, said := answer.FreshFor(now)
	if !said {
		return time.Time{}
	}
	return now.Add(min(max(fresh, o.least), o.most))
}

// keep does not remember what was no good: a fault of the way here would
// otherwise be confirmed by the server for ever.
func (o *serverOpener) keep(good bool) error {
	if !good {
		o.kept.fresh = time.Time{}
		return errors.New("refused content is asked for again")
	}
	o.kept = o.now
	return nil
}
