package workflows

import (
	"bytes"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// inbox is the three signal channels, in the order in which they are read: of
// signals that are there together, a withdrawal goes before a rejection, and
// that before an approval.
type inbox struct {
	cancel, reject, approve workflow.ReceiveChannel
	nth                     map[string]int // signals received so far, by name
}

func openInbox(ctx workflow.Context) inbox {
	open := func(name, description string) workflow.ReceiveChannel {
		return workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
	}
	const payload = ` Payload: nothing, or {"reviewer": "…", "notes": "…", "digest": "…"}.`
	return inbox{
		cancel:  open(approval.SignalCancel, "Withdraw the call, if its tool was not started yet. Payload: nothing, or {\"by\": \"…\", \"notes\": \"…\"}."),
		reject:  open(approval.SignalReject, "Reject the call."+payload),
		approve: open(approval.SignalApprove, "Approve the call: its tool runs, once."+payload),
		nth:     map[string]int{},
	}
}

func (b inbox) waiting() bool { return b.cancel.Len()+b.reject.Len()+b.approve.Len() > 0 }

// decision is one approve or reject as it came in.
type decision struct {
	approval.Decision
	digest string
	nth    int // the n-th signal of its name in this run
	signal string
}

// pump takes every signal that is there.
func (g *guarded) pump(ctx workflow.Context) {
	var raw converter.RawValue
	for ; g.inbox.cancel.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.onCancel(ctx, raw)
	}
	for ; g.inbox.reject.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.onDecision(ctx, approval.SignalReject, approval.Reject, raw)
	}
	for ; g.inbox.approve.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.onDecision(ctx, approval.SignalApprove, approval.Approve, raw)
	}
}

func (g *guarded) onCancel(ctx workflow.Context, raw converter.RawValue) {
	var s approval.CancelSignal
	err := readSignal(raw, &s)
	for _, f := range [][2]string{{"decision_id", s.DecisionID}, {"by", s.By}, {"channel", s.Channel}} {
		if err == nil {
			err = approval.CheckName(f[0], f[1])
		}
	}
	if err == nil {
		err = approval.CheckNotes(s.Notes)
	}
	d := decision{signal: approval.SignalCancel, nth: g.inbox.count(approval.SignalCancel)}
	d.ID = s.DecisionID
	if d.ID == "" {
		d.ID = fmt.Sprintf("%s-%d", d.signal, d.nth)
	}
	switch {
	case err != nil:
		g.answer(d, approval.AnswerInvalid, err.Error())
	case g.answers.has(d.ID):
	case g.view.Status != approval.StatusEvaluating && g.view.Status != approval.StatusPending || g.withdrawn(ctx) != nil:
		d.Reviewer, d.Channel = s.By, s.Channel
		g.answer(d, approval.AnswerAlreadyResolved, "the call is "+string(g.view.Status))
	default:
		g.cancelled = &approval.Settlement{Kind: approval.SettledCancel, By: s.By, Channel: channel(s.Channel), Notes: s.Notes, At: now(ctx)}
		g.answer(d, approval.AnswerResolved, "")
	}
}

func (g *guarded) onDecision(ctx workflow.Context, signal string, kind approval.DecisionKind, raw converter.RawValue) {
	var s approval.DecisionSignal
	err := readSignal(raw, &s)
	for _, f := range [][2]string{{"decision_id", s.DecisionID}, {"reviewer", s.Reviewer}, {"channel", s.Channel}, {"digest", s.Digest}} {
		if err == nil {
			err = approval.CheckName(f[0], f[1])
		}
	}
	if err == nil {
		err = approval.CheckNotes(s.Notes)
	}
	d := decision{signal: signal, nth: g.inbox.count(signal)}
	d.Kind, d.At, d.ID = kind, now(ctx), fmt.Sprintf("%s-%d", signal, d.nth)
	if err != nil {
		// Nothing of what could not be read is used, not even its ID.
		g.answer(d, approval.AnswerInvalid, err.Error())
		return
	}
	if s.DecisionID != "" {
		d.ID = s.DecisionID
	}
	d.Reviewer, d.Channel, d.Notes, d.digest = s.Reviewer, channel(s.Channel), s.Notes, s.Digest
	if g.answers.has(d.ID) || g.isLate(d.ID) {
		return // a repeat of a decision that has its answer, or will get it
	}
	g.judge(ctx, d)
}

