package activities

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
)

// The steps of calls whose caller runs the tool. What a caller did is on record in the store alone:
// the workflow asks for it, and never believes a signal or a timer.

// errServed: a worker runs the tool, and no rule leaves it to the caller.
var errServed = errors.New("a worker runs this tool; its caller may run it only where a rule of the policy " +
	"says execution: caller")

// callersTool is what checks the arguments of a call that its caller runs: the worker's tool t, where
// a rule leaves its run to the caller, or what the agent published; nil: nothing is known of it.
func (a *Activities) callersTool(
	ctx context.Context, call approval.Call, v approval.Verdict, t *tool.Tool,
) (*tool.Tool, error) {
	byRule := v.Requirement != nil && v.Requirement.Execution == approval.ExecutionCaller
	if t != nil && byRule {
		return t, nil
	}
	if !byRule && v.Kind != approval.VerdictDeny { // which says more
		_, err := a.Store.Tool(ctx, call.Tool)
		switch {
		case t != nil, err == nil:
			return nil, errServed
		case !errors.Is(err, store.ErrNotFound):
			return nil, fmt.Errorf("looking up a tool: %w", err)
		}
	}
	own, err := a.Store.OwnTool(ctx, call.Agent, call.Tool)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && len(own.Schema) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking up a tool: %w", err)
	}
	t, err = CompileOwn(own)
	if err != nil {
		return nil, fmt.Errorf("the tool %s that the agent published can't be used: %w",
			approval.Display(own.Name, 80), err)
	}
	return t, nil
}

// CompileOwn readies a tool that an agent runs itself, to check arguments.
func CompileOwn(own store.OwnTool) (*tool.Tool, error) {
	const nowhere = "caller" // no queue has it
	return tool.Remote(own.Name, own.Schema, nowhere, tool.Options{Description: own.Description})
}

// alikeKey is the store's key for calls that are alike. It never changes, so it is read once.
func (a *Activities) alikeKey(ctx context.Context) ([]byte, error) {
	if known := a.key.Load(); known != nil {
		return *known, nil
	}
	key, err := a.Store.AlikeKey(ctx)
	if err == nil {
		a.key.Store(&key)
	}
	return key, err
}

// reportWithin is how long after the start the caller has to report. t is the worker's tool, if a
// rule leaves that to the caller.
func reportWithin(call approval.Call, t *tool.Tool) approval.Duration {
	switch {
	case call.ReportWithin > 0:
		return call.ReportWithin
	case t != nil && t.Timeout() > 0:
		return min(approval.Duration(t.Timeout()), approval.MaxReportWithin)
	}
	return approval.DefaultReportWithin
}

// NotReported says why a call ends as approval.CodeNotReported.
const NotReported = "the caller started the tool and did not report in time how it ended; " +
	"look at the tool's own records"

// CallerInput asks how far the caller of a call has come.
type CallerInput struct {
	ID, Run, Digest string
	Call            approval.Call
	// End is how the call ends if its tool was not started: expired or cancelled. Nil: it goes on.
	End *approval.Outcome `json:",omitempty"`
}

// CallerResult is what the store says.
type CallerResult struct {
	Outcome   *approval.Outcome `json:",omitempty"` // how the call has ended
	StartedAt time.Time         `json:",omitzero"`  // when its caller started the tool; zero: not yet
}

// CallerState says what the store knows of a call whose caller runs the tool, and ends it if it was
// not started and is to end.
func (a *Activities) CallerState(ctx context.Context, in CallerInput) (CallerResult, error) {
	record, now, err := a.callerRecord(ctx, in.ID, in.Digest, in.Call)
	if err != nil {
		return CallerResult{}, err
	}
	if end := in.End; end != nil {
		if !slices.Contains([]approval.Status{approval.StatusExpired, approval.StatusCancelled}, end.Status) {
			return CallerResult{}, refuse(approval.CodeInvalid, "a caller's call does not end so", nil)
		}
		ending := a.ending(record, in.Call, now)
		ending.Run, ending.Outcome = in.Run, *end
		ending.Outcome.Digest = in.Digest
		ended, _, err := a.end(ctx, ending)
		switch {
		case err == nil:
			record = ended
		case !errors.Is(err, store.ErrStarted):
			return CallerResult{}, fmt.Errorf("ending call %s: %w", in.ID, err)
		default:
			if record, err = a.Store.Call(ctx, in.ID); err != nil {
				return CallerResult{}, err
			}
		}
	}
	out := CallerResult{Outcome: ended(record)}
	if record.Permit != nil {
		out.StartedAt = record.Permit.UsedAt
	}
	return out, nil
}

