package ballot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
)

func TestFor(t *testing.T) {
	anybody := func(n int) approval.Approvals { return approval.Approvals{Count: n} }
	group := func(name string, n int) approval.Approvals { return approval.Approvals{Group: name, Count: n} }
	yes := func(by string, groups ...string) approval.Decision {
		return approval.Decision{ID: by, Kind: approval.Approve, Reviewer: by, Groups: groups, Authenticated: groups != nil, At: at}
	}
	me := ballot.Reader{Name: "ana", Groups: []string{"finance", "sre"}, Reviewer: true, Authenticated: true}
	const both, last, ends = "approve reject", "Yours is the last approval it needs: approving lets it run at once.", "If you reject, it ends now and nothing runs."
	for name, tc := range map[string]struct {
		needs    []approval.Approvals
		votes    []approval.Decision
		change   func(v *approval.View, r *ballot.Reader)
		may      string
		why      string
		approves string // what if_approve says
		voted    approval.DecisionKind
		rack     string
	}{
		"the only one": {[]approval.Approvals{anybody(1)}, nil, nil, both, "", last, "", "next your turn; later Runs once"},
		"one of two": {[]approval.Approvals{anybody(2)}, nil, nil, both, "", "If you approve: 1 of 2, then it waits for one more person.", "",
			"next your turn; next 1 needed; later Runs once"},
		"the second of two": {[]approval.Approvals{anybody(2)}, []approval.Decision{yes("bo")}, nil, both, "", last, "",
			"met bo approved; next your turn; later Runs once"},
		"in a group": {[]approval.Approvals{group("finance", 1), group("security", 2)}, nil, nil, both, "",
			"If you approve: 1 of 3, then it waits for 2 people from security.", "",
			"next finance: your turn; next security: 1 needed; next security: 1 needed; later Runs once"},
		"a group and others": {[]approval.Approvals{group("security", 1), anybody(3)}, []approval.Decision{yes("bo")}, nil, both, "",
			"If you approve: 2 of 3, then it waits for one person from security.", "",
			"next security: 1 needed; met bo approved; next your turn; later Runs once"},
		"in both groups": {[]approval.Approvals{group("finance", 1), group("sre", 1)}, nil, nil, both, "", last, "",
			"next finance: your turn; next sre: your turn; later Runs once"},
		"in no group that counts": {[]approval.Approvals{group("security", 1)}, nil, nil, "reject",
			`You can't approve this one: it takes approvals by authenticated members of "security" only. You are in finance, sre.`, "", "",
			"next security: 1 needed; later Runs once"},
		"in a group that has approved": {[]approval.Approvals{group("sre", 1), group("security", 1)}, []approval.Decision{yes("bo", "sre")}, nil, "reject",
			"Your approval is not needed: it waits for one person from security. You are in finance, sre. You may reject it.", "", "",
			"met sre: bo approved; next security: 1 needed; later Runs once"},
		"in a group that has approved, and others are needed": {[]approval.Approvals{group("sre", 1), anybody(2)}, []approval.Decision{yes("bo", "sre")}, nil, both, "",
			last, "", "met sre: bo approved; next your turn; later Runs once"},
		"in a group of which more are needed": {[]approval.Approvals{group("sre", 2), group("security", 1)}, []approval.Decision{yes("bo", "sre")}, nil, both, "",
			"If you approve: 2 of 3, then it waits for one person from security.", "",
			"met sre: bo approved; next sre: your turn; next security: 1 needed; later Runs once"},
		"in a stage that is met": {nil, []approval.Decision{yes("bo")}, func(v *approval.View, _ *ballot.Reader) {
			v.Requirement.Stages = []approval.Stage{{Name: "team", Approvals: []approval.Approvals{anybody(1)}}, {Name: "security", Approvals: []approval.Approvals{group("security", 1)}}}
		}, "reject", "Your approval is not needed: it waits for one person from security. You are in finance, sre. You may reject it.", "", "",
			"met team: bo approved; next security: 1 needed; later Runs once"},
		"in no group": {[]approval.Approvals{group("security", 1)}, nil, func(_ *approval.View, r *ballot.Reader) { r.Groups = nil }, "reject",
			`You can't approve this one: it takes approvals by authenticated members of "security" only. You are in no group.`, "", "",
			"next security: 1 needed; later Runs once"},
		"not vouched for": {[]approval.Approvals{group("finance", 1)}, nil, func(_ *approval.View, r *ballot.Reader) { r.Authenticated = false }, "reject",
			`You can't approve this one: it takes approvals by authenticated members of "finance" only. You are in finance, sre.`, "", "",
			"next finance: 1 needed; later Runs once"},
		"signed only": {[]approval.Approvals{anybody(1)}, nil, func(v *approval.View, r *ballot.Reader) {
			v.Requirement.Decisions, r.Authenticated = approval.DecisionsSigned, false
		}, "", "You can't decide this one: it takes signed decisions only, and this API does not know who you are. It has to run with --auth tokens or oidc.", "", "",
			"next 1 needed; later Runs once"},
		"approved already": {[]approval.Approvals{anybody(2)}, []approval.Decision{yes("Ana", "finance")}, nil, "reject",
			"Your approval counts already. You may change it to a rejection.", "", approval.Approve, "met Ana approved; next 1 needed; later Runs once"},
		"approved before joining a group": {[]approval.Approvals{group("finance", 1), anybody(2)}, []approval.Decision{yes("ana")}, nil, both, "",
			"If you approve: 1 of 2, then it waits for one more person.", approval.Approve,
			"next finance: your turn; met ana approved; later Runs once"},
		"asked": {[]approval.Approvals{anybody(1)}, nil, func(v *approval.View, _ *ballot.Reader) { v.Requester, v.Owner = "ana", "ana" }, "reject",
			"You can't approve this one: you asked for it. Somebody else has to. You may reject it.", "", "", "next 1 needed; later Runs once"},
		"owns the agent": {[]approval.Approvals{anybody(1)}, nil, func(v *approval.View, _ *ballot.Reader) { v.Requester, v.Owner = "agent:bot", "Ana" }, "reject",
			"You can't approve this one: the agent that asked is yours. Somebody else has to. You may reject it.", "", "", "next 1 needed; later Runs once"},
		"no reviewer": {[]approval.Approvals{anybody(1)}, nil, func(_ *approval.View, r *ballot.Reader) { r.Reviewer = false }, "",
			"Only reviewers decide, and you are not one here.", "", "", "next 1 needed; later Runs once"},
		"nobody known": {[]approval.Approvals{anybody(1)}, nil, func(_ *approval.View, r *ballot.Reader) { *r = ballot.Reader{Reviewer: true} }, both, "", last, "",
			"next your turn; later Runs once"},
		"approved": {[]approval.Approvals{anybody(1)}, []approval.Decision{yes("")}, func(v *approval.View, _ *ballot.Reader) { v.Status = approval.StatusApproved }, "",
			"Nothing can be decided any more: the call is approved.", "", "", "met somebody approved; next Runs once"},
		"executed": {[]approval.Approvals{anybody(1)}, []approval.Decision{yes("ana")}, func(v *approval.View, _ *ballot.Reader) { v.Status = approval.StatusExecuted }, "",
			"Nothing can be decided any more: the call is executed.", "", approval.Approve, "met ana approved; met Runs once (executed)"},
		"expired": {[]approval.Approvals{anybody(1)}, nil, func(v *approval.View, _ *ballot.Reader) { v.Status = approval.StatusExpired }, "",
			"Nothing can be decided any more: the call is expired.", "", "", "later 1 needed; later Does not run"},
		"gone": {[]approval.Approvals{anybody(1)}, nil, func(v *approval.View, _ *ballot.Reader) { v.Error = &approval.CallError{Message: "It was terminated."} }, "",
			"It was terminated.", "", "", "later 1 needed; later Does not run"},
		"many": {[]approval.Approvals{group("security", 2), group("finance", 3), anybody(7)}, []approval.Decision{yes("bo", "security"), yes("cy", "security"), yes("di", "finance")}, nil, both, "",
			"If you approve: 4 of 7, then it waits for one person from finance and 2 more people.", "",
			"met security: 2 of 2; next finance: 1 of 3 (your turn); next approvals: 0 of 2; later Runs once"},
	} {
		t.Run(name, func(t *testing.T) {
			v := approval.View{Status: approval.StatusPending, Requirement: &approval.Requirement{Approvals: tc.needs}, Votes: tc.votes}
			r := me
			if tc.change != nil {
				tc.change(&v, &r)
			}
			you, segments := ballot.For(v, r)
			if you.May == nil || strings.Join(you.May, " ") != tc.may || you.Why != tc.why || you.IfApprove != tc.approves || you.Voted != tc.voted {
				t.Errorf("%+v", you)
			}
			if slices.Contains(you.May, approval.MayReject) != (you.IfReject == ends) {
				t.Errorf("if rejecting: %q", you.IfReject)
			}
			var rack []string
			for _, s := range segments {
				text := fmt.Sprintf("%s %s", s.State, s.Label)
				if s.Note != "" {
					text += " (" + s.Note + ")"
				}
				rack = append(rack, text)
				if (s.At != nil) != (s.State == approval.SegmentMet && strings.Contains(s.Label, "approved")) {
					t.Errorf("%s at %v", text, s.At)
				}
			}
			if got := strings.Join(rack, "; "); got != tc.rack {
				t.Errorf("%s", got)
			}
		})
	}
}

