package workflows

import (
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const timeoutScheduleToStart = enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START

// detached is a context that Temporal's cancel does not reach: cancel ends the waiting (see
// withdrawn), never a step that is being written down.
func detached(ctx workflow.Context) workflow.Context {
	d, _ := workflow.NewDisconnectedContext(ctx)
	return d
}

// stamp cuts a time to what stores keep.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func now(ctx workflow.Context) time.Time { return stamp(workflow.Now(ctx)) }

func runID(ctx workflow.Context) string { return workflow.GetInfo(ctx).WorkflowExecution.RunID }

// until waits for cond and deals with signals meanwhile. Signals are always read first, so that an
// answer that has arrived counts, whatever else is ready.
func (g *guarded) until(ctx workflow.Context, cond func() bool) {
	for {
		g.pump(ctx)
		if cond() {
			return
		}
		// A detached context is never cancelled, so Await can't fail.
		_ = workflow.Await(detached(ctx), func() bool { return g.inbox.waiting() || cond() })
	}
}

// Bounds of a step's local attempt. Queries wait for it: the API gives the one that follows a
// decision 2 s.
const (
	localTimeout = 3 * time.Second
	claimTimeout = time.Second
)

// step runs an activity the fast way, as one local attempt, and falls back to the ordinary way.
// Only for steps that are first-write-wins in the store.
func (g *guarded) step(ctx workflow.Context, timeout time.Duration, activity, in, out any) {
	if !g.adm.Ordinary {
		lctx := workflow.WithLocalActivityOptions(detached(ctx), workflow.LocalActivityOptions{
			ScheduleToCloseTimeout: timeout,
			RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		future := workflow.ExecuteLocalActivity(lctx, activity, in)
		g.until(ctx, future.IsReady)
		if future.Get(lctx, out) == nil {
			return
		}
	}
	g.ordinary(ctx, activity, in, out)
}

// ordinary runs an activity until it succeeds: a call that can't be written down does not go on,
// and loses nothing.
func (g *guarded) ordinary(ctx workflow.Context, activity, in, out any) {
	for pause := time.Minute; ; pause = min(2*pause, time.Hour) {
		future := startOrdinary(ctx, activity, in)
		g.until(ctx, future.IsReady)
		err := future.Get(detached(ctx), out)
		if err == nil {
			return
		}
		// Only errors that no retry can fix come here. They need a person: the call stays open and says
		// so, and the step is tried again in a while.
		workflow.GetLogger(ctx).Error("A step of a guarded call can't be done", "error", err)
		g.until(ctx, workflow.NewTimer(detached(ctx), pause).IsReady)
	}
}

func startOrdinary(ctx workflow.Context, activity, in any) workflow.Future {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(detached(ctx), workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, MaximumInterval: 10 * time.Second,
		},
	}), activity, in)
}

// mustNote reports whether decisions wait to be put on record.
func (g *guarded) mustNote() bool {
	return len(g.refusals)+len(g.counted) > 0 && (g.noting == nil || g.noting.IsReady())
}

// startNoting puts decisions on record: those that did not count, many in one entry, or those that did
// and left the call waiting. It waits for nothing: it must never hold up a call.
func (g *guarded) startNoting(ctx workflow.Context) {
	if g.noting != nil && g.noting.IsReady() {
		g.noting = nil
	}
	switch {
	case g.noting != nil:
	case len(g.refusals) > 0:
		g.refuseSeq++
		g.noting = startOrdinary(ctx, steps.Refuse, activities.RefuseInput{
			ID: g.view.ID, Run: runID(ctx), Batch: g.refuseSeq, Refusals: g.refusals, More: g.refusedMore, At: now(ctx),
			Nonce: g.call.Nonce,
		})
		g.refusals, g.refusedMore = nil, 0
	case len(g.counted) > 0:
		some := g.counted[:min(len(g.counted), maxRefusals)]
		g.noting = startOrdinary(ctx, steps.RecordVotes, activities.RecordInput{
			ID: g.view.ID, Run: runID(ctx), Call: g.call, Redact: g.adm.Verdict.Redact,
			RedactValues: g.adm.Verdict.RedactValues, Votes: some, At: now(ctx),
		})
		g.counted = g.counted[len(some):]
	}
}

// detail refreshes what Temporal's UI says of a call that waits, or waited. It costs no event in
// history.
func (g *guarded) detail(ctx workflow.Context) {
	if g.timer != nil {
		state, _ := g.state()
		workflow.SetCurrentDetails(ctx, details(state, g.adm.PublicURL))
	}
}

// show puts a call that waits, or waited, where people look in Temporal's UI.
func (g *guarded) show(ctx workflow.Context) {
	if g.timer == nil {
		return
	}
	g.detail(ctx)
	if g.adm.SearchAttributes {
		attributes := []temporal.SearchAttributeUpdate{
			temporal.NewSearchAttributeKeyKeyword(approval.SearchStatus).ValueSet(string(g.view.Status)),
		}
		if !g.view.Status.Ended() {
			attributes = append(attributes,
				temporal.NewSearchAttributeKeyKeyword(approval.SearchTool).ValueSet(g.view.Tool),
				temporal.NewSearchAttributeKeyKeyword(approval.SearchAgent).ValueSet(g.view.Agent))
		}
		if err := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err != nil {
			workflow.GetLogger(ctx).Warn("Search attributes were not set", "error", err)
		}
	}
}
