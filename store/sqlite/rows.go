package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
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
		(id, status, waits, tool, agent, session, requester, risk, digest, run, created_at, ended_at, view,
			verdict, packed, twin, alike, identical, lease_until, deadline)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?17, ''), nullif(?18, ''),
			CASE WHEN ?17 <> '' AND ?12 IS NULL THEN clock(30) END, ?19)
		ON CONFLICT DO NOTHING`
	// insertEntry keeps no payload where the call's were erased before.
	insertEntry = `INSERT INTO entries (call, step, kind, at, salt, leaf, payload, metadata, hash)
		SELECT $1, $2, $3, $4, iif(gone, NULL, $5), $6, iif(gone, NULL, $7), $8,
			iif(gone, payload_hash($5, $7, $1), NULL)
		FROM (SELECT $3 <> 'call.erased' AND EXISTS (SELECT 1 FROM calls WHERE id = $1 AND erased > 0) AS gone)
		WHERE true
		ON CONFLICT (call, step) DO NOTHING`
)

type statements map[string]*sql.Stmt

func prepare(ctx context.Context, db *sql.DB) (statements, error) {
	hot := statements{}
	for _, query := range []string{
		insertCall, insertEntry, backend.SelectCall, backend.SelectPermit, backend.SelectDuplicate,
		backend.SelectClaim, backend.TightenCall, backend.SettleCall,
		backend.SelectStart, backend.StartPermit,
		backend.UpdateCall, backend.InsertPermit, backend.UsePermit, backend.VoidPermit,
	} {
		stmt, err := db.PrepareContext(ctx, text(query))
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
	return t.tx.StmtContext(ctx, t.hot[query]).ExecContext(ctx, values(args)...)
}

func (t transaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.StmtContext(ctx, t.hot[query]).QueryRowContext(ctx, values(args)...)
}

// Exec implements backend.Tx.
func (t transaction) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, text(statement), values(args)...)
	return err
}

// Query implements backend.Tx.
func (t transaction) Query(
	ctx context.Context, query string, args []any, read func(backend.Rows) error,
) error {
	rows, err := t.tx.QueryContext(ctx, text(query), values(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return read(rows)
}

// call loads a call, or answers store.ErrNotFound.
func (t transaction) call(ctx context.Context, id string) (seq int64, r store.Record, err error) {
	return backend.Call(id, t.row(ctx, backend.SelectCall, id))
}

// rejected is why a call could not be inserted: it is there already, or its duplicate is pending.
func (t transaction) rejected(ctx context.Context, id, duplicateKey string) (r store.Record, err error) {
	_, r, err = t.call(ctx, id)
	if duplicateKey == "" || !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var other string
	if err := t.row(ctx, backend.SelectDuplicate, duplicateKey).Scan(&other); err != nil {
		return r, err
	}
	return r, backend.About("call", id, &store.DuplicateError{ID: other})
}

func (t transaction) entries(ctx context.Context, entries []audit.Entry) error {
	for _, e := range entries {
		if _, err := t.exec(ctx, insertEntry, backend.EntryArgs(e)...); err != nil {
			return fmt.Errorf("write audit entry %s/%s: %w",
				approval.Display(e.Subject, 80), approval.Display(e.Step, 80), err)
		}
	}
	return nil
}

// text is SQL that is written for both databases, for one without schemas.
func text(query string) string { return strings.ReplaceAll(query, "pawl.", "") }

// values are arguments as SQLite keeps them: times are microseconds.
func values(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			out[i] = v.UnixMicro()
		case *time.Time:
			if v != nil {
				out[i] = v.UnixMicro()
			}
		default:
			out[i] = arg
		}
	}
	return out
}

// database is a Store as its backend.Base uses it.
type database struct{ store *Store }

func (d database) Select(
	ctx context.Context, doing, query string, args []any, read func(backend.Rows) error,
) error {
	return d.Snapshot(ctx, doing, func(tx backend.Querier) error { return tx.Query(ctx, query, args, read) })
}

func (d database) Snapshot(ctx context.Context, doing string, read func(backend.Querier) error) error {
	return d.store.read(ctx, doing, func(tx *sql.Tx) error { return read(transaction{tx: tx}) })
}

// Write has the one write transaction at a time.
func (d database) Write(ctx context.Context, doing, _ string, write func(backend.Tx) error) error {
	return d.store.write(ctx, doing, func(t transaction) error { return write(t) })
}

func (d database) Step(
	ctx context.Context, doing, id, query string, step func(backend.Row, *backend.Writes) error,
) error {
	return d.store.write(ctx, doing, func(t transaction) error {
		var w backend.Writes
		if err := step(t.row(ctx, query, id), &w); err != nil || len(w.Statements) == 0 {
			return err
		}
		for _, s := range w.Statements {
			if _, err := t.exec(ctx, s.SQL, s.Args...); err != nil {
				return err
			}
		}
		return t.entries(ctx, w.Entries)
	})
}