// callerRecord reads a call of which a workflow says that it is this one.
func (a *Activities) callerRecord(
	ctx context.Context, id, digest string, call approval.Call,
) (r store.Record, now time.Time, err error) {
	if r, err = a.Store.Call(ctx, id); err != nil {
		return r, now, fmt.Errorf("reading call %s: %w", id, err)
	}
	if digest != r.View.Digest || !isOf(r, call) {
		return r, now, refuse(approval.CodeDigest, "the call is not the one that was admitted", nil)
	}
	if r.View.Execution != approval.ExecutionCaller {
		return r, now, refuse(approval.CodeInvalid, "a worker runs the call's tool", nil)
	}
	return r, serverNow(ctx, now), nil
}

// ending is the end of a call, but for its outcome. It hides what the stored verdict hides, and the
// active policy's.
func (a *Activities) ending(r store.Record, call approval.Call, now time.Time) RecordInput {
	verdict, _ := a.evaluate(call, now)
	return RecordInput{
		ID: r.View.ID, Call: call, At: now, Redact: append(slices.Clip(r.Verdict.Redact), verdict.Redact...),
		RedactValues: r.Verdict.RedactValues.And(verdict.RedactValues),
	}
}

// ReportInput is a report as a workflow received it, by anybody.
type ReportInput struct {
	ID, Run, Digest string
	Call            approval.Call
	Report          approval.SentReport
}

// ReportResult says what became of a report: it ended the call, the call had ended otherwise, or why
// it does not count.
type ReportResult struct {
	Kept    bool              `json:",omitempty"`
	Outcome *approval.Outcome `json:",omitempty"`
	Refused string            `json:",omitempty"`
}

// Report ends a call as its caller says, if it is the one who started the tool.
func (a *Activities) Report(ctx context.Context, in ReportInput) (ReportResult, error) {
	record, now, err := a.callerRecord(ctx, in.ID, in.Digest, in.Call)
	if err != nil {
		return ReportResult{}, err
	}
	after, kept, err := a.report(ctx, record, in, now)
	switch {
	case errors.Is(err, store.ErrStarted):
		return ReportResult{Refused: "the tool was started by somebody else"}, nil
	case errors.Is(err, store.ErrNoPermit):
		return ReportResult{Refused: "the tool was not started"}, nil
	case approval.CodeOf(err) == approval.CodeInvalid:
		return ReportResult{Refused: err.Error()}, nil
	case err != nil:
		return ReportResult{}, fmt.Errorf("keeping the report about call %s: %w", in.ID, err)
	}
	if kept {
		return ReportResult{Kept: true}, nil
	}
	return ReportResult{Outcome: ended(after)}, nil
}

// report keeps a report, redacted. kept reports whether the call has ended by it, now or before.
func (a *Activities) report(
	ctx context.Context, record store.Record, in ReportInput, now time.Time,
) (after store.Record, kept bool, err error) {
	if err := in.Report.Validate(); err != nil {
		return after, false, err
	}
	end, brief := in.Report.Outcome()
	end.ID, end.Tool, end.Digest, end.Decision = in.ID, in.Call.Tool, in.Digest, record.View.Decision
	r := a.ending(record, in.Call, now).redactor()
	hides := end
	hides.Result = r.JSON(end.Result)
	if end.Error != nil {
		hides.Error = &approval.CallError{Code: end.Error.Code, Message: r.Text(end.Error.Message)}
	}
	if in.Report.ResultDigest == "" && !bytes.Equal(hides.Result, end.Result) {
		brief.ResultDigest = "" // what is hidden could be guessed by it
	}
	p := store.ReportParams{
		Outcome: hides, Start: approval.HashStartID(in.Report.StartID), Report: brief, At: now,
	}
	said := audit.Reported{
		Status: hides.Status, Error: hides.Error, Run: in.Run,
		ResultDigest: brief.ResultDigest, ResultSize: brief.ResultSize, Actor: reporter(record, in.Report.Actor),
	}
	reported, err := entry(in.ID, "report", now, said)
	if err != nil {
		return after, false, err
	}
	ends, err := entry(in.ID, "end", now, audit.Ended{Outcome: entryOutcome(hides), Run: in.Run})
	if err != nil {
		return after, false, err
	}
	said.Late = true
	late, err := entry(in.ID, "late report", now, said)
	if err != nil {
		return after, false, err
	}
	p.Entries, p.Late = []audit.Entry{reported, ends}, []audit.Entry{late}
	after, fresh, err := a.Store.Report(ctx, p)
	kept = err == nil && after.View.Report != nil && after.View.Report.Same(brief)
	if kept && fresh {
		a.logEnd(ctx, after.View)
	}
	return after, kept, err
}

// reporter is who reported. Only who asked for a call may, by an API that knows them, so a signal that
// names somebody else is not believed.
func reporter(record store.Record, said approval.Actor) approval.Actor {
	if said.By != record.View.Requester || checkVia(said.Via) != nil {
		return approval.Actor{}
	}
	return said
}

func checkVia(v approval.Via) error {
	return cmp.Or(approval.CheckName("channel", v.Channel), approval.CheckName("method", v.Method))
}
