// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package feed

// interleavings is how many are tried: the race detector slows everything down.
const interleavings = 1_500
