package ballot_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
)

func add(t *ballot.Tally, d approval.Decision) ballot.Judgement {
	return t.Add(ballot.Decision{Decision: d})
}

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
		"names fold case":                 {2, []step{{yes, "rita", recorded}, {yes, "Rita", recorded}, {yes, "ANA", resolved}}, yes, 2},
		"names fold spellings":            {2, []step{{yes, "jos\u00e9", recorded}, {yes, "Jose\u0301", recorded}, {yes, "ａｎａ", resolved}}, yes, 2},
		"names fold case in full":         {2, []step{{yes, "straße", recorded}, {yes, "STRASSE", recorded}, {yes, "strase", resolved}}, yes, 2},
		"nameless people are one person":  {2, []step{{yes, "", recorded}, {yes, "", recorded}}, "", 1},
		"a no after some yes settles":     {3, []step{{yes, "ana", recorded}, {yes, "bo", recorded}, {no, "cy", resolved}}, no, 3},
		"a reviewer may take a yes back":  {2, []step{{yes, "ana", recorded}, {no, "ana", resolved}}, no, 2},
		"an unknown kind counts for none": {1, []step{{"maybe", "ana", unreadable}, {yes, "ana", resolved}}, yes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tally := ballot.New(ballot.Rules{Requirement: approval.Requirement{Approvals: []approval.Approvals{{Count: tc.count}}}})
			for i, s := range tc.steps {
				if got := add(&tally, approval.Decision{Kind: s.kind, Reviewer: s.by}).Outcome; got != s.want {
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

func TestTallyTellsWhoHasApproved(t *testing.T) {
	yes := func(by string, groups ...string) approval.Decision {
		return approval.Decision{Kind: approval.Approve, Reviewer: by, Groups: groups, Authenticated: groups != nil}
	}
	type approvals = []approval.Approvals
	for name, tc := range map[string]struct {
		needs approvals
		votes []approval.Decision
		want  string // what the last one hears
	}{
		"the first time":      {approvals{{Count: 2}}, []approval.Decision{yes("ana")}, ""},
		"again":               {approvals{{Count: 2}}, []approval.Decision{yes("ana"), yes("Ana")}, "you have approved already; one more approval by another person is needed"},
		"again, many missing": {approvals{{Count: 3}}, []approval.Decision{yes("ana"), yes("ana")}, "you have approved already; 2 more approvals by other people are needed"},
		"again, a group": {approvals{{Count: 1, Group: "a"}, {Count: 1, Group: "b"}}, []approval.Decision{yes("ana", "a"), yes("ana", "a")},
			`you have approved already; one more approval by another person in "b" is needed`},
		"again, in another group": {approvals{{Count: 2, Group: "a"}, {Count: 1, Group: "b"}}, []approval.Decision{yes("ana", "a"), yes("ana", "a", "b")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tally := ballot.New(ballot.Rules{Requirement: approval.Requirement{Approvals: tc.needs}})
			var last ballot.Judgement
			for _, v := range tc.votes {
				last = add(&tally, v)
			}
			if last.Outcome != approval.AnswerRecorded || last.Message != tc.want {
				t.Errorf("%s: %q", last.Outcome, last.Message)
			}
		})
	}
}

func TestTallyGroups(t *testing.T) {
	type step struct {
		by     string
		groups string // of an authenticated reviewer; empty: nobody vouches for this one
		want   approval.AnswerOutcome
	}
	const (
		resolved, recorded = approval.AnswerResolved, approval.AnswerRecorded
		forbidden          = approval.AnswerForbidden
		none               = "-" // authenticated, in no group that matters
	)
	finance, security := approval.Approvals{Group: "finance", Count: 1}, approval.Approvals{Group: "security", Count: 1}
	anybody := func(n int) approval.Approvals { return approval.Approvals{Count: n} }
	for name, tc := range map[string]struct {
		needs []approval.Approvals
		steps []step
		by    string // who settled it; empty: still open
		votes int
	}{
		"a member":                         {[]approval.Approvals{finance}, []step{{"ana", "finance", resolved}}, "ana", 1},
		"no member":                        {[]approval.Approvals{finance}, []step{{"ana", none, forbidden}, {"bo", "security", forbidden}}, "", 0},
		"nobody vouches for it":            {[]approval.Approvals{finance}, []step{{"ana", "", forbidden}, {"bo", "", forbidden}}, "", 0},
		"two of one group":                 {[]approval.Approvals{{Group: "finance", Count: 2}}, []step{{"ana", "finance", recorded}, {"ana", "finance", recorded}, {"bo", "finance", resolved}}, "bo", 2},
		"one of each":                      {[]approval.Approvals{finance, security}, []step{{"ana", "finance", recorded}, {"bo", "finance", recorded}, {"cy", "security", resolved}}, "cy", 3},
		"one who is in both":               {[]approval.Approvals{finance, security}, []step{{"ana", "finance security", resolved}}, "ana", 1},
		"two, one of them a member":        {[]approval.Approvals{anybody(2), finance}, []step{{"ana", "finance", recorded}, {"bo", "", resolved}}, "bo", 2},
		"two, the second a member":         {[]approval.Approvals{anybody(2), finance}, []step{{"ana", "", recorded}, {"bo", none, recorded}, {"cy", "finance", resolved}}, "cy", 3},
		"a member alone is one of two":     {[]approval.Approvals{anybody(2), finance}, []step{{"ana", "finance", recorded}, {"ana", "finance", recorded}}, "", 1},
		"one person by two spellings":      {[]approval.Approvals{anybody(2)}, []step{{"ana", none, recorded}, {"Ana", none, recorded}}, "", 1},
		"the name was taken before":        {[]approval.Approvals{anybody(2), finance}, []step{{"ana", "", recorded}, {"ana", "finance", recorded}, {"bo", "", resolved}}, "bo", 2},
		"and is not taken afterwards":      {[]approval.Approvals{anybody(2), finance}, []step{{"ana", "finance", recorded}, {"ana", "", recorded}, {"bo", "", resolved}}, "bo", 2},
		"a member since":                   {[]approval.Approvals{anybody(1), finance}, []step{{"ana", none, recorded}, {"ana", "finance", resolved}}, "ana", 1},
		"a member no more, before the end": {[]approval.Approvals{finance, security}, []step{{"ana", "finance", recorded}, {"ana", "security", recorded}, {"bo", "finance", resolved}}, "bo", 2},
	} {
		t.Run(name, func(t *testing.T) {
			tally := ballot.New(ballot.Rules{Requirement: approval.Requirement{Approvals: tc.needs}})
			for i, s := range tc.steps {
				d := approval.Decision{ID: "d", Kind: approval.Approve, Reviewer: s.by, Authenticated: s.groups != "", Groups: strings.Fields(s.groups)}
				if !d.Authenticated {
					d.Groups = []string{"finance", "security"} // as anybody may claim
				}
				got := add(&tally, d)
				if got.Outcome != s.want || got.DecisionID != "d" || s.want == forbidden && got.Message == "" || s.want == resolved && got.Message != "" {
					t.Errorf("step %d (by %q): %+v, want %s", i, s.by, got, s.want)
				}
			}
			by := ""
			if d := tally.Settled(); d != nil {
				by = d.Reviewer
			}
			if by != tc.by || len(tally.Votes()) != tc.votes {
				t.Errorf("settled by %q with %d votes, want %q with %d", by, len(tally.Votes()), tc.by, tc.votes)
			}
			if got := add(&tally, approval.Decision{Kind: approval.Reject}).Outcome; (got == resolved) != (tc.by == "") {
				t.Errorf("a rejection after that: %s", got)
			}
		})
	}
}

func TestTallyOfSignedDecisions(t *testing.T) {
	tally := ballot.New(ballot.Rules{Requirement: approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, Decisions: approval.DecisionsSigned}})
	for _, kind := range []approval.DecisionKind{approval.Approve, approval.Reject} {
		if got := add(&tally, approval.Decision{Kind: kind, Reviewer: "ana"}); got.Outcome != approval.AnswerForbidden || got.Message == "" {
			t.Errorf("%s by nobody in particular: %+v", kind, got)
		}
	}
	if len(tally.Votes()) != 0 || tally.Settled() != nil {
		t.Fatalf("%v", tally.Votes())
	}
	if got := add(&tally, approval.Decision{Kind: approval.Approve, Reviewer: "ana", Authenticated: true}); got.Outcome != approval.AnswerResolved {
		t.Errorf("%+v", got)
	}
}

// A rejection that counted counts for good, and who gave it can't approve any more.
func TestNoIsKept(t *testing.T) {
	no := func(by string, proved bool) approval.Decision {
		return approval.Decision{ID: by, Kind: approval.Reject, Reviewer: by, Authenticated: proved}
	}
	yes := func(by string, proved bool) approval.Decision {
		return approval.Decision{ID: "yes-" + by, Kind: approval.Approve, Reviewer: by, Authenticated: proved}
	}
	signed := ballot.Rules{Requirement: approval.Requirement{
		Approvals: []approval.Approvals{{Count: 2}}, DenyCount: 2, Decisions: approval.DecisionsSigned,
	}}
	for name, tc := range map[string]struct {
		votes   []approval.Decision
		kept    int
		refused int
		settled approval.DecisionKind
	}{
		"unsigned":                    {[]approval.Decision{no("ana", false)}, 1, 0, ""},
		"beside a signed one":         {[]approval.Decision{no("ana", false), no("bo", true)}, 2, 0, approval.Reject},
		"twice by one person":         {[]approval.Decision{no("ana", false), no("Ana", true)}, 1, 0, ""},
		"before approvals of its own": {[]approval.Decision{no("ana", false), yes("ana", true)}, 1, 1, ""},
		"beside an unsigned approval": {[]approval.Decision{yes("cy", false), no("ana", false)}, 1, 1, ""},
	} {
		tally, refused := ballot.Count(signed, tc.votes)
		if len(tally.Votes()) != tc.kept || len(refused) != tc.refused {
			t.Errorf("%s: %d votes, refused %+v", name, len(tally.Votes()), refused)
		}
		again, _ := ballot.Recount(signed, tc.votes, ballot.Rejections(tc.votes))
		for _, x := range []ballot.Tally{tally, again} {
			switch by := x.Settled(); {
			case tc.settled == "" && by != nil, tc.settled != "" && (by == nil || by.Kind != tc.settled):
				t.Errorf("%s: settled by %+v", name, by)
			case tc.settled == "":
				if j := x.Judge(ballot.Decision{Decision: yes("ana", true)}); j.Reason != ballot.Turned {
					t.Errorf("%s: ana may approve: %+v", name, j)
				}
			}
		}
	}
}
