package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// attempts bounds how often one method is begun: again after a deadlock, or after a connection that
// was dead already.
const attempts = 4

// run lets fn work on a connection, and begins it again where nothing of it has happened. fn wraps
// errors of statements that commit in uncertain.
func (s *Store) run(ctx context.Context, doing string, fn func(context.Context, *pgxpool.Conn) error) error {
	bounded, cancel := context.WithTimeoutCause(ctx, s.timeout, errSlow)
	defer cancel()
	for attempt := 1; ; attempt++ {
		again, err := s.once(bounded, fn)
		if err == nil {
			return nil
		}
		if !again || attempt == attempts || bounded.Err() != nil {
			if s.closed.Load() {
				return backend.Errorf("store %s: %s: %w", s.where, doing, store.ErrClosed)
			}
			return explain(bounded, s.where, doing, err)
		}
	}
}

func (s *Store) once(
	ctx context.Context, fn func(context.Context, *pgxpool.Conn) error,
) (again bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	switch {
	case err != nil && broken(err) && !errors.As(err, new(*pgconn.ConnectError)):
		return true, lost{err} // just after it was made
	case err != nil:
		return false, err
	}
	defer conn.Release()
	if err = fn(ctx, conn); err == nil {
		return false, nil
	}
	if conn.Conn().IsClosed() || broken(err) {
		// pgx does not close it after every failed write. Closed, it does not go back to the pool.
		_ = conn.Conn().Close(ctx)
		if ctx.Err() == nil {
			// What broke this connection has probably broken the others.
			s.pool.Reset()
		}
		return pgconn.SafeToRetry(err) || !errors.As(err, new(uncertain)), lost{err}
	}
	// The server rolls these back and says so, also when it was to commit. Of two who write one key at
	// once, the second finds the other's when it begins again.
	return hasState(err, "40001", "40P01", "23505"), err
}

// broken tells what the network says from what the server says.
func broken(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		pgconn.SafeToRetry(err)
}

// lost marks an error after which the connection was gone.
type lost struct{ error }

func (e lost) Unwrap() error { return e.error }

// uncertain marks the error of a statement that commits: if the connection broke, nobody can say
// whether it did.
type uncertain struct{ error }

func (e uncertain) Unwrap() error { return e.error }

const (
	begin = `BEGIN ISOLATION LEVEL READ COMMITTED`

	// The row is locked by a statement of its own. One that locks and reads would, after a wait, show
	// the call's new row beside its old permit.
	lockCall = `SELECT FROM pawl.calls WHERE id = $1 FOR UPDATE`
)

func prepare(
	ctx context.Context, conn *pgxpool.Conn, id, query string, step func(backend.Row, *backend.Writes) error,
) (w backend.Writes, err error) {
	var reads pgx.Batch
	reads.Queue(begin)
	reads.Queue(lockCall, id)
	reads.Queue(query, id)
	results := conn.SendBatch(ctx, &reads)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return w, err
		}
	}
	err = step(results.QueryRow(), &w)
	return w, err
}

func commit(ctx context.Context, conn *pgxpool.Conn, writes *pgx.Batch) error {
	writes.Queue(`COMMIT`)
	results := conn.SendBatch(ctx, writes)
	// Once the server has answered the last one, COMMIT, it is done, whatever becomes of the
	// connection.
	defer func() { _ = results.Close() }()
	for range writes.Len() {
		if _, err := results.Exec(); err != nil {
			return uncertain{err}
		}
	}
	return nil
}

// database is a Store as its backend.Base uses it.
type database struct{ store *Store }

func (d database) Select(
	ctx context.Context, doing, query string, args []any, read func(backend.Rows) error,
) error {
	return d.store.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		return transaction{conn: conn}.Query(ctx, query, args, read)
	})
}

// Snapshot plans each query for its very values: a plan for any status would read past all calls to
// find the few that are pending.
func (d database) Snapshot(ctx context.Context, doing string, read func(backend.Querier) error) error {
	return d.store.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		if err := read(transaction{conn, []any{pgx.QueryExecModeExec}}); err != nil {
			_ = tx.Rollback(ctx)
			return err
		}
		if err := tx.Rollback(ctx); err != nil {
			return fmt.Errorf("end reading: %w", err)
		}
		return nil
	})
}

func (d database) Write(ctx context.Context, doing, exclusive string, write func(backend.Tx) error) error {
	if d.store.readOnly {
		return store.ErrReadOnly
	}
	return d.store.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, begin)
		if err == nil && exclusive != "" {
			_, err = conn.Exec(ctx, `LOCK TABLE `+exclusive+` IN SHARE ROW EXCLUSIVE MODE`)
		}
		if err == nil {
			err = write(transaction{conn: conn})
		}
		if err != nil {
			_, _ = conn.Exec(ctx, `ROLLBACK`) // or else the connection is not used again
			return err
		}
		return commit(ctx, conn, &pgx.Batch{})
	})
}

// transaction is a backend.Tx.
type transaction struct {
	conn    *pgxpool.Conn
	options []any // of queries
}

func (t transaction) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := t.conn.Exec(ctx, statement, args...)
	return err
}

func (t transaction) Query(
	ctx context.Context, query string, args []any, read func(backend.Rows) error,
) error {
	rows, err := t.conn.Query(ctx, query, slices.Concat(t.options, args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return read(rows)
}

// Step takes two round trips: begin, lock and read; write and commit. The call's row is locked, so
// that what was read of the call stays true until the commit.
func (d database) Step(
	ctx context.Context, doing, id, query string, step func(backend.Row, *backend.Writes) error,
) error {
	if d.store.readOnly {
		return store.ErrReadOnly
	}
	if !backend.Storable(id) {
		return backend.About("call", id, store.ErrNotFound)
	}
	return d.store.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		w, err := prepare(ctx, conn, id, query, step)
		if err != nil || len(w.Statements) == 0 {
			// Should this fail, the connection is not used again.
			_, _ = conn.Exec(ctx, `ROLLBACK`)
			return err
		}
		var writes pgx.Batch
		for _, s := range w.Statements {
			writes.Queue(s.SQL, s.Args...)
		}
		// All in one statement: each one that writes entries holds a lock until the transaction ends.
		switch {
		case len(w.Entries) == 1 && !w.Ended:
			writes.Queue(insertOpen, backend.EntryArgs(w.Entries[0])...)
		case len(w.Entries) > 0:
			writes.Queue(insertEntries, entryArgs(w.Entries)...)
		}
		return commit(ctx, conn, &writes)
	})
}
