package sqlite

import (
	"context"

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
	err = s.write(ctx, "admit a call", func(t transaction) error {
		v := a.View
		result, err := t.exec(ctx, insertCall, v.ID, v.Status, a.IsRequest, v.Tool, v.Agent, v.Session,
			v.Requester, v.Risk, v.Digest, a.Run, v.CreatedAt, v.EndedAt, view, verdict, a.DuplicateKey)
		if err != nil {
			return err
		}
		written, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if written == 0 {
			r, err = t.rejected(ctx, v.ID, a.DuplicateKey)
			return err
		}
		seq, err := result.LastInsertId()
		if err != nil {
			return err
		}
		fresh, r = true, admitted
		if r.Permit != nil {
			if err := t.insertPermit(ctx, seq, *r.Permit, a.Policy); err != nil {
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
		var seq, active int64
		if seq, r, err = backend.Call(c.ID, t.row(ctx, backend.SelectClaim, c.ID), &active); err != nil {
			return err
		}
		next, changed, err := store.ApplyClaim(r, active, c)
		if err != nil || !changed {
			return backend.About("call", c.ID, err)
		}
		if err := t.insertPermit(ctx, seq, *next.Permit, c.Policy); err != nil {
			return err
		}
		if r, err = t.save(ctx, seq, next); err != nil {
			return err
		}
		return t.entries(ctx, c.Entries)
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
	err = s.write(ctx, "ask more of a call", func(t transaction) error {
		var seq int64
		if seq, r, err = t.call(ctx, p.ID); err != nil {
			return err
		}
		next, changed, err := store.ApplyTighten(r, p)
		if err != nil || !changed {
			return backend.About("call", p.ID, err)
		}
		doc, view, err := backend.EncodeView(next.View)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, backend.TightenCall, doc, next.Revision, seq); err != nil {
			return err
		}
		r, r.View = next, view
		return t.entries(ctx, p.Entries)
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
		seq, state, err := backend.Permit(u.ID, t.row(ctx, backend.SelectPermit, u.ID))
		if err != nil {
			return err
		}
		fresh, err := store.ApplyUse(state, u)
		if err != nil || !fresh {
			return backend.About("call", u.ID, err)
		}
		if _, err := t.exec(ctx, backend.UsePermit, u.At, u.Run, u.Activity, u.Token, seq); err != nil {
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
		next, changed, err := store.ApplyFinish(r, f)
		if err != nil || !changed {
			return backend.About("call", f.Outcome.ID, err)
		}
		if next.Permit != r.Permit {
			if _, err := t.exec(ctx, backend.VoidPermit, seq); err != nil {
				return err
			}
		}
		if r, err = t.save(ctx, seq, next); err != nil {
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
