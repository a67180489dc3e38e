package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/runner"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// rpcTimeout bounds one exchange. The SDK uses half of a deadline it can see
// and keeps trying until then.
const rpcTimeout = 10 * time.Second

// Temporal is the Backend that agents run on.
type Temporal struct {
	client    client.Client
	queue     string
	namespace string
	owned     bool
}

// NewTemporal talks to Temporal by c, which stays the caller's to close; calls
// start on queue.
func NewTemporal(c client.Client, queue string) *Temporal {
	return &Temporal{client: c, queue: queue}
}

// Connect dials Temporal, and Close closes the connection. A namespace that is
// missing is health.ErrMissing, payloads that are encrypted otherwise than
// here are health.ErrUnreadable.
func Connect(ctx context.Context, o client.Options, queue string) (*Temporal, error) {
	c, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, err
	}
	t := &Temporal{client: c, queue: queue, namespace: cmp.Or(o.Namespace, client.DefaultNamespace), owned: true}
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	// Any other answer proves nothing: credentials for a namespace's calls need
	// not suffice to describe it.
	if err := health.Namespace(ctx, c.WorkflowService(), t.namespace); errors.Is(err, health.ErrMissing) {
		c.Close()
		return nil, err
	}
	// So does the answer that the workers write what this process can't read.
	if err := health.SamePayloads(ctx, c, queue); errors.Is(err, health.ErrUnreadable) {
		c.Close()
		return nil, err
	}
	return t, nil
}

// Start implements Backend.
func (t *Temporal) Start(ctx context.Context, s calls.Start) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	run, err := t.client.ExecuteWorkflow(ctx, s.Options(t.queue), approval.WorkflowType, s.Call)
	var duplicate *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case err == nil:
		return run.GetRunID(), nil
	case !errors.As(err, &duplicate):
		return "", sorted(err)
	}
	d, err := t.describe(ctx, s.ID)
	if errors.Is(err, ErrUnknown) {
		return "", ErrConflict
	}
	if err != nil {
		return "", err
	}
	same, err := s.Same(d)
	switch {
	case err != nil:
		return "", &RefusedError{fmt.Errorf("the key was used before, and this process can't read for which call: %w", unreadable(err))}
	case !same:
		return "", ErrConflict
	}
	return "", nil
}

// describe looks at the latest run of a call's workflow. A workflow of another
// type is nobody's call: the namespace may hold other people's.
func (t *Temporal) describe(ctx context.Context, id string) (*client.WorkflowExecutionDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	d, err := t.client.DescribeWorkflow(ctx, id, "")
	switch {
	case isNotFound(err):
		return nil, ErrUnknown
	case err != nil:
		return nil, sorted(err)
	case d.WorkflowType.Name != approval.WorkflowType:
		return nil, ErrUnknown
	}
	return d, nil
}

// End implements Backend.
func (t *Temporal) End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	o, err := t.ownEnd(ctx, id, run, wait)
	if err != nil || o.SameAs == "" {
		return o, err
	}
	same, err := t.ownEnd(ctx, o.SameAs, "", wait)
	if errors.Is(err, ErrUnknown) {
		return o, nil
	}
	return same, err
}

// ownEnd is how the call itself ended, if it was a duplicate, too.
func (t *Temporal) ownEnd(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	if run != "" && wait {
		o, err := t.outcome(ctx, id, run)
		var closed *temporal.WorkflowExecutionError
		if err == nil || !(errors.As(err, &closed) || isNotFound(err)) {
			return o, err
		}
	}
	for last := ""; ; {
		d, err := t.describe(ctx, id)
		if err != nil {
			return approval.Outcome{}, err
		}
		latest := d.WorkflowExecution.RunID
		switch open := d.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING; {
		case open && !wait:
			return approval.Outcome{}, ErrPending
		case !open && d.Status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
			return approval.Outcome{}, &GoneError{How: closed(d.Status)}
		case latest == last:
			return approval.Outcome{}, errors.New("Temporal does not agree with itself yet on whether the workflow is open")
		}
		o, err := t.outcome(ctx, id, latest)
		var ended *temporal.WorkflowExecutionError
		if err == nil || !errors.As(err, &ended) {
			return o, err
		}
		last = latest // closed without an outcome; a reset may have opened a new run
	}
}

// outcome waits for a run to end. A run that ends without an outcome is a
// WorkflowExecutionError.
func (t *Temporal) outcome(ctx context.Context, id, run string) (approval.Outcome, error) {
	var raw json.RawMessage
	err := calls.Await(ctx, t.client.GetWorkflow(ctx, id, run), &raw)
	var closed *temporal.WorkflowExecutionError
	switch {
	case errors.As(err, &closed), isNotFound(err):
		return approval.Outcome{}, err
	case errors.Is(err, converter.ErrUnableToDecode), errors.Is(err, converter.ErrEncodingIsNotSupported), errors.Is(err, converter.ErrMetadataIsNotSet):
		return approval.Outcome{}, &GoneError{How: "ended with a result that can't be read: " + unreadable(err).Error()}
	case err != nil:
		return approval.Outcome{}, sorted(err)
	}
	var o approval.Outcome
	if json.Unmarshal(raw, &o) != nil || !o.Status.Ended() {
		return approval.Outcome{}, &GoneError{How: "ended with a result that is no outcome"}
	}
	return o, nil
}

