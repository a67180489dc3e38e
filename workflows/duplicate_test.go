package workflows_test

import (
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy"
)

// A call that is identical to one that waits ends at once, without people and without its tool, and
// leaves the other one alone.
func TestDuplicate(t *testing.T) {
	const doc = `{"tool":"send","args":{"to":"ann"},"agent":"a","reason":"first"}`
	const same = `{"tool":"send","args":{"to":"ann"},"agent":"a","reason":"again"}`
	h := setup(t)
	set, err := policy.Compile(policy.File{Name: "test.yaml", Data: []byte("rules: [{tool: send, collapse: true}]")})
	if err != nil {
		t.Fatal(err)
	}
	h.acts.Policy = set
	h.after(time.Second, func() {
		second := &harness{t: t, store: h.store, acts: h.acts}
		second.again("call-2")
		out := second.call(same)
		second.want(out, approval.StatusBlocked, approval.CodeDuplicate, 0)
		if out.DuplicateOf != "call-1" || out.Decision == nil || out.Decision.Kind != approval.FinalDeny {
			t.Errorf("%+v", out)
		}
		if s := second.state(); s.DuplicateOf != "call-1" || s.Status != approval.StatusBlocked {
			t.Errorf("the query shows %+v", s.View)
		}
		equal(t, second.kinds("call-2"), []audit.Kind{audit.KindBlocked})
		h.SignalWorkflow(approval.SignalApprove, nil)
	})
	h.want(h.call(doc), approval.StatusExecuted, "", 1)

	// Started again under the same ID, it finds what is stored; a later one is new.
	h.again("call-2")
	if out := h.call(same); out.DuplicateOf != "call-1" || out.Status != approval.StatusBlocked {
		t.Errorf("%+v", out)
	}
	h.again("call-3")
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalReject, nil) })
	h.want(h.call(same), approval.StatusRejected, approval.CodeRejected, 1)
}
