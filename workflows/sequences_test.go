package workflows_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot/ballottest"
)

type verdict approval.Verdict

func (v verdict) Evaluate(approval.Call, time.Time) approval.Verdict { return approval.Verdict(v) }

// The workflow answers each decision as the ballot does, and the claim, which counts again, lets
// through what it settled.
func TestSequences(t *testing.T) {
	for _, s := range ballottest.Sequences(t) {
		t.Run(s.Name, func(t *testing.T) {
			h := setup(t)
			k := newKey(t)
			h.trust(k)
			r := s.Requirement
			h.acts.Policy = verdict{Kind: approval.VerdictRequire, Requirement: &r, Timeout: approval.DefaultTimeout, ValidFor: approval.DefaultValidFor}
			for i, step := range s.Steps {
				h.after(time.Duration(i+1)*time.Second, func() { h.SignalWorkflow(string(step.Decides), h.signalOf(k, step, fmt.Sprint("step ", i))) })
			}
			doc, err := json.Marshal(approval.Call{Tool: "send", Args: json.RawMessage(`{"to":"ann"}`), Requester: s.Requester, Owner: s.Owner})
			if err != nil {
				t.Fatal(err)
			}
			out := h.call(string(doc))
			for i, step := range s.Steps {
				h.answered(fmt.Sprint("step ", i), step.Answer)
			}
			switch s.Settled {
			case approval.Approve:
				h.want(out, approval.StatusExecuted, "", 1)
			case approval.Reject:
				h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
			default:
				h.want(out, approval.StatusExpired, approval.CodeExpired, 0)
			}
		})
	}
}

func (h *harness) signalOf(k sign.Key, s ballottest.Step, id string) approval.DecisionSignal {
	out := approval.DecisionSignal{DecisionID: id, Reviewer: s.By, Groups: s.Groups, Notes: s.Notes}
	if s.Signed {
		out = h.signed(k, s.Decides, id, s.By, func(d *approval.Decision, _, _ *string) { d.Groups, d.Notes = s.Groups, s.Notes })
	}
	if out.Digest = s.Digest; s.Digest == "same" {
		out.Digest = h.state().Digest
	}
	return out
}
