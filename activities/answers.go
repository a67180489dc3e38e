package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
)

// AnswersInput asks which signals came in time.
type AnswersInput struct {
	ID, Run  string
	Deadline time.Time
}

// Answers tells, for each signal name, when Temporal acknowledged those of the run's signals that
// came before the deadline. They are in history's order, so the n-th one a workflow received came
// in time if there are n of them.
type Answers struct {
	InTime map[string][]time.Time
}

// AnswerTimes reads the run's history, where each signal's event carries the time at which Temporal
// took it, however late a worker saw it.
func (a *Activities) AnswerTimes(ctx context.Context, in AnswersInput) (Answers, error) {
	out := Answers{InTime: map[string][]time.Time{}}
	events := activity.GetClient(ctx).GetWorkflowHistory(ctx, in.ID, in.Run, false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return out, fmt.Errorf("reading the history of call %s: %w", in.ID, err)
		}
		at := event.GetEventTime().AsTime()
		if s := event.GetWorkflowExecutionSignaledEventAttributes(); s != nil && at.Before(in.Deadline) {
			out.InTime[s.GetSignalName()] = append(out.InTime[s.GetSignalName()], at)
		}
		activity.RecordHeartbeat(ctx)
	}
	return out, nil
}
