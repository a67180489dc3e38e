package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Admit implements store.Calls.
func (s *Store) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	view, verdict, admitted, err := backend.Admitted(a)
	if err != nil {
		return store.Record{}, false, err
	}
	if s.readOnly {
		return store.Record{}, false, store.ErrReadOnly
	}
	v := a.View
	args := []any{v.ID, string(v.Status), a.IsRequest, v.Tool, v.Agent, v.Session, string(v.Risk), v.Digest,
		a.Run, v.CreatedAt, v.EndedAt, view, verdict, a.TakePermit, a.GoodUntil, a.Queue}
	args = append(args, entryArgs(a.Entries)...)
	args = append(args, v.Requester, a.DuplicateKey, a.Policy)
	err = s.run(ctx, "admit a call", func(ctx context.Context, conn *pgxpool.Conn) error {
		for try := 0; ; try++ {
			if err := conn.QueryRow(ctx, admitCall, args...).Scan(&fresh); err != nil {
				return uncertain{err}
			}
			if fresh {
				r = admitted
				return nil
			}
			r, err = rejected(ctx, conn, v.ID, a.DuplicateKey)
			if !errors.Is(err, errNoDuplicate) || try == attempts {
				return err
			}
		}
	})
	if err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

// errNoDuplicate: the duplicate that kept a call out has ended since.
var errNoDuplicate = fmt.Errorf("%w: identical calls come and end too fast for another one", ErrBusy)

// rejected is why a call could not be inserted: it is there already, or its duplicate is pending.
func rejected(ctx context.Context, conn *pgxpool.Conn, id, duplicateKey string) (store.Record, error) {
	_, r, err := backend.Call(id, conn.QueryRow(ctx, backend.SelectCall, id))
	if duplicateKey == "" || !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var other string
	switch err := conn.QueryRow(ctx, backend.SelectDuplicate, duplicateKey).Scan(&other); {
	case errors.Is(err, pgx.ErrNoRows):
		return r, errNoDuplicate
	case err != nil:
		return r, err
	}
	return r, backend.About("call", id, &store.DuplicateError{ID: other})
}

// Claim implements store.Calls.
func (s *Store) Claim(ctx context.Context, c store.ClaimParams) (r store.Record, err error) {
	if err := c.Check(); err != nil {
		return store.Record{}, err
	}
	err = s.change(ctx, "claim a call", c.ID, backend.SelectClaim, func(t *transaction, row pgx.Row) error {
		var active int64
		seq, stored, err := backend.Call(c.ID, row, &active)
		if err != nil {
			return err
		}
		next, changed, err := store.ApplyClaim(stored, active, c)
		if r = next; err != nil || !changed {
			return backend.About("call", c.ID, err)
		}
		t.insertPermit(seq, *next.Permit, c.Policy)
		t.entries(c.Entries)
		r, err = t.save(seq, next)
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Tighten implements store.Calls.
func (s *Store) Tighten(ctx context.Context, p store.TightenParams) (r store.Record, err error) {
	if err := p.Check(); err != nil {
		return store.Record{}, err
	}
	err = s.change(ctx, "ask more of a call", p.ID, backend.SelectCall, func(t *transaction, row pgx.Row) error {
		seq, stored, err := backend.Call(p.ID, row)
		if err != nil {
			return err
		}
		next, changed, err := store.ApplyTighten(stored, p)
		if r = next; err != nil || !changed {
			return backend.About("call", p.ID, err)
		}
		doc, view, err := backend.EncodeView(next.View)
		if err != nil {
			return err
		}
		r.View = view
		t.writes.Queue(backend.TightenCall, doc, next.Revision, seq)
		t.entries(p.Entries)
		return nil
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
	return s.change(ctx, "use a permit", u.ID, backend.SelectPermit, func(t *transaction, row pgx.Row) error {
		seq, state, err := backend.Permit(u.ID, row)
		if err != nil {
			return err
		}
		fresh, err := store.ApplyUse(state, u)
		if err != nil || !fresh {
			return backend.About("call", u.ID, err)
		}
		t.writes.Queue(backend.UsePermit, u.At, u.Run, u.Activity, u.Token, seq)
		t.entries(u.Entries)
		return nil
	})
}

// Finish implements store.Calls.
func (s *Store) Finish(ctx context.Context, f store.FinishParams) (r store.Record, fresh bool, err error) {
	if err := f.Check(); err != nil {
		return store.Record{}, false, err
	}
	err = s.change(ctx, "end a call", f.Outcome.ID, backend.SelectCall, func(t *transaction, row pgx.Row) error {
		seq, stored, err := backend.Call(f.Outcome.ID, row)
		if err != nil {
			return err
		}
		next, changed, err := store.ApplyFinish(stored, f)
		if r, fresh = next, changed; err != nil || !changed {
			return backend.About("call", f.Outcome.ID, err)
		}
		if next.Permit != stored.Permit {
			t.writes.Queue(backend.VoidPermit, seq)
		}
		t.entries(f.Entries)
		r, err = t.save(seq, next)
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
