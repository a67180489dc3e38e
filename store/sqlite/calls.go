package sqlite

import (
	"context"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Admit implements store.Calls.
func (s *Store) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	docs, admitted, err := backend.Admitted(a)
	if err != nil {
		return store.Record{}, false, err
	}
	err = s.write(ctx, "admit a call", func(t transaction) error {
		v := a.View
		result, err := t.exec(ctx, insertCall, v.ID, v.Status, a.IsRequest, v.Tool, v.Agent, v.Session,
			v.Requester, v.Risk, v.Digest, a.Run, v.CreatedAt, v.EndedAt, docs.View, docs.Verdict, docs.Packed,
			a.DuplicateKey, a.Alike, a.Identical, v.Deadline)
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
			p := r.Permit // its run is the row's
			if _, err := t.exec(ctx, backend.InsertPermit,
				seq, "", p.At, p.GoodUntil, p.Queue, p.Evidence, a.Policy, string(p.Executor)); err != nil {
				return err
			}
		}
		return t.entries(ctx, docs.Entries)
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

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, after int64) ([]store.Change, int64, error) {
	end, err := s.LogEnd(ctx)
	if err != nil {
		return nil, 0, err
	}
	return s.ChangesUntil(ctx, after, end)
}

// Notices implements store.Notices.
func (s *Store) Notices(ctx context.Context, after int64) ([]store.Notice, int64, error) {
	end, err := s.LogEnd(ctx)
	if err != nil {
		return nil, 0, err
	}
	return s.NoticesUntil(ctx, after, end)
}
