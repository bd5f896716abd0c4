// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/altoroute/caddy-alto/altoroute"
)

// edgeAnswer is what /altoroute/edge answers: how the edge is after the change.
type edgeAnswer struct {
	Edge string `json:"edge"`
	// State is absent of an edge that the configuration does not have.
	State string       `json:"state,omitempty"`
	Load  float64      `json:"reported_load,omitempty"`
	Set   *edgeSetting `json:"set,omitempty"`
	// Warning says why the change will not survive a restart.
	Warning string `json:"warning,omitempty"`
}

// poolAnswer is what /altoroute/pool answers.
type poolAnswer struct {
	Pool string `json:"pool"`
	// Guidance is `on` or `off`, by hand or by the configuration.
	Guidance string       `json:"guidance,omitempty"`
	Set      *poolSetting `json:"set,omitempty"`
	Warning  string       `json:"warning,omitempty"`
}

// maxChange is how long the body of a change may be.
const maxChange = 64 << 10

// post answers POST requests with what a change has led to.
func post(change func(*App, *members) (any, error)) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return refuse(http.StatusMethodNotAllowed, errors.New("method not allowed"))
		}
		app := activeApp()
		if app == nil {
			return refuse(http.StatusNotFound, errNoApp)
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return refuse(http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes", maxChange))
		}
		if err != nil {
			return refuse(http.StatusBadRequest, err)
		}
		m := &members{by: caller(r)}
		err = jsonv2.Unmarshal(body, &m.left)
		if err == nil && m.left == nil {
			err = errors.New("it is null")
		}
		if err != nil {
			return refuse(http.StatusBadRequest, fmt.Errorf("the body must be a JSON object: %w", err))
		}
		answer, err := change(app, m)
		if err != nil {
			return refuse(http.StatusBadRequest, err)
		}
		return answerJSON(w, http.StatusOK, answer)
	})
}

// caller names who sent a request that does not say it.
func caller(r *http.Request) string {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr().String()
	}
	return "admin API" // by a socket
}

func setEdge(app *App, m *members) (any, error) {
	name := m.text("edge", "the name of an edge")
	mode := m.text("mode", "drain, disable, up or auto")
	over := m.text("over", "a duration such as 10m")
	c := edgeChange{
		capacity: m.number("capacity", "requests per second such as 8000, or 0 for none"),
		load:     m.number("load", "the share of the capacity in use such as 0.73, or 0 for what the edge says"),
		by:       m.who(),
	}
	if err := m.end(); err != nil {
		return nil, err
	}
	if mode != nil {
		parsed, err := altoroute.ParseMode(*mode)
		if err != nil {
			return nil, fmt.Errorf("mode: %w", err)
		}
		c.mode = &parsed
	}
	if over != nil {
		d, err := caddy.ParseDuration(*over)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("over: %q is not a duration: write for example 10m, or 0s for at once", *over)
		}
		c.over = &d
	}
	if c.capacity != nil {
		if err := checkCapacity(*c.capacity); err != nil {
			return nil, err
		}
	}
	if c.load != nil && !(*c.load >= 0 && *c.load <= maxLoad) {
		return nil, fmt.Errorf("load %v is out of range: write the share of the capacity in use such as 0.73, up to %d", *c.load, maxLoad)
	}
	edge, err := pickEdge("edge", name, app.router.AllEdges())
	if letGo := name != nil && c.takesAway() && byHand.hasEdge(*name); err != nil && !letGo {
		return nil, err
	}
	set, unstored, err := byHand.setEdge(*name, c, time.Now())
	if err != nil {
		return nil, err
	}
	answer := edgeAnswer{Edge: *name, Set: set, Warning: oneLine(unstored)}
	if edge != nil {
		answer.State = app.router.State(edge, netip.Addr{})
		answer.Load, _ = app.router.Load(edge)
	}
	return answer, nil
}

// maxLoad is far beyond what is full.
const maxLoad = 100

func setPool(app *App, m *members) (any, error) {
	name := m.text("pool", "the name of a pool")
	guidance := m.text("guidance", "on or off")
	clients := m.text("pin", "a prefix such as 192.0.2.0/24, an AS number or a country")
	to := m.text("edge", "the name of an edge, or \"\" to remove the pin")
	c := poolChange{by: m.who()}
	if err := m.end(); err != nil {
		return nil, err
	}
	if guidance != nil {
		if *guidance != "on" && *guidance != guidanceOff {
			return nil, fmt.Errorf("guidance: %q is neither on nor off", *guidance)
		}
		on := *guidance == "on"
		c.guidance = &on
	}
	if (clients == nil) != (to == nil) {
		return nil, errors.New("pin and edge belong together: give the clients and the edge, or \"edge\": \"\" to remove the pin")
	}
	if clients != nil {
		pin, err := altoroute.ParsePin(*clients, *to)
		if err != nil {
			return nil, err
		}
		c.pin = &pin
	}
	if err := checkPool(app, name, &c); err != nil {
		return nil, err
	}
	if pin := c.pin; pin != nil && !pin.Prefix.IsValid() && pin.Edge != "" && app.Geo == nil {
		return nil, fmt.Errorf("pool %s: pin %s: it needs to know where clients are, and the configuration has no geo", *name, pin.Clients())
	}
	set, unstored, err := byHand.setPool(*name, c, time.Now())
	if err != nil {
		return nil, err
	}
	answer := poolAnswer{Pool: *name, Set: set, Warning: oneLine(unstored)}
	if slices.Contains(app.router.Pools(), *name) {
		answer.Guidance = onOff(!app.router.PoolCondition(*name).GuidanceOff)
	}
	return answer, nil
}

