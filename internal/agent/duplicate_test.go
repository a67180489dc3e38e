package agent

import (
	"context"
	"errors"
	"testing"

	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// several answers for the call "dup", which was blocked as the duplicate of "first", and for that
// one.
type several struct {
	*server
	first  enumspb.WorkflowExecutionStatus // 0: unknown to Temporal
	result approval.Outcome
}

func (s *several) DescribeWorkflow(_ context.Context, id, _ string) (*client.WorkflowExecutionDescription, error) {
	switch {
	case id == "dup":
		return described(completed, "r1", approval.WorkflowType)()
	case id != "first" || s.first == 0:
		return nil, serviceerror.NewNotFound("")
	}
	return described(s.first, "r1", approval.WorkflowType)()
}

func (s *several) GetWorkflow(_ context.Context, id, runID string) client.WorkflowRun {
	return run{&server{get: func(string) (any, error) {
		if id == "dup" {
			return approval.Outcome{ID: "dup", Status: approval.StatusBlocked, DuplicateOf: "first"}, nil
		}
		return s.result, nil
	}}, runID}
}

func TestEndOfADuplicate(t *testing.T) {
	executed := approval.Outcome{ID: "first", Status: approval.StatusExecuted}
	for name, c := range map[string]struct {
		s    *several
		want string // the outcome's ID
		err  error
	}{
		"the first has ended":          {&several{first: completed, result: executed}, "first", nil},
		"the first is forgotten":       {&several{}, "dup", nil},
		"the first waits":              {&several{first: open}, "", ErrPending},
		"forged: they name each other": {&several{first: completed, result: approval.Outcome{ID: "first", Status: approval.StatusBlocked, DuplicateOf: "dup"}}, "first", nil},
	} {
		for _, run := range []string{"", "r1"} {
			o, err := NewTemporal(c.s, "pawl").End(t.Context(), "dup", run, c.err == nil)
			if o.ID != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s: %+v, %v", name, o, err)
			}
		}
	}
}
