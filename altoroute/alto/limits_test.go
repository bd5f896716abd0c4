// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// allocated returns how many bytes f allocates, garbage included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// numbered reads as members with numbered names, without end.
type numbered struct {
	format string
	n      int
	rest   string
}

func (r *numbered) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if r.rest == "" {
			r.rest = fmt.Sprintf(r.format, r.n)
			r.n++
		}
		c := copy(p[n:], r.rest)
		r.rest = r.rest[c:]
		n += c
	}
	return n, nil
}

// discard reads documents of any kind and keeps nothing.
var discard = map[string]func(io.Reader) error{
	"network map": func(r io.Reader) error { _, err := alto.ReadNetworkMap(r, new(countingSink)); return err },
	"cost map":    func(r io.Reader) error { _, err := alto.ReadCostMap(r, new(countingSink)); return err },
	"directory":   func(r io.Reader) error { _, err := alto.ReadDirectory(r, nil); return err },
	"error":       func(r io.Reader) error { _, err := alto.ReadError(r); return err },
}

// What a hostile document may cost is bounded, however long it goes on.
func TestHostileDocuments(t *testing.T) {
	const long = 1 << 19 // half of the longest name
	name := `"%06d` + strings.Repeat("x", long) + `":`
	for what, c := range map[string]struct {
		start  string
		rest   io.Reader
		err    string
		memory uint64 // the most bytes that may be allocated
	}{
		"ten million arrays":    {`{"x":`, times(10_000_000, "[", ""), "x: objects and arrays are nested more than 100 deep", 1 << 20},
		"ten million objects":   {`{"x":`, times(10_000_000, `{"a":`, ""), "nested more than 100 deep", 1 << 20},
		"arrays, in meta":       {`{"meta":{"x":`, times(10_000_000, "[", ""), "meta/x: objects and arrays are nested more than 100 deep", 1 << 20},
		"arrays, no document":   {``, times(10_000_000, "[", ""), "the document: an array instead of an object", 1 << 20},
		"an endless string":     {`{"x":"`, &repeater{text: "x"}, "one value of the document is longer than", 16 << 20},
		"an endless name":       {`{"`, &repeater{text: "x"}, "one value of the document is longer than", 16 << 20},
		"an endless number":     {`{"x":1`, &repeater{text: "0"}, "one value of the document is longer than", 16 << 20},
		"white space":           {`{"x":`, &repeater{text: " "}, "one value of the document is longer than", 16 << 20},
		"endless names":         {`{"x":{"":0`, &numbered{format: `,"n%d":0`}, "x: the member names take more than 16777216 bytes", 192 << 20},
		"endless names, on top": {`{"":0`, &numbered{format: `,"n%d":0`}, "the document: the member names take more than 16777216 bytes", 192 << 20},
		"long names, nested":    {`{"x":{"":0`, &numbered{format: "," + name + "{" + name + "0"}, "16777216 bytes", 256 << 20},
	} {
		for kind, read := range discard {
			if _, slow := c.rest.(*numbered); slow && (kind != "error" || raceEnabled) {
				continue // the limit is the same for all, and takes its time to reach
			}
			var err error
			memory := allocated(func() { err = read(io.MultiReader(strings.NewReader(c.start), c.rest)) })
			checkError(t, what+", "+kind, err, c.err)
			if memory > c.memory {
				t.Errorf("%s, %s: %d KB allocated", what, kind, memory>>10)
			}
			switch r := c.rest.(type) { // to be read again
			case *io.LimitedReader:
				r.N = 50_000_000
				r.R.(*repeater).offset = 0
			case *repeater:
				r.offset = 0
			}
		}
	}
	if raceEnabled {
		return
	}
	const meta = `{"meta":{"dependent-vtags":[{"resource-id":"m","tag":"1"}],"cost-type":{"cost-mode":"numerical","cost-metric":"x"},"vtag":{"resource-id":"m","tag":"1"}},`
	for start, c := range map[string]struct{ kind, format, err string }{
		`"network-map":{"p":{}`:       {"network map", `,"%d` + strings.Repeat("p", 58) + `":{}`, "network-map: the member names take more than 16777216 bytes"},
		`"cost-map":{"p":{"p":0`:      {"cost map", `,"%d` + strings.Repeat("p", 58) + `":0`, "cost-map/p: the member names take"},
		`"resources":{"p":{"uri":"x"`: {"directory", `,"p%d":0`, "resources/p: one value of the document is longer than"},
	} {
		var err error
		memory := allocated(func() {
			err = discard[c.kind](io.MultiReader(strings.NewReader(meta+start), &numbered{format: c.format}))
		})
		checkError(t, start, err, c.err)
		if memory > 256<<20 {
			t.Errorf("%s: %d KB allocated", start, memory>>10)
		}
	}
}

