// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package alto speaks the ALTO protocol, RFC 7285: it reads the documents of
// an ALTO server and fetches them over HTTP.
//
// The readers ([ReadNetworkMap], [ReadCostMap], [ReadDirectory], [ReadError])
// take an [io.Reader]. Maps are handed to a sink as they are read and never
// exist as a tree: reading one costs the memory of its longest token and of
// the member names of the objects that are open, which are kept to refuse
// duplicates; both are bounded, and so is the depth of nesting. Members may
// come in any order, and members that are not known are ignored at every level
// (RFC 7285 §8.3.7).
//
// A [Client] fetches documents by [Client.Get], or by [Client.Post] where there
// are parameters such as a [CostMapFilter]. [ReadClosure] joins a server's root
// directory with the ones that are nested in it.
//
// Errors name the member, the value and what would have been right, as in
//
//	network-map/cc-de/ipv4: "10.0.0.0/33" is not an IPv4 prefix: prefix length out of range
//
// They do not name the file or URL: the caller knows it.
//
// The package knows nothing of routing. What a map means is decided elsewhere:
// the readers check that a document is well formed, not that, say, a prefix
// belongs to one PID only. It has no reader for the endpoint property and
// endpoint cost services (RFC 7285 §11.4, §11.5): their answers are recognised,
// and told of by [KindError].
package alto
