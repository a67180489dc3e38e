package crosscheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	enumspb "go.temporal.io/api/enums/v1"
)

// grace is how long the store may be ahead of a workflow: a step is written there first.
const grace = 5 * time.Minute

// comparison is one call as all three tell of it.
type comparison struct {
	id     string
	record store.Record
	log    logged
	// before was read before the record, so the store knows all of it; after was read behind the
	// record, so it knows the cause of all that the record has. Of a workflow that has closed they are
	// the same.
	before, after history
	restored      bool // somebody said that the store was
	found         []Finding
}

func (x *comparison) add(kind Kind, format string, args ...any) {
	x.found = append(x.found, Finding{CallID: x.id, Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// compare compares one call with its history.
func (c *checker) compare(ctx context.Context, id string) (r result) {
	x := &comparison{id: id, restored: c.restored}
	x.before, r.err = c.reader.read(ctx, id)
	missing := errors.Is(r.err, errGone) || r.err == nil && x.before.workflow != approval.WorkflowType
	unreadable := r.err
	if missing || errors.Is(r.err, errUnreadable) && !errors.Is(r.err, codec.ErrNoKeyring) {
		r.err = nil
	}
	if r.err == nil {
		x.record, r.err = c.o.Store.Call(ctx, id)
	}
	if r.err == nil {
		x.log, r.err = c.log(ctx, id)
	}
	x.after = x.before
	if r.err == nil && !missing && unreadable == nil && x.before.open() {
		x.after, r.err = c.reader.read(ctx, id)
	}
	switch {
	case r.err != nil:
	case missing:
		r.gone = x.missing(c.now, c.o.Retention)
	case unreadable != nil:
		x.add(Unreadable, "%v", unreadable)
	default:
		r.open, r.gone = x.compare(c.now)
		r.erased = x.record.View.ErasedAt != nil
	}
	r.findings = x.found
	return r
}

// missing says what it means that Temporal has no history of a call. gone: it ended long enough
// ago.
func (x *comparison) missing(now time.Time, retention time.Duration) (gone bool) {
	v := x.record.View
	switch {
	case strings.Contains(x.id, `\`): // its workflow's ID is another one, which no call can have
		return true
	case !v.Status.Ended():
		x.add(Deleted, "it is %s in the store, and Temporal does not have its workflow: it was deleted, or "+
			"Temporal was restored from a backup of before it", v.Status)
	case v.EndedAt != nil && now.Sub(*v.EndedAt) < retention-grace:
		x.add(Deleted, "it ended %s %s ago, and Temporal does not have its workflow any more, though it keeps "+
			"them for %s: it was deleted, or Temporal was restored from a backup of before it",
			v.Status, now.Sub(*v.EndedAt).Round(time.Second), retention)
		x.found[0].Known = v.Error != nil && v.Error.Code == approval.CodeTerminated
	default:
		return true
	}
	return false
}

// compare compares the record and the log with the history.
func (x *comparison) compare(now time.Time) (open, gone bool) {
	h, v := x.before, x.record.View
	if h.reset {
		x.add(Reset, "somebody reset its workflow")
		x.found[0].Known = true // what came of it is compared
	}
	if h.digest != "" && h.digest != v.Digest {
		return h.open(), x.another()
	}
	if x.restored && v.Error != nil && v.Error.Code == approval.CodeTerminated && h.outcome != nil &&
		h.outcome.Status != v.Status {
		x.add(Outcome, "its workflow ended %s, and a worker ended it %s in the store, which was restored and had "+
			"lost that", h.outcome.Status, v.Status)
		x.found[len(x.found)-1].Known = true
		return false, false
	}
	x.call()
	x.permit(now)
	x.decisions()
	switch {
	case h.status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		x.outcomes()
	case !h.open():
		x.closed()
	case v.EndedAt != nil && now.Sub(*v.EndedAt) > grace && x.after.open():
		x.add(Open, "it ended %s in the store, and its workflow goes on: if no worker runs, start one; if "+
			"Temporal was restored, start it again", v.Status)
	}
	return h.open(), false
}

// another compares a call whose ID was used again, under its idempotency key, when Temporal had
// forgotten its first workflow. gone: it can't be compared any more.
func (x *comparison) another() (gone bool) {
	h, digest := x.before, x.record.View.Digest
	switch {
	case slices.Contains(x.log.conflicts, h.digest):
		return true
	case h.open() && h.admission == nil:
		return true
	case h.admission != nil && h.admission.View.Digest == digest && h.outcome != nil: // the same call, again
		x.outcomes()
		return false
	}
	x.add(Call, "its digest is %s in the store, and that of what its workflow was started with is %s",
		digest, h.digest)
	return false
}

// call compares what the policy said of the call.
func (x *comparison) call() {
	h, v := x.before, x.record.View
	if h.admission == nil {
		return
	}
	if d := h.admission.View.Digest; d != v.Digest {
		x.add(Call, "its digest is %s in the store, and was %s when it was admitted", v.Digest, d)
	}
	if v.ErasedAt == nil && !same(x.record.Verdict, h.admission.Verdict) {
		x.add(Call, "its verdict in the store is not the one that its workflow was given")
	}
	if x.log.verdict != nil && !same(*x.log.verdict, h.admission.Verdict) {
		x.add(Call, "its verdict in the audit log is not the one that its workflow was given")
	}
	required := h.admission.View.Requirement
	if h.tightened != nil {
		required = h.tightened
	}
	ahead := x.record.Revision > h.revision && x.log.tightened
	if v.ErasedAt == nil && !ahead && !same(v.Requirement, required) {
		x.add(Call, "what it requires in the store is not what its workflow was told")
	}
}

// permit compares the permit and its use.
func (x *comparison) permit(now time.Time) {
	v, p := x.record.View, x.record.Permit
	want, decision, given := x.before.permit()
	if given {
		if p == nil {
			x.add(Permit, "its workflow was given the permit, and the store has none")
		} else if p.Run != want.Run || p.Queue != want.Queue {
			x.add(Permit, "the permit in the store is of run %s and queue %q, and its workflow was told of run %s "+
				"and queue %q", p.Run, p.Queue, want.Run, want.Queue)
		} else if until := x.goodUntil(decision); !until.IsZero() && !p.GoodUntil.Equal(until) {
			x.add(Permit, "the permit in the store is good until %s; by the decision it is until %s",
				p.GoodUntil.Format(time.RFC3339Nano), until.Format(time.RFC3339Nano))
		}
		x.permitOnRecord(want)
	}
	if _, _, known := x.after.permit(); !known {
		// One that no workflow knows of was taken by a step whose workflow task was lost. A call that has
		// ended since has voided it; one under way will be told of it.
		late := !x.after.open() || p != nil && now.Sub(p.At) > grace
		if late && p != nil && !p.Void {
			x.add(Permit, "the store has a permit that its workflow was never given")
		} else if late && p == nil && x.log.claimed != nil {
			x.add(Permit, "the audit log has a permit that neither its workflow nor the store knows of")
		}
	}
	if p == nil || x.after.open() {
		return
	}
	used, callers := !p.UsedAt.IsZero(), v.Execution == approval.ExecutionCaller
	switch out := x.after.outcome; {
	case used && !callers && !x.after.ran && !x.after.reset: // else a run before did
		x.add(Permit, "the permit was used, by the store, and its workflow never scheduled the tool")
	case out == nil:
	case out.Status.Denied() && !p.Void:
		x.add(Permit, "its workflow ended %s, and the permit in the store is not void", out.Status)
	case out.Status.NeedsPermit() && p.Void:
		x.add(Permit, "its workflow ended %s, and the permit in the store is void", out.Status)
	case out.Status == approval.StatusExecuted && p.Queue == "" && !used:
		x.add(Permit, "its tool ran, and the permit in the store was not used")
	case callers && used != out.Status.NeedsPermit():
		x.add(Permit, "its workflow ended %s; that its caller started the tool: %t", out.Status, used)
	}
	if used != x.log.started {
		x.add(Permit, "that its permit was used is %t in the store, and %t in the audit log", used, x.log.started)
	}
}

// goodUntil is until when a permit is good that was given for a decision.
func (x *comparison) goodUntil(d *approval.FinalDecision) time.Time {
	h := x.before
	if d == nil || h.admission == nil {
		return time.Time{}
	}
	return store.Micros(d.At.Add(h.admission.Verdict.GoodFor(h.admission.View.Execution)))
}

// permitOnRecord compares the log's entry about the permit.
func (x *comparison) permitOnRecord(want activities.Permit) {
	switch claimed := x.log.claimed; {
	case claimed == nil:
		x.add(Permit, "its workflow was given the permit, and the audit log has no entry about it")
	case claimed.Run == "": // erased
	case claimed.Run != want.Run || claimed.Queue != want.Queue:
		x.add(Permit, "the permit in the audit log is of run %s and queue %q, and its workflow was told of run "+
			"%s and queue %q", claimed.Run, claimed.Queue, want.Run, want.Queue)
	}
}

// decisions compares what people said.
func (x *comparison) decisions() {
	v := x.record.View
	for _, d := range v.Votes {
		x.decision("the store", d)
	}
	for _, d := range x.log.decided {
		x.decision("the audit log", d)
	}
	if x.before.claim == nil {
		return
	}
	for _, d := range x.before.claim.Votes {
		isIt := func(o approval.Decision) bool { return alike(o, d) }
		if v.ErasedAt == nil && !slices.ContainsFunc(v.Votes, isIt) {
			x.add(Decision, "the permit was given for %s, which the store does not have so", words(d))
		}
		if !x.log.erased && !slices.ContainsFunc(x.log.decided, isIt) {
			x.add(Decision, "the permit was given for %s, which the audit log does not have so", words(d))
		}
	}
}

// decision looks for a decision that counted in the history: as a signal, or, of a rejection that
// was put on record for a workflow that could not be reached, as what the claim found.
func (x *comparison) decision(where string, d approval.Decision) {
	signals := x.after.signals[d.ID]
	switch {
	case slices.Contains(signals, said{d.Kind, d.Reviewer}):
	case len(signals) > 0:
		x.add(Decision, "%s has %s, and its workflow was told %s by %s", where, words(d),
			signals[0].kind, approval.Display(signals[0].reviewer, 80))
	case d.Kind == approval.Reject && x.log.sent[d.ID]:
	default:
		x.add(Decision, "%s has %s, and its workflow was never told so", where, words(d))
	}
}

func alike(a, b approval.Decision) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Reviewer == b.Reviewer
}

// words are a decision for people.
func words(d approval.Decision) string {
	return fmt.Sprintf("%s by %s (%s)", d.Kind, approval.Display(d.Reviewer, 80), approval.Display(d.ID, 80))
}

// closed says what it means that a workflow was closed without an outcome.
func (x *comparison) closed() {
	v, how := x.record.View, strings.ToLower(x.before.status.String())
	switch {
	case !v.Status.Ended():
		x.add(Closed, "its workflow was closed from outside (%s), and it is %s in the store: a worker ends it "+
			"within a minute", how, v.Status)
	default:
		x.add(Closed, "its workflow was closed from outside (%s), and it ended %s in the store", how, v.Status)
		last := &x.found[len(x.found)-1]
		last.Known = x.before.ended || v.Error != nil && v.Error.Code == approval.CodeTerminated
	}
}

func same(a, b any) bool {
	x, errX := strictjson.Canonical(a)
	y, errY := strictjson.Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
