package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
)

// slowAfter is how long a step may wait for a worker before the answer says so. After a worker died
// Temporal keeps the next step for it for ten seconds.
const slowAfter = 15 * time.Second

func noWorker(taskQueue string) string {
	return fmt.Sprintf("No worker polls the task queue %q. Calls and answers are accepted and are not lost, "+
		"but nothing happens until a worker runs: start one with 'pawl worker'.",
		approval.Display(taskQueue, 100))
}

// waitingFor finds out what an open call waits for, within the budget, and leaves out what it can't
// find out. It is nil for a call that is not open any more.
func (s *Server) waitingFor(ctx context.Context, state approval.State) *rest.Waiting {
	v := state.View
	if v.Status.Ended() || v.Error != nil || stopping(ctx).Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.QueryBudget)
	defer cancel()
	l := lookup{s: s, view: v, full: state.TooManySignals}
	switch err := l.readWorkflow(ctx); {
	case errors.Is(err, calls.ErrUnknown), err == nil && l.closed():
		return nil
	case err != nil:
		s.o.Logger.DebugContext(ctx, "Temporal did not say what a call waits for", "id", v.ID, "error", err)
		l.problem(rest.ObstacleTemporal, "Temporal can't be reached from this API. The "+
			"call waits there and is not lost; until Temporal is back nothing happens and nothing can be decided.")
	}
	l.readStore(ctx)
	l.checkStore(ctx)
	l.checkWorkers(ctx)
	l.checkSteps()
	l.checkTool(ctx)
	return l.result()
}

// lookup is what was found out about one call.
type lookup struct {
	s           *Server
	view        approval.View
	full        bool          // it has got too many signals
	record      *store.Record // nil: the store has none, or does not say
	storeSilent bool          // the store does not say

	task     *workflowpb.PendingWorkflowTaskInfo // nil: none, or Temporal does not say
	tool     *workflowpb.PendingActivityInfo     // the tool's run
	pending  []*workflowpb.PendingActivityInfo   // the steps under way
	status   enumspb.WorkflowExecutionStatus
	events   int64     // in the workflow's history
	begins   time.Time // later than its start if whoever started it wanted that
	problems []rest.Obstacle
}

func (l *lookup) problem(code, format string, a ...any) {
	if !l.has(code) {
		l.problems = append(l.problems, rest.Obstacle{Code: code, Message: fmt.Sprintf(format, a...)})
	}
}

func (l *lookup) has(code string) bool {
	return slices.ContainsFunc(l.problems, func(o rest.Obstacle) bool { return o.Code == code })
}

func (l *lookup) readWorkflow(ctx context.Context) error {
	d, err := l.s.calls.Steps(ctx, l.view.ID)
	if err != nil {
		return err
	}
	info := d.GetWorkflowExecutionInfo()
	l.events = info.GetHistoryLength()
	l.status, l.begins, l.task = info.GetStatus(), info.GetExecutionTime().AsTime(), d.GetPendingWorkflowTask()
	for _, a := range d.GetPendingActivities() {
		if l.runsTool(a) {
			l.tool = a
		} else {
			l.pending = append(l.pending, a)
		}
	}
	return nil
}

func (l *lookup) closed() bool { return !calls.IsOpen(l.status) }

// executeStep is the activity that runs a tool of Pawl's own worker.
const executeStep = "Execute"

// stepNames say what the other activities of a call do, after "the step that".
var stepNames = map[string]string{
	"Admit":       "asks the policy and records the call",
	claimStep:     "judges the approved call again and claims the permit to run the tool",
	"Claim":       "records the approval and claims the permit to run the tool",
	"Record":      "records the call's end",
	"RecordVotes": "records the votes so far",
	"Refuse":      "records which answers did not count",
	"CallerState": "looks whether the caller has started the tool",
	"Report":      "records the caller's report",
	"AnswerTimes": "compares the last answers with the deadline",
}

// claimStep is the step between the approval that settles a call and its permit.
const claimStep = "JudgeAndClaim"

// doing reports whether a step is under way as an ordinary activity.
func (l *lookup) doing(step string) bool {
	return slices.ContainsFunc(l.pending, func(a *workflowpb.PendingActivityInfo) bool {
		return a.GetActivityType().GetName() == step
	})
}

// runsTool tells a tool's run from Pawl's steps: it is Execute, or an activity on another task
// queue.
func (l *lookup) runsTool(a *workflowpb.PendingActivityInfo) bool {
	name := a.GetActivityType().GetName()
	if q := queueOf(a); q != "" && q != l.s.o.TaskQueue {
		return true
	}
	return name == executeStep || stepNames[name] == "" && name == l.view.Tool
}

func queueOf(a *workflowpb.PendingActivityInfo) string {
	return a.GetActivityOptions().GetTaskQueue().GetName()
}