// judge answers one decision, or lays it aside.
func (g *guarded) judge(ctx workflow.Context, d decision) {
	switch {
	case g.view.Status == approval.StatusEvaluating:
		// Nobody can have seen the call yet, so nobody can approve of it, except
		// who names its digest, which holds the nonce: the store shows a call
		// before its workflow knows, and a crash may lie between. A rejection is
		// kept.
		if d.Kind == approval.Approve && d.digest != g.digest {
			g.answer(d, approval.AnswerInvalid, "the call was not waiting for approval yet: look at it, then decide again")
			return
		}
		g.late = append(g.late, d)
	case g.view.Status == approval.StatusExpired:
		g.answer(d, approval.AnswerExpired, "the call expired before this decision")
	case g.view.Status != approval.StatusPending, g.withdrawn(ctx) != nil, g.tally.Settled() != nil:
		g.answer(d, approval.AnswerAlreadyResolved, "the call is "+string(g.view.Status))
	case d.digest != "" && d.digest != g.view.Digest:
		g.answer(d, approval.AnswerStale, "the decision is about another digest than the call's")
	case g.overdue(ctx):
		g.late = append(g.late, d)
	default:
		g.count(d)
	}
}

// count lets the tally decide.
func (g *guarded) count(d decision) {
	g.answer(d, g.tally.Add(d.Decision), "")
	g.view.Votes = g.tally.Votes()
}

// judgeHeld judges what came before the policy had answered.
func (g *guarded) judgeHeld(ctx workflow.Context) {
	held := g.late
	g.late = nil
	for _, d := range held {
		g.judge(ctx, d)
	}
}

// judgeLate lets the event times in history decide between the deadline and
// the answers that were there with it.
func (g *guarded) judgeLate(ctx workflow.Context, deadline time.Time) {
	var answers activities.Answers
	g.ordinary(ctx, steps.AnswerTimes, activities.AnswersInput{ID: g.view.ID, Run: runID(ctx), Deadline: deadline}, &answers)
	held := g.late
	g.late = nil
	for _, d := range held {
		inTime := answers.InTime[d.signal]
		switch {
		case d.nth > len(inTime):
			g.answer(d, approval.AnswerExpired, "the decision came after the deadline")
		case g.withdrawn(ctx) != nil || g.tally.Settled() != nil:
			g.answer(d, approval.AnswerAlreadyResolved, "another decision came first")
		default:
			d.At = stamp(inTime[d.nth-1])
			g.count(d)
		}
	}
}

func (g *guarded) isLate(id string) bool {
	for _, d := range g.late {
		if d.ID == id {
			return true
		}
	}
	return false
}

// withdrawn returns who withdrew the call: by signal, or by Temporal's cancel.
func (g *guarded) withdrawn(ctx workflow.Context) *approval.Settlement {
	if g.cancelled == nil && ctx.Err() != nil {
		g.cancelled = &approval.Settlement{Kind: approval.SettledCancel, Channel: channelTemporal, At: now(ctx)}
	}
	return g.cancelled
}

// answer tells what a decision did. What did not count is kept for the record.
func (g *guarded) answer(d decision, outcome approval.AnswerOutcome, message string) {
	a := approval.Answer{DecisionID: d.ID, Outcome: outcome, Message: message}
	g.answers.add(a)
	if !outcome.Counted() {
		g.refusals = append(g.refusals, activities.Refusal{Answer: a, Signal: d.signal, Reviewer: d.Reviewer, Channel: d.Channel})
	}
}

// channelTemporal is the channel of decisions that name none: Temporal's own
// UI, command line or any client of the namespace.
const channelTemporal = "temporal"

func channel(named string) string {
	if named == "" {
		return channelTemporal
	}
	return named
}

func (b inbox) count(signal string) int {
	b.nth[signal]++
	return b.nth[signal]
}

// readSignal reads a payload into v. No payload, null, "" and {} all mean that
// nothing was said beyond the signal itself: Temporal's UI sends any of them.
func readSignal(raw converter.RawValue, v any) error {
	p := raw.Payload()
	if p == nil || len(p.GetData()) == 0 {
		return nil
	}
	data := bytes.TrimSpace(p.GetData())
	switch enc := string(p.GetMetadata()[converter.MetadataEncoding]); {
	case enc == converter.MetadataEncodingNil, enc == converter.MetadataEncodingJSON && (string(data) == "null" || string(data) == `""`):
		return nil
	case enc != converter.MetadataEncodingJSON:
		return approval.Errorf(approval.CodeInvalid, "the payload must be JSON (%s), not %q", converter.MetadataEncodingJSON, approval.Display(enc, 40))
	}
	const most = 16 << 10
	if len(data) > most {
		return approval.Errorf(approval.CodeInvalid, "the payload is %d bytes; at most %d are taken", len(data), most)
	}
	return approval.DecodeStrict(data, v)
}

// answers holds the latest answers. IDs beyond approval.MaxAnswers are
// forgotten with their answers: a repeat of one that old is judged anew, and
// by then the call is settled or the repeat is one more vote of its reviewer.
type answers struct {
	list []approval.Answer
}

func (a *answers) has(id string) bool {
	for _, x := range a.list {
		if x.DecisionID == id {
			return true
		}
	}
	return false
}

func (a *answers) add(x approval.Answer) {
	a.list = append(a.list, x)
	if extra := len(a.list) - approval.MaxAnswers; extra > 0 {
		a.list = append([]approval.Answer(nil), a.list[extra:]...)
	}
}
