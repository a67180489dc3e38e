package workflows

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

// inbox is the signal channels, in the order in which they are read: of signals that are there
// together, a withdrawal goes before a rejection, and that before an approval.
type inbox struct {
	cancel, reject, approve, report, started workflow.ReceiveChannel
	nth                                      map[string]int // signals received so far, by name
	count, bytes                             int            // of decisions and withdrawals
}

// Bounds of the decisions and withdrawals that one call takes. A call that people decide about gets a
// few dozen, of a kilobyte each; a flood must not grow its history and its worker's memory without
// bound. Temporal itself takes 10,000 signals of a run, and 50 MB of history.
const (
	maxSignals     = 1000
	maxSignalBytes = 4 << 20
)

func openInbox(ctx workflow.Context) inbox {
	open := func(name, description string) workflow.ReceiveChannel {
		return workflow.GetSignalChannelWithOptions(ctx, name,
			workflow.SignalChannelOptions{Description: description})
	}
	const data = ` Data: {"reviewer": "your name", "notes": "why"}, or nothing.`
	return inbox{
		cancel: open(approval.SignalCancel,
			"Withdraw the call, if its tool was not started yet. "+
				"Data: {\"by\": \"your name\", \"notes\": \"why\"}, or nothing."),
		reject:  open(approval.SignalReject, "Reject the call."+data),
		approve: open(approval.SignalApprove, "Approve the call: its tool runs, once."+data),
		report: open(approval.SignalReport,
			"Say how the tool ended, by the caller that started it. Pawl's API sends it."),
		started: open(approval.SignalStarted,
			"Look in the store whether the caller has started the tool. Data: nothing."),
		nth: map[string]int{},
	}
}

func (b inbox) waiting() bool {
	return b.cancel.Len()+b.reject.Len()+b.approve.Len()+b.report.Len()+b.started.Len() > 0
}

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
		g.onSignal(ctx, approval.SignalCancel, raw)
	}
	for ; g.inbox.reject.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.onSignal(ctx, approval.SignalReject, raw)
	}
	for ; g.inbox.approve.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.onSignal(ctx, approval.SignalApprove, raw)
	}
	for ; g.inbox.report.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		if g.reads(approval.SignalReport) {
			g.onReport(raw)
		}
	}
	for ; g.inbox.started.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		g.caller.woken = g.reads(approval.SignalStarted) || g.caller.woken
	}
}

// reads counts a signal about a caller's run, and reports whether it is one of the first, which are
// read. What a flood of them hides is found at the next timer, or ends as unknown.
func (g *guarded) reads(signal string) bool {
	g.inbox.nth[signal]++
	return g.inbox.nth[signal] <= maxSignals
}

// onSignal starts the decision that a signal is, unless the call has got too many of them. Its ID
// counts the signals of that name, until the sender's own takes its place.
func (g *guarded) onSignal(ctx workflow.Context, signal string, raw converter.RawValue) {
	b := &g.inbox
	b.nth[signal]++
	b.count++
	b.bytes += proto.Size(payload(raw)) //workflowcheck:ignore of a payload, that is the same each time
	d := decision{signal: signal, nth: b.nth[signal]}
	d.At, d.ID = now(ctx), fmt.Sprintf("%s-%d", signal, d.nth)
	switch {
	case g.ignores(ctx, d):
	case signal == approval.SignalCancel:
		g.onCancel(ctx, d, raw)
	case signal == approval.SignalReject:
		d.Kind = approval.Reject
		g.onDecision(ctx, d, raw)
	default:
		d.Kind = approval.Approve
		g.onDecision(ctx, d, raw)
	}
}

