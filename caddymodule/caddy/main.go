// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Command caddy is Caddy with altoroute built in: the same imports as the
// main program that xcaddy writes, for `go run` and for tests.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/altoroute/caddy-alto/caddymodule"
)

func main() { caddycmd.Main() }
