package calls

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// server answers as Temporal would.
type server struct {
	Temporal
	start    func(client.StartWorkflowOptions) error
	describe []*client.WorkflowExecutionDescription // one after the other, the last for good; none: not found
	get      func(run string) (any, error)
	list     []*workflowservice.ListWorkflowExecutionsResponse
	signal   error

	mu      sync.Mutex
	onQuery func() error
	queries int
	asking  int
	most    int
}

func (s *server) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	if err := s.start(o); err != nil {
		return nil, err
	}
	return run{s: s, id: "r1"}, nil
}

func (s *server) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	if len(s.describe) == 0 {
		return nil, serviceerror.NewNotFound("")
	}
	d := s.describe[0]
	s.describe = s.describe[min(1, len(s.describe)-1):]
	return d, nil
}

func (s *server) GetWorkflow(_ context.Context, _, id string) client.WorkflowRun {
	return run{s: s, id: id}
}

func (s *server) SignalWorkflow(context.Context, string, string, string, any) error { return s.signal }

func (s *server) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if len(s.list) == 0 {
		return nil, serviceerror.NewUnavailable("away")
	}
	page := s.list[0]
	s.list = s.list[1:]
	return page, nil
}

type answer struct {
	converter.EncodedValue
	state approval.State
}

func (a answer) Get(to any) error {
	*to.(*approval.State) = a.state
	return nil
}

func (s *server) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	s.count(1)
	defer s.count(-1)
	if err := s.onQuery(); err != nil {
		return nil, err
	}
	return answer{state: approval.State{View: approval.View{ID: "id"}}}, nil
}

func (s *server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries += max(n, 0)
	s.asking += n
	s.most = max(s.most, s.asking)
}

type run struct {
	client.WorkflowRun
	s  *server
	id string
}

func (r run) GetRunID() string { return r.id }

func (r run) Get(ctx context.Context, to any) error {
	if r.s.get == nil { // it goes on
		<-ctx.Done()
		return ctx.Err()
	}
	v, err := r.s.get(r.id)
	if err != nil {
		return err
	}
	p, err := converter.GetDefaultDataConverter().ToPayload(v)
	if err != nil {
		return err
	}
	return converter.GetDefaultDataConverter().FromPayload(p, to)
}

func described(status enumspb.WorkflowExecutionStatus, run, workflowType string) *client.WorkflowExecutionDescription {
	d := &client.WorkflowExecutionDescription{}
	d.Status, d.WorkflowExecution.RunID, d.WorkflowType.Name = status, run, workflowType
	return d
}

func ofCall(status enumspb.WorkflowExecutionStatus, run string) *client.WorkflowExecutionDescription {
	return described(status, run, approval.WorkflowType)
}

func newClient(s *server) *Client {
	return New(Options{Temporal: s, TaskQueue: "pawl", Timeout: time.Minute, Query: time.Minute})
}

const (
	open       = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	paused     = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
	completed  = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	terminated = enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
)

func TestIsOpen(t *testing.T) {
	for n := range enumspb.WorkflowExecutionStatus_name {
		if s := enumspb.WorkflowExecutionStatus(n); IsOpen(s) != (s == open || s == paused) {
			t.Errorf("%v: open %t", s, IsOpen(s))
		}
	}
}

