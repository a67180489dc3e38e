// Package attempts tells reviewers what an agent tried before it asked for a call: the calls that it
// tries again, what changed from one to the next, and earlier calls that were the same.
package attempts

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Reader finds calls; a store.Reader is one.
type Reader interface {
	Call(ctx context.Context, id string) (store.Record, error)
	Previous(ctx context.Context, id string) ([]approval.View, error)
}

// Before returns the attempts before a call, oldest first and at most rest.MaxAttempts, and the other
// identical calls of its agent, newest first. Whoever may see the call may see these: they are the
// same requester's.
func Before(
	ctx context.Context, from Reader, r store.Record,
) (attempts []rest.Attempt, previous []rest.PastCall, err error) {
	known := map[string]bool{r.View.ID: true}
	for next := r; next.View.AttemptOf != "" && len(attempts) < rest.MaxAttempts; {
		earlier, err := from.Call(ctx, next.View.AttemptOf)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, nil, fmt.Errorf("reading the attempts before call %s: %w", r.View.ID, err)
		}
		v := earlier.View
		if err != nil || known[v.ID] || !store.SameAgent(v, r.View.Requester, r.View.Agent) {
			break // what the store links, it has checked; this is for what was changed there
		}
		known[v.ID] = true
		a := rest.Attempt{PastCall: past(v), Tool: v.Tool, AttemptOf: v.AttemptOf}
		a.Changed, a.MoreChanged = changed(earlier, next)
		a.Compare = present.Compare(v.Tool, next.View.Tool, a.Changed)
		attempts = append(attempts, a)
		next = earlier
	}
	slices.Reverse(attempts)
	same, err := from.Previous(ctx, r.View.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the calls before call %s: %w", r.View.ID, err)
	}
	for _, v := range same {
		if !known[v.ID] && store.SameAgent(v, r.View.Requester, r.View.Agent) {
			previous = append(previous, past(v))
		}
	}
	return attempts, previous, nil
}

func past(v approval.View) rest.PastCall {
	p := rest.PastCall{ID: v.ID, Status: v.Status, At: v.CreatedAt}
	if v.EndedAt != nil {
		p.At = *v.EndedAt
	}
	if d := v.Decision; d != nil {
		p.By, p.Notes = d.By, d.Notes
	}
	return p
}

// changed compares the arguments of two attempts as reviewers see them. What the verdict of either
// hides is hidden in both: a policy may have begun to hide a value in between.
func changed(was, now store.Record) ([]present.Change, int) {
	fields := append(slices.Clip(was.Verdict.Redact), now.Verdict.Redact...)
	values := was.Verdict.RedactValues.And(now.Verdict.RedactValues)
	shown := func(v approval.View) []byte { return redact.New(fields, values).Args(v.Args) }
	return diff(shown(was.View), shown(now.View))
}
