package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/packed"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // driver "sqlite"
)

const (
	// applicationID marks a file as ours in its header: "Pawl" in ASCII. See
	// https://www.sqlite.org/pragma.html#pragma_application_id.
	applicationID = 0x5061776C

	// busyTimeout, in milliseconds, is how long a connection waits for locks of checkpoints, recovery
	// and other programs.
	busyTimeout = "5000"

	// readers bounds the connections that read at the same time.
	readers = 4

	// maxLog, in bytes, is what the write-ahead log is cut to after a checkpoint, however long a
	// reader let it grow.
	maxLog = "67108864"
)

// The store's clock is this process's, which owns the file: see clock in PostgreSQL's migrations.
func init() {
	sqlite.MustRegisterScalarFunction("clock", 1,
		func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			ahead, _ := args[0].(int64)
			return time.Now().Add(time.Duration(ahead) * time.Second).UnixMicro(), nil
		})
}

// payload_hash is the hash of an entry's salt and payload, which takes their place. Its arguments are
// those columns, and that of the call.
func init() {
	sqlite.MustRegisterDeterministicScalarFunction("payload_hash", 3,
		func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			salt, _ := args[0].([]byte)
			payload, _ := args[1].([]byte)
			call, _ := args[2].(string)
			if doc, err := packed.Unpack(payload, call); err == nil {
				payload = doc
			}
			sum := sha256.Sum256(append(slices.Clip(salt), payload...))
			return sum[:], nil
		})
}

//go:embed migrations/*.sql
var migrations embed.FS

// connect makes a pool. Its settings are in the connection string, because the pool opens and
// closes connections as it likes and each needs them all.
func connect(path string, writer bool) *sql.DB {
	v := url.Values{"_pragma": {"busy_timeout(" + busyTimeout + ")", "foreign_keys(1)"}}
	if writer {
		v.Set("mode", "rw")
		v.Set("_txlock", "immediate")
		v["_pragma"] = append(v["_pragma"],
			"journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit("+maxLog+")",
			"secure_delete(1)") // what is erased is gone from the file
	} else {
		v.Set("mode", "ro")
		v["_pragma"] = append(v["_pragma"], "query_only(1)")
	}
	db, err := sql.Open("sqlite", "file://"+escape(path)+"?"+v.Encode())
	if err != nil {
		panic(err) // only for a driver that is not registered
	}
	most := readers
	if writer {
		most = 1
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db
}

// escape makes an absolute path the path of a SQLite URI: always with a leading slash, and without
// the characters that mean something there.
func escape(path string) string {
	path = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path))
	return "/" + strings.TrimPrefix(path, "/")
}

// identify reads whose file it is and its schema's version, and changes nothing: a writing
// connection would already turn another program's file to a write-ahead log. A file that holds
// nothing at all is not ours, yet; another program's is ErrForeign.
func identify(ctx context.Context, path string) (ours bool, version int64, err error) {
	db := connect(path, false)
	defer func() { err = errors.Join(err, db.Close()) }()
	var id int64
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return false, 0, err
	}
	var used, laid bool
	const look = `SELECT count(*) > 0, count(*) FILTER (WHERE name = ?) > 0 FROM sqlite_schema`
	if err := db.QueryRowContext(ctx, look, goose.DefaultTablename).Scan(&used, &laid); err != nil {
		return false, 0, err
	}
	if id != applicationID && (id != 0 || used) {
		return false, 0, backend.Errorf("store %s: %w: it is another program's database: check the path",
			path, ErrForeign)
	}
	if laid {
		const newest = `SELECT coalesce(max(version_id), 0) FROM ` + goose.DefaultTablename
		err = db.QueryRowContext(ctx, newest).Scan(&version)
	}
	return id == applicationID, version, err
}

// layOut brings the file to this version's schema, from an empty file or an older schema. It may be
// interrupted anywhere and done again.
func layOut(ctx context.Context, path string, db *sql.DB, ours bool, version int64) error {
	if !ours {
		// First of all, so that a file with half a schema is known as ours.
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)); err != nil {
			return err
		}
	}
	provider, target, err := newProvider(db)
	switch {
	case err != nil:
		return err
	case version > target:
		return newerSchema(path, version, target)
	case version < target:
		if _, err := provider.Up(ctx); err != nil {
			return err
		}
	}
	// SQLite opens a file that it may only read without a word, and even begins to write. Find that
	// out now, not at the first call.
	_, err = db.ExecContext(ctx, `DELETE FROM tools WHERE false`)
	return err
}

// checkVersion is layOut for a handle that must change nothing.
func checkVersion(path string, db *sql.DB, version int64) error {
	_, target, err := newProvider(db)
	switch {
	case err != nil:
		return err
	case version == 0:
		return backend.Errorf("store %s: %w yet: start the Pawl process that owns it; that sets it up",
			path, ErrMissing)
	case version > target:
		return newerSchema(path, version, target)
	case version < target:
		return backend.Errorf("store %s: %w: it has version %d, this Pawl reads %d: "+
			"start this version's owning process once, which upgrades it", path, store.ErrSchema, version, target)
	}
	return nil
}

func newerSchema(path string, version, target int64) error {
	return backend.Errorf("store %s: %w: it has version %d, this one knows up to %d: "+
		"use the newer Pawl, or another path", path, store.ErrNewer, version, target)
}

// newProvider makes what migrates db, and says to which version.
func newProvider(db *sql.DB) (*goose.Provider, int64, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, 0, err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, 0, err
	}
	sources := provider.ListSources()
	return provider, sources[len(sources)-1].Version, nil
}
