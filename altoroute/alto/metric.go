// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"slices"
	"strings"
)

// The cost modes of RFC 7285 §6.1.2 and of RFC 9275 §6.5.2. There may be others
// (RFC 9274).
const (
	modeNumerical = "numerical"
	modeOrdinal   = "ordinal"
	modeArray     = "array"
)

// metrics are the cost metrics that are registered, by what comes before the
// statistical operator.
var metrics = map[string]struct { //nolint:gochecknoglobals // a table, never changed
	unit           string
	operators      bool // may have a statistical operator
	higherIsBetter bool
}{
	"routingcost":     {},                              // RFC 7285 §6.1.1.1
	"ane-path":        {},                              // RFC 9275 §6.5.1
	"delay-ow":        {unit: "µs", operators: true},   // these and the following: RFC 9439
	"delay-rt":        {unit: "µs", operators: true},   //
	"delay-variation": {unit: "µs", operators: true},   //
	"lossrate":        {unit: "%", operators: true},    //
	"hopcount":        {unit: "hops", operators: true}, //
	"tput":            {"byte/s", true, true},          //
	"bw-residual":     {"byte/s", true, true},          //
	"bw-available":    {"byte/s", true, true},          //
}

// operators are the statistical operators of RFC 9439 §3.2 beside the
// percentiles.
var operators = []string{"cur", "min", "max", "median", "mean", "stddev", "stdvar"} //nolint:gochecknoglobals // a table, never changed

// Unit returns the unit of the costs: "µs" for delays, "%" for loss, "hops",
// or "byte/s" for throughput and bandwidth (RFC 9439). It is empty where there
// is none or it is not known: for "routingcost" (RFC 7285 §6.1.1.1), for a
// metric that is not registered, and in any mode but "numerical". A variance
// (stdvar) has the square of the unit, such as "(µs)²".
func (t CostType) Unit() string {
	base, operator, _ := strings.Cut(t.Metric, ":")
	unit := metrics[base].unit
	switch {
	case t.Mode != modeNumerical || unit == "":
		return ""
	case operator == "stdvar":
		return "(" + unit + ")²"
	}
	return unit
}

// Known reports whether mode, metric and statistical operator are registered
// (RFC 7285 §14, RFC 9274, RFC 9275, RFC 9439), so that it is known what the
// costs mean. It does not say that this package can read them: of mode "array"
// it cannot. Any mode may meet any metric (RFC 9274 §3.1), but of "array" only
// "ane-path" has a meaning (RFC 9275 §6.5.2), and no other mode has one for it.
func (t CostType) Known() bool {
	base, operator, hasOperator := strings.Cut(t.Metric, ":")
	metric, ok := metrics[base]
	switch {
	case !ok:
		return false
	case hasOperator:
		percentile, err := checkPercentile(operator)
		if !metric.operators || err != nil || !percentile && !slices.Contains(operators, operator) {
			return false
		}
	}
	if t.Mode == modeArray {
		return base == "ane-path"
	}
	return base != "ane-path" && (t.Mode == modeNumerical || t.Mode == modeOrdinal)
}

// Same reports whether two cost types have the same costs, whatever is said of
// them. A metric without a statistical operator is that of its default one: "cur"
// for bw-residual and bw-available, "median" for the others that may have one
// (RFC 9439 §3.2).
func (t CostType) Same(o CostType) bool {
	return t.Mode == o.Mode && withOperator(t.Metric) == withOperator(o.Metric)
}

func withOperator(metric string) string {
	switch {
	case !metrics[metric].operators:
		return metric
	case strings.HasPrefix(metric, "bw-"):
		return metric + ":cur"
	}
	return metric + ":median"
}

// measured reports whether the metric is one of RFC 9439, none of which can be
// negative.
func (t CostType) measured() bool {
	base, _, _ := strings.Cut(t.Metric, ":")
	return metrics[base].operators
}

// HigherIsBetter reports whether the greater of two costs is to be preferred.
// That is so for the throughput and bandwidth metrics of RFC 9439 §5 (tput,
// bw-residual, bw-available), with or without a statistical operator as in
// "tput:p10", except where the operator measures spread (stddev, stdvar). It is
// never so in mode "ordinal", whose costs are ranks: there the lower value is
// preferred whatever the metric (RFC 7285 §6.1.2.2).
func (t CostType) HigherIsBetter() bool {
	base, operator, _ := strings.Cut(t.Metric, ":")
	spread := operator == "stddev" || operator == "stdvar"
	return t.Mode != modeOrdinal && !spread && metrics[base].higherIsBetter
}
