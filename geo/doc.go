// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

// Package geo places addresses by MaxMind databases: the fallback for clients
// that no prefix of a network map covers.
//
// A [DB] reads Country, City, Enterprise, ASN and ISP databases and keeps them
// current while their files are replaced. Its [Snapshot] is one consistent,
// immutable state of all of them and the [altoroute.Locator] that a plan uses.
// Rules turn a place into PIDs, from the most specific kind to the most
// general: by AS number, by country, by continent.
//
// # What counts as known
//
// Unknown never equals unknown, so that no rule ever matches by an absence:
//
//   - A country is two letters. The codes that databases use for "no country"
//     (AP, EU, XX, ZZ, and with a digit A1, A2, O1) are unknown.
//   - A continent is one of AF, AN, AS, EU, NA, OC and SA.
//   - An AS number is unknown if it stands for no network: 0 (RFC 7607),
//     23456 (AS_TRANS, RFC 6793), 65535 and 4294967295 (RFC 7300). Private
//     numbers are kept, they mean something in an operator's own database.
//   - registered_country and represented_country say whose an address is, not
//     where it is, and are never read.
//   - Coordinates are never read, so the centre of a country, where databases
//     put what they cannot place, draws nobody anywhere.
package geo
