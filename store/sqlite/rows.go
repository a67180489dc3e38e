package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
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
	selectCall = `SELECT c.seq, c.view, c.verdict, c.run, c.waits, k.run, k.at, k.good_until, k.used_at, k.void, k.queue, k.evidence
		FROM calls c LEFT JOIN claims k ON k.call = c.seq WHERE c.id = ?`
	// selectPermit leaves the large columns out.
	selectPermit = `SELECT c.seq, c.digest, c.ended_at IS NULL AND k.void = 0 AND k.queue = '', k.good_until, k.evidence <> '', k.used_at IS NOT NULL, k.used_run, k.used_activity, k.used_token
		FROM calls c LEFT JOIN claims k ON k.call = c.seq WHERE c.id = ?`
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
	return scanCall(id, t.row(ctx, selectCall, id))
}

// standing is why a call could not be inserted: it is there already, or its
// duplicate is pending.
func (t transaction) standing(ctx context.Context, id, duplicateKey string) (r store.Record, err error) {
	_, r, err = t.call(ctx, id)
	if duplicateKey == "" || !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var other string
	if err := t.row(ctx, selectDuplicate, duplicateKey).Scan(&other); err != nil {
		return r, err
	}
	return r, refuse(id, &store.DuplicateError{ID: other})
}

// save writes a changed view, and returns it as it will be read back.
func (t transaction) save(ctx context.Context, seq int64, v approval.View) (approval.View, error) {
	doc, err := store.Encode(v)
	if err != nil {
		return v, err
	}
	if _, err := t.exec(ctx, updateCall, v.Status, microsOrNull(v.EndedAt), doc, seq); err != nil {
		return v, err
	}
	var stored approval.View
	return stored, decode(doc, &stored)
}

// insertPermit writes a new permit, and returns it as it will be read back.
func (t transaction) insertPermit(ctx context.Context, seq int64, c store.Permit) (*store.Permit, error) {
	if _, err := t.exec(ctx, insertPermit, seq, c.Run, c.At.UnixMicro(), c.GoodUntil.UnixMicro(), c.Queue, c.Evidence); err != nil {
		return nil, err
	}
	c.At, c.GoodUntil = fromMicros(c.At.UnixMicro()), fromMicros(c.GoodUntil.UnixMicro())
	return &c, nil
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

func scanCall(id string, row *sql.Row) (seq int64, r store.Record, err error) {
	var view, verdict []byte
	var run, queue, evidence sql.NullString
	var at, goodUntil, usedAt sql.NullInt64
	var void sql.NullBool
	err = row.Scan(&seq, &view, &verdict, &r.Run, &r.IsRequest, &run, &at, &goodUntil, &usedAt, &void, &queue, &evidence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, store.Record{}, refuse(id, store.ErrNotFound)
	}
	if err != nil {
		return 0, store.Record{}, err
	}
	if err := errors.Join(decode(string(view), &r.View), decode(string(verdict), &r.Verdict)); err != nil {
		return 0, store.Record{}, err
	}
	if run.Valid {
		r.Permit = &store.Permit{
			Run: run.String, At: fromMicros(at.Int64), GoodUntil: fromMicros(goodUntil.Int64), Void: void.Bool, Queue: queue.String,
			Evidence: evidence.String,
		}
		if usedAt.Valid {
			r.Permit.UsedAt = fromMicros(usedAt.Int64)
		}
	}
	return seq, r, nil
}

func decode(doc string, v any) error {
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		return fmt.Errorf("%w: the JSON in a row can't be read as %T", ErrDamaged, v)
	}
	return nil
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func timeOrNil(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	at := fromMicros(us.Int64)
	return &at
}

func microsOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}
