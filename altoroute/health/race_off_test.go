// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package health

// raceEnabled tells that the race detector slows everything down.
const raceEnabled = false
