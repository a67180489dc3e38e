// Package postgres keeps Pawl's store in a Postgres database, in a schema of its own named pawl.
// Any number of processes may use it at the same time.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Options says which store to open and how.
type Options struct {
	// URL of the database, postgres://user:password@host:port/name?sslmode=…. Required. Parameters are
	// those of libpq and of pgxpool; over a network use sslmode=verify-full, since the default takes
	// TLS only if it is offered. What it leaves out, such as the password, is taken from where libpq
	// looks for it (PGPASSWORD, PGPASSFILE, …). Errors never repeat it.
	URL string
	// ReadOnly opens a store that exists for reading; writes are store.ErrReadOnly. Default: write it,
	// too.
	ReadOnly bool
	// KeepSchema opens only a store whose schema is the one this Pawl knows, so that its database user
	// needs no right to change it. Default: lay the schema, or upgrade an older one, as Migrate does.
	// ReadOnly implies it.
	KeepSchema bool
	// MaxConns bounds the connections this handle holds. Default: the URL's pool_max_conns, or 10.
	MaxConns int32
	// Timeout bounds one method with its wait for a connection, and on the server a statement and the
	// silence in a transaction. Default: 30 s.
	Timeout time.Duration
	// LockTimeout bounds the wait for rows that another transaction holds. Default: 10 s.
	LockTimeout time.Duration
}

// Check reports what Open would refuse without asking the server: a URL that can't be read, or that
// names files that can't. Errors never repeat it.
func (o Options) Check() error {
	_, _, err := o.config()
	return err
}

func (o *Options) validate() error {
	switch {
	case o.URL == "":
		return errors.New("the Postgres store needs a URL: postgres://user@host:port/database")
	case o.MaxConns < 0:
		return fmt.Errorf("the Postgres store can't have %d connections: "+
			"give a number from 1 on, or 0 for the default", o.MaxConns)
	case o.Timeout < 0 || o.LockTimeout < 0:
		return errors.New("the Postgres store's timeouts can't be negative: 0 takes the default")
	}
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.LockTimeout = cmp.Or(o.LockTimeout, min(10*time.Second, o.Timeout))
	if o.Timeout < time.Millisecond || o.LockTimeout < time.Millisecond {
		return errors.New("the Postgres store's timeouts must be a millisecond at least")
	}
	return nil
}

// Store is a store.Store in a Postgres database. It is safe for concurrent use. Writes to one call
// queue behind each other; reads never wait for them.
//
// Connections that break are replaced. A method is done again by itself only where it certainly had
// no effect, so that fresh, and ErrStarted, always tell the truth: if the connection is lost while
// the server commits, the method fails, and the caller may repeat it.
type Store struct {
	backend.Base

	where    string // host, port and database, for errors
	pool     *pgxpool.Pool
	readOnly bool
	timeout  time.Duration
	closed   atomic.Bool
}

var _ store.Store = (*Store)(nil)

// Open connects to a database, which must exist, and unless Options say otherwise brings Pawl's
// schema to this version. Several processes may do so at once. Errors: ErrUnavailable, ErrAccess,
// ErrStandby, ErrMissing (without the right to lay it), store.ErrSchema, ErrForeign, and what the
// server says.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	config, where, err := o.config()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, backend.Errorf("store %s: open: its settings can't be used: check the URL's parameters", where)
	}
	s := &Store{where: where, pool: pool, readOnly: o.ReadOnly, timeout: o.Timeout}
	s.Base = backend.NewBase(database{s}, backend.Dialect{
		Requests: "waits", Holds: "position(%s::bytea in payload) > 0",
		Plain:    `substr(payload, 1, 1) = '\x7b'::bytea`,
		InView:   "strpos(view, %s) > 0",
		SealLock: "SELECT pg_try_advisory_xact_lock(" + strconv.Itoa(sealLock) + ")::int",
		Settled:  "SELECT pawl.settled()",
	})
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	version, err := s.version(ctx)
	if hasState(err, "28P01") && config.ConnConfig.Password == "" {
		return nil, backend.Errorf("%w; no password was given: set PGPASSWORD or PGPASSFILE, "+
			"or put it into the variable that holds the URL", err)
	}
	if err != nil {
		return nil, err
	}
	target, err := newestVersion()
	if err != nil {
		return nil, err
	}
	if version < target && !o.ReadOnly && !o.KeepSchema {
		if err := layOut(ctx, config.ConnConfig, where); err != nil {
			return nil, err
		}
		// A newer Pawl may have been here in the meantime.
		if version, err = s.version(ctx); err != nil {
			return nil, err
		}
	}
	if err := checkVersion(where, version, target); err != nil {
		return nil, err
	}
	return s, nil
}

// Ping fails when the store can't be used now: it is closed, its server can't be reached, its
// schema is gone or, if it is open for writing, the server takes no writes.
func (s *Store) Ping(ctx context.Context) error {
	const doing = "check"
	return s.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		var found, refuses bool
		const look = `SELECT EXISTS (SELECT FROM pawl.calls), current_setting('transaction_read_only')::boolean`
		err := conn.QueryRow(ctx, look).Scan(&found, &refuses)
		if err == nil && refuses && !s.readOnly {
			return backend.Errorf("store %s: %s: %w: %s", s.where, doing, ErrStandby, adviceStandby)
		}
		return err
	})
}

// Clock returns the server's time, for comparing clocks.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	err = s.run(ctx, "ask the time", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	})
	return now, err
}

// Close waits for methods that are running, then closes the connections. Later calls of any method
// but Close are store.ErrClosed.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.pool.Close()
	return nil
}
