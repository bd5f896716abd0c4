// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package caddymodule makes altoroute available to Caddy: the app that holds
// sources, edges and pools, and the handler that redirects. It is the only
// package that imports Caddy; it translates and decides nothing.
package caddymodule
