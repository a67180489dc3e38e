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
	docs, admitted, err := backend.Admitted(a)
	if err != nil {
		return store.Record{}, false, err
	}
	if s.readOnly {
		return store.Record{}, false, store.ErrReadOnly
	}
	v := a.View
	args := []any{v.ID, string(v.Status), a.IsRequest, v.Tool, v.Agent, v.Session, string(v.Risk), v.Digest,
		a.Run, v.CreatedAt, v.EndedAt, docs.View, docs.Verdict, a.TakePermit, a.GoodUntil, a.Queue}
	args = append(args, entryArgs(docs.Entries)...)
	args = append(args, v.Requester, a.DuplicateKey, a.Policy, a.Alike,
		string(v.Execution), a.Identical, docs.Packed, v.Deadline)
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
