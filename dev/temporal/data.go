package temporal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/internal/osfile"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	_ "modernc.org/sqlite" // driver "sqlite", the one Temporal's plugin uses
)

const (
	databaseFile = "temporal.db"
	lockFileName = "temporal.lock"
	// setupSuffix marks a database whose schema is being laid. Nothing ever reads such a file.
	setupSuffix = ".setup"
	// schemaVersion changes with every change of Temporal's own SQLite schema, which has no
	// migrations.
	schemaVersion = sqliteschema.Version + "/" + sqliteschema.VisibilityVersion
)

// dataDir is a locked data directory with a laid database.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir locks dir, lays the schema at the first start and checks it at later ones.
func openDataDir(ctx context.Context, dir string, shards int) (*dataDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("temporal: create data directory: %w", err)
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	d := &dataDir{path: dir, lock: lock}
	if err := d.prepare(ctx, shards); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d, nil
}

func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("temporal: open lock file: %w", err)
	}
	if err := osfile.Lock(f); err != nil {
		holder := ""
		if b, readErr := os.ReadFile(f.Name()); readErr == nil && len(b) > 0 {
			holder = " by process " + strings.TrimSpace(string(b))
		}
		_ = f.Close()
		if errors.Is(err, osfile.ErrHeld) {
			return nil, fmt.Errorf("%w: %s is held%s: stop it, or choose another directory with --data",
				ErrLocked, dir, holder)
		}
		return nil, fmt.Errorf("temporal: lock %s: %w", f.Name(), err)
	}
	// Only a hint for the message above: the lock is the kernel's, not this text.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// release gives the lock up. The lock file stays: removing it would let two processes hold locks on
// two files of the same name.
func (d *dataDir) release() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("temporal: release data directory: %w", err)
	}
	return nil
}

func (d *dataDir) database() string { return filepath.Join(d.path, databaseFile) }

func (d *dataDir) prepare(ctx context.Context, shards int) error {
	_, err := os.Stat(d.database())
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.layDatabase(ctx, shards); err != nil {
			return fmt.Errorf("temporal: set up %s: %w", d.database(), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("temporal: look for the database: %w", err)
	}
	return d.checkDatabase(ctx, shards)
}

// layDatabase builds the database aside and moves it into place, so that temporal.db is complete
// from the moment it exists, whenever the process or the machine dies.
func (d *dataDir) layDatabase(ctx context.Context, shards int) (err error) {
	aside := d.database() + setupSuffix
	removeAside := func() error {
		var errs []error
		for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
			if err := os.Remove(aside + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	if err := removeAside(); err != nil {
		return fmt.Errorf("remove what an interrupted set-up left: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAside())
		}
	}()

	if err := laySchema(ctx, aside, shards); err != nil {
		return err
	}
	if err := syncFile(aside); err != nil {
		return fmt.Errorf("flush schema: %w", err)
	}
	// A log without its database belongs to one that was deleted; SQLite would replay it here.
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(d.database() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove log of a deleted database: %w", err)
		}
	}
	if err := os.Rename(aside, d.database()); err != nil {
		return fmt.Errorf("move database into place: %w", err)
	}
	if err := osfile.SyncDir(d.path); err != nil {
		return fmt.Errorf("flush data directory: %w", err)
	}
	return nil
}

// laySchema does everything in one transaction in rollback-journal mode, which leaves one file.
func laySchema(ctx context.Context, file string, shards int) (err error) {
	db, err := openDatabase(file, "rwc")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := sqliteschema.SetupSchemaOnDB(schemaTx{tx: tx}); err != nil {
		return fmt.Errorf("lay Temporal's schema: %w", err)
	}
	// Temporal records the shard count too, but later, and lets the stored value win silently.
	const table = `CREATE TABLE pawl_setup (schema TEXT NOT NULL, history_shards INTEGER NOT NULL)`
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return fmt.Errorf("lay set-up record: %w", err)
	}
	const row = `INSERT INTO pawl_setup (schema, history_shards) VALUES (?, ?)`
	if _, err := tx.ExecContext(ctx, row, schemaVersion, shards); err != nil {
		return fmt.Errorf("write set-up record: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (d *dataDir) checkDatabase(ctx context.Context, shards int) (err error) {
	file := d.database()
	db, err := openDatabase(file, "rw")
	if err != nil {
		return fmt.Errorf("temporal: open %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var schema string
	var laid int
	row := db.QueryRowContext(ctx, `SELECT schema, history_shards FROM pawl_setup`)
	if err := row.Scan(&schema, &laid); err != nil {
		return fmt.Errorf("temporal: %s was not set up by Pawl or is damaged: "+
			"move it away, or choose another directory with --data: %w", file, err)
	}
	if schema != schemaVersion {
		return fmt.Errorf("temporal: %s has Temporal's SQLite schema %s, this build needs %s "+
			"and there is no migration: use the build that made it, or choose another directory with --data",
			file, schema, schemaVersion)
	}
	if laid != shards {
		return fmt.Errorf("%w: %s has %d history shards, %d are asked for: "+
			"set history shards to %d, or choose another directory with --data",
			ErrShardsFixed, file, laid, shards, laid)
	}
	return nil
}

// checkpoint moves what the write-ahead log holds into temporal.db, so that a copy of that one file
// is whole after a graceful stop.
func (d *dataDir) checkpoint(ctx context.Context) (err error) {
	db, err := openDatabase(d.database(), "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("temporal: checkpoint %s: %w", d.database(), err)
	}
	return nil
}

func openDatabase(file, mode string) (*sql.DB, error) {
	const url = "file:%s?mode=%s&_pragma=busy_timeout=5000&_pragma=synchronous=FULL"
	db, err := sql.Open("sqlite", fmt.Sprintf(url, escapePath(file), mode))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// escapePath makes a path safe inside a SQLite "file:" URI, where these characters have meanings.
// Temporal's plugin pastes the path into such a URI as it is.
func escapePath(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path))
}

func syncFile(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// schemaTx gives Temporal's schema set-up a transaction to run in. Exec is all that it calls.
type schemaTx struct {
	sqlplugin.AdminDB
	tx *sql.Tx
}

func (s schemaTx) Exec(stmt string, args ...any) error {
	_, err := s.tx.Exec(stmt, args...)
	return err
}
