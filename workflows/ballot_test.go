package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// sent puts a rejection on record, as the API does before it sends it.
func (h *harness) sent(id, by string) {
	h.t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond)
	e, err := audit.New("call-1", "sent/"+id, at, audit.Sent{DecisionID: id, Reviewer: by, Channel: "api", Digest: "d", At: at})
	if err == nil {
		err = h.store.Append(context.Background(), e)
	}
	if err != nil {
		h.t.Error(err)
	}
}

// Where one rejection does not end a call, those on record are counted when it is claimed, also if
// their signals are lost.
func TestRejectionsOnRecordAreCounted(t *testing.T) {
	const two = "rules: [{tool: send, approvals: [{count: 2}], deny_count: 2, timeout: 60s}]"
	for name, tc := range map[string]struct {
		on      [][2]string // rejections on record when the call is claimed: ID and reviewer
		comes   bool        // and their signals come then
		third   bool        // somebody else approves afterwards
		votes   string      // the rejections among the votes at the end
		want    approval.Status
		answers map[string]approval.AnswerOutcome
	}{
		"of somebody else":            {[][2]string{{"n1", "cy"}}, false, false, "n1", approval.StatusExecuted, map[string]approval.AnswerOutcome{"d2": approval.AnswerResolved}},
		"of one who approved":         {[][2]string{{"n1", "bob"}}, false, false, "n1", approval.StatusExpired, map[string]approval.AnswerOutcome{"d2": approval.AnswerRecorded, "n1": approval.AnswerRecorded}},
		"of one who approved, twice":  {[][2]string{{"n1", "bob"}}, true, true, "n1", approval.StatusExecuted, map[string]approval.AnswerOutcome{"d2": approval.AnswerRecorded, "n1": approval.AnswerRecorded, "d3": approval.AnswerResolved}},
		"of two":                      {[][2]string{{"n1", "cy"}, {"n2", "di"}}, false, false, "n1 n2", approval.StatusRejected, map[string]approval.AnswerOutcome{"d2": approval.AnswerAlreadyResolved}},
		"of two, one of whom said so": {[][2]string{{"n1", "ann"}, {"n2", "di"}}, true, false, "n1 n2", approval.StatusRejected, map[string]approval.AnswerOutcome{"d2": approval.AnswerAlreadyResolved}},
		"of one, twice":               {[][2]string{{"n1", "cy"}, {"n2", "cy"}}, true, false, "n1", approval.StatusExecuted, map[string]approval.AnswerOutcome{"d2": approval.AnswerResolved}},
	} {
		t.Run(name, func(t *testing.T) {
			h := followingFrom(t, two)
			h.acts.Store = &meanwhile{Store: h.store, before: func() {
				for _, no := range tc.on {
					h.sent(no[0], no[1])
					if tc.comes {
						h.SignalWorkflow(approval.SignalReject, signal(no[0], no[1]))
					}
				}
			}}
			h.after(1*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
			h.after(2*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d2", "bob")) })
			if tc.third {
				h.after(3*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d3", "eve")) })
			}
			out := h.call(sendDoc)
			if out.Status != tc.want || (h.runs.Load() == 1) != (tc.want == approval.StatusExecuted) {
				t.Errorf("%s, %d runs: %+v", out.Status, h.runs.Load(), out.Error)
			}
			for id, want := range tc.answers {
				h.answered(id, want)
			}
			var rejected []string
			for _, v := range h.state().View.Votes {
				if v.Kind == approval.Reject {
					rejected = append(rejected, v.ID)
				}
			}
			if got := strings.Join(rejected, " "); got != tc.votes {
				t.Errorf("the votes hold the rejections %q, want %q", got, tc.votes)
			}
		})
	}
}

// A policy that asks for reasons, or for one person in each stage, makes votes of before count anew.
func TestVotesThatNoLongerCount(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		again  []approval.DecisionSignal
		first  approval.AnswerOutcome
	}{
		"without a reason": {"rules: [{tool: send, require_reason: true, timeout: 60s}]",
			[]approval.DecisionSignal{{DecisionID: "d2", Reviewer: "ann", Notes: "checked"}}, approval.AnswerForbidden},
		"two stages": {"rules: [{tool: send, stages: [{name: a, approvals: 1}, {name: b, approvals: 1}], timeout: 60s}]",
			[]approval.DecisionSignal{signal("d2", "ann"), signal("d3", "bob")}, approval.AnswerRecorded},
	} {
		t.Run(name, func(t *testing.T) {
			h := following(t)
			h.after(time.Second, func() {
				h.apply(tc.policy)
				h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann"))
			})
			for i, s := range tc.again {
				h.after(time.Duration(i+2)*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, s) })
			}
			h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
			h.answered("d1", tc.first)
			h.answered(tc.again[len(tc.again)-1].DecisionID, approval.AnswerResolved)
		})
	}
}

// Who asked may approve where the rule permits it, and the record says that they did.
func TestSelfApprovalIsMarked(t *testing.T) {
	for who, marked := range map[string]bool{"olga": true, "bot": true, "ann": false} {
		h := followingFrom(t, "rules: [{tool: send, self_approval: true, timeout: 60s}]")
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", who)) })
		h.want(h.call(`{"tool":"send","args":{"to":"ann"},"requester":"bot","owner":"olga"}`), approval.StatusExecuted, "", 1)
		votes := h.state().View.Votes
		decided := h.entries(audit.KindDecided)
		if len(votes) != 1 || votes[0].SelfApproval != marked || len(decided) != 1 {
			t.Fatalf("%s: %+v, %d entries", who, votes, len(decided))
		}
		p, err := audit.ReadPayload(decided[0].Kind, decided[0].Payload)
		if d, ok := p.(audit.Decided); err != nil || !ok || d.Decision.SelfApproval != marked {
			t.Errorf("%s: on record %+v, %v", who, p, err)
		}
	}
}