// kept returns how many bytes are alive on the heap for what f returns.
func kept(f func() any) int64 {
	alive := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := alive()
	v := f()
	size := alive() - before
	runtime.KeepAlive(v)
	return size
}

// crammed is a directory of so many entries, or cost types, made by a format that
// their number goes into, and of one more that is a directory at /next.
func crammed(types, resources int, costType, entry, next string) string {
	var b strings.Builder
	b.WriteString(`{"meta":{"cost-types":{"c":{"cost-mode":"ordinal","cost-metric":"x"}`)
	for i := range types {
		fmt.Fprintf(&b, costType, i)
	}
	b.WriteString(`}},"resources":{"` + next + `":{"uri":"/` + next + `","media-type":"application/alto-directory+json"}`)
	for i := range resources {
		fmt.Fprintf(&b, entry, i)
	}
	b.WriteString(`}}`)
	return b.String()
}

// However a directory of 16 MiB is made, what is kept of it is bounded.
func TestHostileDirectories(t *testing.T) {
	if raceEnabled {
		return // it takes its time, and more memory
	}
	const parts = 1 << 17
	list := func(text string, n int) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }
	tooMany := "the directory has more than 131072 resources, cost types, and names that resources list"
	with := func(more string) string { return `,"r%d":{"uri":"x","media-type":"a/b"` + more + `}` }
	for what, c := range map[string]struct{ document, err string }{
		"a name again and again": {crammed(0, 15, "", with(`,"capabilities":{"cost-type-names":[`+list(`"c"`, 240_000)+`]}`), "d"), "resources/r0: " + tooMany},
		"many properties":        {crammed(0, 15, "", with(`,"capabilities":{"prop-types":[`+list(`""`, 8_000)+`]}`), "d"), ""},
		"too many properties":    {crammed(0, 17, "", with(`,"capabilities":{"prop-types":[`+list(`""`, 8_000)+`]}`), "d"), "resources/r16: " + tooMany},
		"many uses":              {crammed(0, 15, "", with(`,"uses":[`+list(`"d"`, 8_000)+`]`), "d"), ""},
		"too many uses":          {crammed(0, 17, "", with(`,"uses":[`+list(`"d"`, 8_000)+`]`), "d"), "resources/r16: " + tooMany},
		"many types":             {crammed(parts-2, 0, `,"t%d":{"cost-mode":"ordinal","cost-metric":"x","description":"`+strings.Repeat("x", 40)+`"}`, "", "d"), ""},
		"too many types":         {crammed(parts-1, 0, `,"t%d":{"cost-mode":"ordinal","cost-metric":"x"}`, "", "d"), "resources/d: " + tooMany},
		"many resources":         {crammed(0, parts-2, "", `,"r%d":{"uri":"http://h/`+list("%%61", 20)+`","media-type":"a/b"}`, "d"), ""},
		"too many resources":     {crammed(0, parts-1, "", with(""), "d"), "resources/r131070: " + tooMany},
		"resources of 4 parts": {crammed(0, parts/4-1, "", `,"r%d":{"uri":"http://h/`+list("%%61", 70)+`","media-type":"a/b","uses":["d"],
			"capabilities":{"cost-type-names":["c"],"prop-types":["x"]}}`, "d"), ""},
		"long URIs": {crammed(0, 16, "", `,"r%d":{"uri":"http://h/`+list("%%61", 250_000)+`","media-type":"a/b"}`, "d"), ""},
	} {
		var err error
		var n int
		var total uint64
		size := kept(func() (d any) {
			total = allocated(func() {
				var read *alto.Directory
				if read, err = alto.ReadDirectory(strings.NewReader(c.document), mustURL("http://h/")); err == nil {
					d, n = read, len(read.Skipped)
				}
			})
			return d
		})
		t.Logf("%s: of %d KB %d KB are kept, and %d KB allocated", what, len(c.document)>>10, size>>10, total>>10)
		if checkError(t, what, err, c.err); n > 0 || len(c.document) > 16<<20 || size > 96<<20 || total > 512<<20 {
			t.Errorf("%s: %d faults, or too much", what, n)
		}
	}
}

