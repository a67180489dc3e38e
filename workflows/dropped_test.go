package workflows_test

import (
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Votes that counted until a changed policy took more are answered again, and stay on record.
func TestDroppedVotesAreOnRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		before, policy string
		first          approval.DecisionSignal
		dropped        bool
	}{
		"signed":        {"approvals: 2", "approvals: 2, decisions: signed", signal("d1", "ann"), true},
		"with a reason": {"approvals: 2", "approvals: 2, require_reason: true", signal("d1", "ann"), true},
		"by others":     {"approvals: 2, self_approval: true", "approvals: 2", signal("d1", "olga"), true},
		"a rejection":   {"approvals: 1, deny_count: 2", "approvals: 2, deny_count: 2, decisions: signed", signal("d1", "ann"), false},
		"by more":       {"approvals: 2", "approvals: 3", signal("d1", "ann"), false},
	} {
		t.Run(name, func(t *testing.T) {
			rule := func(what string) string { return "rules: [{tool: send, " + what + ", timeout: 60s}]" }
			h := followingFrom(t, rule(tc.before))
			kind := approval.SignalApprove
			if name == "a rejection" {
				kind = approval.SignalReject
			}
			h.after(time.Second, func() { h.SignalWorkflow(kind, tc.first) })
			h.after(2*time.Second, func() {
				h.answered("d1", approval.AnswerRecorded)
				h.apply(rule(tc.policy))
				h.SignalWorkflow(approval.SignalApprove, signal("d2", "bob"))
			})
			h.after(3*time.Second, func() {
				want := approval.AnswerRecorded
				if tc.dropped {
					want = approval.AnswerForbidden
				}
				h.answered("d1", want)
				h.SignalWorkflow(kind, tc.first) // sent again it gets the same answer
			})
			h.after(4*time.Second, func() {
				if tc.dropped {
					h.answered("d1", approval.AnswerForbidden)
				}
			})
			h.want(h.call(`{"tool":"send","args":{"to":"ann"},"requester":"bot","owner":"olga"}`), approval.StatusExpired, approval.CodeExpired, 0)
			if tc.dropped != h.refusedIt("d1") {
				t.Errorf("that it was dropped is on record: %v", !tc.dropped)
			}
		})
	}
}

// refusedIt reports whether it is on record that a decision was refused.
func (h *harness) refusedIt(id string) bool {
	h.t.Helper()
	page, err := h.store.Entries(h.t.Context(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRefused})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range page.Items {
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range p.(audit.Refused).Refused {
			if r.DecisionID == id {
				return true
			}
		}
	}
	return false
}
