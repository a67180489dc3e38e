package sqlite

import (
	"context"
	"errors"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrOwned: another open handle, nearly always another Pawl process, is the store's writer.
	ErrOwned = errors.New("another Pawl process owns it")
	// ErrMissing: a handle for reading found no store, or one whose owner has not set it up yet.
	ErrMissing = errors.New("there is no store here")
	// ErrForeign: the file is something else than a Pawl store.
	ErrForeign = errors.New("the file is not a Pawl store")
	// ErrFull: there was no space for a write. Nothing of it was kept, and the store works on once
	// there is space.
	ErrFull = errors.New("the disk is full")
)

// faults turns SQLite's primary result codes into what people can act on.
var faults = map[int]struct {
	err    error
	advice string
}{
	sqlite3.SQLITE_FULL:   {ErrFull, "free some space on its volume; nothing was written"},
	sqlite3.SQLITE_NOTADB: {ErrForeign, "check the path, or restore the store from a backup"},
	sqlite3.SQLITE_CORRUPT: {store.ErrDamaged,
		"stop Pawl, keep a copy of the file, its -wal and its -shm, and restore a backup"},
	sqlite3.SQLITE_READONLY: {errors.New("the file or its folder may not be written"),
		"let Pawl's user write both, for reading too, as SQLite keeps its -shm beside the file; " +
			"or copy the store to where it may"},
	sqlite3.SQLITE_CANTOPEN: {errors.New("the file, its -wal or its -shm can't be opened"),
		"let Pawl's user read and write them and the folder they are in; or copy the store to where it may"},
	sqlite3.SQLITE_PERM: {errors.New("access was refused"),
		"let Pawl's user read and write the file and its folder"},
	sqlite3.SQLITE_BUSY: {errors.New("something else holds the file locked"),
		"close other programs that have it open for writing"},
	sqlite3.SQLITE_IOERR: {errors.New("reading or writing the disk failed"), "check the volume and its logs"},
}

// explain says what was being done to which file, what is wrong with it, and what to do. Errors
// that say all that already pass unchanged.
func explain(ctx context.Context, path, doing string, err error) error {
	if err == nil || backend.Complete(err) {
		return err
	}
	var fault *sqlite.Error
	known := errors.As(err, &fault)
	interrupted := known && fault.Code()&0xff == sqlite3.SQLITE_INTERRUPT
	if ctx.Err() != nil && (interrupted || !known) {
		// What SQLite and database/sql say of a context that has ended: also that a statement is closed,
		// for which there is no error to compare with.
		err, known = ctx.Err(), false
	}
	if known {
		if f, ok := faults[fault.Code()&0xff]; ok {
			return backend.Errorf("store %s: %s: %w: %s (%w)", path, doing, f.err, f.advice, fault)
		}
	}
	return backend.Errorf("store %s: %s: %w", path, doing, err)
}
