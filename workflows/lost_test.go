package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/sdk/testsuite"
)

// The local attempt at Claim commits, then its worker is lost with the workflow task. The task is
// done again, later, and may see more.
func TestWorkflowTaskLostAfterClaim(t *testing.T) {
	requested := []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed}
	for name, tc := range map[string]struct {
		lost   time.Duration // how long ago the lost task was
		then   func(h *harness)
		status approval.Status
		code   string
		runs   int32
		after  []audit.Kind // entries after the claim
	}{
		"the same answers": {
			lost:   time.Second,
			then:   func(*harness) {},
			status: approval.StatusExecuted, runs: 1,
			after: []audit.Kind{audit.KindStarted, audit.KindEnded},
		},
		"a rejection, too": {
			lost:   time.Second,
			then:   func(h *harness) { h.SignalWorkflow(approval.SignalReject, signal("d2", "bo")) },
			status: approval.StatusRejected, code: approval.CodeRejected,
			after: []audit.Kind{audit.KindDecided, audit.KindEnded, audit.KindRefused},
		},
		"a withdrawal, too": {
			lost:   time.Second,
			then:   func(h *harness) { h.SignalWorkflow(approval.SignalCancel, nil) },
			status: approval.StatusCancelled, code: approval.CodeCancelled,
			after: []audit.Kind{audit.KindEnded, audit.KindRefused},
		},
		"after the approval ran out": {
			lost:   approval.DefaultValidFor.Std() + time.Minute,
			then:   func(*harness) {},
			status: approval.StatusExpired, code: approval.CodeExpired,
			after: []audit.Kind{audit.KindEnded},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			var claimed time.Time
			h.after(time.Second, func() {
				claimed = h.Now().Add(-tc.lost).UTC().Truncate(time.Microsecond)
				h.claimedBy(claimed)
				tc.then(h) // first: of answers that are there together, it wins
				h.SignalWorkflow(approval.SignalApprove, signal("d1", "ana"))
			})
			out := h.call(sendDoc)
			h.want(out, tc.status, tc.code, tc.runs)
			record, err := h.store.Call(context.Background(), out.ID)
			if err != nil {
				t.Fatal(err)
			}
			if out.Status == approval.StatusExecuted {
				if !out.Decision.At.Equal(claimed) {
					t.Errorf("approved at %v, want %v as in the log", out.Decision.At, claimed)
				}
				out.Result = record.View.Result // the caller's is the raw one
			}
			stored, ours := canonical(t, record.View.Outcome()), canonical(t, out)
			if stored != ours {
				t.Errorf("two outcomes:\nstore    %s\nworkflow %s", stored, ours)
			}
			if tc.status.NeedsPermit() == record.Permit.Void {
				t.Errorf("%s, with the permit void: %v", tc.status, record.Permit.Void)
			}
			equal(t, h.kinds(out.ID), append(requested[:3:3], tc.after...))
		})
	}
}

// The lost task did everything from Admit to the claim. The approval that comes again is the one
// that counted, so it is not refused; another one is.
func TestWorkflowTaskLostFromAdmitToClaim(t *testing.T) {
	for id, named := range map[string]string{"d1": "d1", "approve-1": ""} {
		h := setup(t)
		digest := h.admitted(sendDoc).View.Digest
		again, other := signal(named, "ana"), signal("d2", "bo")
		again.Digest, other.Digest = digest, digest
		vote := approval.Decision{ID: id, Kind: approval.Approve, Reviewer: "ana", At: h.Now()}
		if _, err := h.store.Claim(t.Context(), store.ClaimParams{
			ID: "call-1", Run: "run-0", Digest: digest, At: h.Now(), GoodUntil: h.Now().Add(time.Hour),
			Votes: []approval.Decision{vote}, Decision: vote.Final(),
		}); err != nil {
			t.Fatal(err)
		}
		h.again("call-1")
		h.after(0, func() {
			h.SignalWorkflow(approval.SignalApprove, again)
			h.SignalWorkflow(approval.SignalApprove, other)
		})
		h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
		h.answered(id, approval.AnswerResolved)
		h.answered("d2", approval.AnswerAlreadyResolved)
		page, err := h.store.Entries(t.Context(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRefused})
		if err != nil || len(page.Items) != 1 || strings.Contains(string(page.Items[0].Payload), `"`+id+`"`) {
			t.Errorf("%d entries refuse, %v; want d2 alone to be", len(page.Items), err)
		}
	}
}

// claimedBy takes the permit as the lost task did, for an approval at that time.
func (h *harness) claimedBy(at time.Time) {
	h.t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(h.acts)
	call, err := approval.ParseCall([]byte(sendDoc))
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.store.Call(context.Background(), "call-1")
	if err != nil {
		h.t.Fatal(err)
	}
	vote := approval.Decision{ID: "d1", Kind: approval.Approve, Reviewer: "ana", Channel: "api", At: at}
	if _, err := env.ExecuteLocalActivity(h.acts.Claim, activities.ClaimInput{
		ID: "call-1", Run: r.Run, Digest: r.View.Digest, Call: call, Redact: r.Verdict.Redact,
		Votes: []approval.Decision{vote}, Now: at,
	}); err != nil {
		h.t.Fatal(err)
	}
}

func canonical(t *testing.T, v any) string {
	t.Helper()
	doc, err := strictjson.Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}
