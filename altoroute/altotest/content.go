// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// Rewrite sends what edit makes of the right document, with the validators of
// the right one: as if it had been spoilt on its way.
func Rewrite(edit func(document []byte) []byte) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		answer := x.honestAnswer(r)
		_, _ = sendPart(w, answer, edit(answer.Body.Bytes()), -1, nil)
	}
}

// Edit is Rewrite for a document as encoding/json decodes it; numbers are
// json.Number. What is no JSON object is left alone.
func Edit(edit func(document map[string]any)) Behavior {
	return Rewrite(func(document []byte) []byte { return edited(document, edit) })
}

func edited(document []byte, edit func(map[string]any)) []byte {
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if d.Decode(&members) != nil || members == nil {
		return document
	}
	edit(members)
	made, err := json.Marshal(members)
	if err != nil {
		panic(err) // a value that JSON has no form for
	}
	return made
}

// OtherVersion sends the right map as if it were, or depended on, another
// version of the network map (RFC 7285 §10.3).
func OtherVersion(tag string) Behavior {
	return other(func(document object) {
		for _, version := range versionsOf(document) {
			version["tag"] = tag
		}
	})
}

// versionsOf returns the version tags of the network map that a document is or
// depends on.
func versionsOf(document object) []object {
	meta := memberOf(document, "meta")
	if dependencies := elementsOf(meta, "dependent-vtags"); len(dependencies) > 0 {
		return dependencies // beside them, "vtag" is the cost map's own
	}
	return []object{memberOf(meta, "vtag")}
}

// OtherCostType sends the right costs as if they were of another cost type.
func OtherCostType(t alto.CostType) Behavior {
	return other(func(document object) { memberOf(document, "meta")["cost-type"] = costType(t) })
}

// other makes a sound document of the right one, with validators of its own:
// what a client remembers of it must not be taken for the right one.
func other(edit func(document object)) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		answer := x.honestAnswer(r)
		document := edited(answer.Body.Bytes(), edit)
		_, _ = sendPart(w, answer, document, -1, map[string]string{"ETag": entityTag(document), "Last-Modified": ""})
	}
}

// StringCosts sends the right costs as strings, which they must not be (RFC
// 7285 §11.2.3.6).
func StringCosts() Behavior {
	return eachCost(func(cost any) any { return fmt.Sprint(cost) })
}

// NaN sends costs that are NaN, which is no JSON (RFC 8259 §6).
func NaN() Behavior { return costToken("NaN") }

// costToken sends a token for each cost, be it JSON or not.
func costToken(token string) Behavior {
	const mark = "a cost goes here"
	return Rewrite(func(document []byte) []byte {
		marked := edited(document, func(document object) { editCosts(document, func(any) any { return mark }) })
		return bytes.ReplaceAll(marked, []byte(`"`+mark+`"`), []byte(token))
	})
}

func eachCost(edit func(cost any) any) Behavior {
	return Edit(func(document object) { editCosts(document, edit) })
}

func editCosts(document object, edit func(cost any) any) {
	costs := memberOf(document, "cost-map")
	for src := range costs {
		row := memberOf(costs, src)
		for dst, cost := range row {
			row[dst] = edit(cost)
		}
	}
}

// bodies are the members that hold the body of a document.
var bodies = [...]string{"resources", "network-map", "cost-map"} //nolint:gochecknoglobals // a table, never changed

// DuplicateNames sends the right document with members twice: at depth 0 those
// of the document, at 1 those of its body, which are PIDs or resources, at 2
// those of each of these, costs above all.
func DuplicateNames(depth int) Behavior {
	return Rewrite(func(document []byte) []byte {
		if depth == 0 {
			return twice(document)
		}
		return edited(document, func(document object) {
			for _, name := range bodies {
				body, ok := document[name].(object)
				if !ok {
					continue
				}
				for member, value := range body {
					if depth > 1 {
						body[member] = json.RawMessage(twice(encoded(value)))
					}
				}
				if document[name] = body; depth == 1 {
					document[name] = json.RawMessage(twice(encoded(body)))
				}
			}
		})
	})
}

// twice returns a JSON object with all its members twice.
func twice(of []byte) []byte {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(of), []byte("{"))
	inner = bytes.TrimSuffix(inner, []byte("}"))
	if !ok || len(bytes.TrimSpace(inner)) == 0 {
		return of
	}
	return slices.Concat([]byte("{"), inner, []byte(","), inner, []byte("}"))
}

