// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package health

import "time"

// How often and how long the long simulation runs.
const (
	seeds     = 2
	simulated = 15 * time.Minute
)