func (l *lookup) readStore(ctx context.Context) {
	r, err := l.s.o.Store.Call(ctx, l.view.ID)
	switch {
	case err == nil:
		l.record = &r
	case !errors.Is(err, store.ErrNotFound):
		l.storeFailed(ctx, err)
	}
}

func (l *lookup) storeFailed(ctx context.Context, err error) {
	l.storeSilent = true
	l.s.o.Logger.DebugContext(ctx, "the store did not say what a call waits for", "id", l.view.ID, "error", err)
	l.problem(rest.ObstacleStore,
		"Pawl's store can't be reached from this API, and perhaps not from the workers: "+
			"calls do not continue until they can be recorded. No call is lost. Check that the database runs.")
}

// checkStore looks whether a store that can be read can be written to, if this process may do that.
func (l *lookup) checkStore(ctx context.Context) {
	if _, err := l.s.writes.get(ctx, struct{}{}); err != nil && !l.storeSilent && ctx.Err() == nil {
		l.s.o.Logger.DebugContext(ctx, "the store can't be used", "id", l.view.ID, "error", err)
		l.problem(rest.ObstacleStore, "Pawl's store can be read from this API, but not written to: "+
			"its disk is full or read-only, or its file was moved away. "+
			"Calls do not continue until they can be recorded. No call is lost. The API's log says more.")
	}
}

// checkWorkers looks whether a worker can take the call's next step.
func (l *lookup) checkWorkers(ctx context.Context) {
	if l.status == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
		l.problem(rest.ObstaclePaused,
			"Somebody paused the call's workflow in Temporal. It continues when it is unpaused there.")
	}
	if l.full || l.events > calls.MaxSignals { // a call that nobody floods has a few dozen
		l.problem(rest.ObstacleSignals, nothingArrives)
	}
	polled, err := l.s.pollers.get(ctx, queue{l.s.o.TaskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW})
	switch {
	case err == nil && !polled:
		l.problem(rest.ObstacleNoWorker, "%s", noWorker(l.s.o.TaskQueue))
	case l.task.GetAttempt() > 1:
		l.problem(rest.ObstacleStuck, "Workers start the call's next step and fail (attempt %d). "+
			"Most likely they run a version of Pawl that does not fit it; "+
			"their logs say more. The call is not lost.", l.task.GetAttempt())
	case l.task.GetState() == enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED:
		l.checkDelay(l.task.GetScheduledTime().AsTime())
	}
	for _, a := range l.pending {
		l.checkStart(a)
	}
}

// nothingArrives says what a flood of signals does to a call.
const nothingArrives = "The call has got too many signals, so decisions and withdrawals do not arrive " +
	"any more. A rejection by this API is put on record all the same, and keeps the call from running. " +
	"If nobody settled it before, it ends at its deadline, and nothing runs."

func (l *lookup) checkStart(a *workflowpb.PendingActivityInfo) {
	if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		l.checkDelay(a.GetScheduledTime().AsTime()) // a retry's own time, which may be still to come
	}
}

// checkDelay reports what has waited too long for a worker since then. Temporal sees a worker for a
// while after it died.
func (l *lookup) checkDelay(since time.Time) {
	if waited := time.Since(since); waited > slowAfter && !l.has(rest.ObstacleNoWorker) {
		l.problem(rest.ObstacleSlowWorker, "No worker has started the call's next step for %v: "+
			"the workers are too busy, or have just died.", waited.Round(time.Second))
	}
}

// checkSteps looks at what the workflow tries to get done. What a failure says stays in the
// worker's log: it may hold secrets.
func (l *lookup) checkSteps() {
	for _, a := range l.pending {
		what := cmp.Or(stepNames[a.GetActivityType().GetName()], "comes next")
		switch {
		case a.GetPaused():
			l.problem(rest.ObstaclePaused,
				"Somebody paused, in Temporal, the step that %s. The call continues when it is unpaused there.", what)
		case a.GetAttempt() > 1:
			l.problem(rest.ObstacleStep, "The step that %s fails (attempt %d); "+
				"most likely the workers can't reach Pawl's store. It is tried again until it succeeds, "+
				"and nothing is lost. The worker's log says what is wrong.", what, a.GetAttempt())
		}
	}
	if a := l.tool; a.GetPaused() {
		l.problem(rest.ObstaclePaused,
			"Somebody paused the tool's run in Temporal. It continues when it is unpaused there.")
	}
	if l.betweenTries() {
		l.problem(rest.ObstacleStep, "A step of the call fails for a reason that an immediate retry would not "+
			"solve. It is tried again within the hour, and nothing is lost. The worker's log says what is wrong.")
	}
}

// betweenTries reports whether the workflow waits before it tries a step again: then nothing is
// under way, though something should be. A call that was evaluating a moment ago may wait for
// people by now, which looks the same; but then the store has it.
func (l *lookup) betweenTries() bool {
	if l.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || l.begins.After(time.Now()) ||
		l.task != nil || l.tool != nil || len(l.pending) > 0 {
		return false
	}
	switch l.view.Status {
	case approval.StatusEvaluating:
		return l.record == nil && !l.storeSilent
	case approval.StatusApproved, approval.StatusExecuting:
		return l.view.Execution != approval.ExecutionCaller // which waits for its caller
	}
	return false
}

