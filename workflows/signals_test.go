package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/stretchr/testify/mock"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

func TestEmptyAndOddSignals(t *testing.T) {
	for name, payload := range map[string]any{
		"nil": nil, "null": json.RawMessage("null"), "empty string": "", "empty object": struct{}{}, "spaces": json.RawMessage(" {} "),
	} {
		t.Run("approves with "+name, func(t *testing.T) {
			h := setup(t)
			h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, payload) })
			out := h.call(sendDoc)
			h.want(out, approval.StatusExecuted, "", 1)
			if out.Decision.By != "" || out.Decision.Channel != "temporal" || out.Decision.Authenticated {
				t.Errorf("decision %+v", out.Decision)
			}
		})
	}
	for name, payload := range map[string]any{
		"text": "yes", "number": 7, "list": []int{1}, "bytes": []byte("yes"),
		"wrong type": map[string]int{"reviewer": 1, "by": 1}, "control character": map[string]string{"reviewer": "a\x1b[2J", "by": "\x1b"},
		"long notes": map[string]string{"notes": strings.Repeat("x", approval.MaxNotes+1)},
		"huge":       map[string]string{"notes": strings.Repeat("x", 70000)},
		"twice":      rawJSON(`{"notes":"a"}{"notes":"b"}`), "not JSON": rawJSON(`{notes`),
	} {
		for _, name2 := range []string{approval.SignalApprove, approval.SignalReject, approval.SignalCancel} {
			t.Run(name2+" refuses "+name, func(t *testing.T) {
				h := setup(t)
				h.after(time.Second, func() { h.SignalWorkflow(name2, payload) })
				h.after(2*time.Second, func() {
					h.answered(name2+"-1", approval.AnswerInvalid)
					if s := h.state(); s.Status != approval.StatusPending {
						t.Errorf("status %s after a malformed signal", s.Status)
					}
				})
				h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
				equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindRefused, audit.KindEnded})
			})
		}
	}
}

// rawJSON is a payload that says it is JSON, whatever it holds.
func rawJSON(data string) converter.RawValue {
	return converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: []byte(data),
	})
}

func TestFirstDecisionWinsAndRepeatsDoNothing(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalReject, signal("d1", "ana"))
		h.SignalWorkflow(approval.SignalReject, signal("d1", "ana"))
		h.SignalWorkflow(approval.SignalApprove, signal("d1", "ana"))
		h.SignalWorkflow(approval.SignalApprove, signal("d2", "bo"))
	})
	h.want(h.call(sendDoc), approval.StatusRejected, approval.CodeRejected, 0)
	h.answered("d1", approval.AnswerResolved)
	h.answered("d2", approval.AnswerAlreadyResolved)
	if n := len(h.state().Answers); n != 2 {
		t.Errorf("%d answers", n)
	}
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindEnded, audit.KindRefused})
}

func TestRejectBeatsApproveThatIsThereWithIt(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, signal("yes", "ana"))
		h.SignalWorkflow(approval.SignalReject, signal("no", "bo"))
	})
	out := h.call(sendDoc)
	// The test environment may hand the two over in one go or in two; either way exactly one of them
	// resolved, and the outcome follows it.
	yes, _ := h.state().Find("yes")
	no, _ := h.state().Find("no")
	if (yes.Outcome == approval.AnswerResolved) == (no.Outcome == approval.AnswerResolved) {
		t.Fatalf("yes %s, no %s", yes.Outcome, no.Outcome)
	}
	if (out.Status == approval.StatusExecuted) != (yes.Outcome == approval.AnswerResolved) {
		t.Errorf("%s, but yes was %s", out.Status, yes.Outcome)
	}
}

func TestStaleDigest(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "old", Digest: strings.Repeat("0", 64)})
	})
	h.after(2*time.Second, func() { h.answered("old", approval.AnswerStale) })
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
}

func TestApprovalBeforeAnybodyCouldLookIsRefused(t *testing.T) {
	h := setup(t)
	h.after(0, func() { h.SignalWorkflow(approval.SignalApprove, signal("early", "ana")) })
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	h.answered("early", approval.AnswerInvalid)
}

