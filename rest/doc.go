// Package rest holds the requests, answers and problem codes of Pawl's HTTP API, for its server,
// its clients and the command line. Its JSON is a contract: fields are added, and none is changed
// or removed. The rules of the values are those of package approval; package api says who may send
// what, and api/openapi.yaml describes all of it.
package rest

// Headers of the API's own.
const (
	// HeaderReviewer names who decides, where nobody is authenticated.
	HeaderReviewer = "X-Pawl-Reviewer"
	// HeaderIdempotencyKey is another place for approval.Call.IdempotencyKey.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderAttached is "true" in an answer about a call that was started before, under the same
	// idempotency key.
	HeaderAttached = "Pawl-Attached"
	// HeaderDuplicate holds the ID of the call that a request started, where the answer is about the
	// identical call that waited already.
	HeaderDuplicate = "Pawl-Collapsed"
)

// NDJSON is the media type of an export.
const NDJSON = "application/x-ndjson"

// Page is part of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Total counts all that match, exactly up to 1,000; 1,001 means "more than that".
	Total int `json:"total"`
	// Next is the parameter "cursor" of the request for what comes after; empty: nothing does.
	Next string `json:"next_cursor"`
}

// Readiness is the answer of GET /readyz.
type Readiness struct {
	Ready bool `json:"ready"` // false if a check fails without which the process can't serve
	// Checks are by name. Some may fail while the process is ready all the same.
	Checks map[string]CheckState `json:"checks"`
	Detail map[string]string     `json:"detail,omitempty"` // what to do where a check is not ok, or how it is
}

// CheckState is what became of one check.
type CheckState string

// States of a check.
const (
	CheckOK          CheckState = "ok"
	CheckUnavailable CheckState = "unavailable" // it does not answer, or says no
	CheckMissing     CheckState = "missing"     // what could say so says that it is not there
)

// Version is the answer of GET /api/version.
type Version struct {
	Version  string   `json:"version"`  // of Pawl, like v1.2.3; "devel" in a build from a working copy
	Features []string `json:"features"` // what the API offers beyond the first version of its contract
}
