package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// late is a store whose first claim comes to it only after something else has happened, or whose
// answer does.
type late struct {
	store.Store
	then     func(ctx context.Context)
	answered bool // the claim is written before
}

func (s *late) Claim(ctx context.Context, c store.ClaimParams) (store.Record, error) {
	then := s.then
	s.then = nil
	if then != nil && !s.answered {
		then(ctx)
	}
	r, err := s.Store.Claim(ctx, c)
	if then != nil && s.answered {
		then(ctx)
	}
	return r, err
}

// The first attempt at a claim has timed out, another policy is applied, and the second attempt ends
// while the first still waits for the store. Both say the same, and there is one permit or none.
func TestLateClaims(t *testing.T) {
	const claimed, more, blocked = "claimed", "more", "blocked"
	two := "rules: [{tool: pay, approvals: [{count: 2}]}]"
	for name, tc := range map[string]struct {
		policy   string
		answered bool
		want     string
		runs     int32
	}{
		"never":                            {never, false, blocked, 0},
		"two people":                       {two, false, more, 0},
		"allowed":                          {allow, false, claimed, 1},
		"the same":                         {askOne, false, claimed, 1},
		"never, the permit is taken":       {never, true, claimed, 0}, // the tool's step judges
		"two people, the permit is taken":  {two, true, claimed, 1},
		"the same, and the permit's taken": {askOne, true, claimed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow(askOne)
			b.admit()
			said := func(res activities.ClaimResult) string {
				switch {
				case res.Outcome != nil:
					return string(res.Outcome.Status)
				case res.Requirement != nil:
					return more
				}
				return claimed
			}
			second := ""
			b.acts.Store = &late{Store: b.store, answered: tc.answered, then: func(ctx context.Context) {
				if tc.policy != askOne {
					b.apply(tc.policy)
				}
				now := time.Now().UTC()
				res, err := b.acts.JudgeAndClaim(ctx, activities.ClaimInput{
					ID: "c1", Run: "r1", Digest: b.digest(), Call: b.call(), Now: now,
					Votes: []approval.Decision{{ID: "d1", Kind: approval.Approve, Reviewer: "ben", At: now}},
				})
				if err != nil {
					t.Error(err)
				}
				second = said(res)
			}}
			res, err := b.judgeAndClaim(nil)
			if err != nil || said(res) != tc.want || second != tc.want {
				t.Errorf("the first says %s, the second %s, want %s; %v", said(res), second, tc.want, err)
			}
			if r := b.record(); (r.Permit != nil) != (tc.want == claimed) || (r.Revision == 1) != (tc.want == more) {
				t.Errorf("permit %+v, revision %d", r.Permit, r.Revision)
			}
			_ = b.execute(nil) // with a permit or without
			if n := b.runs.Load(); n != tc.runs {
				t.Errorf("the tool ran %d times, want %d", n, tc.runs)
			}
		})
	}
}
