// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// times reads as a text repeated n times with a separator.
func times(n int, text, separator string) io.Reader {
	size := int64(n)*int64(len(text)+len(separator)) - int64(len(separator))
	return io.LimitReader(&repeater{text: text + separator}, size)
}

// members reads as an object of n members with numbered names, each with what
// value returns.
func members(n int, value func() io.Reader) io.Reader {
	readers := make([]io.Reader, 0, 2*n+1)
	for i := range n {
		start := ","
		if i == 0 {
			start = "{"
		}
		readers = append(readers, strings.NewReader(fmt.Sprintf(`%s"pid-%04d":`, start, i)), value())
	}
	return io.MultiReader(append(readers, strings.NewReader("}"))...)
}

// Reading takes no more memory for a map of more than 100 MB than for a small
// one. What is counted is all that is allocated, garbage included.
func TestStreamingMemory(t *testing.T) {
	const (
		start = `{"meta":{"vtag":{"resource-id":"m","tag":"1"},` +
			`"dependent-vtags":[{"resource-id":"m","tag":"1"}],"cost-type":{"cost-mode":"numerical","cost-metric":"x"}},`
		pids = 100
	)
	row := strings.Builder{}
	for i := range pids {
		fmt.Fprintf(&row, `,"pid-%04d":%d.5`, i, i)
	}
	networkMap := func(prefixes int) io.Reader {
		return io.MultiReader(strings.NewReader(start+`"network-map":`), members(pids, func() io.Reader {
			return io.MultiReader(strings.NewReader(`{"ipv4":[`), times(prefixes, `"192.0.2.0/24","198.51.100.128/25"`, ","),
				strings.NewReader(`],"ipv6":[`), times(prefixes, `"2001:db8:1:2::/64"`, ","), strings.NewReader(`]}`))
		}), strings.NewReader("}"))
	}
	costMap := func(junk int) io.Reader {
		return io.MultiReader(strings.NewReader(start+`"junk":[`), times(junk, `{"a":["b",null,{}]}`, ", "),
			strings.NewReader(`],"cost-map":`), members(pids, func() io.Reader {
				return strings.NewReader("{" + row.String()[1:] + "}")
			}), strings.NewReader("}"))
	}
	large := 100 << 20
	if raceEnabled {
		large /= 10 // an instrumented reader is that much slower
	}
	for name, c := range map[string]struct {
		document func(n int) io.Reader
		unit     int // bytes of the document for each n
		read     func(io.Reader) error
	}{
		"network map": {networkMap, pids * 55, func(r io.Reader) error {
			_, err := alto.ReadNetworkMap(r, new(countingSink))
			return err
		}},
		"cost map with a large unknown member": {costMap, 21, func(r io.Reader) error {
			_, err := alto.ReadCostMap(r, new(countingSink))
			return err
		}},
	} {
		measure := func(n int) (read int64, allocated uint64) {
			counter := &countingReader{r: c.document(n)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := c.read(counter); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			runtime.ReadMemStats(&after)
			return counter.n, after.TotalAlloc - before.TotalAlloc
		}
		_, small := measure(100)
		size, allocated := measure(large / c.unit)
		t.Logf("%s of %d MB: %d KB allocated, a small one %d KB", name, size>>20, allocated>>10, small>>10)
		if size < int64(large) {
			t.Errorf("%s: only %d bytes were read", name, size)
		}
		if allocated > small+256<<10 {
			t.Errorf("%s of %d MB: %d KB allocated, a small one %d KB", name, size>>20, allocated>>10, small>>10)
		}
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