// The store shows a call a moment before its workflow knows that it waits. Who names the digest has
// seen it.
func TestEarlyApprovalOfTheDigestCounts(t *testing.T) {
	const doc = `{"tool":"send","args":{"to":"ann"},"nonce":"n1"}`
	call, err := approval.ParseCall([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := call.Digest("call-1")
	if err != nil {
		t.Fatal(err)
	}
	h := setup(t)
	h.after(0, func() {
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "early", Digest: digest})
	})
	h.want(h.call(doc), approval.StatusExecuted, "", 1)
	h.answered("early", approval.AnswerResolved)
}

func TestEarlyRejectionIsKept(t *testing.T) {
	h := setup(t)
	h.after(0, func() { h.SignalWorkflow(approval.SignalReject, signal("early", "ana")) })
	h.want(h.call(sendDoc), approval.StatusRejected, approval.CodeRejected, 0)
}

// deadlinePassed runs a call whose deadline has passed when the policy's answer arrives, and so
// meets the rejection that came meanwhile. The other way to get there, a worker that was away, is
// tested end to end.
func (h *harness) deadlinePassed(inTime bool) approval.Outcome {
	record := h.admitted(sendDoc)
	h.OnActivity(h.acts.Admit, mock.Anything, mock.Anything).After(2*time.Minute).Return(
		activities.Admission{View: record.View, Verdict: record.Verdict, Ordinary: true}, nil)
	h.OnActivity(h.acts.AnswerTimes, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.AnswersInput) (activities.Answers, error) {
			out := activities.Answers{InTime: map[string][]time.Time{}}
			if inTime {
				out.InTime[approval.SignalReject] = []time.Time{in.Deadline.Add(-time.Second)}
			}
			return out, nil
		})
	h.after(time.Minute, func() { h.SignalWorkflow(approval.SignalReject, signal("d1", "ana")) })
	return h.call(sendDoc)
}

func TestAnswerAndDeadlineTogether(t *testing.T) {
	t.Run("came in time", func(t *testing.T) {
		h := setup(t)
		out := h.deadlinePassed(true)
		h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
		h.answered("d1", approval.AnswerResolved)
		if !out.Decision.At.Before(*h.state().Deadline) {
			t.Errorf("the decision counts for when it came, not for when it was seen: %v", out.Decision.At)
		}
	})
	t.Run("came late", func(t *testing.T) {
		h := setup(t)
		h.want(h.deadlinePassed(false), approval.StatusExpired, approval.CodeExpired, 0)
		h.answered("d1", approval.AnswerExpired)
	})
}

func TestCancel(t *testing.T) {
	t.Run("by signal", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, func() {
			h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{By: "agent", Notes: "no longer needed"})
		})
		out := h.call(sendDoc)
		h.want(out, approval.StatusCancelled, approval.CodeCancelled, 0)
		if out.Decision.By != "agent" || out.Decision.Notes != "no longer needed" {
			t.Errorf("decision %+v", out.Decision)
		}
	})
	t.Run("by Temporal", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, h.CancelWorkflow)
		out := h.call(sendDoc)
		h.want(out, approval.StatusCancelled, approval.CodeCancelled, 0)
		equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindEnded})
	})
	t.Run("by Temporal at once", func(t *testing.T) {
		h := setup(t)
		h.after(0, h.CancelWorkflow)
		h.want(h.call(sendDoc), approval.StatusCancelled, approval.CodeCancelled, 0)
	})
	t.Run("too late", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
		h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).After(10 * time.Second).Return(h.acts.Execute)
		h.after(5*time.Second, func() {
			h.CancelWorkflow()
			h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c"})
		})
		h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
		h.answered("c", approval.AnswerAlreadyResolved)
	})
}

func TestSignalsWhileTheToolRunsAreAnswered(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
	h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).After(10 * time.Second).Return(h.acts.Execute)
	h.after(5*time.Second, func() {
		for i := range 20 {
			h.SignalWorkflow(approval.SignalReject, signal(fmt.Sprint("late", i), "bo"))
		}
	})
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	h.answered("late19", approval.AnswerAlreadyResolved)
	refused := 0
	for _, k := range h.kinds("call-1") {
		if k == audit.KindRefused {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d entries for 20 refused decisions, want 1", refused)
	}
}

