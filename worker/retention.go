package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
)

// MinRetention is the shortest time that anything of a call that has ended is kept for: callers may
// report late, and agents learn of ends.
const MinRetention = 24 * time.Hour

// Retention says how long what is over is kept. Zero fields keep it for good.
type Retention struct {
	Payloads time.Duration // of the audit entries of calls that have ended
	Rows     time.Duration // of those calls, but for a tombstone
	Tokens   time.Duration // that were revoked, or have ended
}

// Check refuses times below the floor.
func (r Retention) Check() error {
	for name, kept := range map[string]time.Duration{
		"payloads": r.Payloads, "rows": r.Rows, "tokens": r.Tokens,
	} {
		if kept != 0 && kept < MinRetention {
			return fmt.Errorf("retention: %s are kept for %v: give %v or more, or nothing, which keeps them for good",
				name, kept, MinRetention)
		}
	}
	return nil
}

const (
	retainEvery = time.Hour
	eraseBatch  = 200 // calls of one entry and one transaction
)

// retainer erases what is kept no longer. Several at once do no harm: the store erases nothing twice.
type retainer struct {
	keep Retention
	in   store.Retention
	log  *slog.Logger
}

// run erases until ctx ends.
func (r retainer) run(ctx context.Context) {
	for again := r.keep != (Retention{}); again; again = retry.Sleep(ctx, retainEvery) {
		if err := r.erase(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "could not erase what is kept no longer; trying again", "error", err)
		}
	}
}

// erase erases what is too old at a time.
func (r retainer) erase(ctx context.Context, now time.Time) error {
	for _, level := range []struct {
		erase store.Erasure
		kept  time.Duration
	}{{store.EraseRow, r.keep.Rows}, {store.ErasePayloads, r.keep.Payloads}} {
		for more := level.kept > 0; more; {
			n, err := r.batch(ctx, level.erase, store.Micros(now.Add(-level.kept)))
			if err != nil {
				return err
			}
			more = n == eraseBatch
		}
	}
	if r.keep.Tokens == 0 {
		return nil
	}
	n, err := r.in.PruneTokens(ctx, now.Add(-r.keep.Tokens))
	if n > 0 {
		r.log.InfoContext(ctx, "tokens that ended long ago are deleted", "count", n)
	}
	return err
}

func (r retainer) batch(ctx context.Context, e store.Erasure, before time.Time) (int, error) {
	ids, err := r.in.Erasable(ctx, e, before, eraseBatch)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	step := fmt.Sprintf("%s/%d/%s", before.Format(time.RFC3339Nano), e, ids[0])
	entry, err := audit.New(audit.SubjectRetention, step, time.Now(),
		audit.Erased{Calls: ids, Rows: e == store.EraseRow, By: "retention", Before: &before})
	if err != nil {
		return 0, err
	}
	erased, err := r.in.Erase(ctx, store.EraseParams{IDs: ids, Erase: e, Entry: entry})
	if len(erased) > 0 {
		r.log.InfoContext(ctx, "calls are erased, as retention says",
			"count", len(erased), "rows", e == store.EraseRow)
	}
	return len(ids), err
}
