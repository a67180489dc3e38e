package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/workflow"
)

// The result of a call has the rejection's notes, with which the agent tries again; the history of such
// an attempt, and of no other call, keeps workers from it that can't read it.
func TestAttempts(t *testing.T) {
	h := setup(t)
	h.OnGetVersion("attempts", workflow.DefaultVersion, workflow.Version(1)).Panic("the call is no attempt")
	h.after(time.Second, func() {
		no := signal("d1", "ana")
		no.Notes = "to bob instead"
		h.SignalWorkflow(approval.SignalReject, no)
	})
	out := h.call(`{"tool":"send","args":{"to":"ann"},"agent":"bot"}`)
	h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
	if out.Decision.Notes != "to bob instead" || !strings.HasSuffix(out.Error.Message, "ana rejected the call: to bob instead") {
		t.Errorf("%+v, %+v", out.Decision, out.Error)
	}

	h.again("call-2")
	marked := false
	h.OnGetVersion("attempts", workflow.DefaultVersion, workflow.Version(1)).Return(
		func(string, workflow.Version, workflow.Version) workflow.Version {
			marked = true
			return 1
		})
	h.after(time.Second, func() {
		if s := h.state(); s.AttemptOf != "call-1" || s.Status != approval.StatusPending {
			t.Errorf("the workflow says %+v", s.View)
		}
		h.SignalWorkflow(approval.SignalApprove, signal("d2", "ana"))
	})
	h.want(h.call(`{"tool":"send","args":{"to":"bob"},"agent":"bot","attempt_of":"call-1"}`), approval.StatusExecuted, "", 1)
	if !marked {
		t.Error("the history has no mark of an attempt")
	}

	h.again("call-3") // started past the API
	out = h.call(`{"tool":"send","args":{"to":"bob"},"agent":"spy","attempt_of":"call-1"}`)
	h.want(out, approval.StatusBlocked, approval.CodeInvalid, 1)
	if out.Error.Message != approval.ErrNoAttempt.Error() {
		t.Errorf("%+v", out.Error)
	}
}
