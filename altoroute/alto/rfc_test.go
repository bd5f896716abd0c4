// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

// The examples of RFC 7285, as they are printed there.

// rfcDirectory is the root directory of §9.2.3. It is not valid JSON: a comma
// trails the capabilities of "endpoint-property".
const rfcDirectory = `{
  "meta" : {
     "cost-types": {
        "num-routing": {
           "cost-mode"  : "numerical",
           "cost-metric": "routingcost",
           "description": "My default"
        },
        "num-hop":     {
           "cost-mode"  : "numerical",
           "cost-metric": "hopcount"
        },
        "ord-routing": {
           "cost-mode"  : "ordinal",
           "cost-metric": "routingcost"
        },
        "ord-hop":     {
           "cost-mode"  : "ordinal",
           "cost-metric": "hopcount"
        }
     },
     "default-alto-network-map" : "my-default-network-map"
  },
  "resources" : {
     "my-default-network-map" : {
        "uri" : "http://alto.example.com/networkmap",
        "media-type" : "application/alto-networkmap+json"
     },
     "numerical-routing-cost-map" : {
        "uri" : "http://alto.example.com/costmap/num/routingcost",
        "media-type" : "application/alto-costmap+json",
        "capabilities" : {
           "cost-type-names" : [ "num-routing" ]
        },
        "uses": [ "my-default-network-map" ]
     },
     "numerical-hopcount-cost-map" : {
        "uri" : "http://alto.example.com/costmap/num/hopcount",
        "media-type" : "application/alto-costmap+json",
        "capabilities" : {
           "cost-type-names" : [ "num-hop" ]
        },
        "uses": [ "my-default-network-map" ]
     },
     "custom-maps-resources" : {
        "uri" : "http://custom.alto.example.com/maps",
        "media-type" : "application/alto-directory+json"
     },
     "endpoint-property" : {
        "uri" : "http://alto.example.com/endpointprop/lookup",
        "media-type" : "application/alto-endpointprop+json",
        "accepts" : "application/alto-endpointpropparams+json",
        "capabilities" : {
          "prop-types" : [ "my-default-network-map.pid",
                           "priv:ietf-example-prop" ]
        },
     },
     "endpoint-cost" : {
        "uri" : "http://alto.example.com/endpointcost/lookup",
        "media-type" : "application/alto-endpointcost+json",
        "accepts" : "application/alto-endpointcostparams+json",
        "capabilities" : {
           "cost-constraints" : true,
           "cost-type-names" : [ "num-routing", "num-hop",
                                 "ord-routing", "ord-hop"]
        }
     }
  }
}`

// rfcNestedDirectory is the delegated directory of §9.2.4. It uses a network
// map of its root.
const rfcNestedDirectory = `{
  "meta" : {
     "cost-types": {
        "num-routing": {
           "cost-mode"  : "numerical",
           "cost-metric": "routingcost",
           "description": "My default"
        },
        "num-hop":     {
           "cost-mode"  : "numerical",
           "cost-metric": "hopcount"
        },
        "ord-routing": {
           "cost-mode"  : "ordinal",
           "cost-metric": "routingcost"
        },
        "ord-hop":     {
           "cost-mode"  : "ordinal",
           "cost-metric": "hopcount"
        }
     }
  },
  "resources" : {
     "filtered-network-map" : {
        "uri" : "http://custom.alto.example.com/networkmap/filtered",
        "media-type" : "application/alto-networkmap+json",
        "accepts" : "application/alto-networkmapfilter+json",
        "uses": [ "my-default-network-map" ]
     },
     "filtered-cost-map" : {
        "uri" : "http://custom.alto.example.com/costmap/filtered",
        "media-type" : "application/alto-costmap+json",
        "accepts" : "application/alto-costmapfilter+json",
        "capabilities" : {
           "cost-constraints" : true,
           "cost-type-names"  : [ "num-routing", "num-hop",
                                  "ord-routing", "ord-hop" ]
        },
        "uses": [ "my-default-network-map" ]
     },
     "ordinal-routing-cost-map" : {
        "uri" : "http://custom.alto.example.com/ord/routingcost",
        "media-type" : "application/alto-costmap+json",
        "capabilities" : {
           "cost-type-names" : [ "ord-routing" ]
        },
        "uses": [ "my-default-network-map" ]
     },
     "ordinal-hopcount-cost-map" : {
        "uri" : "http://custom.alto.example.com/ord/hopcount",
        "media-type" : "application/alto-costmap+json",
        "capabilities" : {
           "cost-type-names" : [ "ord-hop" ]
        },
        "uses": [ "my-default-network-map" ]
     }
  }
}`

// rfcNetworkMap is the network map of §11.2.1.7.
const rfcNetworkMap = `{
  "meta" : {
    "vtag": {
      "resource-id": "my-default-network-map",
       "tag": "da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785"
    }
  },
  "network-map" : {
    "PID1" : {
      "ipv4" : [
        "192.0.2.0/24",
        "198.51.100.0/25"
      ]
    },
    "PID2" : {
      "ipv4" : [
        "198.51.100.128/25"
      ]
    },
    "PID3" : {
      "ipv4" : [
        "0.0.0.0/0"
      ],
      "ipv6" : [
        "::/0"
      ]
    }
  }
}`