// checkTool looks whether somebody would run the tool.
func (l *lookup) checkTool(ctx context.Context) {
	started := l.tool.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
	if l.view.Execution == approval.ExecutionCaller || l.view.Tool == "" ||
		l.view.Status == approval.StatusEvaluating || started || l.storeSilent {
		return
	}
	queues, err := l.s.queues.get(ctx, struct{}{})
	if err != nil {
		l.storeFailed(ctx, err)
		return
	}
	name := approval.Display(l.view.Tool, 100)
	at, offered := queues[l.view.Tool]
	if l.record != nil && l.record.Permit != nil {
		at, offered = cmp.Or(l.record.Permit.Queue, l.s.o.TaskQueue), true // it was fixed then
	}
	if !offered {
		l.problem(rest.ObstacleNoTool, "No worker offers the tool %q any more. If the call is approved now, "+
			"it most likely fails or expires, and nothing runs: first start the process that has the tool.", name)
		return
	}
	if at == l.s.o.TaskQueue { // its workers run the workflow, too
		l.checkStart(l.tool)
		return
	}
	if polled, err := l.s.pollers.get(ctx, queue{at, enumspb.TASK_QUEUE_TYPE_ACTIVITY}); err != nil || polled {
		l.checkStart(l.tool)
	} else {
		l.problem(rest.ObstacleNotServed, "Nobody polls the task queue %q, on which the tool %q runs. "+
			"If the process that serves it does not come back while the approval is valid, "+
			"the call expires and nothing runs. Start that process.",
			approval.Display(at, 100), name)
	}
}

// result says what the call waits for, in a sentence.
func (l *lookup) result() *rest.Waiting {
	v := l.view
	w := &rest.Waiting{Problems: l.problems}
	tool := fmt.Sprintf("%q", approval.Display(v.Tool, 100))
	switch v.Status {
	case approval.StatusPending:
		tally, _ := ballot.Count(ballot.RulesOf(v), v.Votes)
		w.For, w.Until = tally.Waiting(), v.Deadline
		switch {
		case l.doing(claimStep):
			w.For, w.Until = "the approval to be recorded, after the active policy has judged the call again", nil
		case v.Deadline != nil && time.Now().After(*v.Deadline):
			w.For = "its end to be recorded: the deadline has passed"
		}
	case approval.StatusApproved:
		if v.Execution == approval.ExecutionCaller {
			w.For = "the agent, which runs the tool " + tool + " itself: the call is approved"
			if good := l.permit().GoodUntil; !good.IsZero() {
				w.Until = &good
			}
			return w
		}
		w.For = "the approval to be recorded, then the permit to run the tool " + tool
		if r := l.record; r != nil && v.Decision != nil {
			until := v.Decision.At.Add(r.Verdict.GoodFor(v.Execution))
			w.Until = &until
		}
	case approval.StatusExecuting:
		w.For, w.Until = l.describeRun(tool)
	default:
		w.For = "the policy's answer"
	}
	return w
}

// describeRun says how far the tool's run has come.
func (l *lookup) describeRun(tool string) (what string, until *time.Time) {
	a := l.tool
	if l.view.Execution == approval.ExecutionCaller {
		if at := l.view.StartedAt; at != nil {
			due := at.Add(l.view.ReportWithin.Std())
			until = &due
		}
		return "the agent's report: it runs the tool " + tool + " itself", until
	}
	if a == nil {
		switch {
		case len(l.pending) > 0:
			return "its end to be recorded", nil
		case l.status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED: // Temporal does not say
			return "the tool " + tool, nil
		}
		return "its next step", nil
	}
	on, try := "", ""
	if q := queueOf(a); q != "" && q != l.s.o.TaskQueue {
		on = fmt.Sprintf(" on the task queue %q", approval.Display(q, 100))
	}
	if a.GetAttempt() > 1 {
		try = fmt.Sprintf(", attempt %d", a.GetAttempt())
	}
	permit := l.permit()
	if a.GetState() != enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		since := a.GetLastStartedTime().AsTime()
		if permit.UsedAt.After(since) {
			since = permit.UsedAt // before, it waited for its permit
		}
		return fmt.Sprintf("the tool %s, which runs%s since %s%s",
			tool, on, since.UTC().Format(time.RFC3339), try), nil
	}
	if !permit.GoodUntil.IsZero() && permit.UsedAt.IsZero() {
		until = &permit.GoodUntil
	}
	return fmt.Sprintf("a worker%s that starts the tool %s%s", on, tool, try), until
}

func (l *lookup) permit() store.Permit {
	if l.record == nil || l.record.Permit == nil {
		return store.Permit{}
	}
	return *l.record.Permit
}
