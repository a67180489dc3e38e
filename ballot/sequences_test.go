package ballot_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/ballot/ballottest"
)

func rules(s ballottest.Sequence) ballot.Rules {
	return ballot.Rules{
		Requirement: s.Requirement, Requester: s.Requester, Owner: s.Owner, Digest: "same", Deadline: at.Add(time.Hour),
	}
}

var at = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func decision(s ballottest.Step, id string) ballot.Decision {
	return ballot.Decision{Digest: s.Digest, Decision: approval.Decision{
		ID: id, Kind: s.Decides, Reviewer: s.By, Groups: s.Groups, Authenticated: s.Signed, Notes: s.Notes, At: at,
	}}
}

func TestSequences(t *testing.T) {
	for _, s := range ballottest.Sequences(t) {
		t.Run(s.Name, func(t *testing.T) {
			tally := ballot.New(rules(s))
			var counted []approval.Decision
			for i, step := range s.Steps {
				d := decision(step, string(rune('a'+i)))
				before, would := tally, tally.Judge(d)
				j := tally.Add(d)
				if j.Outcome != step.Answer || j != would || j.DecisionID != d.ID || (j.Refused() && j.Message == "") {
					t.Errorf("step %d: %+v, foreseen %+v, want %s", i, j, would, step.Answer)
				}
				if j.Outcome.Counted() {
					counted = append(counted, d.Decision)
				} else if len(tally.Votes()) != len(before.Votes()) {
					t.Errorf("step %d was refused, and is among the votes", i)
				}
				// The votes alone say the same, to whoever counts again.
				again, refused := ballot.Count(rules(s), tally.Votes())
				if len(refused) > 0 || (again.Settled() == nil) != (tally.Settled() == nil) || again.Waiting() != tally.Waiting() {
					t.Errorf("step %d: counted again, refused %v, settled %v, waiting for %q", i, refused, again.Settled(), again.Waiting())
				}
			}
			var settled approval.DecisionKind
			if d := tally.Settled(); d != nil {
				settled = d.Kind
			}
			if settled != s.Settled {
				t.Errorf("settled %q, want %q", settled, s.Settled)
			}
			if all, refused := ballot.Count(rules(s), counted); len(refused) > 0 || (all.Settled() == nil) != (s.Settled == "") {
				t.Errorf("what counted: refused %v, settled %v", refused, all.Settled())
			}
		})
	}
}