// ignores reports whether the call has got more signals than it takes. From the first such signal,
// which is put on record, none is read, judged or answered any more: the deadline denies. The API,
// which sees that in the call's state, has put rejections on record before, and no permit is given
// then. A call that has answered more of them already goes on as it began.
func (g *guarded) ignores(ctx workflow.Context, d decision) bool {
	if g.ignoring || g.inbox.count <= maxSignals && g.inbox.bytes <= maxSignalBytes {
		return g.ignoring
	}
	g.ignoring = workflow.GetVersion(ctx, "signals-are-bounded", workflow.DefaultVersion, 1) >= 1
	if g.ignoring {
		g.answer(d, approval.AnswerInvalid, fmt.Sprintf("the call has got too many signals, "+
			"more than %d or %d MiB: this one and all later ones are ignored", maxSignals, maxSignalBytes>>20))
	}
	return g.ignoring
}

// ourID is the form of the IDs that onSignal gives. A sender who used one could give the next
// signal's answer in advance.
var ourID = regexp.MustCompile(`^(approve|reject|cancel_call)-[0-9]+$`)

func (g *guarded) onCancel(ctx workflow.Context, d decision, raw converter.RawValue) {
	var s approval.CancelSignal
	err := readNo(ctx, raw, &s)
	if err == nil {
		err = checkSignal(s.DecisionID, s.Notes, [2]string{"by", s.By}, [2]string{"channel", s.Channel},
			[2]string{"method", s.Method})
	}
	d.Reviewer, d.Channel, d.Method, d.Notes = s.By, channel(s.Channel), s.Method, s.Notes
	g.take(ctx, d, s.DecisionID, err)
}

func (g *guarded) onDecision(ctx workflow.Context, d decision, raw converter.RawValue) {
	var s approval.DecisionSignal
	var err error
	if d.Kind == approval.Reject {
		err = readNo(ctx, raw, &s)
	} else {
		err = readSignal(raw, &s, strictjson.Decode)
	}
	if err == nil {
		names := [][2]string{
			{"reviewer", s.Reviewer}, {"channel", s.Channel}, {"digest", s.Digest},
			{"method", s.Method}, {"notes_salt", s.NotesSalt},
		}
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
		return approval.Errorf(approval.CodeInvalid,
			"decision_id must not look like the ones that Pawl gives itself (approve-1)")
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
		// Of a signal that can't be read nothing is used, not even its ID.
		d.Reviewer, d.Channel, d.Notes, d.Groups, d.Method = "", "", "", nil, ""
		g.answer(d, approval.AnswerInvalid, err.Error())
		return
	}
	d.ID = cmp.Or(id, d.ID)
	if g.answered(ctx, d.ID) || g.holds(d.ID) {
		return
	}
	g.judge(ctx, d)
}

// channelTemporal is the channel of decisions that name none: Temporal's own UI, command line or
// any client of the namespace.
const channelTemporal = "temporal"

func channel(named string) string { return cmp.Or(named, channelTemporal) }

// readSignal reads a payload into v. No payload, null, "" and {} all mean that nothing was said
// beyond the signal itself: Temporal's UI sends any of them.
func readSignal(raw converter.RawValue, v any, decode func([]byte, any) error) error {
	return readUpTo(64<<10, raw, v, decode) // escaped notes and groups
}

// readUpTo is readSignal of a payload of at most so many bytes.
func readUpTo(most int, raw converter.RawValue, v any, decode func([]byte, any) error) error {
	p := payload(raw)
	if p == nil || len(p.GetData()) == 0 {
		return nil
	}
	data := bytes.TrimSpace(p.GetData())
	switch enc := string(p.GetMetadata()[converter.MetadataEncoding]); {
	case enc == converter.MetadataEncodingNil,
		enc == converter.MetadataEncodingJSON && (string(data) == "null" || string(data) == `""`):
		return nil
	case enc != converter.MetadataEncodingJSON:
		return approval.Errorf(approval.CodeInvalid, "the payload must be JSON (%s), not %q",
			converter.MetadataEncodingJSON, approval.Display(enc, 40))
	}
	if len(data) > most {
		return approval.Errorf(approval.CodeInvalid, "the payload is %d bytes; at most %d are taken",
			len(data), most)
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
