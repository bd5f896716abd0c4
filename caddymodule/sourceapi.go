// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"
)

// sourceAnswer is what /altoroute/source answers: how the source is after it.
type sourceAnswer struct {
	Source string     `json:"source"`
	Status sourceBody `json:"status"`
}

// What can be done with a source's maps by hand.
const (
	doLook     = "look"     // look for changes now
	doRelease  = "release"  // let in what is held
	doDrop     = "drop"     // put aside what is held
	doRollback = "rollback" // put a version back that is kept
)

// actOnSource does something with a source's maps.
func actOnSource(app *App, m *members) (any, error) {
	name := m.text("source", "the name of a source")
	what := m.text("do", "look, release, drop or rollback")
	version := m.number("version", "one that the status shows, or leave it out for the one before")
	by := m.who()
	if err := m.end(); err != nil {
		return nil, err
	}
	at, err := app.source(name)
	if err != nil {
		return nil, err
	}
	switch {
	case what == nil:
		return nil, errors.New("do is missing: write look, release, drop or rollback")
	case version != nil && (*what != doRollback || *version < 1 || *version != float64(uint64(*version))):
		return nil, fmt.Errorf("version %v: it is for rollback, and a number that the status shows", *version)
	}
	switch *what {
	case doLook:
		at.feed.Look()
	case doRelease:
		err = at.feed.Release()
	case doDrop:
		err = at.feed.Drop()
	case doRollback:
		sequence := uint64(0)
		if version != nil {
			sequence = uint64(*version)
		}
		err = at.feed.PutBack(sequence)
	default:
		err = fmt.Errorf("do: %q is none of look, release, drop and rollback", *what)
	}
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", at.Name, err)
	}
	app.logger.Info("source set by hand", slog.String("source", at.Name), slog.String("do", *what), slog.String("by", by))
	return sourceAnswer{at.Name, app.describeSource(at)}, nil
}

// source returns a source by name; without one, the only one.
func (a *App) source(name *string) (*attached, error) {
	if name == nil && len(a.sources) == 1 {
		return a.sources[0], nil
	}
	return pick("source", "source", name, a.sources, func(s *attached) string { return s.Name })
}

func sourceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source [<source> [look | release | drop | rollback [<version>]]]",
		Short: "Lists the sources, or acts on one's maps",
		Long: `Without more, lists the sources, or one of them with its earlier versions.
Otherwise:

look: the source is looked at now, whatever it has said of when

release: maps that are held because they would change too much come in force, all at
once

drop: maps that are held are put aside, until the source has others

rollback: an earlier version comes in force, the one before or one that is listed;
the one that it replaces is put aside, until the source has another`,
		Example: `  caddy altoroute source
  caddy altoroute source isp_a release
  caddy altoroute source isp_a rollback`,
	}
	addBy(cmd)
	return run(cmd, func(c *call) error {
		args := c.Args()
		if len(args) < 2 {
			return c.list(args, "source", (*statusBody).sources, (*statusBody).versions)
		}
		change := map[string]any{"source": args[0], "do": args[1]}
		switch {
		case len(args) == 3 && args[1] == doRollback:
			version, err := strconv.ParseUint(args[2], 10, 53)
			if err != nil || version == 0 {
				return fmt.Errorf("version %q: write a number that `caddy altoroute source %s` lists", args[2], args[0])
			}
			change["version"] = version
		case len(args) > 2:
			return c.misused()
		}
		var answer sourceAnswer
		return c.set("source", change, &answer, func() string {
			is := answer.Status
			text := fmt.Sprintf("source %s: %s", answer.Source, is.State)
			if args[1] == doLook {
				text = fmt.Sprintf("source %s is being looked at; it was %s", answer.Source, is.State)
			}
			if is.NetworkMap != nil {
				text += ", tag " + is.NetworkMap.Tag
			}
			if is.Held != nil {
				text += ", tag " + is.Held.Tag + " is held"
			}
			if is.SetAside != nil {
				text += ", tag " + is.SetAside.Tag + " is set aside"
			}
			return printable(text)
		})
	})
}
