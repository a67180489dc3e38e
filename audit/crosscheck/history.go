package crosscheck

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/calls"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
)

// history is what Temporal's history tells of one call: of the latest run of its workflow, which
// after a reset holds what was there before.
type history struct {
	workflow string // its type
	status   enumspb.WorkflowExecutionStatus
	reset    bool

	call      approval.Call
	digest    string // recomputed; empty where the input is no call
	admission *activities.Admission
	claim     *activities.ClaimResult // the last answer that gave a permit
	tightened *approval.Requirement   // the last one that a claim asked for
	revision  int64                   // of that
	signals   map[string][]said       // decisions, by ID
	ran       bool                    // the tool was scheduled
	ended     bool                    // a step wrote the end down, or found it written
	outcome   *approval.Outcome
}

// said is a decision as a signal brought it.
type said struct {
	kind     approval.DecisionKind
	reviewer string
}

func (h history) open() bool {
	return calls.IsOpen(h.status)
}

// permit is the one that the workflow was given.
func (h history) permit() (p activities.Permit, decision *approval.FinalDecision, given bool) {
	switch {
	case h.claim != nil:
		return h.claim.Permit, h.claim.Decision, true
	case h.admission != nil && h.admission.Claimed:
		return h.admission.Permit, h.admission.View.Decision, true
	}
	return p, nil, false
}

var (
	// errGone: Temporal has no such workflow, or not any more.
	errGone = errors.New("temporal has no history of it")
	// errUnreadable: what Temporal has can't be read.
	errUnreadable = errors.New("temporal's history of it can't be read")
)

// steps are the activities that write things down. Whatever else is scheduled runs a tool.
var steps = []string{
	"Admit", "Claim", "JudgeAndClaim", "Record", "RecordVotes", "AnswerTimes", "Refuse", "Keys", "CallerState", "Report",
}

// reader reads histories one after the other.
type reader struct {
	temporal  Temporal
	converter converter.DataConverter
}

// read reads a call's history, page by page. Errors: errGone, errUnreadable, and what Temporal
// says.
func (r reader) read(ctx context.Context, id string) (history, error) {
	h := history{
		status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, signals: map[string][]said{},
	}
	scheduled := map[int64]string{} // names of activities
	counts := map[string]int{}      // of signals, by name
	events := r.temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		switch {
		case errors.As(err, new(*serviceerror.NotFound)):
			return h, errGone
		case err != nil:
			return h, fmt.Errorf("reading the history of %s: %w", approval.Display(id, 80), err)
		}
		if err := r.event(&h, e, id, scheduled, counts); err != nil {
			return h, fmt.Errorf("%w: event %d, %s: %w", errUnreadable, e.GetEventId(), e.GetEventType(), err)
		}
	}
	return h, nil
}

func (r reader) event(
	h *history, e *historypb.HistoryEvent, id string, scheduled map[int64]string, counts map[string]int,
) error {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		s := e.GetWorkflowExecutionStartedEventAttributes()
		h.workflow = s.GetWorkflowType().GetName()
		return r.input(h, s, id)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		s := e.GetWorkflowExecutionSignaledEventAttributes()
		counts[s.GetSignalName()]++
		r.signal(h, s, counts[s.GetSignalName()])
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		name := e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
		scheduled[e.GetEventId()] = name
		h.ran = h.ran || !slices.Contains(steps, name)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		a := e.GetActivityTaskCompletedEventAttributes()
		return r.answer(h, scheduled[a.GetScheduledEventId()], a.GetResult())
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		m := e.GetMarkerRecordedEventAttributes()
		if m.GetMarkerName() != "LocalActivity" || m.GetFailure() != nil {
			return nil
		}
		var step struct{ ActivityType string }
		if err := r.converter.FromPayloads(m.GetDetails()["data"], &step); err != nil {
			return err
		}
		return r.answer(h, step.ActivityType, m.GetDetails()["result"])
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		cause := e.GetWorkflowTaskFailedEventAttributes().GetCause()
		h.reset = h.reset || cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		h.status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
		h.outcome = &approval.Outcome{}
		return r.into(e.GetWorkflowExecutionCompletedEventAttributes().GetResult(), h.outcome)
	default:
		h.status = closedBy(e.GetEventType(), h.status)
	}
	return nil
}

func closedBy(
	t enumspb.EventType, before enumspb.WorkflowExecutionStatus,
) enumspb.WorkflowExecutionStatus {
	switch t {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		return enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		return enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		return enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
		return enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	}
	return before
}

// input reads the call that the workflow was started with.
func (r reader) input(
	h *history, s *historypb.WorkflowExecutionStartedEventAttributes, id string,
) error {
	if len(s.GetInput().GetPayloads()) == 0 {
		return nil // it is blocked
	}
	var raw converter.RawValue
	if err := r.converter.FromPayload(s.GetInput().GetPayloads()[0], &raw); err != nil {
		return err
	}
	if codec.Encrypted(raw.Payload()) {
		return codec.ErrNoKeyring
	}
	call, err := approval.ParseCall(raw.Payload().GetData())
	if err != nil {
		return nil //nolint:nilerr // what is no call is blocked, and the outcome says so
	}
	if call.Nonce == "" {
		call.Nonce = s.GetFirstExecutionRunId()
	}
	h.call = call
	h.digest, _ = call.Digest(id)
	return nil
}

// signal takes note of a decision under the ID that the workflow gives it. What can't be read did
// not count.
func (r reader) signal(h *history, s *historypb.WorkflowExecutionSignaledEventAttributes, nth int) {
	name := s.GetSignalName()
	if name != approval.SignalApprove && name != approval.SignalReject {
		return
	}
	var sent approval.DecisionSignal
	id := fmt.Sprintf("%s-%d", name, nth)
	if ps := s.GetInput().GetPayloads(); len(ps) > 0 && r.converter.FromPayload(ps[0], &sent) == nil &&
		sent.DecisionID != "" {
		id = sent.DecisionID
	}
	h.signals[id] = append(h.signals[id], said{approval.DecisionKind(name), sent.Reviewer})
}

// answer takes note of what a step returned.
func (r reader) answer(h *history, step string, result *commonpb.Payloads) error {
	switch step {
	case "Admit":
		h.admission = &activities.Admission{}
		if err := r.into(result, h.admission); err != nil {
			return err
		}
		h.revision = h.admission.Revision
		h.ended = h.admission.View.Status.Ended()
	case "Claim", "JudgeAndClaim":
		var c activities.ClaimResult
		if err := r.into(result, &c); err != nil {
			return err
		}
		if c.Requirement != nil {
			h.tightened, h.revision = c.Requirement, c.Revision
		}
		if c.Permit.Run != "" {
			h.claim = &c
		}
		h.ended = h.ended || c.Outcome != nil
	case "Record":
		h.ended = true
	case "Report":
		var reported activities.ReportResult
		if err := r.into(result, &reported); err != nil {
			return err
		}
		h.ended = h.ended || reported.Kept || reported.Outcome != nil
	case "CallerState":
		var state activities.CallerResult
		if err := r.into(result, &state); err != nil {
			return err
		}
		h.ended = h.ended || state.Outcome != nil
	}
	return nil
}

func (r reader) into(ps *commonpb.Payloads, v any) error {
	if len(ps.GetPayloads()) == 0 {
		return errors.New("it has no payload")
	}
	return r.converter.FromPayload(ps.GetPayloads()[0], v)
}