// Nor do many directories take much more than one.
func TestHostileClosures(t *testing.T) {
	if raceEnabled {
		return
	}
	var root strings.Builder
	for i := range maxDirectories - 1 {
		fmt.Fprintf(&root, `,"d%d":{"uri":"/%d","media-type":"application/alto-directory+json"}`, i, i)
	}
	const told = "the nested directory is left out: those before it have 16777216 bytes, or 131072 resources, cost types, and names that resources list"
	for what, c := range map[string]struct {
		resources int
		entry     string
		read      int // how many are read, the root among them
	}{
		"resources":         {1<<17 - 2, `,"r%d-%%d":{"uri":"http://h/` + strings.Repeat("%%%%61", 20) + `","media-type":"a/b"}`, 1 + 1},
		"just not too many": {1<<17 - 64, `,"r%d-%%d":{"uri":"http://h/` + strings.Repeat("%%%%61", 20) + `","media-type":"a/b"}`, 1 + 2},
		"bytes":             {16, `,"r%d-%%d":{"uri":"http://h/` + strings.Repeat("%%%%61", 250_000) + `","media-type":"a/b"}`, 1 + 2},
		"small ones":        {1000, `,"r%d-%%d":{"uri":"http://h/","media-type":"a/b"}`, maxDirectories},
	} {
		var read []*alto.Directory // a caller may keep them
		var closure *alto.Closure
		size := kept(func() any {
			var err error
			closure, err = alto.ReadClosure(t.Context(), mustURL("http://h/"), func(_ context.Context, u *url.URL) (*alto.Directory, error) {
				document := crammed(0, c.resources, "", fmt.Sprintf(c.entry, len(read)), fmt.Sprint("x", len(read)))
				if len(read) == 0 {
					document = `{"resources":{` + root.String()[1:] + `}}`
				}
				d, err := alto.ReadDirectory(strings.NewReader(document), u)
				read = append(read, d)
				return d, err
			})
			if err != nil {
				t.Fatal(what, err)
			}
			return []any{closure, read}
		})
		t.Logf("%s: %d resources of %d directories, %d KB are kept", what, len(closure.Resources), len(read), size>>10)
		n := 0
		for _, err := range closure.Skipped {
			if strings.Contains(err.Error(), told) {
				n++
			}
		}
		// What is left out are the others of the root, not those that the last ones list.
		if len(read) != c.read || n != maxDirectories-c.read || size > 256<<20 {
			t.Errorf("%s: %q", what, closure.Skipped)
		}
	}
}

// A directory full of faults tells of some of them, the same ones whatever the
// order.
func TestManyFaults(t *testing.T) {
	for _, document := range []io.Reader{
		io.MultiReader(strings.NewReader(`{"resources":`), members(1000, func() io.Reader { return strings.NewReader(`{}`) }), strings.NewReader("}")),
		io.MultiReader(strings.NewReader(`{"resources":{"pid-0999":{},"pid-0000":{},`), io.LimitReader(&numbered{format: `"pid-%04d":{},`, n: 1}, 998*14),
			strings.NewReader(`"a":{"uri":"http://h/","media-type":"a/b"}}}`)),
	} {
		d, err := alto.ReadDirectory(document, nil)
		if err != nil || len(d.Skipped) != 101 || d.Skipped[0].Error() != "resources/pid-0000: uri is missing" ||
			d.Skipped[99].Error() != "resources/pid-0099: uri is missing" || d.Skipped[100].Error() != "and 900 more" {
			t.Errorf("%q, %v", d.Skipped, err)
		}
	}
}

