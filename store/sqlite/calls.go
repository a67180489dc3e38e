package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Admit implements store.Calls.
func (s *Store) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	if err := a.Check(); err != nil {
		return store.Record{}, false, err
	}
	view, err := store.Encode(a.View)
	if err != nil {
		return store.Record{}, false, err
	}
	verdict, err := store.Encode(a.Verdict)
	if err != nil {
		return store.Record{}, false, err
	}
	err = s.write(ctx, "admit a call", func(t transaction) error {
		v := a.View
		result, err := t.exec(ctx, insertCall, v.ID, v.Status, a.IsRequest, v.Tool, v.Agent, v.Session, v.Requester, v.Risk, v.Digest,
			a.Run, v.CreatedAt.UnixMicro(), microsOrNull(v.EndedAt), view, verdict, a.DuplicateKey)
		if err != nil {
			return err
		}
		written, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if written == 0 {
			r, err = t.standing(ctx, v.ID, a.DuplicateKey)
			return err
		}
		seq, err := result.LastInsertId()
		if err != nil {
			return err
		}
		fresh, r = true, store.Record{Run: a.Run, IsRequest: a.IsRequest}
		if err := errors.Join(decode(view, &r.View), decode(verdict, &r.Verdict)); err != nil {
			return err
		}
		if a.TakePermit {
			if r.Permit, err = t.insertPermit(ctx, seq, store.Permit{Run: a.Run, At: v.CreatedAt, GoodUntil: a.GoodUntil, Queue: a.Queue}); err != nil {
				return err
			}
		}
		return t.entries(ctx, a.Entries)
	})
	if err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

// Claim implements store.Calls.
func (s *Store) Claim(ctx context.Context, c store.ClaimParams) (r store.Record, err error) {
	if err := c.Check(); err != nil {
		return store.Record{}, err
	}
	err = s.write(ctx, "claim a call", func(t transaction) error {
		var seq int64
		if seq, r, err = t.call(ctx, c.ID); err != nil {
			return err
		}
		if r.View.Digest != c.Digest {
			return refuse(c.ID, store.ErrDigest)
		}
		if r.View.Status.Ended() || r.Permit != nil {
			return nil
		}
		if r.Permit, err = t.insertPermit(ctx, seq, store.Permit{Run: c.Run, At: c.At, GoodUntil: c.GoodUntil, Queue: c.Queue, Evidence: c.Evidence}); err != nil {
			return err
		}
		r.View.Status, r.View.Votes, r.View.Decision = approval.StatusExecuting, c.Votes, c.Decision
		if r.View, err = t.save(ctx, seq, r.View); err != nil {
			return err
		}
		return t.entries(ctx, c.Entries)
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Use implements store.Calls.
func (s *Store) Use(ctx context.Context, u store.UseParams) error {
	if err := u.Check(); err != nil {
		return err
	}
	return s.write(ctx, "use a permit", func(t transaction) error {
		var seq int64
		var digest string
		var usable, rests sql.NullBool // null: no claim; rests: on signed decisions
		var used bool
		var goodUntil sql.NullInt64
		var run, activity, token sql.NullString
		err := t.row(ctx, selectPermit, u.ID).Scan(&seq, &digest, &usable, &goodUntil, &rests, &used, &run, &activity, &token)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return refuse(u.ID, store.ErrNotFound)
		case err != nil:
			return err
		case !usable.Valid || !usable.Bool:
			return refuse(u.ID, store.ErrNoPermit)
		case digest != u.Digest:
			return refuse(u.ID, store.ErrDigest)
		case used && u.Token != "" && u.Token == token.String:
			return nil
		case used && u.Retry && u.Activity != "" && u.Run == run.String && u.Activity == activity.String:
			return nil
		case used:
			return refuse(u.ID, store.ErrStarted)
		case u.At.UnixMicro() > goodUntil.Int64:
			return refuse(u.ID, store.ErrRunOut)
		case rests.Bool && !u.Verified:
			return refuse(u.ID, store.ErrUnverified)
		}
		if _, err := t.exec(ctx, usePermit, u.At.UnixMicro(), u.Run, u.Activity, u.Token, seq); err != nil {
			return err
		}
		return t.entries(ctx, u.Entries)
	})
}

// Finish implements store.Calls.
func (s *Store) Finish(ctx context.Context, f store.FinishParams) (r store.Record, fresh bool, err error) {
	if err := f.Check(); err != nil {
		return store.Record{}, false, err
	}
	err = s.write(ctx, "end a call", func(t transaction) error {
		var seq int64
		if seq, r, err = t.call(ctx, f.Outcome.ID); err != nil {
			return err
		}
		if r.View.Status.Ended() {
			return nil
		}
		switch needs := f.Outcome.Status.NeedsPermit(); {
		case needs && r.Permit == nil, f.Outcome.Status == approval.StatusExecuted && !r.Permit.ToolMayHaveRun():
			return refuse(f.Outcome.ID, store.ErrNoPermit)
		case !needs && !r.Permit.CanVoid(f.Run):
			return refuse(f.Outcome.ID, store.ErrStarted)
		case !needs && r.Permit != nil:
			if _, err := t.exec(ctx, voidPermit, seq); err != nil {
				return err
			}
			r.Permit.Void = true
		}
		r.View.End(f.Outcome, f.At.UTC().Truncate(time.Microsecond))
		if f.Votes != nil {
			r.View.Votes = f.Votes
		}
		if r.View, err = t.save(ctx, seq, r.View); err != nil {
			return err
		}
		fresh = true
		return t.entries(ctx, f.Entries)
	})
	if err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

// Append implements store.Calls.
func (s *Store) Append(ctx context.Context, entries ...audit.Entry) error {
	if err := store.CheckEntries(entries); err != nil {
		return err
	}
	return s.write(ctx, "append to the audit log", func(t transaction) error { return t.entries(ctx, entries) })
}

// Call implements store.Calls and store.Reader.
func (s *Store) Call(ctx context.Context, id string) (r store.Record, err error) {
	err = s.read(ctx, "read a call", func(tx *sql.Tx) error {
		_, r, err = scanCall(id, tx.QueryRowContext(ctx, selectCall, id))
		return err
	})
	return r, err
}
