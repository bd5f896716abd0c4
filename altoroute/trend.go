// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altoroute

import (
	"math"
	"time"
)

// A trend tells when a rate that is a mean of many seconds is one of the past: when
// the last seconds differ from it by more than chance. It begins anew then.
type trend struct {
	rate    float64       // the mean, per second
	last    float64       // the same of the last few seconds
	reading float64       // the last reading
	noise   float64       // half the mean square by which one reading differs from the one before
	age     time.Duration // since when the mean has been measured
}

const (
	// lastSeconds is the memory of what is last.
	lastSeconds = 2
	// beyondChance is in standard deviations.
	beyondChance = 3
)

// read takes over what was counted per second since the last reading. It returns
// the factor that makes rates of the past those of today, and the weight of what
// was counted in the mean of both.
func (t *trend) read(counted float64, elapsed time.Duration) (factor, weight float64) {
	seconds := elapsed.Seconds()
	factor = 1
	short := 1 - math.Exp(-seconds/lastSeconds)
	if t.age == 0 {
		t.last = counted
	}
	t.last += short * (counted - t.last)
	// What arrives by itself varies as much as its mean. What arrives in bursts
	// varies more, which shows.
	noise := max(t.noise, max(t.rate, t.last, 1)/seconds)
	if beyond := math.Abs(t.last-t.rate) > beyondChance*math.Sqrt(noise*short/(2-short)); beyond && t.age > 0 {
		// To take too much for what is to come is the safer side.
		t.last = max(t.last, counted)
		t.age = 0
		if t.rate > 0 {
			factor, t.age = t.last/t.rate, elapsed
		}
	}
	t.age += elapsed
	weight = weightOf(seconds, t.age)
	// Of a rate that grows or falls steadily, readings differ from the mean by much and
	// from each other by little.
	t.noise += (1 - math.Exp(-seconds/memory.Seconds())) * ((counted-t.reading)*(counted-t.reading)/2 - t.noise)
	t.reading = counted
	return factor, weight
}
