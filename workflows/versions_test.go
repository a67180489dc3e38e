package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/workflow"
)

// A workflow that somebody starts under an ID that no call can have ends blocked, and is kept under
// an ID that can be shown and asked for.
func TestImpossibleIDs(t *testing.T) {
	for id, kept := range map[string]string{
		"ü-1": `\u00fc-1`, "a\x01b": `a\x01b`, "🦀": `\U0001f980`, "a\nb": `a\nb`,
		"pawl-\u200b1": `pawl-\u200b1`, strings.Repeat("x", 1001): "",
	} {
		for _, doc := range []string{sendDoc, `{"tool":"read","args":{"to":"x"}}`} {
			h := setup(t)
			h.again(id)
			out := h.call(doc)
			h.want(out, approval.StatusBlocked, approval.CodeInvalid, 0)
			if kept != "" && out.ID != kept || approval.CheckID(out.ID) != nil {
				t.Errorf("%q is kept as %q", id, out.ID)
			}
			if !strings.Contains(out.Error.Message, "workflow ID") {
				t.Errorf("%q: %s", id, out.Error.Message)
			}
			if s := h.state(); s.ID != out.ID || s.Status != approval.StatusBlocked {
				t.Errorf("%q: the workflow says %+v", id, s.View)
			}
		}
	}
	for _, id := range []string{"order 7/a", "a ", `a"b\`, strings.Repeat("x", 1000)} {
		h := setup(t)
		h.again(id)
		h.want(h.call(`{"tool":"read","args":{"to":"x"}}`), approval.StatusExecuted, "", 1)
	}
}

// before makes a change of the workflow take no effect, as in a call that an older version began.
func (h *harness) before(change string) {
	h.OnGetVersion(change, workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
}

const twoDoc = `{"tool":"two","args":{"to":"ann"}}`

// One person's two spellings are one approval; of a call that was counted otherwise, the claim
// refuses what would not be enough now.
func TestOnePersonSpeltTwice(t *testing.T) {
	for _, names := range [][2]string{{"straße", "STRASSE"}, {"\u01f0an", "J\u030can"}, {"İda", "i\u0307da"}} {
		vote := func(h *harness) {
			for i, name := range names {
				h.SignalWorkflow(approval.SignalApprove, signal(fmt.Sprint("d", i), name))
			}
		}
		h := setup(t)
		h.after(time.Second, func() { vote(h) })
		h.want(h.call(twoDoc), approval.StatusExpired, approval.CodeExpired, 0)

		h = setup(t)
		h.before("full-case-folding")
		h.after(time.Second, func() { vote(h) })
		h.want(h.call(twoDoc), approval.StatusBlocked, approval.CodeUntrusted, 0)
	}
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, signal("d1", "ıda"))
		h.SignalWorkflow(approval.SignalApprove, signal("d2", "ida"))
	})
	h.want(h.call(twoDoc), approval.StatusExecuted, "", 1)
}

// The answer of a decision that counted is given again, however many came after it.
func TestCountedDecisionsAreNotForgotten(t *testing.T) {
	for _, old := range []bool{false, true} {
		h := setup(t)
		if old {
			h.before("counted-ids-are-kept")
		}
		h.after(time.Second, func() {
			h.SignalWorkflow(approval.SignalApprove, signal("first", "ana"))
			for i := range approval.MaxAnswers {
				h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: fmt.Sprint("odd", i), Digest: "00"})
			}
		})
		h.after(2*time.Second, func() {
			if _, known := h.state().Find("first"); known {
				t.Error("the answer is among the latest still")
			}
			// The same ID under another name: were it judged anew, it would be a second approval.
			h.SignalWorkflow(approval.SignalApprove, signal("first", "bob"))
		})
		if old {
			h.want(h.call(twoDoc), approval.StatusExecuted, "", 1)
			continue
		}
		h.after(3*time.Second, func() { h.answered("first", approval.AnswerRecorded) })
		h.want(h.call(twoDoc), approval.StatusExpired, approval.CodeExpired, 0)
	}
}
