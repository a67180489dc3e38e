package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// CallerAPI is what an API does for those who run tools themselves, and who find out what became of
// them. It is apart from Activities, all methods of which a worker offers as activities: whoever
// may write to its namespace could schedule these, and so pass by the API, which knows who asks.
type CallerAPI struct{ Steps *Activities }

// ReportLate keeps a report that came when the call had ended.
func (c CallerAPI) ReportLate(
	ctx context.Context, id string, call approval.Call, report approval.SentReport,
) error {
	a := c.Steps
	record, err := a.Store.Call(ctx, id)
	if err != nil {
		return err
	}
	if !isOf(record, call) {
		return store.ErrDigest
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	in := ReportInput{ID: id, Digest: record.View.Digest, Call: call, Report: report}
	_, _, err = a.report(ctx, record, in, now)
	return err
}

// Settle keeps what a person says became of a call whose outcome is unknown, redacted as its result
// would be. call is what Temporal still has of it: where it is not the one that was admitted,
// nothing is learnt from it. Errors: those of store.Calls.Settle.
func (c CallerAPI) Settle(
	ctx context.Context, id string, call approval.Call, said audit.Settled,
) (store.Record, error) {
	a := c.Steps
	record, err := a.Store.Call(ctx, id)
	if err != nil {
		return record, err
	}
	if !isOf(record, call) {
		v := record.View
		call = approval.Call{Tool: v.Tool, Args: v.Args, Agent: v.Agent, Team: v.Team, Requester: v.Requester}
	}
	s := &said.Settled
	s.At = time.Now().UTC().Truncate(time.Microsecond)
	r := a.ending(record, call, s.At).redactor()
	s.Notes, s.Result = r.Text(s.Notes), r.JSON(s.Result)
	var compact bytes.Buffer // as the store keeps it: repeats are compared
	if len(s.Result) > 0 && json.Compact(&compact, s.Result) == nil {
		s.Result = compact.Bytes()
	}
	p := store.SettleParams{ID: id, Settled: *s}
	said.Digest, s.Result = record.View.Digest, entryOutcome(approval.Outcome{Result: s.Result}).Result
	e, err := entry(id, "settled", s.At, said)
	if err != nil {
		return record, err
	}
	p.Entries = []audit.Entry{e}
	record, fresh, err := a.Store.Settle(ctx, p)
	if fresh {
		a.Logger.InfoContext(ctx, "a person said what became of a call",
			"call", id, "ran", p.Settled.Ran, "by", p.Settled.By)
	}
	return record, err
}

// OfferOwn replaces the list of a source of tools that an agent runs itself. taken are those that workers
// run: then nothing changes. The error has approval.CodeInvalid for a tool that can't be used.
func (c CallerAPI) OfferOwn(
	ctx context.Context, agent, source string, tools []store.OwnTool,
) (taken []string, err error) {
	for i, own := range tools {
		if len(own.Schema) == 0 {
			continue
		}
		if _, err := CompileOwn(own); err != nil {
			return nil, approval.Errorf(approval.CodeInvalid, "tools[%d]: %v", i, err)
		}
	}
	return c.Steps.Store.PublishOwn(ctx, agent, source, tools)
}

// StartCaller lets the caller of a call run its tool: it judges the call once more, by the policy
// that is active now, and then uses the permit. start is the caller's approval.HashStartID, and by who
// they are. The record is as it is then: a call that may not run any more has ended. Errors: those of
// store.Calls.Start.
func (c CallerAPI) StartCaller(
	ctx context.Context, id string, call approval.Call, start string, by approval.Actor,
) (store.Record, error) {
	a := c.Steps
	record, err := a.Store.Call(ctx, id)
	if err != nil {
		return record, err
	}
	if !isOf(record, call) {
		return record, store.ErrDigest
	}
	p := record.Permit
	use := store.StartParams{ID: id, Digest: record.View.Digest, Start: start, By: by}
	if p == nil || !p.UsedAt.IsZero() || record.View.Status.Ended() {
		return a.useStart(ctx, use)
	}
	why, policy, err := a.forbidden(ctx, ExecuteInput{ID: id, Call: call}, time.Now().UTC())
	use.Policy = policy
	switch {
	case err != nil:
		return record, err
	case why != "":
		return a.blockStart(ctx, record, call, use, approval.CodePolicyChanged, why)
	}
	if p.Evidence != "" {
		err := a.reverify(ctx, id)
		switch {
		case errors.Is(err, errUntrusted):
			return a.blockStart(ctx, record, call, use, approval.CodeUntrusted, err.Error())
		case err != nil:
			return record, err
		}
	}
	use.Verified = p.Evidence != ""
	return a.useStart(ctx, use)
}

func (a *Activities) useStart(ctx context.Context, use store.StartParams) (store.Record, error) {
	r, _, err := a.Store.Start(ctx, use)
	return r, err
}

// blockStart ends a call that may not start any more. Somebody may have started it meanwhile: then
// it goes on.
func (a *Activities) blockStart(
	ctx context.Context, record store.Record, call approval.Call, use store.StartParams, code, why string,
) (store.Record, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	in := a.ending(record, call, now)
	in.Outcome, in.policy = blocked(code, why+"; nothing ran", now), &use.Policy
	in.Outcome.Digest = record.View.Digest
	ended, _, err := a.end(ctx, in)
	if errors.Is(err, store.ErrStarted) {
		return a.useStart(ctx, use)
	}
	return ended, err
}
