package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
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
	told map[string]bool // of which calls the store refuses to erase what; they are tried again each time
}

// run erases until ctx ends.
func (r retainer) run(ctx context.Context) {
	for again := r.keep != (Retention{}); again; again = retry.Sleep(ctx, retainEvery) {
		if err := r.erase(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "could not erase what is kept no longer; trying again", "error", err)
		}
	}
}

// erase erases what is too old at a time. What fails of one kind does not keep the others.
func (r retainer) erase(ctx context.Context, now time.Time) error {
	var failed error
	for _, level := range []struct {
		erase store.Erasure
		kept  time.Duration
	}{{store.EraseRow, r.keep.Rows}, {store.ErasePayloads, r.keep.Payloads}} {
		if level.kept > 0 {
			failed = errors.Join(failed, r.level(ctx, level.erase, store.Micros(now.Add(-level.kept))))
		}
	}
	if r.keep.Tokens == 0 {
		return failed
	}
	n, err := r.in.PruneTokens(ctx, now.Add(-r.keep.Tokens))
	if n > 0 {
		r.log.InfoContext(ctx, "tokens that ended long ago are deleted", "count", n)
	}
	return errors.Join(failed, err)
}

// level erases so much of the calls that ended before a time, and passes over those that the store does
// not let go.
func (r retainer) level(ctx context.Context, e store.Erasure, before time.Time) error {
	for passed := map[string]bool{}; ; {
		// The oldest come first, so those that stay come again.
		ids, err := r.in.Erasable(ctx, e, before, eraseBatch+len(passed))
		ids = slices.DeleteFunc(ids, func(id string) bool { return passed[id] })
		if err != nil || len(ids) == 0 {
			return err
		}
		ids = ids[:min(eraseBatch, len(ids))]
		erased, err := r.batch(ctx, e, before, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.Contains(erased, id) {
				passed[id] = true
			}
		}
	}
}

// batch erases calls at once, or one by one if the store refuses one of them.
func (r retainer) batch(
	ctx context.Context, e store.Erasure, before time.Time, ids []string,
) (erased []string, err error) {
	step := fmt.Sprintf("%s/%d/%s", before.Format(time.RFC3339Nano), e, ids[0])
	entry, err := audit.New(audit.SubjectRetention, step, time.Now(),
		audit.Erased{Calls: ids, Rows: e == store.EraseRow, By: "retention", Before: &before})
	if err != nil {
		return nil, err
	}
	erased, err = r.in.Erase(ctx, store.EraseParams{IDs: ids, Erase: e, Entry: entry})
	switch refused := errors.Is(err, store.ErrRefused) || errors.Is(err, store.ErrDamaged) ||
		approval.CodeOf(err) == approval.CodeInvalid; {
	case refused && len(ids) == 1:
		if what := fmt.Sprint(e, " of ", ids[0]); !r.told[what] {
			r.told[what] = true
			r.log.WarnContext(ctx, "a call is not erased, though it is kept no longer: the store refuses that; "+
				"see what its row and its entries say; it is tried again, and told again only after a restart",
				"call", ids[0], "rows", e == store.EraseRow, "error", err)
		}
		return nil, nil
	case refused:
		for _, id := range ids {
			one, err := r.batch(ctx, e, before, []string{id})
			if err != nil {
				return nil, err
			}
			erased = append(erased, one...)
		}
		return erased, nil
	}
	if len(erased) > 0 {
		r.log.InfoContext(ctx, "calls are erased, as retention says",
			"count", len(erased), "rows", e == store.EraseRow)
	}
	return erased, err
}
