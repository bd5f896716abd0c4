// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// The error codes of RFC 7285 §8.5.2.
const (
	codeSyntax       = "E_SYNTAX"
	codeMissingField = "E_MISSING_FIELD"
	codeFieldType    = "E_INVALID_FIELD_TYPE"
	codeFieldValue   = "E_INVALID_FIELD_VALUE"
)

// maxFilter bounds the body of a request.
const maxFilter = 1 << 20

// A FilteredCostMap is a cost map of which a client asks for a part, by POST
// (RFC 7285 §11.3.2). Requests are taken by the letter.
type FilteredCostMap struct {
	// ID is the resource id.
	ID string
	// Path is where it is; empty means FilteredPath(ID). It may be that of a
	// CostMap, which is then answered to GET. A whole URI is listed as it is,
	// and nothing is served.
	Path string
	// Maps are what the answers are taken from, one for each cost type. To be
	// served whole too, a map has to be among the CostMaps of the Guidance.
	Maps []CostMap
	// Constraints tells that requests may have constraints (§11.3.2.4).
	Constraints bool
}

// ServeHTTP implements [http.Handler].
func (f *FilteredCostMap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != alto.MediaTypeCostMapFilter {
		w.Header().Set("Accept-Post", alto.MediaTypeCostMapFilter)
		http.Error(w, "only "+alto.MediaTypeCostMapFilter+" is accepted", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFilter))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	part, fault := f.part(body)
	if fault != nil {
		Error(*fault)(w, r, Exchange{})
		return
	}
	var document bytes.Buffer
	if err := WriteCostMap(&document, part); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(encode(w, r, alto.MediaTypeCostMap, document.Bytes()))
}

// part returns the part of a map that a request asks for. It has just the pairs
// that are asked for and that there are; PIDs that there are not are as if they
// had not been named (§11.3.2.6).
func (f *FilteredCostMap) part(request []byte) (CostMap, *alto.Error) {
	in := &parameters{}
	all := in.document(request)
	m := f.choose(in, in.object(all, "cost-type", true))
	constraints := f.constraints(in, all)
	var srcs, dsts []string
	if pids := in.object(all, "pids", false); pids != nil {
		srcs, dsts = in.names(pids, "pids/srcs"), in.names(pids, "pids/dsts")
	}
	if in.fault != nil {
		return CostMap{}, in.fault
	}
	costs := make(map[string]map[string]float64)
	for src, row := range m.Costs {
		if len(srcs) > 0 && !slices.Contains(srcs, src) {
			continue
		}
		for dst, cost := range row {
			if len(dsts) > 0 && !slices.Contains(dsts, dst) || slices.ContainsFunc(constraints, func(c constraint) bool { return !c.met(cost) }) {
				continue
			}
			if costs[src] == nil {
				costs[src] = make(map[string]float64)
			}
			costs[src][dst] = cost
		}
	}
	m.Costs = costs
	return m, nil
}

// choose returns the map of the cost type that is asked for.
func (f *FilteredCostMap) choose(in *parameters, costType map[string]json.RawMessage) CostMap {
	mode, metric := in.text(costType, "cost-type/cost-mode"), in.text(costType, "cost-type/cost-metric")
	modeKnown := false
	for _, m := range f.Maps {
		if m.Type.Mode == mode && m.Type.Metric == metric {
			return m
		}
		modeKnown = modeKnown || m.Type.Mode == mode
	}
	if modeKnown {
		in.refuse(codeFieldValue, "cost-type/cost-metric", metric)
	} else {
		in.refuse(codeFieldValue, "cost-type/cost-mode", mode)
	}
	return CostMap{}
}

// A constraint is a condition on a cost (§11.3.2.3).
type constraint struct {
	operator string
	value    float64
}

func (c constraint) met(cost float64) bool {
	switch c.operator {
	case "gt":
		return cost > c.value
	case "lt":
		return cost < c.value
	case "ge":
		return cost >= c.value
	case "le":
		return cost <= c.value
	}
	return cost == c.value
}

func (f *FilteredCostMap) constraints(in *parameters, all map[string]json.RawMessage) []constraint {
	const member = "constraints"
	raw, ok := all[member]
	if ok && !f.Constraints {
		// They must not be there at all (§11.3.2.3).
		in.refuse(codeFieldValue, member, string(raw))
	}
	if !ok {
		return nil
	}
	var list []constraint
	for _, text := range in.strings(raw, member) {
		words := append(strings.Fields(text), "", "")
		value, err := strconv.ParseFloat(words[1], 64)
		if err != nil || len(words) != 4 || !slices.Contains([]string{"gt", "lt", "ge", "le", "eq"}, words[0]) {
			in.refuse(codeFieldValue, member, text)
		}
		list = append(list, constraint{words[0], value})
	}
	return list
}

// parameters reads input parameters and keeps the first fault, the one that is
// told (RFC 7285 §8.5.2).
type parameters struct{ fault *alto.Error }

func (p *parameters) refuse(code, field, value string) {
	if p.fault == nil {
		p.fault = &alto.Error{Code: code, Field: field, Value: value, Status: http.StatusBadRequest}
	}
}

// document reads the whole request.
func (p *parameters) document(request []byte) map[string]json.RawMessage {
	syntax := func(err error) {
		p.refuse(codeSyntax, "", "")
		p.fault.SyntaxError = err.Error()
	}
	d := jsontext.NewDecoder(bytes.NewReader(request))
	if _, err := d.ReadValue(); err != nil {
		syntax(err)
		return nil
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		syntax(errors.New("data follow the end of the document"))
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(request, &members); err != nil || members == nil {
		syntax(errors.New("the document is not an object"))
	}
	return members
}

// object reads a member that is an object; nil if there is none.
func (p *parameters) object(of map[string]json.RawMessage, name string, required bool) map[string]json.RawMessage {
	raw, ok := of[name]
	if !ok {
		if required {
			p.refuse(codeMissingField, name, "")
		}
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		p.refuse(codeFieldType, name, "")
	}
	return members
}

// text reads a member, given by its path, that must be a string.
func (p *parameters) text(of map[string]json.RawMessage, path string) string {
	raw, ok := of[path[strings.LastIndexByte(path, '/')+1:]]
	if !ok {
		p.refuse(codeMissingField, path, "")
		return ""
	}
	text := new(string)
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		p.refuse(codeFieldType, path, "")
		return ""
	}
	return *text
}

// strings reads an array of strings. An element of another type is not a wrong
// type but a wrong value (§8.5.2).
func (p *parameters) strings(raw json.RawMessage, path string) []string {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil || elements == nil {
		p.refuse(codeFieldType, path, "")
	}
	list := make([]string, 0, len(elements))
	for _, element := range elements {
		text := new(string)
		if err := json.Unmarshal(element, &text); err != nil || text == nil {
			p.refuse(codeFieldValue, path, string(element))
			continue
		}
		list = append(list, *text)
	}
	return list
}

// names reads a member that must be an array of PID names.
func (p *parameters) names(of map[string]json.RawMessage, path string) []string {
	raw, ok := of[path[strings.LastIndexByte(path, '/')+1:]]
	if !ok {
		p.refuse(codeMissingField, path, "")
		return nil
	}
	list := p.strings(raw, path)
	for _, name := range list {
		if alto.CheckPIDName(name) != nil {
			p.refuse(codeFieldValue, path, name)
		}
	}
	return list
}
