package activities_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot/ballottest"
)

// The claim counts a workflow's votes again, by the store's rules: it gives the permit for the
// votes of a call that the ballot settles as approved, and for no others.
func TestSequences(t *testing.T) {
	b := setup(t)
	k := b.key()
	b.trust(k)
	calls := 0
	claims := func(s ballottest.Sequence, steps []ballottest.Step) bool {
		calls++
		id, call := fmt.Sprint("call-", calls), b.call()
		call.Requester, call.Owner = s.Requester, s.Owner
		r := s.Requirement
		b.acts.Policy = verdict{Kind: approval.VerdictRequire, Requirement: &r, Timeout: approval.DefaultTimeout, ValidFor: approval.DefaultValidFor}
		digest := b.admitCall(id, call).View.Digest
		in := activities.ClaimInput{ID: id, Run: "r1", Digest: digest, Call: call, Now: time.Now().UTC()}
		for i, step := range steps {
			d := approval.Decision{
				ID: fmt.Sprint("step ", i), Kind: step.Decides, Reviewer: step.By, Groups: step.Groups, Channel: "api", Method: "token", Notes: step.Notes,
				At: time.Now().UTC().Truncate(time.Microsecond), Authenticated: true, // as a workflow of somebody's own would say
			}
			if step.Signed {
				var err error
				if d, err = sign.Sign(k, d, b.acts.StoreID, id, digest); err != nil {
					t.Fatal(err)
				}
			}
			in.Votes = append(in.Votes, d)
		}
		v, err := b.ExecuteActivity(b.acts.Claim, in)
		if err != nil {
			t.Fatal(err)
		}
		var res activities.ClaimResult
		if err := v.Get(&res); err != nil {
			t.Fatal(err)
		}
		if res.Outcome != nil && res.Outcome.Error.Code != approval.CodeUntrusted {
			t.Errorf("%s: %+v", s.Name, res.Outcome.Error)
		}
		return res.Outcome == nil
	}
	for _, s := range ballottest.Sequences(t) {
		var counted []ballottest.Step
		for i, step := range s.Steps {
			if step.Answer == approval.AnswerStale {
				continue // votes name no digest: all are about the call's
			}
			votes := append(counted[:len(counted):len(counted)], step)
			approved := step.Answer == approval.AnswerResolved && step.Decides == approval.Approve
			if claims(s, votes) != approved {
				t.Errorf("%s: after step %d the claim is given: %v", s.Name, i, !approved)
			}
			if step.Answer.Counted() {
				counted = votes
				continue
			}
			if votes := append([]ballottest.Step{step}, s.Steps...); !step.Turned && claims(s, votes) {
				t.Errorf("%s: the claim is given over a decision that does not count, step %d", s.Name, i)
			}
		}
	}
}
