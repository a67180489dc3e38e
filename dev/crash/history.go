//go:build unix

package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	temporalclient "go.temporal.io/sdk/client"
)

// recordingActivities are the activities that write things down. Whatever else a history schedules
// runs a tool.
var recordingActivities = []string{
	"Admit", "JudgeAndClaim", "Record", "RecordVotes", "AnswerTimes", "Refuse", "Keys", "Publish", "CallerState", "Report",
}

// history is what Temporal's history tells of one call.
type history struct {
	call    struct{ Tool string }
	ends    []string // the types of the events that close it
	outcome approval.Outcome
	runs    []toolRun
	claims  int       // how many were answered with a permit, or that the approval had run out
	claimed time.Time // when the last one was
	refused bool      // a claim found a rejection in the store
	found   bool      // Admit found the call claimed: by a workflow task that was lost
	answers []answer
	reports []report // of callers, and forged ones
	broken  []string // what a healthy workflow never has
	lines   []string // every event, for people
}

// toolRun is one activity that ran a tool, or was to.
type toolRun struct {
	scheduled, started, ended time.Time
	pid                       int // of the process that took it last; 0: none did
	result                    json.RawMessage
}

// answer is a signal that approves, rejects or withdraws, and when Temporal took it.
type answer struct {
	signal, id string
	at         time.Time
	sent       approval.DecisionSignal
	plain      bool // in a hardened world: as a forger sent it who has no keyring
	worthless  bool // in a hardened world: nothing proves who decided so
}

// readHistory reads a call's history. That of a hardened world is nothing but ciphertext, which the
// verifier opens; it is nil for a plain one.
func readHistory(
	ctx context.Context, temporal temporalclient.Client, id string, v *verifier,
) (history, error) {
	var h history
	scheduled := map[int64]string{} // activity types
	runs := map[int64]*toolRun{}
	var order []int64
	events := temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return h, fmt.Errorf("its history can't be read: %w", err)
		}
		forged, err := v.open(ctx, e)
		if err != nil {
			return h, fmt.Errorf("event %d, %s: %w", e.GetEventId(), e.GetEventType(), err)
		}
		at := e.GetEventTime().AsTime()
		note := ""
		if s := e.GetWorkflowExecutionStartedEventAttributes(); s != nil {
			note = s.GetWorkflowType().GetName()
			for _, p := range s.GetInput().GetPayloads() {
				err = json.Unmarshal(p.GetData(), &h.call)
			}
		}
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s != nil {
			note = h.signalled(s, at, forged)
		}
		if s := e.GetActivityTaskScheduledEventAttributes(); s != nil {
			note = s.GetActivityType().GetName()
			scheduled[e.GetEventId()] = note
			if !slices.Contains(recordingActivities, note) {
				order = append(order, e.GetEventId())
				runs[e.GetEventId()] = &toolRun{scheduled: at}
			}
		}
		if s := e.GetActivityTaskStartedEventAttributes(); s != nil {
			note = fmt.Sprintf("%s by %s, attempt %d",
				scheduled[s.GetScheduledEventId()], s.GetIdentity(), s.GetAttempt())
			if r := runs[s.GetScheduledEventId()]; r != nil {
				number, _, _ := strings.Cut(s.GetIdentity(), "@")
				if r.pid, err = strconv.Atoi(number); err != nil {
					err = fmt.Errorf("the worker %q does not tell its process: %w", s.GetIdentity(), err)
				}
				r.started = at
			}
		}
		if of, how := activityEnd(e); of != 0 {
			note = scheduled[of] + " " + how
			if scheduled[of] == "Admit" && how == "" {
				h.found = foundClaimed(e.GetActivityTaskCompletedEventAttributes().GetResult())
			}
			if scheduled[of] == "JudgeAndClaim" && how == "" {
				h.claim(e.GetActivityTaskCompletedEventAttributes().GetResult(), at)
			}
			if r := runs[of]; r != nil {
				r.ended = at
				for _, p := range e.GetActivityTaskCompletedEventAttributes().GetResult().GetPayloads() {
					r.result = p.GetData()
				}
			}
		}
		if m := e.GetMarkerRecordedEventAttributes(); m != nil {
			note = localActivity(m)
			if note == "Admit" {
				h.found = foundClaimed(m.GetDetails()["result"])
			}
			if note == "JudgeAndClaim" {
				h.claim(m.GetDetails()["result"], at)
			}
		}
		h.close(e, &note)
		if err != nil {
			return h, err
		}
		line := fmt.Sprintf("%3d %s %s %s", e.GetEventId(), at.Format(clock), e.GetEventType(), note)
		h.lines = append(h.lines, line)
	}
	for _, n := range order {
		h.runs = append(h.runs, *runs[n])
	}
	return h, nil
}

