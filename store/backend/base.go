package backend

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// DB is a database as Base uses it. Queries and statements are PostgreSQL's, with $1 for the first
// argument and "pawl." before each table's name; a database without schemas leaves that out.
type DB interface {
	// Select runs a query and lets read take its rows. If the connection breaks, both begin again.
	Select(ctx context.Context, doing, query string, args []any, read func(Rows) error) error
	// Snapshot lets read see one state of the database. It may run several times.
	Snapshot(ctx context.Context, doing string, read func(Querier) error) error
	// Write lets write change rows in one transaction. It may run several times. If a table is named,
	// nobody else writes it meanwhile.
	Write(ctx context.Context, doing, exclusive string, write func(Tx) error) error
	// Step lets step change a call, which nobody else changes meanwhile: it takes the row that query
	// finds by the call's ID, and says what to write, in one transaction. It may run several times.
	Step(ctx context.Context, doing, id, query string, step func(Row, *Writes) error) error
}

// Writes are what a step of a call writes. Without statements nothing is written.
type Writes struct {
	Statements []Statement
	Entries    []audit.Entry
	Ended      bool // the call had ended before, and so may be erased
}

// Statement is one change of a row.
type Statement struct {
	SQL  string
	Args []any
}

func (w *Writes) add(sql string, args ...any) {
	w.Statements = append(w.Statements, Statement{sql, args})
}

// Rows is the result of a query in either database.
type Rows interface {
	Row
	Next() bool
	Err() error
}

// Base is the part of a store that is the same in both databases: single rows, lists, and the
// changes of all but calls.
type Base struct {
	db      DB
	dialect Dialect
}

// NewBase makes the part of a store that is on db.
func NewBase(db DB, dialect Dialect) Base { return Base{db, dialect} }

// Dialect is the database's.
func (b Base) Dialect() Dialect { return b.dialect }

