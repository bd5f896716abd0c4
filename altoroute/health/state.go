// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// record takes down the result of a check that counts.
func (p *Prober) record(l *lane, report Report, err error) {
	l.Last = time.Now()
	l.Duration = l.Last.Sub(l.began)
	l.Total++
	if err != nil {
		l.Failed++
		p.failed(l, err)
		p.doubtAddress(l)
	} else {
		p.succeeded(l, report)
	}
	p.reconsider(l.family)
}

func (p *Prober) succeeded(l *lane, report Report) {
	p.count(l, -1)
	l.Err = ""
	l.Failures = 0
	l.Successes++
	l.strikes, l.held, l.Withheld = 0, time.Time{}, false
	if l.Report != report {
		if report.Odd != l.Report.Odd && report.Odd != "" {
			url := l.of.URL
			p.log(func(ctx context.Context, log *slog.Logger) {
				log.WarnContext(ctx, "what a target reports of its load is of no use", slog.String("url", url), slog.String("oddity", report.Odd))
			})
		}
		l.Report = report
		p.noteChange(l.of)
	}
	// The first success of all is enough: nothing speaks against it.
	if l.State == Unknown || l.State == Down && l.Successes >= l.of.Up {
		p.enter(l, Up)
	}
	p.count(l, +1)
}

func (p *Prober) failed(l *lane, err error) {
	p.count(l, -1)
	l.Err = err.Error()
	l.Successes = 0
	l.Failures++
	p.count(l, +1)
	// What began while the prober suspected itself does not count: it may have
	// met the last of the fault. Nor does an address that this machine has no
	// route to, while nothing shows that it ever had one.
	ours := l.began.Before(p.suspicion[l.family].ended) || l.State == Unknown && errors.Is(err, errNoRoute)
	if !ours {
		l.strikes++
	}
	if l.State != Down && l.strikes >= l.of.Down && !p.withheld(l) {
		p.count(l, -1)
		p.enter(l, Down)
		p.count(l, +1)
	}
}

// enter changes the state of a lane.
func (p *Prober) enter(l *lane, state State) {
	url, _, _ := strings.Cut(l.of.URL, "?") // a query may hold a secret
	attrs := []slog.Attr{
		slog.String("url", url),
		slog.String("family", l.family.String()),
		slog.String("was", l.State.String()),
	}
	if l.of.Host != "" {
		attrs = append(attrs, slog.String("host", l.of.Host))
	}
	if l.Addr.IsValid() {
		attrs = append(attrs, slog.String("address", l.Addr.String()))
	}
	l.State, l.Since, l.Withheld = state, time.Now(), false
	if state == Down {
		attrs = append(attrs, slog.String("reason", l.Err), slog.Int("failures", l.Failures))
	} else {
		attrs = append(attrs, slog.Int("successes", l.Successes))
	}
	p.log(func(ctx context.Context, logger *slog.Logger) {
		if state == Down {
			logger.LogAttrs(ctx, slog.LevelWarn, "target is down", attrs...)
		} else {
			logger.LogAttrs(ctx, slog.LevelInfo, "target is up", attrs...)
		}
	})
	p.noteChange(l.of)
}
