// Package api serves Pawl over HTTP: agents start calls and fetch outcomes, reviewers list requests
// and decide, operators read the audit log.
//
// Everything that happens to a call happens in its workflow: a handler sends a signal, then asks
// the workflow what became of it. Lists come from the store, which holds redacted values only; what
// one call is doing comes from Temporal. The package keeps no state of its own, so any number of
// processes may serve the same namespace and store.
//
// # Who is who
//
// Callers send a bearer token; [Options].Auth makes a principal of it, and one table says which
// role may do what on which route. Requester, team, agent and reviewer are the principal's: a
// request that says something else is refused.
//
// Without Auth nobody is authenticated, so only loopback addresses are served, and records say so:
// every caller is the requester [auth.LocalSubject], and a reviewer is whoever the header
// X-Pawl-Reviewer names.
//
// # Errors
//
// Every error is application/problem+json with a stable "code". Decisions that did not count also
// say their "outcome".
package api