// ID implements store.Store.
func (b Base) ID(ctx context.Context) (string, error) {
	ids, err := list(ctx, b.db, "read its ID", `SELECT id FROM pawl.identity`, nil, scanText)
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// Call implements store.Calls and store.Reader.
func (b Base) Call(ctx context.Context, id string) (store.Record, error) {
	scan := func(row Row, _ ...any) (store.Record, error) {
		_, r, err := Call(id, row)
		return r, err
	}
	return one(ctx, b.db, "call", SelectCall, id, scan)
}

// Resolve implements store.Reader.
func (b Base) Resolve(ctx context.Context, prefix string) (string, error) {
	const query = `SELECT id FROM pawl.calls WHERE id >= $1 ORDER BY id LIMIT 2`
	return resolve(ctx, b.db, "call", query, prefix, scanText, func(id string) string { return id })
}

// LogEnd is the place in the audit log of the last entry that is there.
func (b Base) LogEnd(ctx context.Context) (int64, error) {
	const query = `SELECT coalesce(max(seq), 0) FROM pawl.entries`
	ends, err := list(ctx, b.db, "look where the audit log ends", query, nil, scanNumber)
	if err != nil {
		return 0, err
	}
	return int64(ends[0]), nil
}

// changesRead is how many entries one look for changes covers.
const changesRead = 5000

// ChangesUntil is store.Reader's Changes in a log of which nothing up to settled will change.
func (b Base) ChangesUntil(
	ctx context.Context, after, settled int64,
) (changed []store.Change, place int64, err error) {
	if after < 0 || after >= settled {
		return nil, max(after, settled), nil
	}
	query := `SELECT id, requester, revision FROM pawl.calls WHERE ` + b.dialect.Requests +
		` AND id IN (SELECT call FROM pawl.entries WHERE seq > $1 AND seq <= $2)`
	place = min(settled, after+changesRead)
	changed, err = list(ctx, b.db, "look what changed", query, []any{after, place},
		func(row Row, _ ...any) (c store.Change, err error) {
			err = row.Scan(&c.ID, &c.Requester, &c.Revision)
			return c, err
		})
	if err != nil {
		return nil, 0, err
	}
	return changed, place, nil
}

// Previous implements store.Reader.
func (b Base) Previous(ctx context.Context, id string) ([]approval.View, error) {
	query := `SELECT ` + documentColumns("c") + ` FROM pawl.calls AS this JOIN pawl.calls AS c
		ON substr(c.identical, 1, 16) = substr(this.identical, 1, 16) AND c.identical IS NOT NULL
			AND c.seq < this.seq
		WHERE this.id = $1 ORDER BY c.seq DESC LIMIT `
	if !Storable(id) {
		return nil, nil
	}
	return list(ctx, b.db, "look for earlier calls", query+strconv.Itoa(store.MaxPrevious), []any{id}, scanView)
}

// Attach implements store.Callers. Two who attach at once find the same call; the second one to
// update its row finds the lease of the first, and looks for another call.
func (b Base) Attach(ctx context.Context, alike string) (string, error) {
	const free = `coalesce(lease_until < pawl.clock(0), true)`
	const fit = ` FROM pawl.calls WHERE alike = $1 AND delivered_at IS NULL AND ` + free + `
		AND NOT EXISTS (SELECT 1 FROM pawl.claims AS k WHERE k.call = calls.seq AND k.used_at IS NOT NULL)`
	const attach = `UPDATE pawl.calls SET lease_until = pawl.clock(30) WHERE ` + free + `
		AND seq = (SELECT seq` + fit + ` ORDER BY seq LIMIT 1) RETURNING id`
	for {
		ids, err := b.update(ctx, "attach to a call", attach, alike)
		if err != nil {
			return "", err
		}
		if len(ids) > 0 {
			return ids[0], nil
		}
		left, err := list(ctx, b.db, "look for a call to attach to", `SELECT count(*)`+fit, []any{alike}, scanNumber)
		if err != nil {
			return "", err
		}
		if left[0] == 0 {
			return "", store.ErrNotFound
		}
	}
}

// Renew implements store.Callers.
func (b Base) Renew(ctx context.Context, id string) error {
	const renew = `UPDATE pawl.calls SET lease_until = pawl.clock(30)
		WHERE id = $1 AND alike IS NOT NULL AND ended_at IS NULL RETURNING id`
	_, err := b.update(ctx, "renew the lease of a call", renew, id)
	return err
}

// Release implements store.Callers.
func (b Base) Release(ctx context.Context, id string) error {
	const release = `UPDATE pawl.calls SET lease_until = NULL WHERE id = $1 AND alike IS NOT NULL RETURNING id`
	_, err := b.update(ctx, "release a call", release, id)
	return err
}

// Deliver implements store.Callers.
func (b Base) Deliver(ctx context.Context, id string) error {
	const deliver = `UPDATE pawl.calls SET delivered_at = pawl.clock(0)
		WHERE id = $1 AND alike IS NOT NULL AND ended_at IS NOT NULL AND delivered_at IS NULL RETURNING id`
	_, err := b.update(ctx, "note that a call's end is told", deliver, id)
	return err
}

// AlikeKey implements store.Callers.
func (b Base) AlikeKey(ctx context.Context) ([]byte, error) {
	keys, err := list(ctx, b.db, "read its key", `SELECT key FROM pawl.alike_key`, nil, scanText)
	if err == nil && (len(keys) != 1 || len(keys[0]) < 64) {
		err = Errorf("%w: its key for calls that are alike is missing", store.ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	return []byte(keys[0]), nil
}

// OwnTool implements store.Callers.
func (b Base) OwnTool(ctx context.Context, agent, name string) (store.OwnTool, error) {
	const query = `SELECT tool FROM pawl.own_tools WHERE name = $1 AND agent = $2`
	return one(ctx, b.db, "tool", query, name, scanOwnTool, agent)
}

// Tool implements store.Catalogue.
func (b Base) Tool(ctx context.Context, name string) (store.Tool, error) {
	return one(ctx, b.db, "tool", `SELECT `+toolColumns+` FROM pawl.tools WHERE name = $1`, name, scanTool)
}

// Tools implements store.Reader.
func (b Base) Tools(ctx context.Context) ([]store.Tool, error) {
	const query = `SELECT ` + toolColumns + ` FROM pawl.tools ORDER BY name`
	return list(ctx, b.db, "list tools", query, nil, scanTool)
}

// AddToken implements store.Tokens.
func (b Base) AddToken(ctx context.Context, t store.Token) error {
	doc, entry, err := Added(t, t)
	if err != nil {
		return err
	}
	const add = `INSERT INTO pawl.tokens (id, hash, token) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`
	fresh, err := b.change(ctx, "keep a token", add, []any{t.ID, t.Hash[:], doc}, entry)
	if err != nil || fresh {
		return err
	}
	known, err := b.Token(ctx, t.ID)
	if err == nil && known.Hash != t.Hash {
		return approval.Errorf(approval.CodeInvalid, "token: another one has its ID")
	}
	return err
}

// RevokeToken implements store.Tokens.
func (b Base) RevokeToken(ctx context.Context, r store.RevokeParams) (t store.Token, fresh bool, err error) {
	const revoke = `UPDATE pawl.tokens SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL`
	return end(ctx, b, "revoke a token", revoke, b.Token, r, []any{r.ID, r.At, r.By})
}

// Token implements store.TokenReader.
func (b Base) Token(ctx context.Context, id string) (store.Token, error) {
	return one(ctx, b.db, "token", `SELECT `+tokenColumns+` FROM pawl.tokens WHERE id = $1`, id, scanToken)
}

// AddKey implements store.Keys.
func (b Base) AddKey(ctx context.Context, k store.NewKey) (kept store.SigningKey, fresh bool, err error) {
	doc, entry, err := Added(k, k.SigningKey)
	if err != nil {
		return kept, false, err
	}
	const add = `INSERT INTO pawl.signing_keys (id, public, key) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO NOTHING`
	if fresh, err = b.change(ctx, "keep a signing key", add, []any{k.ID, k.Public, doc}, entry); err != nil {
		return kept, false, err
	}
	kept, err = b.key(ctx, k.ID)
	if err == nil && !bytes.Equal(kept.Public, k.Public) {
		err = approval.Errorf(approval.CodeInvalid, "signing key: another one has its ID")
	}
	if err != nil {
		return store.SigningKey{}, false, err
	}
	return kept, fresh, nil
}

// EndKey implements store.Keys.
func (b Base) EndKey(
	ctx context.Context, e store.EndKeyParams,
) (kept store.SigningKey, fresh bool, err error) {
	statement := `UPDATE pawl.signing_keys SET retired_at = $2, retired_by = $3
		WHERE id = $1 AND retired_at IS NULL AND revoked_at IS NULL`
	if e.Revoke {
		statement = `UPDATE pawl.signing_keys SET revoked_at = $2, revoked_by = $3
			WHERE id = $1 AND revoked_at IS NULL`
	}
	return end(ctx, b, "end a signing key", statement, b.key, e, []any{e.ID, e.At, e.By})
}

// key returns one key, whatever became of it.
func (b Base) key(ctx context.Context, id string) (store.SigningKey, error) {
	const query = `SELECT ` + keyColumns + ` FROM pawl.signing_keys WHERE id = $1`
	return one(ctx, b.db, "signing key", query, id, scanKey)
}

// TrustedKeys implements store.KeyReader.
func (b Base) TrustedKeys(ctx context.Context, ids ...string) ([]store.SigningKey, error) {
	f := Filter{}
	f.add("revoked_at IS NULL")
	if len(ids) > 0 {
		f.in("id", ids)
	}
	query := `SELECT ` + keyColumns + ` FROM pawl.signing_keys` + f.SQL() +
		` ORDER BY seq DESC LIMIT ` + strconv.Itoa(max(store.MaxTrusted, len(ids)))
	return list(ctx, b.db, "look up signing keys", query, f.Args, scanKey)
}

// ActivePolicy implements store.Policies.
func (b Base) ActivePolicy(ctx context.Context) (store.PolicyVersion, error) {
	active, err := list(ctx, b.db, "look which policy is active", SelectActive, nil, readVersion)
	if err == nil && len(active) == 0 {
		err = errNoPolicy
	}
	if err != nil {
		return store.PolicyVersion{}, err
	}
	return active[0], nil
}

// Policy implements store.Policies.
func (b Base) Policy(ctx context.Context, digest string) (store.PolicySet, error) {
	const query = `SELECT digest, layers FROM pawl.policies WHERE digest >= $1 ORDER BY digest LIMIT 2`
	digestOf := func(p store.PolicySet) string { return p.Digest }
	return resolve(ctx, b.db, "policy", query, digest, scanPolicy, digestOf)
}

// list reads all rows of a query.
func list[T any](
	ctx context.Context, db DB, doing, query string, args []any, scan func(Row, ...any) (T, error),
) (items []T, err error) {
	err = db.Select(ctx, doing, query, args, into(&items, scan))
	if err != nil {
		return nil, err
	}
	return items, nil
}

// all is list in a transaction.
func all[T any](
	ctx context.Context, tx Querier, query string, args []any, scan func(Row, ...any) (T, error),
) (items []T, err error) {
	err = tx.Query(ctx, query, args, into(&items, scan))
	return items, err
}

// into reads all rows into items.
func into[T any](items *[]T, scan func(Row, ...any) (T, error)) func(Rows) error {
	return func(rows Rows) error {
		*items = nil // of an attempt before
		for rows.Next() {
			item, err := scan(rows)
			if err != nil {
				return err
			}
			*items = append(*items, item)
		}
		return rows.Err()
	}
}

// one reads the row that a query finds by an ID, or answers store.ErrNotFound.
func one[T any](
	ctx context.Context, db DB, what, query, id string, scan func(Row, ...any) (T, error), more ...any,
) (item T, err error) {
	var found []T
	if Storable(id) {
		found, err = list(ctx, db, "look up a "+what, query, append([]any{id}, more...), scan)
	}
	if err != nil || len(found) == 0 {
		return item, cmp.Or(err, About(what, id, store.ErrNotFound))
	}
	return found[0], nil
}

// resolve reads the one row whose name is prefix or begins with it. query finds the first two names
// from the prefix on, in order: what the prefix fits comes first, and a whole name before longer
// ones.
func resolve[T any](
	ctx context.Context, db DB, what, query, prefix string,
	scan func(Row, ...any) (T, error), name func(T) string,
) (item T, err error) {
	var found []T
	if prefix != "" && Storable(prefix) {
		found, err = list(ctx, db, "look up a "+what, query, []any{prefix}, scan)
	}
	fits := func(i int) bool { return i < len(found) && strings.HasPrefix(name(found[i]), prefix) }
	switch {
	case err != nil:
		return item, err
	case !fits(0):
		return item, About(what, prefix, store.ErrNotFound)
	case fits(1) && name(found[0]) != prefix:
		return item, About(what, prefix, store.ErrAmbiguous)
	}
	return found[0], nil
}

// Storable tells what a text column can hold; nothing else is ever found.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
