// Package sqlite keeps Pawl's store in one SQLite file, for the dev stack and for single machines.
// One process owns the file and writes; any number may read beside it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Options says which store to open and how.
type Options struct {
	// Path of the file. Required. The owner creates what is missing: folders with mode 0700, the file
	// with 0600.
	Path string
	// ReadOnly opens a store that exists for reading, beside its owner if it has one; writes are
	// store.ErrReadOnly. Default: own and write it.
	ReadOnly bool
	// Logger gets a warning if others than its owner may write to the file's folder. Default: nothing
	// is logged.
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Path == "" {
		return errors.New("the SQLite store needs a path: name the file to keep it in")
	}
	return nil
}

// Store is a store.Store in a SQLite file. It is safe for concurrent use; writes queue behind each
// other, reads never wait for them.
type Store struct {
	backend.Base

	path   string
	file   os.FileInfo // as it was opened
	reads  *sql.DB
	writes *sql.DB // one connection; nil when reading only
	hot    statements
	lock   *os.File // nil when reading only

	// open is read-locked by every method, so that Close gives the file up only after the last write
	// is done.
	open   sync.RWMutex
	closed bool
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a file. The owner lays the schema, or upgrades it, and must be the only
// one: a second is ErrOwned until the first has closed its handle or died. Other errors: ErrMissing
// (reading only), store.ErrSchema, ErrForeign, store.ErrDamaged, ErrFull, and what the file system
// says.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	path, err := locate(o.Path, !o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path}
	s.Base = backend.NewBase(database{s}, backend.Dialect{
		Requests: "waits = 1", Hint: "+", // keeps SQLite from the index of a column
		Holds:    "instr(payload, %s) > 0",
		Plain:    "substr(payload, 1, 1) = x'7b'",
		InView:   "instr(view, %s) > 0",
		SealLock: "SELECT 1", // there is one write transaction at a time
		Settled:  "SELECT coalesce(max(seq), 0) FROM entries",
	})
	defer func() {
		if err != nil {
			err = errors.Join(explain(ctx, path, "open", err), s.release())
		}
	}()
	open := s.openOwned
	if o.ReadOnly {
		open = s.openBeside
	}
	if err := open(ctx); err != nil {
		return nil, err
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, err
	}
	if o.Logger != nil && !o.ReadOnly {
		warnOfOthers(o.Logger, filepath.Dir(path))
	}
	return s, nil
}