// signalled takes note of a signal.
func (h *history) signalled(
	s *historypb.WorkflowExecutionSignaledEventAttributes, at time.Time, forged bool,
) (note string) {
	name := s.GetSignalName()
	switch name {
	case approval.SignalStarted:
		return name
	case approval.SignalReport:
		r := report{at: at}
		for _, p := range s.GetInput().GetPayloads() {
			if err := json.Unmarshal(p.GetData(), &r.said); err != nil {
				h.broken = append(h.broken, "a report: "+err.Error())
			}
		}
		h.reports = append(h.reports, r)
		return name + " " + r.said.StartID
	}
	a := answer{signal: name, at: at, plain: forged}
	for _, p := range s.GetInput().GetPayloads() {
		if json.Unmarshal(p.GetData(), &a.sent) == nil {
			a.id = a.sent.DecisionID
		}
	}
	h.answers = append(h.answers, a)
	return name + " " + a.id
}

// localActivity is the local activity that a marker holds the result of.
func localActivity(m *historypb.MarkerRecordedEventAttributes) string {
	var step struct{ ActivityType string }
	for _, p := range m.GetDetails()["data"].GetPayloads() {
		if err := json.Unmarshal(p.GetData(), &step); err != nil {
			return m.GetMarkerName()
		}
	}
	if m.GetFailure() != nil {
		return step.ActivityType + " failed: " + m.GetFailure().GetMessage()
	}
	return step.ActivityType
}

// foundClaimed reads what Admit answered.
func foundClaimed(result *commonpb.Payloads) bool {
	var admission activities.Admission
	for _, p := range result.GetPayloads() {
		if json.Unmarshal(p.GetData(), &admission) != nil {
			return false
		}
	}
	return admission.Claimed
}

// claim takes note of a claim's answer.
func (h *history) claim(result *commonpb.Payloads, at time.Time) {
	var answer activities.ClaimResult
	for _, p := range result.GetPayloads() {
		if err := json.Unmarshal(p.GetData(), &answer); err != nil {
			h.broken = append(h.broken, "the answer to a claim: "+err.Error())
		}
	}
	if out := answer.Outcome; out != nil && out.Status == approval.StatusRejected {
		h.refused = true
		return
	}
	h.claims, h.claimed = h.claims+1, at
}

// activityEnd is the activity that an event ends, and how if not with a result.
func activityEnd(e *historypb.HistoryEvent) (scheduled int64, how string) {
	if a := e.GetActivityTaskCompletedEventAttributes(); a != nil {
		return a.GetScheduledEventId(), ""
	}
	if a := e.GetActivityTaskFailedEventAttributes(); a != nil {
		f := a.GetFailure()
		return a.GetScheduledEventId(), f.GetApplicationFailureInfo().GetType() + ": " + f.GetMessage()
	}
	if a := e.GetActivityTaskTimedOutEventAttributes(); a != nil {
		return a.GetScheduledEventId(), a.GetFailure().GetTimeoutFailureInfo().GetTimeoutType().String()
	}
	if a := e.GetActivityTaskCanceledEventAttributes(); a != nil {
		return a.GetScheduledEventId(), "cancelled"
	}
	return 0, ""
}

// close reads the events that end a workflow, or should not be there.
func (h *history) close(e *historypb.HistoryEvent, note *string) {
	kind := e.GetEventType()
	switch kind {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		for _, p := range e.GetWorkflowExecutionCompletedEventAttributes().GetResult().GetPayloads() {
			if err := json.Unmarshal(p.GetData(), &h.outcome); err != nil {
				h.broken = append(h.broken, "its result is no outcome: "+err.Error())
			}
		}
		h.ends = append(h.ends, kind.String())
		*note = string(h.outcome.Status)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		h.ends = append(h.ends, kind.String())
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		f := e.GetWorkflowTaskFailedEventAttributes()
		*note = f.GetCause().String() + ": " + f.GetFailure().GetMessage()
		switch f.GetCause() {
		case enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, // a signal came while it ended: done anew
			enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
			enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE:
		default:
			h.broken = append(h.broken, "a workflow task failed: "+*note)
		}
	}
}

