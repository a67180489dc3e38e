package workflows

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// inbox is the three signal channels, in the order in which they are read: of signals that are
// there together, a withdrawal goes before a rejection, and that before an approval.
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
	ballot.Decision
	nth       int // the n-th signal of its name in this run
	signal    string
	statement sign.Statement // of its envelope, once that is verified
	asked     bool           // its key was asked for
	timed     bool           // At is the time of its event in history
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

// received starts the decision that a signal is. Its ID counts the signals of that name, until the
// sender's own takes its place.
func (g *guarded) received(ctx workflow.Context, signal string, kind approval.DecisionKind) decision {
	g.inbox.nth[signal]++
	d := decision{signal: signal, nth: g.inbox.nth[signal]}
	d.Kind, d.At, d.ID = kind, now(ctx), fmt.Sprintf("%s-%d", signal, d.nth)
	return d
}

// ourID is the form of the IDs that received gives. A sender that took one could have the next
// signal's answer in advance.
var ourID = regexp.MustCompile(`^(approve|reject|cancel_call)-[0-9]+$`)

func (g *guarded) onCancel(ctx workflow.Context, raw converter.RawValue) {
	var s approval.CancelSignal
	d := g.received(ctx, approval.SignalCancel, "")
	err := readNo(ctx, raw, &s)
	if err == nil {
		err = checkSignal(s.DecisionID, s.Notes, [2]string{"by", s.By}, [2]string{"channel", s.Channel})
	}
	d.Reviewer, d.Channel, d.Notes = s.By, channel(s.Channel), s.Notes
	g.take(ctx, d, s.DecisionID, err)
}

func (g *guarded) onDecision(ctx workflow.Context, signal string, kind approval.DecisionKind, raw converter.RawValue) {
	var s approval.DecisionSignal
	d := g.received(ctx, signal, kind)
	var err error
	if kind == approval.Reject {
		err = readNo(ctx, raw, &s)
	} else {
		err = readSignal(raw, &s, strictjson.Decode)
	}
	if err == nil {
		names := [][2]string{{"reviewer", s.Reviewer}, {"channel", s.Channel}, {"digest", s.Digest}, {"method", s.Method}, {"notes_salt", s.NotesSalt}}
		for _, group := range s.Groups {
			names = append(names, [2]string{"groups", group})
		}
		err = checkSignal(s.DecisionID, s.Notes, names...)
	}
	d.Reviewer, d.Channel, d.Notes, d.Digest = s.Reviewer, channel(s.Channel), s.Notes, s.Digest
	d.Groups, d.Method, d.Envelope, d.NotesSalt = s.Groups, s.Method, s.Envelope, s.NotesSalt
	g.take(ctx, d, s.DecisionID, err)
}

func checkSignal(id, notes string, names ...[2]string) error {
	if ourID.MatchString(id) {
		return approval.Errorf(approval.CodeInvalid, "decision_id must not look like the ones that Pawl gives itself (approve-1)")
	}
	for _, n := range append(names, [2]string{"decision_id", id}) {
		if err := approval.CheckName(n[0], n[1]); err != nil {
			return err
		}
	}
	return approval.CheckNotes(notes)
}

// take judges a decision under the ID its sender gave it, if any: a repeat of one that has its
// answer, or will get it, does nothing.
func (g *guarded) take(ctx workflow.Context, d decision, id string, err error) {
	if err != nil {
		// Nothing of what could not be read is used, not even its ID.
		d.Reviewer, d.Channel, d.Notes, d.Groups, d.Method = "", "", "", nil, ""
		g.answer(d, approval.AnswerInvalid, err.Error())
		return
	}
	if id != "" {
		d.ID = id
	}
	if g.answers.has(d.ID) || holds(g.early, d.ID) || holds(g.late, d.ID) || holds(g.unknown, d.ID) {
		return
	}
	g.judge(ctx, d)
}

// answerVotes answers the decisions for which the call was claimed before: by an earlier run, or in
// a workflow task that was lost with all its answers. Their signals come again.
func (g *guarded) answerVotes() {
	for _, a := range ballot.Answers(g.view) {
		g.answers.add(a)
	}
}

// judge answers one decision, or lays it aside until what its answer depends on is known.
func (g *guarded) judge(ctx workflow.Context, d decision) {
	switch status := g.view.Status; {
	case status == approval.StatusEvaluating && d.Kind == approval.Approve && d.Digest != g.digest:
		// Nobody can have seen the call yet, so nobody can approve of it, except who names its digest,
		// which holds the nonce: the store shows a call before its workflow knows, and a crash may lie
		// between.
		g.answer(d, approval.AnswerInvalid, "the call was not waiting for approval yet: look at it, then decide again")
	case status == approval.StatusEvaluating:
		g.early = append(g.early, d)
	case status == approval.StatusExpired:
		g.answer(d, approval.AnswerExpired, "the call expired before this decision")
	case status != approval.StatusPending:
		g.answer(d, approval.AnswerAlreadyResolved, "the call is "+string(status))
	case g.withdrawn(ctx) != nil:
		g.answer(d, approval.AnswerAlreadyResolved, "the call was withdrawn before")
	case d.signal == approval.SignalCancel && g.tally.Settled() == nil:
		g.cancelled = &approval.Settlement{Kind: approval.SettledCancel, By: d.Reviewer, Channel: d.Channel, Notes: g.redacted(d.Notes), At: d.At}
		g.answer(d, approval.AnswerResolved, "")
	default:
		g.count(ctx, d)
	}
}

