package activities_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// sent puts a rejection of the call c1 on record, as an API does before it sends one.
func (b *bench) sent(id, reviewer string) {
	b.t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond)
	e, err := audit.New("c1", "sent/"+id, at,
		audit.Sent{DecisionID: id, Reviewer: reviewer, Channel: "api", Method: "token", Digest: "d", At: at})
	if err == nil {
		err = b.store.Append(b.t.Context(), e)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// All rejections that ended a call are among its votes, whichever of them its workflow has counted
// and whichever came last.
func TestRejectionsOnRecordAreVotes(t *testing.T) {
	for name, c := range map[string]struct {
		sent, counted, want []string // the reviewers who reject
	}{
		"none counted":           {[]string{"bob", "eve"}, nil, []string{"ben", "bob", "eve"}},
		"the first counted":      {[]string{"bob", "eve"}, []string{"bob"}, []string{"bob", "ben", "eve"}},
		"the second counted":     {[]string{"bob", "eve"}, []string{"eve"}, []string{"eve", "ben", "bob"}},
		"one not on record":      {[]string{"bob"}, []string{"zoe"}, []string{"zoe", "ben", "bob"}},
		"one more than it takes": {[]string{"bob", "eve", "kim"}, nil, []string{"ben", "bob", "eve"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow("rules: [{tool: pay, require_approval: true, deny_count: 2, decisions: any}]")
			b.admit()
			for _, reviewer := range c.sent {
				b.sent(reviewer, reviewer)
			}
			for range 2 { // the first answer may be lost
				res, err := b.judgeAndClaim(func(in *activities.ClaimInput) {
					for _, reviewer := range c.counted { // before the approval that would settle the call
						no := approval.Decision{ID: reviewer, Kind: approval.Reject, Reviewer: reviewer, At: in.Now}
						in.Votes = slices.Insert(in.Votes, 0, no)
					}
				})
				if err != nil || res.Outcome == nil || res.Outcome.Status != approval.StatusRejected {
					t.Fatalf("%+v, %v", res.Outcome, err)
				}
				var got []string
				for _, v := range b.record().View.Votes {
					got = append(got, v.Reviewer)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("the votes are those of %q, want %q", got, c.want)
				}
			}
		})
	}
}
