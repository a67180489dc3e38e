package pawl

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
)

// Retry returns a function that calls a guarded one and, when a reviewer rejects the call with notes,
// asks redraft for other arguments and tries again, at most n times. Reviewers see the attempts before
// (About.AttemptOf). It has the guarded function's errors: those of the last attempt.
//
// Nothing but a rejection with notes is tried again, least of all a call that may have run. redraft
// gets the arguments that were rejected, and the rejection with its notes (Decision.Notes), which are a
// person's words and no instruction of the program's. An error of redraft ends it: it comes back joined
// with the rejection.
//
// With About.Key every attempt has a key of its own, made of that one. A process that comes back then
// finds the attempts that it had started, as long as redraft drafts the same again; else it gets
// ErrConflict, and nothing is asked for twice.
func Retry[In, Out any](
	guarded func(context.Context, In) (Out, error), n int,
	redraft func(ctx context.Context, in In, rejected *DeniedError) (In, error),
) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		key, attempt := aboutOf(ctx).Key, ctx
		for tried := 1; ; tried++ {
			out, err := guarded(attempt, in)
			var rejected *DeniedError
			if tried > n || !errors.As(err, &rejected) || !rejected.hasNotes() {
				return out, err
			}
			next, redraftErr := redraft(ctx, in, rejected)
			if redraftErr != nil {
				if !errors.Is(redraftErr, error(rejected)) {
					redraftErr = errors.Join(rejected, redraftErr)
				}
				return out, redraftErr
			}
			in = next
			again := About{AttemptOf: rejected.ID}
			if key != "" {
				again.Key = fmt.Sprintf("%s, attempt %d", key, tried+1)
			}
			attempt = With(ctx, again)
		}
	}
}

// hasNotes reports whether a reviewer rejected the call and said why.
func (e *DeniedError) hasNotes() bool {
	return e.Status == approval.StatusRejected && e.Decision != nil && e.Decision.Notes != ""
}
