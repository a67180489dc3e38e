package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// The statements of the hot path, prepared once.
const (
	// insertCall does nothing where the ID is known, or the duplicate is pending.
	insertCall = `INSERT INTO calls
		(id, status, waits, tool, agent, session, requester, risk, digest, run, created_at, ended_at, view, verdict, twin)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, '')) ON CONFLICT DO NOTHING`
	selectDuplicate = `SELECT id FROM calls WHERE twin = ? AND status = 'pending'`
	updateCall      = `UPDATE calls SET status = ?, ended_at = ?, view = ? WHERE seq = ?`
	insertPermit    = `INSERT INTO claims (call, run, at, good_until, queue, evidence) VALUES (?, ?, ?, ?, ?, ?)`
	usePermit       = `UPDATE claims SET used_at = ?, used_run = ?, used_activity = ?, used_token = ? WHERE call = ?`
	voidPermit      = `UPDATE claims SET void = 1 WHERE call = ?`
	insertEntry     = `INSERT INTO entries (call, step, kind, at, metadata, leaf, payload)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (call, step) DO NOTHING`
	selectCall   = `SELECT c.seq, ` + backend.CallColumns + ` FROM calls c LEFT JOIN claims k ON k.call = c.seq WHERE c.id = ?`
	selectPermit = `SELECT c.seq, ` + backend.PermitColumns + ` FROM calls c LEFT JOIN claims k ON k.call = c.seq WHERE c.id = ?`
)

type statements map[string]*sql.Stmt

func prepare(ctx context.Context, db *sql.DB) (statements, error) {
	hot := statements{}
	for _, query := range []string{
		insertCall, selectDuplicate, updateCall, insertPermit, usePermit, voidPermit, insertEntry, selectCall, selectPermit,
	} {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		hot[query] = stmt
	}
	return hot, nil
}

// transaction is a write transaction.
type transaction struct {
	tx  *sql.Tx
	hot statements
}

func (t transaction) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.StmtContext(ctx, t.hot[query]).ExecContext(ctx, args...)
}

func (t transaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.StmtContext(ctx, t.hot[query]).QueryRowContext(ctx, args...)
}

// call loads a call, or answers store.ErrNotFound.
func (t transaction) call(ctx context.Context, id string) (seq int64, r store.Record, err error) {
	return backend.Call(id, t.row(ctx, selectCall, id))
}

// standing is why a call could not be inserted: it is there already, or its duplicate is pending.
func (t transaction) standing(ctx context.Context, id, duplicateKey string) (r store.Record, err error) {
	_, r, err = t.call(ctx, id)
	if duplicateKey == "" || !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var other string
	if err := t.row(ctx, selectDuplicate, duplicateKey).Scan(&other); err != nil {
		return r, err
	}
	return r, backend.Refuse(id, &store.DuplicateError{ID: other})
}

// save writes a changed record, and returns it as it will be read back.
func (t transaction) save(ctx context.Context, seq int64, r store.Record) (store.Record, error) {
	doc, view, err := backend.EncodeView(r.View)
	if err != nil {
		return r, err
	}
	r.View = view
	_, err = t.exec(ctx, updateCall, view.Status, microsOrNull(view.EndedAt), doc, seq)
	return r, err
}

func (t transaction) insertPermit(ctx context.Context, seq int64, p store.Permit) error {
	_, err := t.exec(ctx, insertPermit, seq, p.Run, p.At.UnixMicro(), p.GoodUntil.UnixMicro(), p.Queue, p.Evidence)
	return err
}

func (t transaction) entries(ctx context.Context, entries []audit.Entry) error {
	for _, e := range entries {
		_, err := t.exec(ctx, insertEntry, e.Subject, e.Step, e.Kind, e.At.UnixMicro(), e.Metadata, e.Leaf[:], []byte(e.Payload))
		if err != nil {
			return fmt.Errorf("write audit entry %s/%s: %w", approval.Display(e.Subject, 80), approval.Display(e.Step, 80), err)
		}
	}
	return nil
}

// amend runs a statement that changes a row, and writes the record of it.
func (t transaction) amend(ctx context.Context, entry audit.Entry, statement string, args ...any) error {
	if _, err := t.tx.ExecContext(ctx, statement, args...); err != nil {
		return err
	}
	return t.entries(ctx, []audit.Entry{entry})
}

func microsOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}
