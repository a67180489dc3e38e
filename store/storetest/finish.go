package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// denials are the endings that need no claim.
var denials = []approval.Status{
	approval.StatusRejected, approval.StatusExpired, approval.StatusBlocked, approval.StatusCancelled,
}

// results are the endings that do.
var results = []approval.Status{approval.StatusExecuted, approval.StatusFailed, approval.StatusOutcomeUnknown}

func finishFirstWins(t *testing.T, s store.Store) {
	_, _, err := s.Finish(t.Context(), ending(t, "a", approval.StatusExpired))
	fails(t, "Finish of an unknown call", err, store.ErrNotFound)

	admit(t, s, allowed(t, "a"))
	use(t, s, using(t, "a"))
	f := ending(t, "a", approval.StatusExecuted)
	f.Outcome.Result = json.RawMessage(`{"paid":true}`)
	f.Outcome.Decision = &approval.FinalDecision{Kind: approval.FinalAllow, By: "policy", At: began}
	over := finish(t, s, f)
	same(t, "the outcome", over.View.Outcome(), f.Outcome)
	if over.View.EndedAt == nil || !over.View.EndedAt.Equal(f.At) {
		t.Errorf("it ended at %v, want %v", over.View.EndedAt, f.At)
	}
	isStored(t, s, over)

	for _, status := range append(denials, results...) {
		other := ending(t, "a", status)
		other.At, other.Votes = after(9), []approval.Decision{}
		other.Entries = []audit.Entry{entry(t, "a", "ended again", audit.KindEnded)}
		r, fresh, err := s.Finish(t.Context(), other)
		if err != nil || fresh {
			t.Errorf("a second ending, %s: fresh %v, %v", status, fresh, err)
		}
		same(t, "the answer to a second ending", r, over)
	}
	isStored(t, s, over)
	wrote(t, s, "a", "requested", "claimed", "started", "ended")
}

func finishConcurrently(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	var fresh atomic.Int32
	told := make([]approval.Status, many)
	together(many, func(i int) {
		f := ending(t, "a", denials[i%len(denials)])
		f.Entries = []audit.Entry{entry(t, "a", fmt.Sprint("ended ", f.Outcome.Status), audit.KindEnded)}
		r, won, err := s.Finish(t.Context(), f)
		if err != nil {
			t.Errorf("Finish: %v", err)
		}
		if won {
			fresh.Add(1)
		}
		told[i] = r.View.Status
	})
	if fresh.Load() != 1 {
		t.Errorf("%d of %d ended it, want 1", fresh.Load(), many)
	}
	for i, status := range told {
		if status != told[0] {
			t.Errorf("caller %d was told %s, caller 0 %s", i, status, told[0])
		}
	}
	wrote(t, s, "a", "requested", fmt.Sprint("ended ", told[0]))
}

func finishVoids(t *testing.T, s store.Store) {
	for _, status := range denials {
		id := "call-" + string(status)
		admit(t, s, waiting(t, id))
		claim(t, s, claiming(t, id))
		r := finish(t, s, ending(t, id, status))
		if r.Permit == nil || !r.Permit.Void || !r.Permit.UsedAt.IsZero() {
			t.Errorf("%s: the claim is %+v, want it void", status, r.Permit)
		}
		isStored(t, s, r)
		fails(t, "Use after "+string(status), s.Use(t.Context(), using(t, id)), store.ErrNoPermit)
		same(t, "the answer to Claim", claim(t, s, claiming(t, id)), r)
		wrote(t, s, id, "requested", "claimed", "ended")
	}
	// Some tools run where no permit is consumed; a result voids nothing.
	elsewhere := allowed(t, "elsewhere")
	elsewhere.Queue = "others"
	admit(t, s, elsewhere)
	if r := finish(t, s, ending(t, "elsewhere", approval.StatusExecuted)); r.Permit == nil || r.Permit.Void {
		t.Errorf("the claim of a call that ran is %+v", r.Permit)
	}
}

// finishUnused has a call end as executed whose tool was never started here: whoever says so made
// it up.
func finishUnused(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "a"))
	_, fresh, err := s.Finish(t.Context(), ending(t, "a", approval.StatusExecuted))
	if fresh {
		t.Error("a permit that was never used gave a result")
	}
	fails(t, "Finish as executed before Use", err, store.ErrNoPermit)
	wrote(t, s, "a", "requested", "claimed")
	if err := s.Use(t.Context(), using(t, "a")); err != nil {
		t.Fatal(err)
	}
	finish(t, s, ending(t, "a", approval.StatusExecuted))
}

func finishStarted(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "a"))
	use(t, s, using(t, "a"))
	before, err := s.Call(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range denials {
		_, fresh, err := s.Finish(t.Context(), ending(t, "a", status))
		fails(t, string(status)+" after the start", err, store.ErrStarted)
		if fresh {
			t.Errorf("%s took effect after the start", status)
		}
	}
	isStored(t, s, before)
	wrote(t, s, "a", "requested", "claimed", "started")
	finish(t, s, ending(t, "a", approval.StatusOutcomeUnknown))
}

