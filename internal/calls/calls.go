// Package calls is the one room that talks to Temporal about guarded calls, for the API and the
// SDK: how a call is checked and started once under its ID, found, followed to its end, asked,
// signalled and withdrawn, and what errors mean there.
package calls

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// Temporal is what a Client needs of Temporal's. A client.Client is one; it retries what can be
// retried until the context ends.
type Temporal interface {
	ExecuteWorkflow(
		ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any,
	) (client.WorkflowRun, error)
	GetWorkflow(ctx context.Context, id, run string) client.WorkflowRun
	DescribeWorkflow(ctx context.Context, id, run string) (*Description, error)
	ListWorkflow(
		ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
	) (*workflowservice.ListWorkflowExecutionsResponse, error)
	QueryWorkflow(ctx context.Context, id, run, query string, args ...any) (converter.EncodedValue, error)
	SignalWorkflow(ctx context.Context, id, run, signal string, arg any) error
	WorkflowService() workflowservice.WorkflowServiceClient // retries nothing
}

// Description is what Temporal says of a workflow's run.
type Description = client.WorkflowExecutionDescription

// Options configure a Client. All but EagerStart and Converter are required, and Namespace for Steps
// and Input.
type Options struct {
	Temporal  Temporal
	Namespace string // the Temporal client's
	TaskQueue string // where calls are started
	// EagerStart asks Temporal to hand a new call straight to a worker that runs in this process on
	// the same client.
	EagerStart bool
	// Converter is the Temporal client's, for Input. Default: the SDK's.
	Converter converter.DataConverter
	// Timeout bounds one exchange. Temporal's SDK uses half of a deadline it can see, and keeps trying
	// until then.
	Timeout time.Duration
	// Query bounds one query: a workflow answers by a worker, which may be busy.
	Query time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	o       Options
	queries queries
}

// New makes a Client. It contacts nobody.
func New(o Options) *Client {
	o.Converter = cmp.Or(o.Converter, converter.GetDefaultDataConverter())
	return &Client{o: o, queries: queries{next: map[string]*round{}}}
}

// Start starts the call and returns its run, or "" where this very call was started before. Errors:
// ErrConflict, *UnreadableError, *Error.
func (c *Client) Start(ctx context.Context, s Start) (run string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	o := s.options(c.o.TaskQueue, c.o.EagerStart)
	started, err := c.o.Temporal.ExecuteWorkflow(ctx, o, approval.WorkflowType, s.Call, s.Via)
	switch {
	case err == nil:
		return started.GetRunID(), nil
	case !errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)):
		return "", Classify(err)
	}
	if err = c.Same(ctx, s); errors.Is(err, ErrUnknown) { // another type of workflow has the ID
		err = ErrConflict
	}
	return "", err
}

// Same returns nil if the workflow that runs, or ran, under the ID is this very call. Of one that
// was started by other means, and has no memo, nobody can say that: ErrConflict. Other errors:
// ErrUnknown, *UnreadableError, *Error.
func (c *Client) Same(ctx context.Context, s Start) error {
	d, err := c.Describe(ctx, s.ID)
	switch {
	case err != nil:
		return err
	case d.Memo.GetFields()[approval.MemoFingerprint] == nil:
		return ErrConflict
	}
	var memo string
	if err := d.GetMemoValue(approval.MemoFingerprint, &memo); err != nil {
		return &UnreadableError{What: "for which call the key was used before", Err: err}
	}
	if memo != s.Fingerprint {
		return ErrConflict
	}
	return nil
}

// Describe looks at the latest run of a call's workflow; it needs no worker. A workflow of another
// type is nobody's call, so ErrUnknown: the namespace may hold other people's. Other errors:
// *Error.
func (c *Client) Describe(ctx context.Context, id string) (*Description, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if approval.CheckID(id) != nil {
		return nil, ErrUnknown
	}
	d, err := c.o.Temporal.DescribeWorkflow(ctx, id, "")
	switch {
	case isNotFound(err):
		return nil, ErrUnknown
	case err != nil:
		return nil, Classify(err)
	case d.WorkflowType.Name != approval.WorkflowType:
		return nil, ErrUnknown
	}
	return d, nil
}

// Steps is what Temporal says of a workflow and its steps under way. Whoever shows it must be quick
// or do without, so nothing is retried. Errors: ErrUnknown, *Error.
func (c *Client) Steps(
	ctx context.Context, id string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if approval.CheckID(id) != nil {
		return nil, ErrUnknown
	}
	r := &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: c.o.Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id},
	}
	d, err := c.o.Temporal.WorkflowService().DescribeWorkflowExecution(ctx, r)
	if isNotFound(err) {
		return nil, ErrUnknown
	}
	return d, Classify(err)
}