// rfcCostMap is the cost map of §11.2.3.7. Its tag is not that of the network
// map, and it has no cost from PID3 to PID3.
const rfcCostMap = `{
  "meta" : {
    "dependent-vtags" : [
      {"resource-id": "my-default-network-map",
       "tag": "3ee2cb7e8d63d9fab71b9b34cbf764436315542e"
      }
    ],
    "cost-type" : {"cost-mode"  : "numerical",
                   "cost-metric": "routingcost"
    }
  },
  "cost-map" : {
    "PID1": { "PID1": 1,  "PID2": 5,  "PID3": 10 },
    "PID2": { "PID1": 5,  "PID2": 1,  "PID3": 15 },
    "PID3": { "PID1": 20, "PID2": 15  }
  }
}`

// errorDocument follows the text of §8.5.2; the RFC prints no whole one.
const errorDocument = `{
  "meta" : {
    "code" : "E_INVALID_FIELD_VALUE",
    "field" : "cost-type/cost-mode",
    "value" : "foo"
  }
}`

// rfcAddressGroup is the endpoint address group of §10.4.5, which is the value
// of a PID in a network map.
const rfcAddressGroup = `{
  "ipv4": [
    "192.0.2.0/24",
    "198.51.100.0/25"
  ],
  "ipv6": [
    "2001:db8:0:1::/64",
    "2001:db8:0:2::/64"
  ]
}`

// rfcNonOverlapping is the second network map of §11.2.2, of which only the
// body is printed.
const rfcNonOverlapping = `"network-map" : {
  "PID0" : { "ipv6" : [ "::/0" ] },
  "PID1" : { "ipv4" : [ "0.0.0.0/0" ] },
  "PID2" : { "ipv4" : [ "192.0.2.0/24", "198.51.100.0/24" ] },
  "PID3" : { "ipv4" : [ "192.0.2.0/25", "192.0.2.128/25" ] }
}`

// rfcOverlapping is what §11.2.2 changes PID3 to, to spoil that map.
const rfcOverlapping = `"PID3" : { "ipv4" : [ "192.0.2.0/24" ] }`

// rfcFilteredNetworkMap is the answer of §11.3.1.7. A prefix has bits beyond
// its length; without them it is one of PID1's.
const rfcFilteredNetworkMap = `{
  "meta" : {
    "vtag" : {
       "resource-id": "my-default-network-map",
       "tag": "c0ce023b8678a7b9ec00324673b98e54656d1f6d"
    }
  },
  "network-map" : {
    "PID1" : {
      "ipv4" : [
        "192.0.2.0/24",
        "198.51.100.0/24"
      ]
    },
    "PID2" : {
      "ipv4": [
        "198.51.100.128/24"
      ]
    }
  }
}`

// rfcCostMapFilter is the request of §11.3.2.7.
const rfcCostMapFilter = `{
  "cost-type" : {"cost-mode": "numerical",
                 "cost-metric": "routingcost"
  },
  "pids" : {
    "srcs" : [ "PID1" ],
    "dsts" : [ "PID1", "PID2", "PID3" ]
  }
}`

// rfcFilteredCostMap is the answer of §11.3.2.7.
const rfcFilteredCostMap = `{
  "meta" : {
    "dependent-vtags" : [
      {"resource-id": "my-default-network-map",
       "tag": "75ed013b3cb58f896e839582504f622838ce670f"
      }
    ],
    "cost-type": {"cost-mode" : "numerical",
                  "cost-metric" : "routingcost"
    }
  },
  "cost-map" : {
       "PID1": { "PID1": 0,  "PID2": 1,  "PID3": 2 }
  }
}`

// rfcEndpointProperties is the answer of §11.4.1.7, to a question that spells
// the map "my-default-networkmap".
const rfcEndpointProperties = `{
  "meta" : {
    "dependent-vtags" : [
      {"resource-id": "my-default-network-map",
       "tag": "7915dc0290c2705481c491a2b4ffbec482b3cf62"
      }
    ]
  },
  "endpoint-properties": {
    "ipv4:192.0.2.34"    : { "my-default-network-map.pid": "PID1",
                             "priv:ietf-example-prop": "1" },
    "ipv4:203.0.113.129" : { "my-default-network-map.pid": "PID3" }
  }
}`

// rfcEndpointCosts is the answer of §11.5.1.7.
const rfcEndpointCosts = `{
  "meta" : {
    "cost-type": {"cost-mode" : "ordinal",
                  "cost-metric" : "routingcost"
    }
  },
  "endpoint-cost-map" : {
    "ipv4:192.0.2.2": {
      "ipv4:192.0.2.89"    : 1,
      "ipv4:198.51.100.34" : 2,
      "ipv4:203.0.113.45"  : 3
    }
  }
}`
