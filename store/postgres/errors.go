package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

var (
	// ErrUnavailable: the server can't be reached, starts or stops, takes no more connections, or
	// broke one off. It may work again soon.
	ErrUnavailable = errors.New("the database server is not available")
	// ErrAccess: the server refuses the user, its password, the database, or a right to something in
	// it.
	ErrAccess = errors.New("the database server refuses access")
	// ErrStandby: the server takes no writes. A standby is not read from, either: it does not see what
	// its primary is about to commit.
	ErrStandby = errors.New("the database server is a standby, or set to read only")
	// ErrMissing: there is no store in the database, and this handle does not make one.
	ErrMissing = errors.New("there is no Pawl store in this database")
	// ErrForeign: the schema pawl holds something else.
	ErrForeign = errors.New("the schema pawl in this database belongs to another program")
	// ErrFull: there was no space for a write. Nothing of it was kept, and the store works on once
	// there is space.
	ErrFull = errors.New("the database server's disk is full")
	// ErrBusy: something held what was needed for too long.
	ErrBusy = errors.New("the database took too long")

	// errSlow is the cause of a context that this store has bounded.
	errSlow = errors.New("no answer within the store's timeout")
)

const (
	adviceStandby = "connect to the primary, or look at default_transaction_read_only"
	adviceAgain   = "look at the server; what was being written may be there or not: do it again"
)

// faults turns SQLSTATE codes, or their first two characters, into what people can act on. See
// https://www.postgresql.org/docs/current/errcodes-appendix.html.
var faults = map[string]struct {
	err    error
	advice string
}{
	"08":    {ErrUnavailable, adviceAgain},
	"22":    {store.ErrRefused, "it is no value of its kind"},
	"23001": {store.ErrRefused, "look with 'pawl audit verify' whether the store was changed"},
	"25006": {ErrStandby, adviceStandby},
	"25P03": {ErrBusy, "Pawl was silent in a transaction: its machine may be overloaded"},
	"28":    {ErrAccess, "check user and password, and the server's pg_hba.conf"},
	"3D000": {ErrAccess, "the database does not exist: create it, or check its name"},
	"3F000": {ErrMissing, "the schema pawl was dropped: restart Pawl, or restore a backup"},
	"42P01": {ErrMissing, "a table of Pawl was dropped: restore a backup"},
	"42501": {ErrAccess, "grant the right to the user, or run the set-up as the owner"},
	"53100": {ErrFull, "free some space on its volume; nothing was written"},
	"53200": {ErrUnavailable, "the server is out of memory"},
	"53300": {ErrUnavailable, "the server has no connection left: raise its max_connections, " +
		"or let every Pawl process hold fewer"},
	"54000": {errTooLarge, "shorten it"},
	"55P03": {ErrBusy, "another transaction holds the row; see pg_stat_activity for one that is left open"},
	"57014": {ErrBusy, "the statement was cancelled: the server may be overloaded"},
	"57":    {ErrUnavailable, adviceAgain},
	"58":    {store.ErrDamaged, "look at the server's log and its disk"},
	"XX001": {store.ErrDamaged, "look at the server's log, and restore a backup"},
	"XX002": {store.ErrDamaged, "look at the server's log, and rebuild the index"},
}

var (
	errTooLarge = approval.Errorf(approval.CodeInvalid, "a name is longer than the database can index")
	errText     = approval.Errorf(approval.CodeInvalid, "a text is not valid UTF-8, or holds a NUL character")
)

// explain says what was being done where, what is wrong, and what to do. Errors that say all that
// already pass unchanged.
func explain(ctx context.Context, where, doing string, err error) error {
	if err == nil || backend.Complete(err) {
		return err
	}
	err = oneLine{err}
	if state := sqlState(err); state != "" {
		if state == "22021" || state == "22P05" {
			return backend.Errorf("store %s: %s: %w", where, doing, errText)
		}
		f, ok := faults[state]
		if !ok {
			f, ok = faults[state[:2]]
		}
		if ok {
			return backend.Errorf("store %s: %s: %w: %s (%w)", where, doing, f.err, f.advice, err)
		}
		return backend.Errorf("store %s: %s: %w", where, doing, err)
	}
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return backend.Errorf("store %s: %s: %w: %w: the server, the network or this pool is overloaded",
			where, doing, ErrBusy, errSlow)
	case ctx.Err() != nil:
		return backend.Errorf("store %s: %s: %w", where, doing, ctx.Err())
	case errors.As(err, &connect):
		return backend.Errorf("store %s: %s: %w: check that it runs, its address, and TLS (%w)",
			where, doing, ErrUnavailable, err)
	case errors.As(err, new(lost)):
		return backend.Errorf("store %s: %s: %w: %s (%w)", where, doing, ErrUnavailable, adviceAgain, err)
	}
	return backend.Errorf("store %s: %s: %w", where, doing, err)
}

// oneLine is an error for a line of a log: pgx names every address it tried on a line of its own.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }

func sqlState(err error) string {
	if fault, ok := errors.AsType[*pgconn.PgError](err); ok && len(fault.Code) == 5 {
		return fault.Code
	}
	return ""
}

func hasState(err error, states ...string) bool { return slices.Contains(states, sqlState(err)) }
