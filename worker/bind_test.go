package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
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

// away is a Temporal whose lists answer with these errors, one after the other, and then as otherTemporal.
type away struct {
	otherTemporal
	errs  []error
	asked int
}

func (a *away) ListWorkflow(
	ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if a.asked++; a.asked <= len(a.errs) {
		return nil, a.errs[a.asked-1]
	}
	return a.otherTemporal.ListWorkflow(ctx, r)
}

// A store that can't be compared with Temporal is not served: a list that gives no answer is asked again,
// and one that refuses ends the start.
func TestServingWaitsForTheComparison(t *testing.T) {
	unavailable, late := serviceerror.NewUnavailable("away"), serviceerror.NewDeadlineExceeded("late")
	refused, denied := serviceerror.NewInvalidArgument("no"), serviceerror.NewPermissionDenied("not you", "")
	restored := map[string]approval.Status{"unknown": approval.StatusExecuted}
	s := restoredStore(t)
	for name, tc := range map[string]struct {
		completed map[string]approval.Status
		errs      []error
		want      error
		asked     int
	}{
		"it answers":                         {nil, nil, nil, 1},
		"it is away at first":                {nil, []error{unavailable, late, unavailable}, nil, 4},
		"it is away, and the store is older": {restored, []error{unavailable, late}, ErrRestored, 3},
		"its answer is cut off":              {restored, []error{serviceerror.NewCanceled("cut")}, ErrRestored, 2},
		"it refuses":                         {nil, []error{refused}, refused, 1},
		"it is away and then forbids":        {nil, []error{unavailable, denied}, denied, 2},
	} {
		var log bytes.Buffer
		c := &away{otherTemporal{completed: tc.completed}, tc.errs, 0}
		o := Options{Client: c, Namespace: "default", TaskQueue: "q", Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if err := awaitCompared(t.Context(), o); !errors.Is(err, tc.want) || c.asked != tc.asked {
			t.Errorf("%s: asked %d times, %v", name, c.asked, err)
		}
		if n := strings.Count(log.String(), "does not serve yet"); n != len(tc.errs) && tc.want != refused && tc.want != denied {
			t.Errorf("%s: said %d times: %s", name, n, log.String())
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := &away{errs: []error{unavailable, unavailable}}
	o := Options{Client: c, Namespace: "default", TaskQueue: "q", Store: s, Logger: slog.New(slog.DiscardHandler)}
	if err := awaitCompared(ended, o); err == nil || c.asked > 1 {
		t.Errorf("stopped: asked %d times, %v", c.asked, err)
	}
}
