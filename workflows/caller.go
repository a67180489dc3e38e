package workflows

import (
	"fmt"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// callerWait is the part of a call whose caller runs the tool.
type callerWait struct {
	mayStart    bool             // the permit is taken, and as far as is known not used
	woken       bool             // the store has news
	reports     []numberedReport // by anybody, not judged yet
	withdrawals []decision       // came while the tool might start
	left        bool             // Temporal's cancel was dealt with
}

// numberedReport is a report, and which one of all it is, the first being 1: others come before it is
// judged.
type numberedReport struct {
	nth int
	approval.SentReport
}

// Bounds of reports. A caller sends one, a few times at most.
const (
	maxReport  = approval.MaxResult + 64<<10 // bytes: the result, and the words around it
	maxReports = 100                         // that wait to be judged
)

// awaitCaller waits until the caller has started the tool, and then for its report. What happened is
// in the store alone: signals and timers only make the workflow look there.
func (g *guarded) awaitCaller(ctx workflow.Context) *approval.Outcome {
	c := &g.caller
	c.mayStart = true
	g.view.Status = approval.StatusApproved
	g.show(ctx)
	good, _ := g.goodUntil(ctx)
	timer := g.callerTimer(ctx, good, "the approval runs out")
	c.woken = c.woken || g.claimed.Run != runID(ctx) // of a run before this one the caller may have heard
	for {
		g.until(ctx, func() bool {
			return c.woken || timer.IsReady() || len(c.reports)+len(c.withdrawals) > 0 || g.leaves(ctx) ||
				g.mustNote()
		})
		g.startNoting(ctx)
		switch {
		case len(c.reports) > 0: // they win over the timer
			if out := g.judgeReport(ctx); out != nil {
				return out
			}
			continue
		case !c.mayStart && timer.IsReady():
			return g.record(ctx, g.notReported())
		}
		var end *approval.Outcome
		switch {
		case c.mayStart && (len(c.withdrawals) > 0 || g.leaves(ctx)):
			end = g.withdrawal(ctx)
		case c.mayStart && timer.IsReady():
			end = &approval.Outcome{
				Status: approval.StatusExpired, Decision: g.view.Decision, Error: &approval.CallError{
					Code:    approval.CodeExpired,
					Message: "the approval ran out before the caller started the tool; nothing ran",
				},
			}
		case !c.woken:
			continue
		}
		c.woken = false
		state := g.callerState(ctx, end)
		if state.Outcome != nil || !state.StartedAt.IsZero() {
			g.answerWithdrawals(state.Outcome)
		}
		if state.Outcome != nil {
			return state.Outcome
		}
		if c.mayStart && !state.StartedAt.IsZero() {
			c.mayStart = false
			g.view.Status, g.view.StartedAt = approval.StatusExecuting, &state.StartedAt
			g.show(ctx)
			due := state.StartedAt.Add(g.view.ReportWithin.Std())
			timer = g.callerTimer(ctx, due, "the caller's report is due")
		}
	}
}

func (g *guarded) callerTimer(ctx workflow.Context, at time.Time, summary string) workflow.Future {
	return workflow.NewTimerWithOptions(detached(ctx), max(0, at.Sub(workflow.Now(ctx))),
		workflow.TimerOptions{Summary: summary})
}

// leaves reports whether Temporal's cancel asks for the withdrawal of the call.
func (g *guarded) leaves(ctx workflow.Context) bool {
	return g.caller.mayStart && !g.caller.left && ctx.Err() != nil
}

// withdrawal is the end of a call that was withdrawn, if its tool was not started.
func (g *guarded) withdrawal(ctx workflow.Context) *approval.Outcome {
	by := &approval.FinalDecision{Kind: approval.FinalCancel, Channel: channelTemporal, At: now(ctx)}
	if len(g.caller.withdrawals) > 0 {
		d := g.caller.withdrawals[0]
		by.By, by.Channel, by.Method = d.Reviewer, d.Channel, d.Method
		by.Notes, by.At = g.redacted(d.Notes), d.At
	} else {
		g.caller.left = true
	}
	why := &approval.CallError{Code: approval.CodeCancelled, Message: "the call was withdrawn"}
	return &approval.Outcome{Status: approval.StatusCancelled, Error: why, Decision: by}
}

// callerState asks what the store knows, which ends the call first if it can end so.
func (g *guarded) callerState(ctx workflow.Context, end *approval.Outcome) activities.CallerResult {
	var state activities.CallerResult
	g.ordinary(ctx, steps.CallerState, activities.CallerInput{
		ID: g.view.ID, Run: runID(ctx), Digest: g.digest, Call: g.call, End: end,
	}, &state)
	return state
}

// answerWithdrawals says what became of withdrawals after the store was asked. out is how the call
// has ended, if it has.
func (g *guarded) answerWithdrawals(out *approval.Outcome) {
	held := g.caller.withdrawals
	g.caller.withdrawals = nil
	for i, d := range held {
		switch {
		case out != nil && out.Status == approval.StatusCancelled && i == 0:
			g.answer(d, approval.AnswerResolved, "")
		case out != nil:
			g.answer(d, approval.AnswerAlreadyResolved, "the call is "+string(out.Status))
		default:
			g.answer(d, approval.AnswerAlreadyResolved, "the caller has started the tool")
		}
	}
}

// judgeReport lets the store judge the first report. It returns the end of the call, if it has ended.
func (g *guarded) judgeReport(ctx workflow.Context) *approval.Outcome {
	c := &g.caller
	report := c.reports[0]
	var res activities.ReportResult
	g.ordinary(ctx, steps.Report, activities.ReportInput{
		ID: g.view.ID, Run: runID(ctx), Digest: g.digest, Call: g.call, Report: report.SentReport,
	}, &res)
	c.reports = c.reports[1:]
	out := res.Outcome
	switch {
	case res.Kept:
		said, _ := report.Outcome() // with the raw result, which is the caller's own
		said.ID, said.Tool, said.Digest, said.Decision = g.view.ID, g.call.Tool, g.digest, g.view.Decision
		out = &said
	case out == nil:
		g.refuseReport(report.nth, res.Refused)
		return nil
	}
	g.answerWithdrawals(out)
	return out
}

// onReport takes a report, which counts if it is the caller's. A word of a later version must not
// lose it.
func (g *guarded) onReport(raw converter.RawValue) {
	s := numberedReport{nth: g.inbox.nth[approval.SignalReport]}
	err := readUpTo(maxReport, raw, &s.SentReport, strictjson.DecodeKnown)
	if err == nil {
		err = s.Validate()
	}
	switch {
	case err != nil:
		g.refuseReport(s.nth, err.Error())
	case g.view.Status.Ended() || g.view.Execution == "" && g.view.Status != approval.StatusEvaluating:
		g.refuseReport(s.nth, "no caller runs the tool of this call")
	case len(g.caller.reports) >= maxReports:
		g.refuseReport(s.nth, "too many reports came at once")
	default:
		g.caller.reports = append(g.caller.reports, s)
	}
}

// refuseLeft puts on record that reports came which nobody has judged: while the call's end was being
// written. A call that ended before that came goes on without.
func (g *guarded) refuseLeft(ctx workflow.Context) {
	left := g.caller.reports
	g.caller.reports = nil
	if len(left) == 0 || workflow.GetVersion(ctx, "left-reports-are-refused", workflow.DefaultVersion, 1) < 1 {
		return
	}
	for _, s := range left {
		g.refuseReport(s.nth, "the call had ended before this report was judged")
	}
}

func (g *guarded) refuseReport(nth int, why string) {
	d := decision{signal: approval.SignalReport}
	d.ID, d.Channel = fmt.Sprintf("report/%d", nth), channelTemporal
	g.answer(d, approval.AnswerForbidden, why)
}

func (g *guarded) notReported() approval.Outcome {
	out := toolEnd(approval.StatusOutcomeUnknown, approval.CodeNotReported, activities.NotReported)
	out.Decision = g.view.Decision
	return out
}

// asked answers the query for the call itself, which is not redacted.
func (g *guarded) asked() (approval.Call, error) {
	if g.problem != "" {
		return approval.Call{}, approval.Errorf(approval.CodeInvalid, "the workflow was not started with a call")
	}
	return g.call, nil
}