func TestStart(t *testing.T) {
	s, err := Prepare(approval.Call{Tool: "t", Requester: "agent:a", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	twice := func(client.StartWorkflowOptions) error {
		return serviceerror.NewWorkflowExecutionAlreadyStarted("", "", "")
	}
	for name, c := range map[string]struct {
		s    *server
		run  string
		want error
	}{
		"new": {&server{start: func(o client.StartWorkflowOptions) error {
			if o.ID != s.ID || o.TaskQueue != "pawl" || !o.WorkflowExecutionErrorWhenAlreadyStarted || o.EnableEagerStart ||
				o.WorkflowIDReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE {
				t.Errorf("%+v", o)
			}
			return nil
		}}, "r1", nil},
		"nobody can say":   {&server{start: twice, describe: []*client.WorkflowExecutionDescription{ofCall(open, "r1")}}, "", ErrConflict},
		"another workflow": {&server{start: twice, describe: []*client.WorkflowExecutionDescription{described(open, "r1", "Backup")}}, "", ErrConflict},
	} {
		run, err := newClient(c.s).Start(t.Context(), s)
		if run != c.run || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", name, run, err)
		}
	}
}

func TestFollow(t *testing.T) {
	fine := func(string) (any, error) { return approval.Outcome{ID: "id", Status: approval.StatusRejected}, nil }
	closed := &temporal.WorkflowExecutionError{}
	reset := func(run string) (any, error) { // r0 was closed by a reset that opened r1
		if run == "r0" {
			return nil, closed
		}
		return fine(run)
	}
	failing := func(err error) func(string) (any, error) { return func(string) (any, error) { return nil, err } }
	list := func(d ...*client.WorkflowExecutionDescription) []*client.WorkflowExecutionDescription { return d }
	for name, c := range map[string]struct {
		s    *server
		wait bool
		end  bool // with an outcome
		open bool // if there is none
		want error
	}{
		"ends while waited for":    {s: &server{get: fine, describe: list(ofCall(open, "r1"))}, wait: true, end: true},
		"ends after a pause":       {s: &server{get: fine, describe: list(ofCall(paused, "r1"))}, wait: true, end: true},
		"ended":                    {s: &server{get: fine, describe: list(ofCall(completed, "r1"))}, end: true},
		"reset meanwhile":          {s: &server{get: reset, describe: list(ofCall(open, "r0"), ofCall(open, "r1"))}, wait: true, end: true},
		"open":                     {s: &server{describe: list(ofCall(open, "r1"))}, open: true},
		"paused":                   {s: &server{describe: list(ofCall(paused, "r1"))}, open: true},
		"terminated":               {s: &server{describe: list(ofCall(terminated, "r1"))}, wait: true},
		"terminated while waited":  {s: &server{get: failing(closed), describe: list(ofCall(open, "r1"), ofCall(terminated, "r1"))}, wait: true},
		"Temporal does not agree":  {s: &server{get: failing(closed), describe: list(ofCall(open, "r1"))}, wait: true, open: true},
		"unknown":                  {s: &server{}, want: ErrUnknown},
		"another type of workflow": {s: &server{describe: list(described(open, "r1", "Backup"))}, wait: true, want: ErrUnknown},
		"deleted just now":         {s: &server{get: failing(serviceerror.NewNotFound("")), describe: list(ofCall(completed, "r1"))}, want: new(Error)},
		"no outcome":               {s: &server{get: func(string) (any, error) { return "hm", nil }, describe: list(ofCall(completed, "r1"))}, want: ErrNoOutcome},
		"unreadable":               {s: &server{get: failing(converter.ErrUnableToDecode), describe: list(ofCall(open, "r1"))}, wait: true, want: new(UnreadableError)},
		"Temporal is away":         {s: &server{get: failing(serviceerror.NewUnavailable("")), describe: list(ofCall(open, "r1"))}, wait: true, want: new(Error)},
	} {
		waiting, cancel := context.WithCancel(t.Context())
		if !c.wait {
			cancel()
		}
		o, d, err := newClient(c.s).Follow(t.Context(), waiting, "id")
		cancel()
		switch c.want.(type) {
		case *Error:
			if !errors.As(err, new(*Error)) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		case *UnreadableError:
			if !errors.As(err, new(*UnreadableError)) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, c.want) || (o != nil) != c.end || c.want == nil && !c.end && IsOpen(d.Status) != c.open {
			t.Errorf("%s: %+v, %+v, %v", name, o, d, err)
		}
	}
}

func TestFollowStopsWhenTheWaitingEnds(t *testing.T) {
	waiting, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	s := &server{describe: []*client.WorkflowExecutionDescription{ofCall(open, "r1")}}
	if o, d, err := newClient(s).Follow(t.Context(), waiting, "id"); o != nil || d == nil || err != nil {
		t.Errorf("%+v, %+v, %v", o, d, err)
	}
}

func TestSweep(t *testing.T) {
	seen := func(id string, status enumspb.WorkflowExecutionStatus) *workflowpb.WorkflowExecutionInfo {
		return &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}, Status: status}
	}
	c := newClient(&server{list: []*workflowservice.ListWorkflowExecutionsResponse{
		{NextPageToken: []byte("more"), Executions: []*workflowpb.WorkflowExecutionInfo{
			seen("open", open), seen("paused", paused), seen("ended", completed), seen("reset", terminated)}},
		{Executions: []*workflowpb.WorkflowExecutionInfo{seen("reset", open), seen("cut", terminated)}},
	}})
	ended, missing, err := c.Sweep(t.Context(), []string{"open", "paused", "ended", "reset", "cut", "unseen", "it's odd"})
	slices.Sort(missing)
	if err != nil || !slices.Equal(ended, []string{"ended", "cut"}) || !slices.Equal(missing, []string{"it's odd", "unseen"}) {
		t.Errorf("ended %q, missing %q, %v", ended, missing, err)
	}
	var away *Error
	if _, _, err := c.Sweep(t.Context(), []string{"a"}); !errors.As(err, &away) || away.Refused {
		t.Errorf("%v", err)
	}
	if _, missing, err := c.Sweep(t.Context(), []string{"it's odd"}); err != nil || len(missing) != 1 {
		t.Errorf("%q, %v", missing, err)
	}
}