// A decision is refused, or asked about, by what is wrong with it first. Open calls replay by that
// order.
func TestWhatIsAskedFirst(t *testing.T) {
	rules := ballot.Rules{
		Requirement: approval.Requirement{Approvals: []approval.Approvals{{Group: "finance", Count: 1}}, Decisions: approval.DecisionsSigned},
		Requester:   "olga", Owner: "olga", Digest: "d1", Deadline: at,
	}
	for name, tc := range map[string]struct {
		d     ballot.Decision
		want  approval.AnswerOutcome
		needs ballot.Need
		why   ballot.Reason
	}{
		"late, whatever else":       {ballot.Decision{Digest: "d2", Unverified: true, Decision: approval.Decision{At: at}}, approval.AnswerExpired, "", ""},
		"just in time":              {ballot.Decision{Digest: "d2", Decision: approval.Decision{At: at.Add(-1)}}, approval.AnswerStale, "", ""},
		"stale, with an envelope":   {ballot.Decision{Digest: "d2", Unverified: true, Untimed: true}, approval.AnswerStale, "", ""},
		"an envelope":               {ballot.Decision{Digest: "d1", Unverified: true, Untimed: true, Decision: approval.Decision{Reviewer: "olga"}}, "", ballot.NeedsProof, ""},
		"own, around the deadline":  {ballot.Decision{Untimed: true, Decision: approval.Decision{Reviewer: "olga", At: at.Add(time.Hour)}}, approval.AnswerForbidden, "", ballot.Own},
		"around the deadline":       {ballot.Decision{Untimed: true, Untimely: true, Decision: approval.Decision{Reviewer: "ana", At: at.Add(time.Hour)}}, "", ballot.NeedsTime, ""},
		"an envelope that expired":  {ballot.Decision{Untimely: true, Decision: approval.Decision{Reviewer: "ana", Authenticated: true}}, approval.AnswerForbidden, "", ""},
		"unsigned, and no member":   {ballot.Decision{Decision: approval.Decision{Reviewer: "ana"}}, approval.AnswerForbidden, "", ballot.Unsigned},
		"signed, and no member":     {ballot.Decision{Decision: approval.Decision{Reviewer: "ana", Authenticated: true}}, approval.AnswerForbidden, "", ballot.NoMember},
		"a member's":                {ballot.Decision{Decision: approval.Decision{Reviewer: "ana", Authenticated: true, Groups: []string{"finance"}}}, "", "", ""},
		"a deadline that is not so": {ballot.Decision{Decision: approval.Decision{Reviewer: "ana", Authenticated: true, Groups: []string{"finance"}, At: at.Add(-time.Hour)}}, "", "", ""},
	} {
		tc.d.Kind = approval.Approve
		if j := rules.Judge(tc.d); j.Outcome != tc.want || j.Needs != tc.needs || j.Reason != tc.why {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

// A requirement that holds what this version does not judge is never met, and may be rejected.
func TestWhatCantBeJudgedIsNotApproved(t *testing.T) {
	rules := ballot.Rules{Requirement: approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, AllowEdit: true}}
	approve := ballot.Decision{Decision: approval.Decision{Kind: approval.Approve, Reviewer: "ana"}}
	if j := rules.Judge(approve); j.Outcome != approval.AnswerForbidden {
		t.Errorf("%+v", j)
	}
	tally := ballot.New(rules)
	approve.Kind = approval.Reject
	if j := tally.Add(approve); j.Outcome != approval.AnswerResolved {
		t.Errorf("%+v", j)
	}
}

// FuzzTally compares the tally with what it means, worked out anew after each decision.
func FuzzTally(f *testing.F) {
	f.Add([]byte{1, 0, 2}, []byte{0, 5, 9, 130})
	f.Add([]byte{0x11, 0x21}, []byte{0, 1, 17, 33, 49, 2, 200})
	f.Fuzz(func(t *testing.T, needs, decisions []byte) {
		groups := []string{"", "finance", "security"}
		var r approval.Requirement
		for _, b := range needs[:min(len(needs), 4)] {
			r.Approvals = append(r.Approvals, approval.Approvals{Group: groups[int(b>>4)%3], Count: 1 + int(b)%3})
		}
		if len(r.Approvals) == 0 {
			return
		}
		tally := ballot.New(ballot.Rules{Requirement: r})
		var counted []approval.Decision // every decision that counted, repeats among them
		for i, b := range decisions[:min(len(decisions), 20)] {
			d := approval.Decision{
				ID: string(rune('a' + i)), Kind: approval.Approve, Reviewer: string(rune('p' + b%4)), Authenticated: b&16 != 0,
			}
			if b&32 != 0 {
				d.Groups = append(d.Groups, "finance")
			}
			if b&64 != 0 {
				d.Groups = append(d.Groups, "security")
			}
			if b > 240 {
				d.Kind = approval.Reject
			}
			before := tally.Settled()
			j := add(&tally, d)
			if j.Outcome.Counted() {
				counted = append(counted, d)
			}
			met := d.Kind == approval.Reject || means(r, counted)
			switch {
			case before != nil:
				if j.Outcome != approval.AnswerAlreadyResolved || tally.Settled() != before {
					t.Fatalf("after the end: %+v", j)
				}
			case j.Refused():
				if d.Kind == approval.Reject || slices.ContainsFunc(r.Approvals, func(a approval.Approvals) bool { return counts(a, d) }) {
					t.Fatalf("%+v is refused: %+v", d, j)
				}
			case met != (j.Outcome == approval.AnswerResolved) || met != (tally.Settled() != nil):
				t.Fatalf("%v after %+v: %+v", r, counted, j)
			}
			v := approval.View{Status: approval.StatusPending, Requirement: &r, Votes: tally.Votes()}
			_, rack := ballot.For(v, ballot.Reader{})
			open := slices.ContainsFunc(rack[:len(rack)-1], func(s approval.Segment) bool { return s.State != approval.SegmentMet })
			if open == means(r, counted) {
				t.Fatalf("%v after %+v: the rack is %+v", r, counted, rack)
			}
		}
	})
}

func counts(a approval.Approvals, d approval.Decision) bool {
	return a.Group == "" || d.Authenticated && slices.Contains(d.Groups, a.Group)
}

// means says whether decisions meet a requirement. Of each person one approval counts: the first,
// or the last that is authenticated.
func means(r approval.Requirement, decisions []approval.Decision) bool {
	of := map[string]approval.Decision{}
	for _, d := range decisions {
		if _, there := of[d.Reviewer]; d.Kind == approval.Approve && (!there || d.Authenticated) {
			of[d.Reviewer] = d
		}
	}
	for _, a := range r.Approvals {
		n := 0
		for _, d := range of {
			if counts(a, d) {
				n++
			}
		}
		if n < a.Count {
			return false
		}
	}
	return true
}
