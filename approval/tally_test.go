package approval_test

import (
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestTallySequences(t *testing.T) {
	type step struct {
		kind approval.DecisionKind
		by   string
		want approval.AnswerOutcome
	}
	const (
		yes, no             = approval.Approve, approval.Reject
		resolved, recorded  = approval.AnswerResolved, approval.AnswerRecorded
		already, unreadable = approval.AnswerAlreadyResolved, approval.AnswerInvalid
	)
	for name, tc := range map[string]struct {
		count   int
		steps   []step
		settled approval.DecisionKind // empty: still open
		votes   int
	}{
		"one yes is enough":               {1, []step{{yes, "ana", resolved}}, yes, 1},
		"one no is enough":                {2, []step{{no, "ana", resolved}}, no, 1},
		"first answer stands":             {1, []step{{yes, "ana", resolved}, {no, "bo", already}, {yes, "bo", already}}, yes, 1},
		"no after no":                     {1, []step{{no, "ana", resolved}, {no, "bo", already}}, no, 1},
		"two people":                      {2, []step{{yes, "ana", recorded}, {yes, "bo", resolved}}, yes, 2},
		"one person twice is one person":  {2, []step{{yes, "ana", recorded}, {yes, "ana", recorded}}, "", 1},
		"nameless people are one person":  {2, []step{{yes, "", recorded}, {yes, "", recorded}}, "", 1},
		"a no after some yes settles":     {3, []step{{yes, "ana", recorded}, {yes, "bo", recorded}, {no, "cy", resolved}}, no, 3},
		"a reviewer may take a yes back":  {2, []step{{yes, "ana", recorded}, {no, "ana", resolved}}, no, 2},
		"an unknown kind counts for none": {1, []step{{"maybe", "ana", unreadable}, {yes, "ana", resolved}}, yes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tally := approval.NewTally(approval.Requirement{Approvals: []approval.Approvals{{Count: tc.count}}})
			for i, s := range tc.steps {
				if got := tally.Add(approval.Decision{Kind: s.kind, Reviewer: s.by}); got != s.want {
					t.Errorf("step %d (%s by %q): %s, want %s", i, s.kind, s.by, got, s.want)
				}
			}
			var settled approval.DecisionKind
			if d := tally.Settled(); d != nil {
				settled = d.Kind
			}
			if settled != tc.settled || len(tally.Votes()) != tc.votes {
				t.Errorf("settled %q with %d votes, want %q with %d", settled, len(tally.Votes()), tc.settled, tc.votes)
			}
		})
	}
}

func TestVerdictValidate(t *testing.T) {
	fine := approval.Verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout}
	if err := fine.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*approval.Verdict){
		"unknown kind":   func(v *approval.Verdict) { v.Kind = "perhaps" },
		"no kind":        func(v *approval.Verdict) { v.Kind = "" },
		"no requirement": func(v *approval.Verdict) { v.Requirement = nil },
		"nobody asked":   func(v *approval.Verdict) { v.Requirement = &approval.Requirement{} },
		"zero people":    func(v *approval.Verdict) { v.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{}}} },
		"endless wait":   func(v *approval.Verdict) { v.Timeout = approval.MaxTimeout + 1 },
		"no wait":        func(v *approval.Verdict) { v.Timeout = 0 },
	} {
		v := fine
		spoil(&v)
		if v.Validate() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