// Input is what the latest run of a call's workflow was started with: the call as the workflow has
// it, while the store has it redacted. Whoever shows something of it must be quick or do without, so
// nothing is retried. Errors: ErrUnknown, *UnreadableError, *Error.
func (c *Client) Input(ctx context.Context, id string) (call approval.Call, err error) {
	if approval.CheckID(id) != nil {
		return call, ErrUnknown
	}
	r, err := c.o.Temporal.WorkflowService().GetWorkflowExecutionHistory(ctx,
		&workflowservice.GetWorkflowExecutionHistoryRequest{
			Namespace: c.o.Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id}, MaximumPageSize: 1,
		})
	switch {
	case isNotFound(err):
		return call, ErrUnknown
	case err != nil:
		return call, Classify(err)
	}
	var started *historypb.WorkflowExecutionStartedEventAttributes
	if events := r.GetHistory().GetEvents(); len(events) > 0 {
		started = events[0].GetWorkflowExecutionStartedEventAttributes()
	}
	input := started.GetInput().GetPayloads()
	if started.GetWorkflowType().GetName() != approval.WorkflowType || len(input) == 0 {
		return call, ErrUnknown
	}
	var raw converter.RawValue
	if err = c.o.Converter.FromPayload(input[0], &raw); err == nil && codec.Encrypted(raw.Payload()) {
		err = codec.ErrNoKeyring
	}
	if err == nil {
		call, err = approval.ParseCall(raw.Payload().GetData())
	}
	if err != nil {
		return approval.Call{}, &UnreadableError{What: "what the call was started with", Err: err}
	}
	call.Nonce = cmp.Or(call.Nonce, started.GetFirstExecutionRunId())
	return call, nil
}

// Signal sends a signal to a call's workflow, whatever type that has: see Describe. Errors:
// ErrEnded, ErrTooManySignals, *Error.
func (c *Client) Signal(ctx context.Context, id, name string, arg any) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if approval.CheckID(id) != nil {
		return ErrEnded
	}
	err := c.o.Temporal.SignalWorkflow(ctx, id, "", name, arg)
	switch {
	case isNotFound(err):
		return ErrEnded
	case errors.As(err, new(*serviceerror.InvalidArgument)) && strings.Contains(err.Error(), signalLimit):
		return ErrTooManySignals
	}
	return Classify(err)
}

// signalLimit is how Temporal's server says that a workflow has got as many signals as it takes.
const signalLimit = "limit for signal events"

// MaxSignals is how many signals a workflow takes, unless Temporal's operator changed that.
const MaxSignals = 10_000

// Cancel asks for the withdrawal of a call. Errors: ErrUnknown, ErrEnded, *Error.
func (c *Client) Cancel(ctx context.Context, id string, s approval.CancelSignal) error {
	if _, err := c.Describe(ctx, id); err != nil { // never signal what is no call
		return err
	}
	return c.Signal(ctx, id, approval.SignalCancel, s)
}

// IsOpen reports whether a workflow may still go on: one that somebody paused in Temporal, too.
func IsOpen(s enumspb.WorkflowExecutionStatus) bool {
	return s == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || s == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
}

// HowClosed says, after "the workflow", what became of one that is not open and did not complete.
func HowClosed(s enumspb.WorkflowExecutionStatus) string {
	switch s {
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return "was terminated in Temporal by an operator"
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return "ran into a time limit that an operator or starter set in Temporal"
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return "was cancelled in Temporal before it could answer"
	}
	return "was closed in Temporal without an outcome"
}

// Start is a call that is ready to be started, once, under its ID.
type Start struct {
	ID          string
	Call        approval.Call // as the workflow will read it
	Fingerprint string        // approval.MemoFingerprint
	Via         approval.Via  // how its starter asked
}

// Prepare checks a call and gives it a nonce, if it has none, and an ID: a random one, or the one
// that its requester's idempotency key stands for. Errors have approval.CodeInvalid.
func Prepare(call approval.Call) (Start, error) {
	call.Nonce = cmp.Or(call.Nonce, approval.NewNonce())
	call, err := asSent(call)
	if err != nil {
		return Start{}, err
	}
	fingerprint, err := call.Fingerprint()
	if err != nil {
		return Start{}, err
	}
	id := approval.NewID()
	if call.IdempotencyKey != "" {
		id = approval.KeyedID(call.Requester, call.IdempotencyKey)
	}
	return Start{ID: id, Call: call, Fingerprint: fingerprint}, nil
}

// asSent checks the call and reads it as the workflow will: JSON for the wire has escapes that the
// caller may have done without, and limits are on what is sent.
func asSent(call approval.Call) (approval.Call, error) {
	call.Normalize()
	if err := call.Validate(); err != nil {
		return call, err
	}
	doc, err := json.Marshal(call)
	if err != nil {
		return call, approval.Errorf(approval.CodeInvalid, "the call can't be written as JSON")
	}
	return approval.ParseCall(doc)
}

// options start the call so that its ID never starts a second one: not while the first runs, and
// not after its end.
func (s Start) options(queue string, eager bool) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: s.ID, TaskQueue: queue, EnableEagerStart: eager,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo: map[string]any{
			approval.MemoFingerprint: s.Fingerprint, approval.MemoRequester: s.Call.Requester,
		},
		StaticSummary: summary(s.Call),
		Priority:      temporal.Priority{FairnessKey: fairness(s.Call.Team)},
	}
}

// fairness is the key by which Temporal lets every team have its turn where a queue is backed up. It
// takes at most 64 bytes, and history shows it to whoever may read that: the name stays out.
func fairness(team string) string {
	if team == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(team))
	return hex.EncodeToString(sum[:8])
}

var plainName = regexp.MustCompile(`^[\p{L}\p{N} ._@-]+$`)

// summary is the line under which Temporal's UI lists the call: Markdown of at most 400 bytes, so
// an agent's name that could be markup is left out.
func summary(call approval.Call) string {
	if !plainName.MatchString(call.Agent) {
		return call.Tool
	}
	return call.Tool + " for " + approval.Display(call.Agent, 40)
}