// count lets the ballot judge a decision, and has found out what that depends on: first whether its
// envelope is genuine, then, where it matters, when it came.
func (g *guarded) count(ctx workflow.Context, d decision) {
	at := d.At
	if !d.timed {
		at = now(ctx) // at the latest
	}
	d.Unverified = len(d.Envelope) > 0 && !d.Authenticated
	d.Untimely = d.Authenticated && d.statement.Untimely(at)
	d.Untimed = !d.timed && (g.overdue(ctx) || d.Untimely)
	switch j := g.tally.Add(d.Decision); j.Needs {
	case ballot.NeedsProof:
		g.verify(ctx, d)
	case ballot.NeedsTime:
		g.late = append(g.late, d)
	default:
		g.answer(d, j.Outcome, j.Message)
		g.view.Votes = nil
		for _, v := range g.tally.Votes() {
			v.Notes = g.redacted(v.Notes)
			g.view.Votes = append(g.view.Votes, v.Shown())
		}
	}
}

// redacted is what a reviewer wrote, without the values that the policy hides.
func (g *guarded) redacted(notes string) string {
	if notes == "" || len(g.adm.Verdict.Redact) == 0 {
		return notes
	}
	r := redact.New(g.adm.Verdict.Redact)
	// A redactor gathers its values from maps; what it hides does not depend on their order.
	r.Args(g.call.Args)  //workflowcheck:ignore
	return r.Text(notes) //workflowcheck:ignore
}

// judgeHeld judges all decisions that were laid aside: those that came before the policy had
// answered, and, of a call that has ended, the others.
func (g *guarded) judgeHeld(ctx workflow.Context) {
	held := slices.Concat(g.early, g.late, g.unknown)
	g.early, g.late, g.unknown = nil, nil, nil
	for _, d := range held {
		if !g.answers.has(d.ID) {
			g.judge(ctx, d)
		}
	}
}

// judgeLate lets the event times in history decide between the deadline and the answers that were
// there with it.
func (g *guarded) judgeLate(ctx workflow.Context, deadline time.Time) {
	var answers activities.Answers
	g.ordinary(ctx, steps.AnswerTimes, activities.AnswersInput{ID: g.view.ID, Run: runID(ctx), Deadline: deadline}, &answers)
	held := g.late
	g.late = nil
	for _, d := range held {
		d.At, d.timed = deadline, true // at the earliest
		if inTime := answers.InTime[d.signal]; d.nth <= len(inTime) {
			d.At = stamp(inTime[d.nth-1])
		}
		g.judge(ctx, d)
	}
}

func holds(list []decision, id string) bool {
	for _, d := range list {
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
	if outcome.Counted() {
		return
	}
	if len(g.refusals) >= maxRefusals {
		g.refusedMore++
		return
	}
	g.refusals = append(g.refusals, activities.Refusal{Answer: a, Signal: d.signal, Reviewer: d.Reviewer, Channel: d.Channel})
}

// maxRefusals bounds what one entry tells singly: a flood of signals must not grow an activity's
// input beyond what Temporal takes.
const maxRefusals = 100

// channelTemporal is the channel of decisions that name none: Temporal's own UI, command line or
// any client of the namespace.
const channelTemporal = "temporal"

func channel(named string) string {
	if named == "" {
		return channelTemporal
	}
	return named
}

// readSignal reads a payload into v. No payload, null, "" and {} all mean that nothing was said
// beyond the signal itself: Temporal's UI sends any of them.
func readSignal(raw converter.RawValue, v any, decode func([]byte, any) error) error {
	p := payload(raw)
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
	const most = 64 << 10 // escaped notes and groups
	if len(data) > most {
		return approval.Errorf(approval.CodeInvalid, "the payload is %d bytes; at most %d are taken", len(data), most)
	}
	return decode(data, v)
}

// readNo reads a rejection or a withdrawal. It counts by the fields that are known: a No must not
// get lost over a word of a later version. An approval with an unknown field does not count, since
// what it says there may be what it depends on.
func readNo(ctx workflow.Context, raw converter.RawValue, v any) error {
	err := readSignal(raw, v, strictjson.Decode)
	if err == nil || readSignal(raw, v, strictjson.DecodeKnown) != nil {
		return err
	}
	if workflow.GetVersion(ctx, "no-by-known-fields", workflow.DefaultVersion, 1) < 1 {
		return err // it was refused then
	}
	return nil
}

// answers holds the latest answers. IDs beyond approval.MaxAnswers are forgotten with their
// answers: a repeat of one that old is judged anew, and by then the call is settled or the repeat
// is one more vote of its reviewer.
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