func encoded(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it came from JSON
	}
	return text
}

// Trailing sends the right document and then some more.
func Trailing(more string) Behavior {
	return Rewrite(func(document []byte) []byte { return append(bytes.TrimSpace(document), more...) })
}

// InvalidUTF8 sends the right document and a member with a byte that is in no
// UTF-8 text (RFC 8259 §8.1).
func InvalidUTF8() Behavior { return withMember(`"not-utf8":"` + "\xff" + `"`) }

// UnknownMembers sends the right document with members that no RFC knows, of
// every type, at its top and in "meta". That is no fault: they are to be ignored
// (RFC 7285 §8.3.7).
func UnknownMembers() Behavior {
	more := object{"x-null": nil, "x-list": []any{1.5e300, "", true, object{}}, "x-object": object{"meta": object{"code": "E_NONE"}}}
	return Edit(func(document object) {
		for name, value := range more {
			document[name] = value
			memberOf(document, "meta")[name] = value
		}
	})
}

// Nested sends the right document with a member that is an array in an array,
// n levels deep.
func Nested(n int) Behavior {
	return withMember(`"deep":` + strings.Repeat("[", n) + strings.Repeat("]", n))
}

// withMember adds a member, as it is written, before the others.
func withMember(member string) Behavior {
	return Rewrite(func(document []byte) []byte {
		inner, ok := bytes.CutPrefix(document, []byte("{"))
		if !ok {
			return document
		}
		return slices.Concat([]byte("{"+member+","), inner)
	})
}

// HugeString sends the right document with a member before the others that is a
// string of n bytes.
func HugeString(n int64) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		answer := x.honestAnswer(r)
		inner, _ := bytes.CutPrefix(answer.Body.Bytes(), []byte("{"))
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_, err := io.WriteString(w, `{"huge":"`)
		filling := []byte(strings.Repeat("x", 64<<10))
		for left := n; left > 0 && err == nil; left -= int64(len(filling)) {
			_, err = w.Write(filling[:min(left, int64(len(filling)))])
		}
		_, _ = w.Write(slices.Concat([]byte(`",`), inner))
	}
}

// ManyPIDs sends a sound document of the right kind and version that has n PIDs,
// a directory n resources.
func ManyPIDs(n int) Behavior {
	return func(w http.ResponseWriter, r *http.Request, x Exchange) {
		answer := x.honestAnswer(r)
		var honest struct {
			Meta json.RawMessage `json:"meta"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &honest) != nil {
			x.Honest.ServeHTTP(w, r)
			return
		}
		mediaType := answer.Header().Get("Content-Type")
		name, member := "cost-map", func(i int) string { return fmt.Sprintf(`"p%d":{"p%d":1}`, i, i) }
		switch mediaType {
		case alto.MediaTypeNetworkMap:
			name, member = "network-map", func(i int) string {
				return fmt.Sprintf(`"p%d":{"ipv4":["10.%d.%d.%d/32"]}`, i, i>>16&255, i>>8&255, i&255)
			}
		case alto.MediaTypeDirectory:
			name, member = "resources", func(i int) string {
				return fmt.Sprintf(`"r%d":{"uri":"r/%d","media-type":%q}`, i, i, alto.MediaTypeNetworkMap)
			}
		}
		w.Header().Set("Content-Type", mediaType)
		out := bufio.NewWriterSize(w, 64<<10)
		fmt.Fprintf(out, `{"meta":%s,%q:{`, honest.Meta, name)
		for i := range n {
			if i > 0 {
				_ = out.WriteByte(',')
			}
			if _, err := out.WriteString(member(i)); err != nil {
				return // the client has had enough
			}
		}
		_, _ = out.WriteString("}}\n")
		_ = out.Flush()
	}
}

// memberOf returns a member that is an object; an empty one if it is not.
func memberOf(of object, name string) object {
	member, ok := of[name].(object)
	if !ok {
		return make(object)
	}
	return member
}

// elementsOf returns the objects of a member that is an array.
func elementsOf(of object, name string) []object {
	list, _ := of[name].([]any)
	objects := make([]object, 0, len(list))
	for _, element := range list {
		if o, ok := element.(object); ok {
			objects = append(objects, o)
		}
	}
	return objects
}
