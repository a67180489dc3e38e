package worker

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// slow answers starts of workflows with these errors, one after the other.
type slow struct {
	client.Client
	errs  []error
	asked int
}

func (s *slow) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	s.asked++
	return nil, s.errs[min(s.asked, len(s.errs))-1]
}

// A Temporal that gives no answer in time is asked again; one that refuses is not.
func TestBindingWaitsForAnswers(t *testing.T) {
	late, away := serviceerror.NewDeadlineExceeded("late"), serviceerror.NewUnavailable("away")
	cut, refused := serviceerror.NewCanceled("stream terminated"), serviceerror.NewInvalidArgument("no")
	for name, tc := range map[string]struct {
		errs  []error
		asked int
	}{
		"it refuses":              {[]error{refused}, 1},
		"it is late at first":     {[]error{late, refused}, 2},
		"it is away at first":     {[]error{away, away, refused}, 3},
		"its answers are cut off": {[]error{cut, context.DeadlineExceeded, refused}, 3},
		"something else":          {[]error{errors.New("this process's own")}, 1},
	} {
		s := &slow{errs: tc.errs}
		err := bind(t.Context(), Options{Client: s, TaskQueue: "q"}, "store")
		if s.asked != tc.asked || !errors.Is(err, tc.errs[len(tc.errs)-1]) {
			t.Errorf("%s: asked %d times, %v", name, s.asked, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := &slow{errs: []error{late}}
	if err := bind(ended, Options{Client: s, TaskQueue: "q"}, "store"); s.asked != 1 || err == nil {
		t.Errorf("stopped: asked %d times, %v", s.asked, err)
	}
}