// The limits leave room: what counts is what is open at once.
func TestNamesAreForgotten(t *testing.T) {
	row := func() io.Reader { return io.LimitReader(&numbered{format: `"n%07d":0, `}, 100_000*14) }
	member := func() io.Reader {
		return io.MultiReader(strings.NewReader(`{"x":`), strings.NewReader("{"), row(), strings.NewReader(`"z":0}}`))
	}
	document := io.MultiReader(strings.NewReader(`{"x":`), members(10, member), strings.NewReader(`,"meta":`), members(1, member),
		strings.NewReader(`,"y":`+strings.Repeat("[", 99)+strings.Repeat("]", 99)+`}`))
	_, err := alto.ReadNetworkMap(document, new(countingSink))
	checkError(t, "a million names", err, "network-map is missing")
}

// What is no JSON, or JSON of another type, is refused and said so.
func TestRefusedValues(t *testing.T) {
	for value, want := range map[string]string{
		`"1"`: `cost-map/a/b: the cost is the string "1", not a number`,
		"NaN": "no valid JSON", "Infinity": "no valid JSON", "-Infinity": "no valid JSON", "+1": "no valid JSON", "0x10": "no valid JSON",
		"1.": "no valid JSON", ".5": "no valid JSON", "1e": "no valid JSON", "'1'": "no valid JSON", "1,": "no valid JSON", "1 /* x */": "no valid JSON",
		"-1e999":  "too large for a 64-bit floating-point number",
		`1,"b":2`: `cost-map/a: the member "b" occurs twice`,
	} {
		_, err := alto.ReadCostMap(strings.NewReader(costs("numerical", `{"a":{"b":`+value+`}}`)), new(costMap))
		checkError(t, value, err, want)
	}
	for document, want := range map[string]string{
		`{"meta":{},"meta":{}}`:                                   `the document: the member "meta" occurs twice`,
		`{"meta":{"x":1,"\u0078":2}}`:                             `meta: the member "x" occurs twice`,
		`{"x":[{"y":{"z":1,"z":1}}]}`:                             `x/0/y: the member "z" occurs twice`,
		`{"meta":{"vtag":{"resource-id":"m","resource-id":"m"}}}`: `the member "resource-id" occurs twice`,
	} {
		for _, read := range discard {
			checkError(t, document, read(strings.NewReader(document)), want)
		}
	}
}

// A small answer that unfolds to a huge one costs no more than it should.
func TestGzipBombs(t *testing.T) {
	unfolded := int64(96 << 20)
	if raceEnabled {
		unfolded /= 2
	}
	for what, c := range map[string]struct {
		document io.Reader
		err      string
		memory   uint64
	}{
		"white space":  {&repeater{text: " "}, "one value of the document is longer than", 16 << 20},
		"arrays":       {io.MultiReader(strings.NewReader(`{"x":[`), &repeater{text: "0,"}), fmt.Sprintf("the document is larger than the limit of %d bytes", unfolded/2), 16 << 20},
		"member names": {io.MultiReader(strings.NewReader(`{"x":{"":0`), &numbered{format: `,"n%07d":0`}), "the member names take more than", 256 << 20},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", alto.MediaTypeNetworkMap)
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			_, _ = io.CopyN(z, c.document, unfolded)
			_ = z.Close()
		}))
		client := &alto.Client{MaxBody: unfolded / 2}
		var err error
		memory := allocated(func() {
			var res *alto.Response
			if res, err = client.Get(t.Context(), mustURL(server.URL), alto.MediaTypeNetworkMap, alto.Validators{}); err == nil {
				_, err = alto.ReadNetworkMap(res.Body, new(countingSink))
				_ = res.Body.Close()
			}
		})
		server.Close()
		checkError(t, what, err, c.err)
		if memory > c.memory {
			t.Errorf("%s: %d KB allocated", what, memory>>10)
		}
	}
}
