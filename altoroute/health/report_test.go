// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestReports(t *testing.T) {
	load := func(v float64) Report { return Report{Load: v, HasLoad: true} }
	capacity := func(v float64) Report { return Report{Capacity: v, HasCapacity: true} }
	both := Report{Load: 0.73, HasLoad: true, Capacity: 8000, HasCapacity: true}
	odd := func(s string) Report { return Report{Odd: s} }
	oddHeader := func(s string) Report {
		return odd(strconv.Quote(s) + " is neither a load nor members such as load=0.73, capacity=8000")
	}
	const js, plain = "application/json", "text/plain"
	for _, tt := range []struct {
		header, media, body string
		want                Report
	}{
		{"", js, `{"load": 0.73, "capacity": 8000}`, both},
		{"", "Application/JSON ; charset=utf-8", ` {"status":"ok","capacity":8e3,"more":{"load":2},"load":0.73}`, both},
		{"", js, `{"load": 1.5}`, load(1.5)},
		{"", js, `{"capacity": 0}`, capacity(0)},
		{"", js, `{"load": 0}`, load(0)},
		{"", js, `{"load": null}`, Report{}},
		{"", js, `{"status": "ok"}`, Report{}},
		{"", js, `0.5`, load(0.5)},
		{"", js, `"ok"`, Report{}},
		{"", js, `["load", 1]`, Report{}},
		{"", js, ``, Report{}},
		{"", js, `{"load": 0.73`, odd("the body is not valid JSON")},
		{"", js, `{"load": "0.73", "capacity": 8000}`, Report{Capacity: 8000, HasCapacity: true, Odd: `load "0.73" is not a number`}},
		{"", js, `{"load": [1]}`, odd(`load "[1]" is not a number`)},
		{"", js, `{"load": -1}`, odd("load -1 is negative")},
		{"", js, `{"load": 100}`, load(100)},
		{"", js, `{"load": 101}`, odd("load 101 is out of range")},
		{"", js, `{"load": 0.5, "capacity": 1e13}`, Report{Load: 0.5, HasLoad: true, Odd: "capacity 1e13 is out of range"}},
		{"", js, `{"load": 1e999}`, odd("load 1e999 is out of range")},
		{"", js, `{"load": -0}`, load(0)},
		{"", js, `{"load": 2e-999}`, load(0)},
		{"", js, `{"load": true, "capacity": {}}`, odd(`load "true" is not a number`)},
		{"", plain, "0.73\n", load(0.73)},
		{"", "text/plain; charset=utf-8", " 1 ", load(1)},
		{"", plain, "OK", Report{}},
		{"", plain, "", Report{}},
		{"", plain, "NaN", odd(`load NaN is not a number`)},
		{"", plain, "-Inf", odd(`load -Inf is negative`)},
		{"", plain, "infinity", odd("load infinity is out of range")},
		{"", plain, "0.73 or so", odd(`load "0.73 or so" is not a number`)},
		{"", plain, "0x1p-2", odd(`load "0x1p-2" is not a number`)},
		{"", plain, "0," + strings.Repeat("0", 100), odd(`load "0,000000000000000000000000000000" is not a number`)},
		{"", plain, "1" + strings.Repeat("0", 100), odd(`load "10000000000000000000000000000000" is not a number`)},
		{"", "text/html", "0.73", Report{}},
		{"", "", "0.73", Report{}},
		{"0.73", plain, "9", load(0.73)},
		{" load=0.73, capacity=8000", "", "", both},
		{"capacity = 8000 ,LOAD= 0.73,,x=1", "", "", both},
		{"0.73,capacity=8000", "", "", both},
		{"x=1", plain, "9", Report{}},
		{"busy", plain, "9", odd(`load "busy" is not a number`)},
		{"load=,capacity=x", "", "", odd(`load "" is not a number`)},
		{"load=0, capacity=0", "", "", Report{HasLoad: true, HasCapacity: true}},
		{"x=1, load=0.73, y=2, capacity=8000, more", "", "", oddHeader("x=1, load=0.73, y=2, capacity=80")},
		{"load=0,73", "", "", oddHeader("load=0,73")},
		{"0,73", "", "", oddHeader("0,73")},
		{"load=0.73, capacity=8,000", "", "", oddHeader("load=0.73, capacity=8,000")},
		{"load=0.73, load=0.8", "", "", oddHeader("load=0.73, load=0.8")},
		{"0.73, load=0.8", "", "", oddHeader("0.73, load=0.8")},
		{"capacity=1, capacity=2", "", "", oddHeader("capacity=1, capacity=2")},
		{"0.5;capacity=80", "", "", oddHeader("0.5;capacity=80")},
		{"0.5; capacity 80", "", "", odd(`load "0.5; capacity 80" is not a number`)},
		{"load=0.5;capacity=80", "", "", odd(`load "0.5;capacity=80" is not a number`)},
		{"load=0.5 busy", "", "", odd(`load "0.5 busy" is not a number`)},
	} {
		var header []string
		if tt.header != "" {
			header = []string{tt.header}
		}
		if got := parseReport(header, tt.media, []byte(tt.body)); got != tt.want {
			t.Errorf("header %q, %s %q: got %+v, want %+v", tt.header, tt.media, tt.body, got, tt.want)
		}
	}
	if got := parseReport([]string{"load=0.73", "capacity=8000"}, "", nil); got != both {
		t.Errorf("got %+v of two headers", got)
	}
}

func FuzzReport(f *testing.F) {
	f.Add("", "application/json", `{"load": 0.73, "capacity": 8000}`)
	f.Add("", "text/plain", "0.73")
	f.Add("load=0.73, capacity=8000", "", "")
	f.Add("NaN", "application/json", "{")
	f.Fuzz(func(t *testing.T, header, media, body string) {
		var headers []string
		if header != "" {
			headers = []string{header}
		}
		r := parseReport(headers, media, []byte(body))
		for most, v := range map[float64]float64{maxLoad: r.Load, maxCapacity: r.Capacity} {
			if math.IsNaN(v) || v < 0 || v > most || math.Signbit(v) {
				t.Errorf("took %g", v)
			}
		}
		if r.Load > 0 && !r.HasLoad || r.Capacity > 0 && !r.HasCapacity {
			t.Errorf("took %+v", r)
		}
		if len(r.Odd) > 200 || strings.ContainsAny(r.Odd, "\n\r\x00\x1b") {
			t.Errorf("says %q", r.Odd)
		}
	})
}