func closed(s enumspb.WorkflowExecutionStatus) string {
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

// Sweep implements Backend.
func (t *Temporal) Sweep(ctx context.Context, ids []string) (ended, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	quoted := make([]string, len(ids))
	for i, id := range ids {
		if strings.ContainsAny(id, "'\"\\`") { // never one of Pawl's; it can't be asked for in a list
			missing = append(missing, id)
			id = ""
		}
		quoted[i] = "'" + id + "'"
	}
	query := "WorkflowId IN (" + strings.Join(quoted, ",") + ")"
	open, seen := map[string]bool{}, map[string]bool{}
	for page := []byte(nil); ; {
		r, err := t.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, PageSize: 2 * MaxSweep, NextPageToken: page,
		})
		if err != nil {
			return nil, nil, sorted(err)
		}
		for _, e := range r.GetExecutions() {
			id := e.GetExecution().GetWorkflowId()
			seen[id] = true
			open[id] = open[id] || e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
		}
		if page = r.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	for _, id := range ids {
		switch {
		case !seen[id] && !strings.ContainsAny(id, "'\"\\`"):
			missing = append(missing, id)
		case seen[id] && !open[id]:
			ended = append(ended, id)
		}
	}
	return ended, missing, nil
}

// State implements Backend.
func (t *Temporal) State(ctx context.Context, id string) (approval.State, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	var state approval.State
	v, err := t.client.QueryWorkflow(ctx, id, "", approval.QueryState)
	switch {
	case isNotFound(err):
		return state, ErrUnknown
	case err != nil:
		return state, sorted(err)
	}
	return state, v.Get(&state)
}

// Cancel implements Backend.
func (t *Temporal) Cancel(ctx context.Context, id string, s approval.CancelSignal) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	if _, err := t.describe(ctx, id); err != nil { // never signal what is no call
		return err
	}
	err := t.client.SignalWorkflow(ctx, id, "", approval.SignalCancel, s)
	if isNotFound(err) {
		return ErrEnded
	}
	return sorted(err)
}

// Publish implements Backend. One content has one ID, so that whoever
// publishes it again, after a lost answer or from another process of the
// agent, finds the run that is under way.
func (t *Temporal) Publish(ctx context.Context, p approval.Publication) (approval.Published, error) {
	var done approval.Published
	doc, err := json.Marshal(p)
	if err != nil {
		return done, &RefusedError{err}
	}
	sum := sha256.Sum256(doc)
	start, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	run, err := t.client.ExecuteWorkflow(start, client.StartWorkflowOptions{
		ID:                       "pawl-publish-" + hex.EncodeToString(sum[:16]),
		TaskQueue:                t.queue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            fmt.Sprintf("%d tools of an agent", len(p.Tools)),
	}, approval.WorkflowPublish, p)
	if err != nil {
		return done, sorted(err)
	}
	err = calls.Await(ctx, run, &done)
	var said *temporal.ApplicationError
	if errors.As(err, &said) { // Pawl's word, where all other ends are an operator's or an outage's
		text := runner.Text(said)
		if text == encodedFailure {
			return done, &RefusedError{fmt.Errorf("the answer of Pawl's worker can't be read: %w", errForeign)}
		}
		return done, &RefusedError{errors.New(text)}
	}
	return done, sorted(err)
}

// Polled implements Backend.
func (t *Temporal) Polled(ctx context.Context) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	where := "task queue " + t.queue + " in the namespace of the agent's client"
	if t.namespace != "" {
		where = "task queue " + t.queue + " in namespace " + t.namespace
	}
	// The client knows its namespace, and tells it nobody.
	answer, err := t.client.DescribeTaskQueue(ctx, t.queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return false, where, sorted(err)
	}
	return health.Polls(answer.GetPollers()), where, nil
}

// Close implements Backend.
func (t *Temporal) Close() {
	if t.owned {
		t.client.Close()
	}
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// encodedFailure is what the SDK makes of an error that it can't decode.
const encodedFailure = "Encoded failure"

// errForeign stands for errors that could quote what could not be read.
var errForeign = errors.New("does this process have the keyring, and use the data converter, that Pawl's workers use?")

// unreadable is why a payload could not be read, as far as that may be told.
func unreadable(err error) error {
	var key *codec.KeyError
	switch {
	case errors.As(err, &key):
		return key
	case errors.Is(err, codec.ErrPlain):
		return codec.ErrPlain
	case errors.Is(err, codec.ErrNotAuthentic):
		return codec.ErrNotAuthentic
	}
	return errForeign
}

// sorted marks what asking again does not mend.
func sorted(err error) error {
	var (
		invalid   *serviceerror.InvalidArgument
		namespace *serviceerror.NamespaceNotFound
		denied    *serviceerror.PermissionDenied
		missing   *serviceerror.Unimplemented
	)
	if errors.As(err, &invalid) || errors.As(err, &namespace) || errors.As(err, &denied) || errors.As(err, &missing) {
		return &RefusedError{err}
	}
	return err
}