// IDs that Pawl gives to signals without one can't be taken in advance.
func TestNobodyAnswersForALaterSignal(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "reject-1", Digest: "bad"})
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "cancel_call-1"})
	})
	h.after(2*time.Second, func() { h.SignalWorkflow(approval.SignalReject, nil) })
	h.want(h.call(sendDoc), approval.StatusRejected, approval.CodeRejected, 0)
	h.answered("approve-1", approval.AnswerInvalid)
	h.answered("reject-1", approval.AnswerResolved)
}

func TestFloodOfRefusedSignals(t *testing.T) {
	h := setup(t)
	const flood = 700
	h.after(time.Second, func() {
		for i := range flood {
			h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: fmt.Sprint("f", i), Digest: "bad"})
		}
	})
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	total := 0
	page, err := h.store.Entries(context.Background(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRefused})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		var p struct {
			Refused []any
			More    int
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Refused) > 100 {
			t.Errorf("%d refusals in one entry", len(p.Refused))
		}
		total += len(p.Refused) + p.More
	}
	if total != flood {
		t.Errorf("%d refusals are on record, want %d", total, flood)
	}
}

func TestCancelBeforeThePolicyAnswers(t *testing.T) {
	t.Run("a call that waits", func(t *testing.T) {
		h := setup(t)
		h.after(0, func() { h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c"}) })
		h.want(h.call(sendDoc), approval.StatusCancelled, approval.CodeCancelled, 0)
		h.answered("c", approval.AnswerResolved)
	})
	t.Run("a call that is allowed", func(t *testing.T) {
		h := setup(t)
		h.after(0, func() { h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c"}) })
		h.want(h.call(`{"tool":"read","args":{"to":"x"}}`), approval.StatusExecuted, "", 1)
		h.answered("c", approval.AnswerAlreadyResolved)
		if k := h.kinds("call-1"); k[len(k)-1] != audit.KindRefused {
			t.Errorf("the refusal is not on record: %v", k)
		}
	})
}

func TestNotesAreRedactedInTheState(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalReject, approval.DecisionSignal{Notes: "do not send hunter2 about"})
	})
	h.want(h.call(sendDoc), approval.StatusRejected, approval.CodeRejected, 0)
	if doc, _ := json.Marshal(h.state()); strings.Contains(string(doc), "hunter2") {
		t.Errorf("%s", doc)
	}
}

// Who asked, or owns the agent that did, can't approve; an API that did not ask does not help. It
// is on record.
func TestWhoAskedCantApprove(t *testing.T) {
	const doc = `{"tool":"send","args":{"to":"ann","secret":"hunter2"},"requester":"agent:billing","owner":"Ana"}`
	for _, name := range []string{"Ana", "ana", "agent:billing"} {
		h := setup(t)
		h.after(time.Second, func() {
			h.SignalWorkflow(approval.SignalApprove, signal("own", name))
		})
		h.after(2*time.Second, func() {
			h.answered("own", approval.AnswerForbidden)
			if s := h.state(); s.Status != approval.StatusPending || len(s.Votes) != 0 {
				t.Errorf("%s: status %s, votes %v", name, s.Status, s.Votes)
			}
		})
		h.want(h.call(doc), approval.StatusExpired, approval.CodeExpired, 0)
		equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindRefused, audit.KindEnded})
	}

	h := setup(t)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalReject, signal("own", "Ana")) })
	h.want(h.call(doc), approval.StatusRejected, approval.CodeRejected, 0)

	h = setup(t)
	h.after(time.Second, func() {
		s := signal("other", "rita")
		s.Groups, s.Method = []string{"finance"}, "token"
		h.SignalWorkflow(approval.SignalApprove, s)
	})
	h.want(h.call(doc), approval.StatusExecuted, "", 1)
	if v := h.state().Votes; len(v) != 1 || v[0].Authenticated || v[0].Method != "token" || v[0].Groups[0] != "finance" {
		t.Errorf("a signal's word is kept as a claim: %+v", v)
	}

	h = setup(t) // nobody was authenticated, so nobody knows who asked
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("own", "local")) })
	h.want(h.call(strings.Replace(strings.Replace(doc, `,"owner":"Ana"`, "", 1), "agent:billing", "local", 1)), approval.StatusExecuted, "", 1)
}