// agrees holds the workflow's result against the store's record.
func (h history) agrees(r store.Record) error {
	a, errA := strictjson.Canonical(h.outcome)
	b, errB := strictjson.Canonical(r.View.Outcome())
	if errA != nil || errB != nil || string(a) != string(b) {
		return fmt.Errorf("two outcomes:\nTemporal: %s %v\nstore:    %s %v", a, errA, b, errB)
	}
	return nil
}

// asAnswered reports whether the store has a tool's result byte for byte, or, if it has it from its log,
// exactly as that writes the same: with its keys in order.
func asAnswered(answered, kept json.RawMessage) bool {
	if bytes.Equal(answered, kept) {
		return true
	}
	inOrder, err := strictjson.Canonical(answered)
	return err == nil && bytes.Equal(inOrder, kept)
}

// fits looks at the ways by which the call came to its end.
func (h history) fits(r store.Record) error {
	v := r.View
	approved := v.Decision != nil && v.Decision.Kind == approval.FinalApprove
	callers := v.Execution == approval.ExecutionCaller
	switch {
	case len(h.broken) > 0:
		return errors.New(strings.Join(h.broken, "; "))
	case len(h.ends) != 1 || h.ends[0] != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED.String():
		return fmt.Errorf("its workflow ended by %v", h.ends)
	case h.call.Tool != v.Tool:
		return fmt.Errorf("its workflow was started with the tool %s", h.call.Tool)
	case len(h.runs) > 1:
		return fmt.Errorf("its tool was scheduled %d times", len(h.runs))
	case callers && len(h.runs) > 0:
		return errors.New("its caller runs the tool, and it was scheduled")
	case v.Status.NeedsPermit() && !callers && len(h.runs) == 0:
		return errors.New("its tool was never scheduled")
	case v.Status == approval.StatusExecuted && !callers && !asAnswered(h.runs[0].result, v.Result):
		return fmt.Errorf("its tool answered %s", h.runs[0].result)
	case v.Status.Denied() && v.Status != approval.StatusExpired && len(h.runs) > 0:
		return errors.New("its tool was scheduled")
	case h.claims > 1, h.claims == 0 && approved && !h.found:
		return fmt.Errorf("its claim was answered %d times", h.claims)
	case approved && len(h.runs) > 0 && h.runs[0].scheduled.Before(h.claimed):
		return errors.New("its tool was scheduled before its claim was answered")
	case !approved && h.claims > 0 && v.Status != approval.StatusExpired &&
		!(callers && v.Status == approval.StatusCancelled): // approved, and withdrawn before its start
		return errors.New("it was claimed without an approval")
	}
	expired := v.Status == approval.StatusExpired && v.Decision.Kind == approval.FinalExpire &&
		v.Requirement != nil && !several(*v.Requirement) // else one answer may not be enough
	for _, a := range h.answers {
		if expired && a.signal != approval.SignalCancel && !a.worthless && a.at.Before(*v.Deadline) {
			return fmt.Errorf("it expired, although %s came in time", a.signal)
		}
	}
	for _, kind := range []approval.FinalKind{approval.FinalApprove, approval.FinalReject} {
		found := kind == approval.FinalReject && h.refused // it may never have been sent
		if v.Decision != nil && v.Decision.Kind == kind && !found && !h.answered(string(kind)) {
			return fmt.Errorf("its history holds no %s", kind)
		}
	}
	return nil
}

func (h history) answered(signal string) bool {
	for _, a := range h.answers {
		if a.signal == signal && !a.worthless {
			return true
		}
	}
	return false
}

// holds reports whether a decision is in the history.
func (h history) holds(decisionID string) bool {
	for _, a := range h.answers {
		if a.id == decisionID {
			return true
		}
	}
	return false
}
