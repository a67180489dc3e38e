package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/workflow"
)

// A No is never dropped over a field that this version does not know; an approval with one never
// counts.
func TestUnknownFields(t *testing.T) {
	odd := map[string]any{"decision_id": "d1", "notes": "no", "reviewer": "ana", "by": "ana", "colour": map[string]int{"red": 1}, "Digest": "00"}
	for _, tc := range []struct {
		signal string
		want   approval.AnswerOutcome
		status approval.Status
		code   string
	}{
		{approval.SignalReject, approval.AnswerResolved, approval.StatusRejected, approval.CodeRejected},
		{approval.SignalCancel, approval.AnswerResolved, approval.StatusCancelled, approval.CodeCancelled},
	} {
		h := setup(t)
		h.after(time.Second, func() { h.SignalWorkflow(tc.signal, odd) })
		out := h.call(sendDoc)
		h.want(out, tc.status, tc.code, 0)
		h.answered("d1", tc.want)
		if out.Decision.By != "ana" || out.Decision.Notes != "no" {
			t.Errorf("%s: what is known of it: %+v", tc.signal, out.Decision)
		}
	}

	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, map[string]string{"reviewer": "ana", "colour": "red"})
		h.SignalWorkflow(approval.SignalApprove, map[string]string{"Reviewer": "ana"})
	})
	h.after(2*time.Second, func() {
		for id, field := range map[string]string{"approve-1": `"colour"`, "approve-2": `"Reviewer"; did you mean "reviewer"?`} {
			h.answered(id, approval.AnswerInvalid)
			if a, _ := h.state().Find(id); !strings.Contains(a.Message, "unknown field "+field) {
				t.Errorf("the field is not named: %q", a.Message)
			}
		}
	})
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)

	// Of a signed rejection what is known must be what was signed.
	h = setup(t)
	k := newKey(t)
	h.trust(k)
	with := func(s approval.DecisionSignal) map[string]any {
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]any{"colour": "red"}
		if err := json.Unmarshal(doc, &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalReject, with(approval.DecisionSignal{DecisionID: "unsigned", Reviewer: "ana"}))
		forged := h.signed(k, approval.Reject, "forged", "ana")
		forged.Reviewer = "ben"
		h.SignalWorkflow(approval.SignalReject, with(forged))
	})
	h.after(2*time.Second, func() {
		h.answered("unsigned", approval.AnswerForbidden)
		h.answered("forged", approval.AnswerForbidden)
		h.SignalWorkflow(approval.SignalReject, with(h.signed(k, approval.Reject, "no", "ana")))
	})
	h.want(h.call(signedDoc), approval.StatusRejected, approval.CodeRejected, 0)
	h.answered("no", approval.AnswerResolved)
}

// Where a run's history shows that a No was refused for an unknown field, it is refused again when
// the run is replayed.
func TestUnknownFieldsBeforeTheyWereRead(t *testing.T) {
	h := setup(t)
	h.OnGetVersion("no-by-known-fields", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalReject, map[string]string{"colour": "red"}) })
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	h.answered("reject-1", approval.AnswerInvalid)
}
