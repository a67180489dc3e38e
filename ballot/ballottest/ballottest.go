// Package ballottest holds sequences of decisions, and what each decision does. Tests of the
// ballot, the API, the workflow and the claim all go by them: the four must agree.
package ballottest

import (
	_ "embed"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Sequence is decisions about one call.
type Sequence struct {
	Name string `json:"name"`
	approval.Requirement
	Requester string `json:"requester"`
	Owner     string `json:"owner"`
	Steps     []Step `json:"steps"`
	// Settled is how the call is decided by then; empty: it waits.
	Settled approval.DecisionKind `json:"settled"`
}

// Step is one decision, and its answer.
type Step struct {
	Decides approval.DecisionKind `json:"decides"`
	By      string                `json:"by"`
	Groups  []string              `json:"groups"`
	Signed  bool                  `json:"signed"`
	Digest  string                `json:"digest"` // "same" means the call's
	Notes   string                `json:"notes"`
	// Turned marks an answer that hangs on what the same person decided before.
	Turned bool                   `json:"turned"`
	Answer approval.AnswerOutcome `json:"answer"`
}

//go:embed sequences.json
var sequences []byte

// Sequences returns all of them.
func Sequences(t testing.TB) []Sequence {
	t.Helper()
	var doc struct {
		Sequences []Sequence `json:"sequences"`
	}
	if err := strictjson.Decode(sequences, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Sequences
}
