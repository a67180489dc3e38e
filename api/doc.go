// Package api serves Pawl over HTTP: agents start calls and fetch outcomes,
// reviewers list requests and decide, operators read the audit log.
//
// Everything that happens to a call happens in its workflow: a handler sends
// a signal, then asks the workflow what became of it. Lists come from the
// store, which holds redacted values only; what one call is doing comes from
// Temporal. The package keeps no state of its own, so any number of processes
// may serve the same namespace and store.
//
// # Who is who
//
// The one mode there is now, "none", authenticates nobody, so it serves on
// loopback addresses only, and says so in what it records: every caller is
// the requester [Requester], and a reviewer is whoever the header
// X-Pawl-Reviewer names, recorded as unauthenticated. No body field ever says
// who somebody is.
//
// # Errors
//
// Every error is application/problem+json with a stable "code". Decisions
// that did not count also say their "outcome".
package api