// checkPool checks that there are the pool and the edge of a change.
func checkPool(app *App, name *string, c *poolChange) error {
	if _, err := pick("pool", "pool", name, app.router.Pools(), func(pool string) string { return pool }); err != nil {
		if name != nil && c.takesAway() && byHand.pool(*name) != nil {
			return nil
		}
		return err
	}
	if c.pin == nil || c.pin.Edge == "" {
		return nil
	}
	if _, err := pickEdge("edge", &c.pin.Edge, app.router.Edges(*name)); err != nil {
		return fmt.Errorf("pool %s: %w", *name, err)
	}
	return nil
}

// takesAway reports whether a change only removes what is set: that must be
// possible also of what the configuration has no more.
func (c *edgeChange) takesAway() bool {
	return (c.mode == nil || *c.mode == altoroute.Auto) && (c.capacity == nil || *c.capacity == 0) && c.load == nil
}

func (c *poolChange) takesAway() bool {
	return (c.guidance == nil || *c.guidance) && (c.pin == nil || c.pin.Edge == "")
}

func pickEdge(member string, name *string, edges []*altoroute.Edge) (*altoroute.Edge, error) {
	return pick(member, "edge", name, edges, func(e *altoroute.Edge) string { return e.Name })
}

// pick returns the one of a kind that a member names. The error names all that there
// are.
func pick[T any](member, kind string, name *string, all []T, nameOf func(T) string) (one T, err error) {
	names := make([]string, len(all))
	for i, is := range all {
		if names[i] = nameOf(is); name != nil && *name == names[i] {
			return is, nil
		}
	}
	slices.Sort(names)
	there := fmt.Sprintf("the %ss are %s", kind, strings.Join(names, ", "))
	if name == nil {
		return one, fmt.Errorf("%s is missing; %s", member, there)
	}
	return one, fmt.Errorf("%s: there is no %s %q; %s", member, kind, *name, there)
}

// members are those of a JSON object, read one by one so that errors can name
// them.
type members struct {
	left  map[string]any
	known []string
	by    string // who sent it, where it does not say
	err   error  // the first
}

func (m *members) take(name string) (value any, ok bool) {
	m.known = append(m.known, name)
	value, ok = m.left[name]
	delete(m.left, name)
	return value, ok
}

func (m *members) fail(name string, value any, kind, remedy string) {
	if m.err == nil {
		shown, _ := json.Marshal(value) // came from JSON
		m.err = fmt.Errorf("%s: %s is not a %s: write %s", name, shown, kind, remedy)
	}
}

// text returns a text, or nil where it is absent.
func (m *members) text(name, remedy string) *string {
	value, ok := m.take(name)
	if !ok {
		return nil
	}
	s, ok := value.(string)
	if !ok {
		m.fail(name, value, "text", remedy)
	}
	return &s
}

// number returns a number, or nil where it is absent.
func (m *members) number(name, remedy string) *float64 {
	value, ok := m.take(name)
	if !ok {
		return nil
	}
	f, ok := value.(float64)
	if !ok {
		m.fail(name, value, "number", remedy)
	}
	return &f
}

// maxBy is how long a name in by may be.
const maxBy = 64

// who returns who wants the change. It is shown in terminals.
func (m *members) who() string {
	by := m.text("by", "who changes it")
	if by == nil {
		return m.by
	}
	unprintable := strings.ContainsFunc(*by, func(r rune) bool { return !unicode.IsPrint(r) })
	if m.err == nil && (*by == "" || utf8.RuneCountInString(*by) > maxBy || unprintable) {
		m.err = fmt.Errorf("by: %.100q: write a name of up to %d characters, all of them printable", *by, maxBy)
	}
	return *by
}

// end refuses what no other call has asked for.
func (m *members) end() error {
	if m.err == nil && len(m.left) > 0 {
		m.err = fmt.Errorf("%q is not a member: there are %s", slices.Sorted(maps.Keys(m.left))[0], strings.Join(m.known, ", "))
	}
	return m.err
}
