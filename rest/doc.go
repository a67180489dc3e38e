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

// Page is part of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Total counts all that match, exactly up to 1,000; 1,001 means "more than that".
	Total int `json:"total"`
	// Next is the parameter "cursor" of the request for what comes after; empty: nothing does.
	Next string `json:"next_cursor"`
}
