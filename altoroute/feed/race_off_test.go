// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package feed

// interleavings is how many are tried.
const interleavings = 10_000