func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		d      *client.WorkflowExecutionDescription
		signal error
		want   error
	}{
		"open":             {ofCall(open, "r1"), nil, nil},
		"ended":            {ofCall(completed, "r1"), serviceerror.NewNotFound(""), ErrEnded},
		"another workflow": {described(open, "r1", "Backup"), errors.New("it was signalled"), ErrUnknown},
	} {
		s := &server{describe: []*client.WorkflowExecutionDescription{c.d}, signal: c.signal}
		if err := newClient(s).Cancel(t.Context(), "id", approval.CancelSignal{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsAreClassified(t *testing.T) {
	own := errors.New("the payload can't be encoded")
	for name, c := range map[string]struct {
		err             error
		answer, refused bool
	}{
		"away":         {serviceerror.NewUnavailable(""), true, false},
		"too slow":     {context.DeadlineExceeded, true, false},
		"malformed":    {serviceerror.NewInvalidArgument(""), true, true},
		"no namespace": {serviceerror.NewNamespaceNotFound(""), true, true},
		"forbidden":    {serviceerror.NewPermissionDenied("", ""), true, true},
		"too old":      {serviceerror.NewUnimplemented(""), true, true},
		"our own":      {own, false, false},
		"none":         {nil, false, false},
	} {
		got := Classify(c.err)
		var e *Error
		if errors.As(got, &e) != c.answer || e != nil && e.Refused != c.refused || !errors.Is(got, c.err) {
			t.Errorf("%s: %#v", name, got)
		}
	}
	text := (&UnreadableError{What: "its result", Err: errors.Join(errors.New("hunter2"), &codec.KeyError{ID: "pk-1"})}).Error()
	if want := "its result can't be read: " + (&codec.KeyError{ID: "pk-1"}).Error(); text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

// Temporal is not asked for what no call can be.
func TestImpossibleIDs(t *testing.T) {
	c := newClient(&server{
		describe: []*client.WorkflowExecutionDescription{ofCall(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, "r1")},
		signal:   errors.New("asked"), onQuery: func() error { return errors.New("asked") },
	})
	for _, id := range []string{"", "\u00fc-1", "pawl-\u200b1", "a\x00", "a\n", "a\x7f", "\xff", strings.Repeat("x", approval.MaxID+1)} {
		_, described := c.Describe(t.Context(), id)
		_, steps := c.Steps(t.Context(), id)
		_, state := c.State(t.Context(), id)
		signal := c.Signal(t.Context(), id, approval.SignalApprove, nil)
		for what, err := range map[string]error{"describe": described, "steps": steps, "state": state} {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %s: %v", id, what, err)
			}
		}
		if !errors.Is(signal, ErrEnded) || approval.CheckID(id) == nil {
			t.Errorf("%q: signal: %v", id, signal)
		}
	}
	for _, id := range []string{"a", " ~", "a/b?c", strings.Repeat("x", approval.MaxID)} {
		if _, err := c.Describe(t.Context(), id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestTooManySignals(t *testing.T) {
	for text, many := range map[string]bool{
		"exceeded workflow execution limit for signal events": true,
		"exceeded limit for signal events of this execution":  true,
		"signal input is too large":                           false,
		"":                                                    false,
	} {
		err := newClient(&server{signal: serviceerror.NewInvalidArgument(text)}).Signal(t.Context(), "id", "approve", nil)
		if errors.Is(err, ErrTooManySignals) != many {
			t.Errorf("%q: %v", text, err)
		}
	}
}
