// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

// The media types of the documents this package reads.
const (
	// MediaTypeDirectory is the type of an information resource directory,
	// RFC 7285 §9.2.1.
	MediaTypeDirectory = "application/alto-directory+json"
	// MediaTypeNetworkMap is the type of a network map, RFC 7285 §11.2.1.1.
	MediaTypeNetworkMap = "application/alto-networkmap+json"
	// MediaTypeCostMap is the type of a cost map, RFC 7285 §11.2.3.1.
	MediaTypeCostMap = "application/alto-costmap+json"
	// MediaTypeError is the type of an error document, RFC 7285 §8.5.1.
	MediaTypeError = "application/alto-error+json"
)

// The media types of the parameters this package writes.
const (
	// MediaTypeCostMapFilter is the type of the parameters of a filtered cost
	// map, RFC 7285 §11.3.2.3; see [CostMapFilter].
	MediaTypeCostMapFilter = "application/alto-costmapfilter+json"
)

// Media types that are only recognised, so as to say what came instead.
const (
	mediaTypeEndpointCost       = "application/alto-endpointcost+json"
	mediaTypeEndpointProperties = "application/alto-endpointprop+json"
	mediaTypePropertyMap        = "application/alto-propmap+json"
)

// A VersionTag names one version of one resource of one server (RFC 7285
// §10.3). Two tags are the same version if and only if they are equal by ==.
// The zero value names no version.
type VersionTag struct {
	// ResourceID is the id of the resource in its server's directory.
	ResourceID string `json:"resource-id"`
	// Tag is opaque. It changes whenever the resource does.
	Tag string `json:"tag"`
}

// A CostType says what the costs of a map measure and what may be done with
// them (RFC 7285 §10.7). The zero value is no cost type.
type CostType struct {
	// Mode is the cost mode: "numerical", "ordinal" or an extension's.
	Mode string
	// Metric is the cost metric, such as "routingcost", or "delay-ow:p99"
	// (RFC 9439).
	Metric string
	// Description is for people. It is never interpreted, and it does not
	// belong in a comparison of two cost types.
	Description string
}

// String names the type as errors and logs do, for example "routingcost (numerical)".
func (t CostType) String() string { return t.Metric + " (" + t.Mode + ")" }

// Ordinal reports whether only the order and the equality of costs mean
// anything (RFC 7285 §6.1.2.2). Of a mode that is not known to allow
// arithmetic nothing more may be assumed, so this is true of every mode but
// "numerical".
func (t CostType) Ordinal() bool { return t.Mode != modeNumerical }
