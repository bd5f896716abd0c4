// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package altoroute decides which content edge serves a client at the least
// cost to the network, by what the network itself says: an ALTO network map
// (address → PID) and an ALTO cost map (PID → PID), RFC 7285.
//
// The package is pure: no I/O, no goroutine, no clock. Maps come in through
// [Router.Update], questions through [Router.Route] and [Router.Explain].
// A question reads one immutable plan; an update builds a new plan beside it
// and swaps one pointer.
package altoroute
