package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pressly/goose/v3"
)

const (
	versionTable = "pawl.goose_db_version"

	// setUpLock is the key of the advisory lock under which the schema is changed: "pawl" in ASCII.
	// Its upper half differs from those of the keys in migrations/00001_store.sql.
	setUpLock = 0x7061776C

	// sealLock is the key of the advisory lock that a sealer of the audit log holds, until its
	// transaction ends.
	sealLock = 0x7061776D

	// setUpPoll is how often a process asks for that lock while another has it. It asks, and does not
	// wait inside a statement, because a statement's snapshot would hold up an index that is built
	// concurrently.
	setUpPoll = 50 * time.Millisecond
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate lays Pawl's schema in a database, or upgrades an older one, and needs the rights to do
// so: to create the schema pawl unless it is there, and to own what is in it. It may be repeated,
// interrupted, and run by several processes at once. Errors are those of Open.
func Migrate(ctx context.Context, url string) error {
	s, err := Open(ctx, Options{URL: url, MaxConns: 1})
	if err != nil {
		return err
	}
	return s.Close()
}

// version reads the schema's version, 0 where there is none yet.
func (s *Store) version(ctx context.Context) (version int64, err error) {
	const doing = "open"
	err = s.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		var standby, refuses, laid bool
		err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(),
			current_setting('transaction_read_only')::boolean, to_regclass($1) IS NOT NULL`,
			versionTable).Scan(&standby, &refuses, &laid)
		if err != nil {
			return err
		}
		// A standby is not read from, either: what its primary is about to commit can't be seen there, so
		// the log would be read with gaps.
		if standby || (refuses && !s.readOnly) {
			return backend.Errorf("store %s: %s: %w: %s", s.where, doing, ErrStandby, adviceStandby)
		}
		if !laid {
			return nil
		}
		return conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable).Scan(&version)
	})
	return version, err
}

func checkVersion(where string, version, target int64) error {
	switch {
	case version == 0:
		return backend.Errorf("store %s: %w yet: open it for writing, with the right to create it",
			where, ErrMissing)
	case version > target:
		return backend.Errorf("store %s: %w: it has version %d, this one knows up to %d: "+
			"use the newer Pawl, or another database", where, store.ErrNewer, version, target)
	case version < target:
		return backend.Errorf("store %s: %w: it has version %d, this Pawl needs %d: open it once "+
			"with this version for writing, with the right to upgrade it", where, store.ErrSchema, version, target)
	}
	return nil
}

// layOut brings the database to this version's schema. It may be interrupted anywhere and done
// again.
func layOut(ctx context.Context, config *pgx.ConnConfig, where string) (err error) {
	config = config.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // an upgrade of large tables takes its time
	db := stdlib.OpenDB(*config)
	defer func() {
		err = errors.Join(explain(ctx, where, "set up", err), db.Close())
	}()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		return err
	}
	// Not goose's own lock: it takes that only after a first look at its table, for which the schema
	// must be there.
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // and with db gives up the lock
	if err := lock(ctx, conn); err != nil {
		return err
	}
	if err := makeSchema(ctx, conn, where); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// lock waits until no other process sets this database up.
func lock(ctx context.Context, conn *sql.Conn) error {
	for {
		var held bool
		err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, setUpLock).Scan(&held)
		if err != nil || held {
			return err
		}
		if !retry.Sleep(ctx, setUpPoll) {
			return ctx.Err()
		}
	}
}

// makeSchema makes an empty schema where there is none, and keeps out of another program's.
func makeSchema(ctx context.Context, conn *sql.Conn, where string) error {
	var there, laid, used bool
	err := conn.QueryRowContext(ctx, `SELECT to_regnamespace('pawl') IS NOT NULL, to_regclass($1) IS NOT NULL,
		EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('pawl'))`,
		versionTable).Scan(&there, &laid, &used)
	switch {
	case err != nil:
		return err
	case used && !laid:
		return backend.Errorf("store %s: %w: use another database", where, ErrForeign)
	case there:
		return nil // perhaps its owner made it for a user without that right
	}
	_, err = conn.ExecContext(ctx, `CREATE SCHEMA pawl`)
	return err
}

// newestVersion is the version of the last migration, and so of this Pawl.
func newestVersion() (newest int64, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}
