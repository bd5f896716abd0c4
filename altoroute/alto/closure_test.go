// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// A web is the directories of a test by their URLs; those that are not there
// cannot be read.
type web struct {
	documents map[string]string
	redirects map[string]string
	asked     []string
}

func (w *web) read(_ context.Context, u *url.URL) (*alto.Directory, error) {
	w.asked = append(w.asked, u.String())
	at := u
	if to, ok := w.redirects[u.String()]; ok {
		at = mustURL(to)
	}
	document, ok := w.documents[at.String()]
	if !ok {
		return nil, errors.New("it is down")
	}
	return alto.ReadDirectory(strings.NewReader(document), at)
}

func (w *web) closure(t *testing.T, root string) *alto.Closure {
	t.Helper()
	w.asked = nil
	c, err := alto.ReadClosure(t.Context(), mustURL(root), w.read)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkTold compares errors with what they should contain, in any order.
func checkTold(t *testing.T, what string, got []error, want ...string) {
	t.Helper()
	if len(got) != len(want) || !slices.IsSortedFunc(got, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) {
		t.Errorf("%s: told %q, want %q", what, got, want)
		return
	}
	for _, text := range want {
		if !slices.ContainsFunc(got, func(err error) bool { return strings.Contains(err.Error(), text) }) {
			t.Errorf("%s: told %q, want %q", what, got, text)
		}
	}
	for _, err := range got {
		checkError(t, what, err, err.Error())
	}
}

func ids(c *alto.Closure) []string { return slices.Sorted(maps.Keys(c.Resources)) }

// The directories of §9.2.3 and §9.2.4 are one closure.
func TestReadClosureRFC(t *testing.T) {
	w := &web{documents: map[string]string{
		"http://alto.example.com/directory":   strings.Replace(rfcDirectory, "},\n     },", "}\n     },", 1),
		"http://custom.alto.example.com/maps": rfcNestedDirectory,
	}}
	c := w.closure(t, "http://alto.example.com/directory")
	if len(c.Skipped) > 0 || len(c.Warnings) > 0 || len(c.Resources) != 10 || c.DefaultNetworkMap != "my-default-network-map" {
		t.Errorf("%+v", c)
	}
	for costType, want := range map[alto.CostType][]string{
		{Mode: "numerical", Metric: "routingcost"}: {"numerical-routing-cost-map", "filtered-cost-map"},
		{Mode: "ordinal", Metric: "routingcost"}:   {"ordinal-routing-cost-map", "filtered-cost-map"},
		{Mode: "numerical", Metric: "delay-ow"}:    nil,
	} {
		var got []string
		for _, res := range c.CostMaps("my-default-network-map", costType) {
			got = append(got, res.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: %q", costType, got)
		}
		if len(c.CostMaps("other", costType)) > 0 {
			t.Errorf("%v: a cost map of another network map", costType)
		}
	}
	if maps := c.OfType(alto.MediaTypeNetworkMap); len(maps) != 2 || maps[0].ID != "my-default-network-map" || maps[1].ID != "filtered-network-map" {
		t.Errorf("network maps: %v", maps)
	}
}

// Names of cost types mean what their own directory says.
func TestReadClosureCostTypeNames(t *testing.T) {
	directory := func(mode, id, more string) string {
		return `{"meta":{"default-alto-network-map":"net","cost-types":{"x":{"cost-mode":"` + mode + `","cost-metric":"routingcost"}}},"resources":{
			"net":{"uri":"http://h/net","media-type":"application/alto-networkmap+json"},
			"` + id + `":{"uri":"http://h/` + id + `","media-type":"application/alto-costmap+json","uses":["net"],"capabilities":{"cost-type-names":["x"]}}` + more + `}}`
	}
	w := &web{documents: map[string]string{
		"http://h/":   directory("numerical", "num", `,"more":{"uri":"d2","media-type":"application/alto-directory+json"}`),
		"http://h/d2": directory("ordinal", "ord", ""),
	}}
	c := w.closure(t, "http://h/")
	checkTold(t, "skipped", c.Skipped)
	for mode, id := range map[string]string{"numerical": "num", "ordinal": "ord"} {
		list := c.CostMaps("net", alto.CostType{Mode: mode, Metric: "routingcost"})
		if len(list) != 1 || list[0].ID != id || list[0].CostTypes[0].Mode != mode {
			t.Errorf("%s: %v", mode, list)
		}
	}
}

// entries makes a directory of entries such as "a dir /a", "m net /m" and
// "c cost /c m": id, kind, URI and what it uses.
func entries(list ...string) string {
	var b strings.Builder
	b.WriteString(`{"meta":{"default-alto-network-map":"net","cost-types":{"x":{"cost-mode":"numerical","cost-metric":"routingcost"}}},"resources":{`)
	for i, text := range list {
		fields := strings.Fields(text)
		if i > 0 {
			b.WriteByte(',')
		}
		kind := map[string]string{"dir": alto.MediaTypeDirectory, "net": alto.MediaTypeNetworkMap, "cost": alto.MediaTypeCostMap}[fields[1]]
		fmt.Fprintf(&b, `"%s":{"uri":"%s","media-type":"%s"`, fields[0], fields[2], kind)
		if kind == alto.MediaTypeCostMap {
			b.WriteString(`,"capabilities":{"cost-type-names":["x"]}`)
		}
		if len(fields) > 3 {
			fmt.Fprintf(&b, `,"uses":["%s"]`, strings.Join(fields[3:], `","`))
		}
		b.WriteByte('}')
	}
	b.WriteString(`}}`)
	return b.String()
}

// The limits of a closure.
const (
	maxNested      = 5
	maxDirectories = 32
)

// tooMany is a root directory that lists as many others as are read, and one more, of
// which the first one lists another; and what of it is asked for and used.
func tooMany() (w web, asked, used []string) {
	w.documents = make(map[string]string)
	asked = []string{"http://h/"}
	var list []string
	for i := 1; i <= maxDirectories; i++ {
		id := fmt.Sprintf("d%02d", i)
		list = append(list, id+" dir /"+id)
		if i < maxDirectories {
			w.documents["http://h/"+id] = entries()
			asked, used = append(asked, "http://h/"+id), append(used, id)
		}
	}
	w.documents["http://h/"], w.documents["http://h/d01"] = entries(list...), entries("e dir /e")
	return w, asked, used
}

func TestReadClosure(t *testing.T) {
	many, manyAsked, manyIDs := tooMany()
	for name, c := range map[string]struct {
		web     web
		asked   []string
		ids     []string
		skipped []string
		warned  []string
	}{
		"alone": {
			web:   web{documents: map[string]string{"http://h/": entries("m net /m", "c cost /c m")}},
			asked: []string{"http://h/"}, ids: []string{"c", "m"},
		},
		"a loop": {
			web: web{documents: map[string]string{
				"http://h/":  entries("a dir /a", "me dir /"),
				"http://h/a": entries("b dir /b", "root dir http://u:p@h/#x", "a dir /a"),
				"http://h/b": entries("back dir /a", "root dir http://u:p@h/#x", "m net /m"),
			}},
			asked: []string{"http://h/", "http://h/a", "http://h/b"},
			ids:   []string{"a", "b", "back", "m", "me", "root"},
		},
		"a redirect to what has been read": {
			web: web{
				documents: map[string]string{"http://h/": entries("a dir /a", "b dir /b"), "http://h/a": entries("m net /m")},
				redirects: map[string]string{"http://h/b": "http://h/a"},
			},
			asked: []string{"http://h/", "http://h/a", "http://h/b"}, ids: []string{"a", "b", "m"},
		},
		"one that is down": {
			web: web{documents: map[string]string{
				"http://h/":  entries("a dir /a", "b dir /b", "m net /m", "c cost /c gone", "d cost /d m"),
				"http://h/b": entries("c2 cost /c2 m2", "m2 net /m2"),
			}},
			asked: []string{"http://h/", "http://h/a", "http://h/b"},
			ids:   []string{"b", "c2", "d", "m", "m2"},
			skipped: []string{
				"directory http://h/: resources/a: the nested directory is left out: it is down",
				`directory http://h/: resources/c/uses: "gone" is not a usable resource of any directory that was read`,
			},
		},
		"uses across directories": {
			web: web{documents: map[string]string{
				"http://h/":  entries("a dir /a", "c cost /c inner", "d cost /d x"),
				"http://h/a": entries("inner net /i", "e cost /e outer", "b dir /b"),
				"http://h/b": entries("outer net /o", "x cost /x y", "y cost /y z", "self net /s self"),
			}},
			asked: []string{"http://h/", "http://h/a", "http://h/b"},
			ids:   []string{"a", "b", "c", "e", "inner", "outer", "self"},
			skipped: []string{
				`directory http://h/: resources/d/uses: "x" is not`,
				`directory http://h/b: resources/x/uses: "y" is not`,
				`directory http://h/b: resources/y/uses: "z" is not`,
			},
		},
		"an id twice": {
			web: web{documents: map[string]string{
				"http://h/":  entries("a dir /a", "b dir /b", "m net /m"),
				"http://h/a": entries("m net /other", "n net /n1", "deep dir /deep", "same net /same"),
				"http://h/b": entries("m net /m", "n net /n2", "same net /same", "deep dir /elsewhere"),
				// Deeper than the other n, though asked before it in the order of URLs.
				"http://h/deep": entries("n net /n0"),
			}},
			asked: []string{"http://h/", "http://h/a", "http://h/b", "http://h/deep"},
			ids:   []string{"a", "b", "deep", "m", "n", "same"},
			skipped: []string{
				"directory http://h/a: resources/m: the id is that of another resource, listed in directory http://h/",
				"directory http://h/b: resources/n: the id is that of another resource, listed in directory http://h/a",
				"directory http://h/b: resources/deep: the id is that of another resource, listed in directory http://h/a",
				"directory http://h/deep: resources/n: the id is that of another resource, listed in directory http://h/a",
			},
		},
		"too deep": {
			web: web{documents: map[string]string{
				"http://h/": entries("a dir /1"), "http://h/1": entries("b dir /2"), "http://h/2": entries("c dir /3"), "http://h/3": entries("d dir /4"),
				"http://h/4": entries("e dir /5"), "http://h/5": entries("f dir /6"), "http://h/6": entries("g dir /7"),
			}},
			asked:   []string{"http://h/", "http://h/1", "http://h/2", "http://h/3", "http://h/4", "http://h/5"},
			ids:     []string{"a", "b", "c", "d", "e"},
			skipped: []string{"directory http://h/5: resources/f: the nested directory is left out: more than 5 directories lead to it"},
		},
		"too many": {
			web: many, asked: manyAsked, ids: manyIDs,
			skipped: []string{
				"directory http://h/: resources/d32: the nested directory is left out: there are more than 32 directories",
				"directory http://h/d01: resources/e: the nested directory is left out: there are more than 32 directories",
			},
		},
		"two cost maps for one": {
			web: web{documents: map[string]string{
				"http://h/":  entries("a dir /a", "m net /m", "n net /n", "c2 cost /c2 m", "other cost /o n"),
				"http://h/a": entries("c1 cost /c1 m"),
			}},
			asked: []string{"http://h/", "http://h/a"}, ids: []string{"a", "c1", "c2", "m", "n", "other"},
			warned: []string{`directory http://h/a: resources/c1: it is a cost map of routingcost (numerical) for "m" like "c2", but there may be only one`},
		},
		"what a directory has skipped": {
			web: web{documents: map[string]string{
				"http://u:secret@h/": entries("a dir a", "x net ftp://h/"), "http://u:secret@h/a": entries("y net gopher://h/"),
			}},
			asked:   []string{"http://u:secret@h/", "http://u:secret@h/a"},
			ids:     []string{"a"},
			skipped: []string{`directory http://h/: resources/x/uri: "ftp://h/" has the scheme`, `directory http://h/a: resources/y/uri: "gopher://h/" has`},
		},
	} {
		root := c.asked[0]
		got := c.web.closure(t, root)
		if !slices.Equal(c.web.asked, c.asked) || !slices.Equal(ids(got), c.ids) {
			t.Errorf("%s: asked %q for %q", name, c.web.asked, ids(got))
		}
		checkTold(t, name+": skipped", got.Skipped, c.skipped...)
		checkTold(t, name+": warnings", got.Warnings, c.warned...)
		if strings.Contains(fmt.Sprint(got.Skipped), "secret") {
			t.Errorf("%s: the password shows: %q", name, got.Skipped)
		}
	}
}

// Servers that make up directories without end are followed to the limits.
func TestReadClosureEndless(t *testing.T) {
	n := 0
	c, err := alto.ReadClosure(t.Context(), mustURL("http://h/0"), func(_ context.Context, u *url.URL) (*alto.Directory, error) {
		n++
		return alto.ReadDirectory(strings.NewReader(entries(fmt.Sprintf("d%d dir /%d", 2*n, 2*n), fmt.Sprintf("d%d dir /%d", 2*n+1, 2*n+1))), u)
	})
	if err != nil || n != maxDirectories || len(c.Resources) != maxDirectories-1 {
		t.Errorf("%d directories, %v", n, err)
	}
	n = 0
	_, err = alto.ReadClosure(t.Context(), mustURL("http://h/0"), func(_ context.Context, u *url.URL) (*alto.Directory, error) {
		n++
		return alto.ReadDirectory(strings.NewReader(entries(fmt.Sprintf("d%d dir /%d", n, n))), u)
	})
	if err != nil || n != maxNested+1 {
		t.Errorf("%d directories, %v", n, err)
	}
}

// A chain of resources that use one another costs no more than others.
func TestReadClosureChain(t *testing.T) {
	const n = 40_000
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("c%d cost /c c%d", i, i+1)
	}
	w := &web{documents: map[string]string{"http://h/": entries(list...)}}
	start := time.Now()
	c := w.closure(t, "http://h/")
	if len(c.Resources) != 0 || len(c.Skipped) != 101 || c.Skipped[100].Error() != fmt.Sprintf("and %d more", n-100) {
		t.Errorf("%d resources, skipped %q", len(c.Resources), c.Skipped[max(len(c.Skipped)-1, 0):])
	}
	if elapsed := time.Since(start); elapsed > time.Minute {
		t.Errorf("it took %s", elapsed)
	}
}

func TestReadClosureFails(t *testing.T) {
	w := &web{}
	_, err := alto.ReadClosure(t.Context(), mustURL("http://h/"), w.read)
	checkError(t, "the root is down", err, "it is down")

	ctx, cancel := context.WithCancelCause(t.Context())
	w.documents = map[string]string{"http://h/": entries("a dir /a")}
	_, err = alto.ReadClosure(ctx, mustURL("http://h/"), func(ctx context.Context, u *url.URL) (*alto.Directory, error) {
		if u.Path == "/a" {
			cancel(errors.New("enough"))
		}
		return w.read(ctx, u)
	})
	checkError(t, "given up", err, "enough")
}

// By HTTP: a directory of the same server that is no directory, or too slow,
// disables itself.
func TestClientDirectory(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/{$}", answer(alto.MediaTypeDirectory, 200, entries("a dir a", "b dir b", "c dir c", "d dir d", "m net m")))
	mux.HandleFunc("/a", answer("text/html", 200, "<!DOCTYPE html>"))
	mux.HandleFunc("/b", answer(alto.MediaTypeDirectory, 200, `{"resources":[]}`))
	mux.Handle("/c", http.RedirectHandler("/sub/c", http.StatusTemporaryRedirect))
	mux.HandleFunc("/sub/c", answer(alto.MediaTypeDirectory, 200, entries("n net n")))
	client := &alto.Client{}
	c, err := alto.ReadClosure(t.Context(), mustURL(server.URL+"/"), client.Directory)
	if err != nil {
		t.Fatal(err)
	}
	checkTold(t, "skipped", c.Skipped, `/a: the document is "text/html", not a directory`, "/b: resources: an array instead of an object", "/d: the answer has status 404")
	if got := ids(c); !slices.Equal(got, []string{"c", "m", "n"}) || c.Resources["n"].URI.Path != "/sub/n" {
		t.Errorf("%q, n at %v", got, c.Resources["n"].URI)
	}
	_, err = alto.ReadClosure(t.Context(), mustURL(server.URL+"/a"), client.Directory)
	checkError(t, "root", err, "/a: the document is \"text/html\"")
}