func finishUnclaimed(t *testing.T, s store.Store) {
	before := admit(t, s, waiting(t, "a"))
	for _, status := range results {
		_, fresh, err := s.Finish(t.Context(), ending(t, "a", status))
		fails(t, string(status)+" without a claim", err, store.ErrNoPermit)
		if fresh {
			t.Errorf("%s took effect without a claim", status)
		}
	}
	isStored(t, s, before)
	wrote(t, s, "a", "requested")
}

func finishVotes(t *testing.T, s store.Store) {
	reject := []approval.Decision{{ID: "d-2", Kind: approval.Reject, Reviewer: "bob", Notes: "no", At: after(1)}}
	for _, c := range []struct {
		name        string
		given, want []approval.Decision
	}{
		{"kept", nil, claiming(t, "a").Votes},
		{"replaced", reject, reject},
	} {
		admit(t, s, waiting(t, c.name))
		claim(t, s, claiming(t, c.name))
		f := ending(t, c.name, approval.StatusRejected)
		f.Votes = c.given
		r := finish(t, s, f)
		same(t, "the votes, "+c.name, r.View.Votes, c.want)
		isStored(t, s, r)
	}
}

func finishInvalid(t *testing.T, s store.Store) {
	before := admit(t, s, waiting(t, "a"))
	for _, status := range []approval.Status{
		"", "maybe", approval.StatusPending, approval.StatusApproved, approval.StatusExecuting,
	} {
		_, _, err := s.Finish(t.Context(), ending(t, "a", status))
		invalid(t, "Finish with status "+string(status), err)
	}
	f := ending(t, "a", approval.StatusExpired)
	f.At = time.Time{}
	_, _, err := s.Finish(t.Context(), f)
	invalid(t, "Finish without a time", err)
	isStored(t, s, before)
	wrote(t, s, "a", "requested")
}

// claimAgainstFinish lets an approval and the end of the wait come together. Whichever way it goes,
// either the tool may run or the call has expired.
func claimAgainstFinish(t *testing.T, s store.Store) {
	for round := range 2 * many {
		id := fmt.Sprintf("call-%d", round)
		admit(t, s, waiting(t, id))
		var claimed store.Record
		var claimErr, useErr, finishErr error
		var expired bool
		together(2, func(i int) {
			if i == round%2 {
				if claimed, claimErr = s.Claim(t.Context(), claiming(t, id)); claimErr == nil {
					useErr = s.Use(t.Context(), using(t, id))
				}
				return
			}
			_, expired, finishErr = s.Finish(t.Context(), ending(t, id, approval.StatusExpired))
		})
		r, err := s.Call(t.Context(), id)
		if err := errors.Join(claimErr, err); err != nil {
			t.Fatal(err)
		}
		switch {
		case useErr == nil && !expired && errors.Is(finishErr, store.ErrStarted):
			if r.View.Status != approval.StatusExecuting || r.Permit == nil || r.Permit.Void {
				t.Errorf("%s: the tool may run, but the record is %+v", id, r)
			}
			wrote(t, s, id, "requested", "claimed", "started")
		case errors.Is(useErr, store.ErrNoPermit) && expired && finishErr == nil:
			steps := []string{"requested", "ended"}
			if claimed.Permit != nil {
				steps = []string{"requested", "claimed", "ended"}
			}
			if r.View.Status != approval.StatusExpired || (r.Permit != nil) != (claimed.Permit != nil) ||
				(r.Permit != nil && !r.Permit.Void) {
				t.Errorf("%s: it expired, but the record is %+v", id, r)
			}
			wrote(t, s, id, steps...)
		default:
			t.Errorf("%s: Use %v; Finish %v, fresh %v: want exactly one to win", id, useErr, finishErr, expired)
		}
	}
}

func viewFollows(t *testing.T, s store.Store) {
	listed := func(want approval.Status) {
		t.Helper()
		for _, status := range approval.Statuses {
			page, err := s.Calls(t.Context(), store.CallQuery{Statuses: []approval.Status{status}})
			if err != nil {
				t.Fatal(err)
			}
			if (len(page.Items) == 1) != (status == want) {
				t.Errorf("%d calls are listed as %s; the call is %s", len(page.Items), status, want)
			}
		}
		page, err := s.Calls(t.Context(), store.CallQuery{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Call(t.Context(), "a")
		if err != nil || r.View.Status != want {
			t.Errorf("the call is %s, %v; want %s", r.View.Status, err, want)
		}
		same(t, "the listed view", page.Items, []approval.View{r.View})
	}
	admit(t, s, waiting(t, "a"))
	listed(approval.StatusPending)
	claim(t, s, claiming(t, "a"))
	listed(approval.StatusExecuting)
	use(t, s, using(t, "a"))
	listed(approval.StatusExecuting)
	finish(t, s, ending(t, "a", approval.StatusFailed))
	listed(approval.StatusFailed)
}