// warnOfOthers warns of a folder in which others may put another file in the store's place.
func warnOfOthers(log *slog.Logger, dir string) {
	const others = 0o022
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&others == 0 { // Windows has other rights
		return
	}
	log.Warn("others than its owner may write to the store's folder, so they can replace the store: "+
		"run chmod go-w", "folder", dir, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
}

func (s *Store) openOwned(ctx context.Context) error {
	var err error
	if s.lock, err = own(s.path); err != nil {
		return err
	}
	if err = createFile(s.path); err != nil {
		return err
	}
	ours, version, err := identify(ctx, s.path)
	if err != nil {
		return err
	}
	s.writes = connect(s.path, true)
	if err := layOut(ctx, s.path, s.writes, ours, version); err != nil {
		return err
	}
	s.reads = connect(s.path, false)
	s.hot, err = prepare(ctx, s.writes)
	return err
}

func (s *Store) openBeside(ctx context.Context) error {
	_, version, err := identify(ctx, s.path)
	if err != nil {
		return err
	}
	s.reads = connect(s.path, false)
	return checkVersion(s.path, s.reads, version)
}

// Ping fails when the store can't be used now: it is closed, its file is gone or replaced, can't be
// read or, for the owner, not be written to: it writes a value that nobody reads.
func (s *Store) Ping(ctx context.Context) error {
	const doing = "check"
	err := s.read(ctx, doing, func(tx *sql.Tx) error {
		var found bool
		return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM calls)`).Scan(&found)
	})
	if err != nil || s.writes == nil {
		return err
	}
	return s.write(ctx, doing, func(tx transaction) error {
		_, err := tx.tx.ExecContext(ctx, `PRAGMA user_version = 0`)
		return err
	})
}

// check fails when the handle can't be used any more. SQLite goes on writing to a file that was
// deleted or moved away, and all of that would be lost at the next start.
func (s *Store) check(doing string) error {
	if s.closed {
		return backend.Errorf("store %s: %s: %w", s.path, doing, store.ErrClosed)
	}
	if now, err := os.Stat(s.path); err != nil || !os.SameFile(now, s.file) {
		return backend.Errorf("store %s: %s: the file was moved, replaced or deleted while it was open: "+
			"put it back and restart Pawl", s.path, doing)
	}
	return nil
}

// Close waits for methods that are running, then gives the file up. Later calls of any method but
// Close are store.ErrClosed.
func (s *Store) Close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.release()
}

// release closes the writer last: as the last connection it moves the log into the file, so that a
// copy of that one file is whole.
func (s *Store) release() error {
	var errs []error
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close())
	}
	if s.lock != nil {
		// The lock file stays: if it were removed, two processes could hold locks on two files of one
		// name.
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return backend.Errorf("store %s: close: %w", s.path, err)
	}
	return nil
}

// write runs fn in the one write transaction at a time. A nil answer means that it is on disk.
func (s *Store) write(ctx context.Context, doing string, fn func(transaction) error) error {
	if s.writes == nil {
		return store.ErrReadOnly
	}
	s.open.RLock()
	defer s.open.RUnlock()
	if err := s.check(doing); err != nil {
		return err
	}
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return explain(ctx, s.path, doing, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing to do after a commit
	// After any error SQLite may have rolled back by itself, and what followed would be written
	// outside the transaction: fn stops at the first one.
	if err := fn(transaction{tx, s.hot}); err != nil {
		return explain(ctx, s.path, doing, err)
	}
	return explain(ctx, s.path, doing, tx.Commit())
}

// Erase implements store.Store. What is erased is overwritten in the file, and gone from the write-ahead
// log if nobody reads there just then; else it is with the next erasure, or when the store is closed.
func (s *Store) Erase(ctx context.Context, p store.EraseParams) ([]string, error) {
	erased, err := s.Base.Erase(ctx, p)
	if err != nil || len(erased) == 0 {
		return erased, err
	}
	s.open.RLock()
	defer s.open.RUnlock()
	if s.check("erase calls") == nil {
		_, _ = s.writes.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	return erased, nil
}

// read runs fn on one snapshot.
func (s *Store) read(ctx context.Context, doing string, fn func(*sql.Tx) error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if err := s.check(doing); err != nil {
		return err
	}
	tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(ctx, s.path, doing, err)
	}
	defer func() { _ = tx.Rollback() }()
	return explain(ctx, s.path, doing, fn(tx))
}

// locate returns the file's real, absolute path, so that one file has one lock whatever it was
// called. With create it makes missing folders.
func locate(path string, create bool) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", backend.Errorf("store %s: %w", path, err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return "", backend.Errorf("store %s: %w: check the path; the Pawl process that owns a store creates it",
			path, ErrMissing)
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDir(filepath.Dir(path)); err != nil {
			return "", backend.Errorf("store %s: create its folder: %w", path, err)
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", backend.Errorf("store %s: %w", path, err)
		}
		return filepath.Join(dir, filepath.Base(path)), nil
	case err != nil:
		return "", backend.Errorf("store %s: %w: check the path and the permissions of its folders", path, err)
	case info.IsDir():
		return "", backend.Errorf("store %s: it is a folder: name a file in it, such as %s",
			path, filepath.Join(path, "pawl.db"))
	case !info.Mode().IsRegular():
		return "", backend.Errorf("store %s: it is not an ordinary file: name one", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", backend.Errorf("store %s: %w", path, err)
	}
	return real, nil
}

// makeDir is os.MkdirAll, durably.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // somebody else just made it
		}
		return err
	}
	return syncDir(parent)
}

// createFile makes an empty file, which is an empty database, where there is none; SQLite gives its
// -wal and -shm the same mode. A file that exists is not opened: closing it again would drop the
// locks that readers in this process hold on it.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

// syncDir makes a new name in dir survive a power cut. A folder that may be written but not listed
// can't be opened, and so can't be synced.
func syncDir(dir string) error {
	err := osfile.SyncDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
