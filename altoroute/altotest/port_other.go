// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package altotest

// holdPort returns where to listen first. The port is not held while the server
// is down: that it is free when the server comes back is likely, no more.
func holdPort() (address string, release func()) { return "127.0.0.1:0", func() {} }