// The approval that met what a call takes did not count if the call's claim ended it for all that.
func TestStoppedByTheClaim(t *testing.T) {
	ana := approval.Decision{ID: "one", Kind: approval.Approve, Reviewer: "ana"}
	bo := approval.Decision{ID: "two", Kind: approval.Approve, Reviewer: "bo"}
	no := approval.Decision{ID: "no", Kind: approval.Reject, Reviewer: "cy"}
	pawl := &approval.FinalDecision{Kind: approval.FinalDeny, By: "pawl"}
	const recorded, resolved = approval.AnswerRecorded, approval.AnswerResolved
	for name, tc := range map[string]struct {
		count  int
		status approval.Status
		by     *approval.FinalDecision
		votes  []approval.Decision
		want   []approval.AnswerOutcome
	}{
		"blocked":           {1, approval.StatusBlocked, pawl, []approval.Decision{ana}, []approval.AnswerOutcome{approval.AnswerAlreadyResolved}},
		"expired":           {1, approval.StatusExpired, pawl, []approval.Decision{ana}, []approval.AnswerOutcome{approval.AnswerExpired}},
		"the second":        {2, approval.StatusBlocked, pawl, []approval.Decision{ana, bo}, []approval.AnswerOutcome{recorded, approval.AnswerAlreadyResolved}},
		"a rejection found": {1, approval.StatusRejected, no.Final(), []approval.Decision{ana, no}, []approval.AnswerOutcome{approval.AnswerAlreadyResolved, resolved}},
		"too few, rejected": {2, approval.StatusRejected, no.Final(), []approval.Decision{ana, no}, []approval.AnswerOutcome{recorded, resolved}},
		"approved":          {2, approval.StatusExecuted, bo.Final(), []approval.Decision{ana, bo}, []approval.AnswerOutcome{recorded, resolved}},
		"still waiting":     {1, approval.StatusPending, nil, []approval.Decision{ana}, []approval.AnswerOutcome{recorded}},
	} {
		v := approval.View{Status: tc.status, Votes: tc.votes, Decision: tc.by,
			Requirement: &approval.Requirement{Approvals: []approval.Approvals{{Count: tc.count}}}}
		var got []approval.AnswerOutcome
		for _, a := range ballot.Answers(v) {
			got = append(got, a.Outcome)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestClosed(t *testing.T) {
	votes := []approval.Decision{{ID: "one", Kind: approval.Approve, Reviewer: "ana"}, {ID: "two", Kind: approval.Approve, Reviewer: "bo"}}
	for name, tc := range map[string]struct {
		status  approval.Status
		settled bool
		d       approval.Decision
		want    approval.AnswerOutcome
	}{
		"of an executed call":    {approval.StatusExecuted, true, approval.Decision{ID: "new", Kind: approval.Approve}, approval.AnswerAlreadyResolved},
		"of an expired call":     {approval.StatusExpired, false, approval.Decision{ID: "new", Kind: approval.Approve}, approval.AnswerExpired},
		"a repeat":               {approval.StatusExpired, false, votes[1], approval.AnswerRecorded},
		"a repeat of the last":   {approval.StatusExecuted, true, votes[1], approval.AnswerResolved},
		"of the first":           {approval.StatusExecuted, true, votes[0], approval.AnswerRecorded},
		"another name's":         {approval.StatusExecuted, true, approval.Decision{ID: "one", Kind: approval.Approve, Reviewer: "bo"}, approval.AnswerInvalid},
		"another kind":           {approval.StatusExecuted, true, approval.Decision{ID: "one", Kind: approval.Reject, Reviewer: "ana"}, approval.AnswerInvalid},
		"the name, spelt anyhow": {approval.StatusExecuted, true, approval.Decision{ID: "one", Kind: approval.Approve, Reviewer: "ANA"}, approval.AnswerRecorded},
	} {
		v := approval.View{Status: tc.status, Votes: votes}
		if tc.settled {
			v.Decision = votes[1].Final()
		}
		if a := ballot.Closed(v, tc.d); a.Outcome != tc.want || a.DecisionID != tc.d.ID {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
