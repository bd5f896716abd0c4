// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/altoroute/caddy-alto/altoroute"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "altoroute",
		Usage: "<command>",
		Short: "Shows and sets what the running altoroute does",
		Long: `
Speaks to the running Caddy by its admin API, as the command reload does: at the
address of --address, else at that of the configuration of --config, else at the
default one.

What is set by hand comes before what is configured, takes effect at once, and
survives reloads of the configuration and restarts.`,
		CobraFunc: altorouteCommand,
	})
}

// altorouteCommand adds the sub-commands.
func altorouteCommand(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringP("config", "c", "", "Configuration file to use to parse the admin address, if --address is not used")
	flags.StringP("adapter", "a", "", "Name of config adapter to apply (when --config is used)")
	flags.StringP("address", "", "", "The address to use to reach the admin API endpoint, if not the default")
	flags.BoolP("json", "", false, "Show the answer as it is")
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(edgeCommand(), poolCommand(), sourceCommand(), explainCommand(), statusCommand())
}

// run makes a sub-command of what it does with the running Caddy.
func run(cmd *cobra.Command, do func(*call) error) *cobra.Command {
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		address, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
		if err != nil {
			return caddy.ExitCodeFailedStartup, fmt.Errorf("the address of the admin API: %w", err)
		}
		c := &call{Flags: fl, address: address, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), usage: cmd.UseLine()}
		if err := do(c); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		return caddy.ExitCodeSuccess, nil
	})
	return cmd
}

func edgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edge [<edge> [drain [--over <duration>] | disable | up | auto | capacity <requests per second>|auto | load <share>]]",
		Short: "Lists the edges, or sets one by hand",
		Long: `Without more, lists the edges, or one of them. Otherwise sets one by hand:

drain: the edge gives up its content, all at once or with --over new content
first and the rest by degrees, and then gets nothing

disable: the edge gets nothing

up: the edge is up, whatever checks say

auto: the edge is what is configured, and what checks say. A capacity by hand stays
until capacity auto

capacity: how many requests per second the edge can serve, instead of what is
configured or what it reports; auto for these

load: the share of its capacity that is in use, such as 0.73, for a minute: for
monitoring that tells it again and again; 0 for what the edge says itself`,
		Example: `  caddy altoroute edge
  caddy altoroute edge fra drain --over 10m
  caddy altoroute edge fra capacity 8000
  caddy altoroute edge fra auto`,
	}
	cmd.Flags().String("over", "", "How long the drain takes, for example 10m")
	addBy(cmd)
	return run(cmd, func(c *call) error {
		args := c.Args()
		if len(args) < 2 {
			return c.list(args, "edge", (*statusBody).edges)
		}
		change := map[string]any{"edge": args[0]}
		switch {
		case args[1] == "capacity" && len(args) == 3:
			capacity, err := strconv.ParseFloat(strings.TrimSuffix(args[2], "/s"), 64)
			switch {
			case args[2] == "auto":
				capacity = 0
			case err != nil || !(capacity > 0 && capacity <= altoroute.MaxCapacity): // NaN is neither
				return fmt.Errorf("capacity %q: write requests per second such as 8000, up to %d, or auto", args[2], int64(altoroute.MaxCapacity))
			}
			change["capacity"] = capacity
		case args[1] == "load" && len(args) == 3:
			load, err := strconv.ParseFloat(args[2], 64)
			if err != nil || !(load >= 0 && load <= maxLoad) {
				return fmt.Errorf("load %q: write the share of the capacity in use such as 0.73, up to %d, or 0 for what the edge says", args[2], maxLoad)
			}
			change["load"] = load
		case args[1] != "capacity" && args[1] != "load" && len(args) == 2:
			change["mode"] = args[1]
		default:
			return c.misused()
		}
		if over := c.String("over"); over != "" {
			change["over"] = over
		}
		var answer edgeAnswer
		return c.set("edge", change, &answer, func() string {
			text := fmt.Sprintf("edge %s: %s; %s", answer.Edge, cmp.Or(answer.State, "not configured"), describeEdge(answer.Set))
			if answer.Load > 0 {
				text += fmt.Sprintf("; load %v", answer.Load)
			}
			return text
		})
	})
}

func poolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pool [<pool> [guidance on|off | pin <clients> <edge> | unpin <clients>]]",
		Short: "Lists the pools, or sets one by hand",
		Long: `Without more, lists the pools, or one of them. Otherwise sets one by hand:

guidance off: the content is spread over the pool's edges by content key alone,
whatever maps and costs say; on goes back to what is configured

pin: clients go to an edge of the pool whatever the costs say, as long as it may
serve: those of a prefix, an AS number or a country. Pins by hand come before
those that are configured; unpin removes one`,
		Example: `  caddy altoroute pool
  caddy altoroute pool video guidance off
  caddy altoroute pool video pin 192.0.2.0/24 par
  caddy altoroute pool video unpin 192.0.2.0/24`,
	}
	addBy(cmd)
	return run(cmd, func(c *call) error {
		args := c.Args()
		if len(args) < 2 {
			return c.list(args, "pool", (*statusBody).pools)
		}
		change := map[string]any{"pool": args[0]}
		switch verb := args[1]; {
		case verb == "guidance" && len(args) == 3:
			change["guidance"] = args[2]
		case verb == "pin" && len(args) == 4:
			change["pin"], change["edge"] = args[2], args[3]
		case verb == "unpin" && len(args) == 3:
			change["pin"], change["edge"] = args[2], ""
		default:
			return c.misused()
		}
		var answer poolAnswer
		return c.set("pool", change, &answer, func() string {
			return fmt.Sprintf("pool %s: guidance %s; %s", answer.Pool, cmp.Or(answer.Guidance, "not configured"), describePool(answer.Set))
		})
	})
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain <address> [--pool <pool>] [--uri <uri>] [--failed <edge>]",
		Short:   "Tells where a client is sent, and why",
		Example: "  caddy altoroute explain 203.0.113.9 --pool video --uri /a.mp4",
	}
	cmd.Flags().String("pool", "", "The pool to choose from, where there are several")
	cmd.Flags().String("uri", "", "What is asked for: a path, or a URL")
	cmd.Flags().String("failed", "", "An edge that the client says it could not reach")
	return run(cmd, func(c *call) error {
		if len(c.Args()) != 1 {
			return c.misused()
		}
		params := url.Values{"client": c.Args()}
		for _, name := range []string{"pool", "uri", "failed"} {
			if value := c.String(name); value != "" {
				params.Set(name, value)
			}
		}
		var answer shownExplanation
		return c.show("explain?"+params.Encode(), &answer, func() (string, error) { return answer.text(), nil })
	})
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Shows the sources, pools and edges"}
	return run(cmd, func(c *call) error {
		if len(c.Args()) != 0 {
			return c.misused()
		}
		var answer statusBody
		return c.show("status", &answer, func() (string, error) { return answer.unread() + answer.text(), nil })
	})
}

func addBy(cmd *cobra.Command) {
	cmd.Flags().String("by", cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), userName()), "Who wants it, as the status and the log show it")
}

// userName returns the name of the user whose process this is, as far as it is known.
func userName() string {
	if is, err := user.Current(); err == nil {
		return is.Username
	}
	return ""
}

// call is one use of a command.
type call struct {
	caddycmd.Flags
	address  string
	out, err io.Writer
	usage    string
}

func (c *call) misused() error { return errors.New("usage: " + c.usage) }

// list shows one table of the status, or one of its rows, and what more there is of it.
func (c *call) list(args []string, what string, rows func(*statusBody) table, more ...func(*statusBody) table) error {
	var answer statusBody
	return c.show("status", &answer, func() (string, error) {
		t := rows(&answer)
		if len(args) == 1 {
			all := t
			if t = all.only(args[0]); len(t) == 1 {
				_, err := pick(what, what, &args[0], all.names(), func(name string) string { return name })
				return "", err
			}
		}
		texts := []string{t.text()}
		for _, rows := range more {
			if of := rows(&answer); len(args) == 1 && len(of.only(args[0])) > 1 {
				texts = append(texts, of.only(args[0]).text())
			}
		}
		return strings.Join(texts, "\n"), nil
	})
}

// names returns those of the rows, each once.
func (t table) names() []string {
	names := make([]string, 0, len(t))
	for _, row := range t[1:] {
		names = append(names, row[0])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// show asks for something and shows the answer.
func (c *call) show(path string, answer any, text func() (string, error)) error {
	body, err := c.ask(http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return c.print(string(body))
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer of the admin API: %w", err)
	}
	shown, err := text()
	if err != nil {
		return err
	}
	return c.print(shown)
}

// set sends a change and shows what has become of it.
func (c *call) set(path string, change map[string]any, answer any, text func() string) error {
	if by := c.String("by"); by != "" {
		change["by"] = by
	}
	made, err := json.Marshal(change)
	if err != nil {
		return err
	}
	body, err := c.ask(http.MethodPost, path, made)
	if err != nil {
		return err
	}
	var also struct{ Warning string }
	if err := cmp.Or(json.Unmarshal(body, answer), json.Unmarshal(body, &also)); err != nil {
		return fmt.Errorf("the answer of the admin API: %w", err)
	}
	if c.Bool("json") {
		return c.print(string(body))
	}
	if also.Warning != "" {
		_, _ = fmt.Fprintln(c.err, "warning:", printable(also.Warning)) // nobody reads it then
	}
	return c.print(text() + "\n")
}

func (c *call) print(text string) error {
	_, err := io.WriteString(c.out, text)
	return err
}

func (c *call) ask(method, path string, body []byte) ([]byte, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	answer, err := caddycmd.AdminAPIRequest(c.address, method, "/altoroute/"+path, nil, content)
	if err != nil {
		// Caddy keeps the text alone.
		if strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "no such file") {
			err = fmt.Errorf("%w: is Caddy running, and its admin API at this address? See --address", err)
		}
		return nil, plainError(err)
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// plainError returns the text of an error that the admin API has answered with,
// which Caddy gives as JSON.
func plainError(err error) error {
	_, text, _ := strings.Cut(err.Error(), ": {")
	var answer struct{ Error string }
	if json.Unmarshal([]byte("{"+text), &answer) == nil && answer.Error != "" {
		return errors.New(printable(answer.Error))
	}
	return err
}
