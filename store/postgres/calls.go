package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Admit implements store.Calls.
func (s *Store) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	if err := a.Check(); err != nil {
		return store.Record{}, false, err
	}
	if s.readOnly {
		return store.Record{}, false, store.ErrReadOnly
	}
	view, err := store.Encode(a.View)
	if err != nil {
		return store.Record{}, false, err
	}
	verdict, err := store.Encode(a.Verdict)
	if err != nil {
		return store.Record{}, false, err
	}
	v := a.View
	args := append([]any{v.ID, string(v.Status), a.IsRequest, v.Tool, v.Agent, v.Session, string(v.Risk), v.Digest,
		a.Run, v.CreatedAt, v.EndedAt, view, verdict, a.TakePermit, a.GoodUntil, a.Queue}, entryArgs(a.Entries)...)
	args = append(args, v.Requester, a.DuplicateKey)
	err = s.run(ctx, "admit a call", func(ctx context.Context, conn *pgxpool.Conn) error {
		for try := 0; ; try++ {
			if err := conn.QueryRow(ctx, admitCall, args...).Scan(&fresh); err != nil {
				return uncertain{err}
			}
			if fresh {
				break
			}
			r, err = standing(ctx, conn, v.ID, a.DuplicateKey)
			if !errors.Is(err, errNoDuplicate) || try == attempts {
				return err
			}
		}
		r = store.Record{Run: a.Run, IsRequest: a.IsRequest}
		if a.TakePermit {
			r.Permit = &store.Permit{Run: a.Run, At: micros(v.CreatedAt), GoodUntil: micros(a.GoodUntil), Queue: a.Queue}
		}
		return errors.Join(decode(view, &r.View), decode(verdict, &r.Verdict))
	})
	if err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

// errNoDuplicate: the duplicate that kept a call out has ended since.
var errNoDuplicate = fmt.Errorf("%w: identical calls come and end too fast for another one", ErrBusy)

// standing is why a call was not inserted: it is there already, or its twin is
// pending.
func standing(ctx context.Context, conn *pgxpool.Conn, id, duplicateKey string) (store.Record, error) {
	_, r, err := scanCall(id, conn.QueryRow(ctx, selectCall, id))
	if duplicateKey == "" || !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var other string
	switch err := conn.QueryRow(ctx, selectDuplicate, duplicateKey).Scan(&other); {
	case errors.Is(err, pgx.ErrNoRows):
		return r, errNoDuplicate
	case err != nil:
		return r, err
	}
	return r, refuse(id, &store.DuplicateError{ID: other})
}

// Claim implements store.Calls.
func (s *Store) Claim(ctx context.Context, c store.ClaimParams) (r store.Record, err error) {
	if err := c.Check(); err != nil {
		return store.Record{}, err
	}
	err = s.change(ctx, "claim a call", c.ID, selectCall, func(t *transaction, row pgx.Row) error {
		var seq int64
		if seq, r, err = scanCall(c.ID, row); err != nil {
			return err
		}
		if r.View.Digest != c.Digest {
			return refuse(c.ID, store.ErrDigest)
		}
		if r.View.Status.Ended() || r.Permit != nil {
			return nil
		}
		r.Permit = t.insertPermit(seq, store.Permit{Run: c.Run, At: c.At, GoodUntil: c.GoodUntil, Queue: c.Queue, Evidence: c.Evidence})
		r.View.Status, r.View.Votes, r.View.Decision = approval.StatusExecuting, c.Votes, c.Decision
		t.entries(c.Entries)
		r.View, err = t.save(seq, r.View)
		return err
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
	return s.change(ctx, "use a permit", u.ID, selectPermit, func(t *transaction, row pgx.Row) error {
		var seq int64
		var digest string
		var usable, rests *bool // nil: no claim; rests: on signed decisions
		var used bool
		var goodUntil *time.Time
		var run, activity, token *string
		err := row.Scan(&seq, &digest, &usable, &goodUntil, &rests, &used, &run, &activity, &token)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return refuse(u.ID, store.ErrNotFound)
		case err != nil:
			return err
		case usable == nil || !*usable:
			return refuse(u.ID, store.ErrNoPermit)
		case digest != u.Digest:
			return refuse(u.ID, store.ErrDigest)
		case used && u.Token != "" && u.Token == *token:
			return nil
		case used && u.Retry && u.Activity != "" && u.Run == *run && u.Activity == *activity:
			return nil
		case used:
			return refuse(u.ID, store.ErrStarted)
		case micros(u.At).After(*goodUntil):
			return refuse(u.ID, store.ErrRunOut)
		case *rests && !u.Verified:
			return refuse(u.ID, store.ErrUnverified)
		}
		t.writes.Queue(usePermit, u.At, u.Run, u.Activity, u.Token, seq)
		t.entries(u.Entries)
		return nil
	})
}

// Finish implements store.Calls.
func (s *Store) Finish(ctx context.Context, f store.FinishParams) (r store.Record, fresh bool, err error) {
	if err := f.Check(); err != nil {
		return store.Record{}, false, err
	}
	err = s.change(ctx, "end a call", f.Outcome.ID, selectCall, func(t *transaction, row pgx.Row) error {
		var seq int64
		if seq, r, err = scanCall(f.Outcome.ID, row); err != nil {
			return err
		}
		if fresh = !r.View.Status.Ended(); !fresh {
			return nil
		}
		switch needs := f.Outcome.Status.NeedsPermit(); {
		case needs && r.Permit == nil, f.Outcome.Status == approval.StatusExecuted && !r.Permit.ToolMayHaveRun():
			return refuse(f.Outcome.ID, store.ErrNoPermit)
		case !needs && !r.Permit.CanVoid(f.Run):
			return refuse(f.Outcome.ID, store.ErrStarted)
		case !needs && r.Permit != nil:
			t.writes.Queue(voidPermit, seq)
			r.Permit.Void = true
		}
		r.View.End(f.Outcome, f.At.UTC().Truncate(time.Microsecond))
		if f.Votes != nil {
			r.View.Votes = f.Votes
		}
		t.entries(f.Entries)
		r.View, err = t.save(seq, r.View)
		return err
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
	if s.readOnly {
		return store.ErrReadOnly
	}
	if len(entries) == 0 {
		return nil
	}
	return s.run(ctx, "append to the audit log", func(ctx context.Context, conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, insertEntries, entryArgs(entries)...); err != nil {
			return uncertain{err}
		}
		return nil
	})
}

// Call implements store.Calls and store.Reader.
func (s *Store) Call(ctx context.Context, id string) (r store.Record, err error) {
	if !storable(id) {
		return r, refuse(id, store.ErrNotFound)
	}
	err = s.run(ctx, "read a call", func(ctx context.Context, conn *pgxpool.Conn) error {
		_, r, err = scanCall(id, conn.QueryRow(ctx, selectCall, id))
		return err
	})
	return r, err
}
