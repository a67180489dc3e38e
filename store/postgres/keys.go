package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

const (
	keyColumns = `public, key, retired_at, retired_by, revoked_at, revoked_by`
	selectKey  = `SELECT ` + keyColumns + ` FROM pawl.signing_keys WHERE id = $1`

	// Whole transactions in one statement, like those of tokens: the change
	// with its entry ($4 to $10), or nothing.
	addKey = `WITH changed AS (
			INSERT INTO pawl.signing_keys (id, public, key) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING seq
		), log AS (` + changeEntries + `)
		SELECT EXISTS (SELECT FROM changed)`
	retireKey = `WITH changed AS (
			UPDATE pawl.signing_keys SET retired_at = $2, retired_by = $3 WHERE id = $1 AND retired_at IS NULL AND revoked_at IS NULL RETURNING seq
		), log AS (` + changeEntries + `)
		SELECT EXISTS (SELECT FROM changed)`
	revokeKey = `WITH changed AS (
			UPDATE pawl.signing_keys SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL RETURNING seq
		), log AS (` + changeEntries + `)
		SELECT EXISTS (SELECT FROM changed)`
)

// AddKey implements store.Keys.
func (s *Store) AddKey(ctx context.Context, k store.SigningKey) (store.SigningKey, bool, error) {
	if err := k.Check(); err != nil {
		return store.SigningKey{}, false, err
	}
	entry, err := k.Entry()
	if err != nil {
		return store.SigningKey{}, false, err
	}
	doc, err := store.Encode(k)
	if err != nil {
		return store.SigningKey{}, false, err
	}
	stands, fresh, err := s.changeKey(ctx, "keep a signing key", k.ID, addKey, append([]any{k.ID, k.Public, doc}, entryArgs([]audit.Entry{entry})...))
	if err == nil && !fresh && !bytes.Equal(stands.Public, k.Public) {
		return store.SigningKey{}, false, approval.Errorf(approval.CodeInvalid, "signing key: another one has its ID")
	}
	return stands, fresh, err
}

// EndKey implements store.Keys.
func (s *Store) EndKey(ctx context.Context, e store.KeyEnding) (store.SigningKey, bool, error) {
	if err := e.Check(); err != nil {
		return store.SigningKey{}, false, err
	}
	if !storable(e.ID) {
		return store.SigningKey{}, false, unknownKey(e.ID)
	}
	entry, err := e.Entry()
	if err != nil {
		return store.SigningKey{}, false, err
	}
	end := retireKey
	if e.Revoke {
		end = revokeKey
	}
	return s.changeKey(ctx, "end a signing key", e.ID, end, append([]any{e.ID, e.At, e.By}, entryArgs([]audit.Entry{entry})...))
}

// changeKey runs a statement that changes a key, or finds nothing to change,
// and returns the key as it stands.
func (s *Store) changeKey(ctx context.Context, doing, id, statement string, args []any) (k store.SigningKey, fresh bool, err error) {
	if s.readOnly {
		return store.SigningKey{}, false, store.ErrReadOnly
	}
	err = s.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		if err := conn.QueryRow(ctx, statement, args...).Scan(&fresh); err != nil {
			return uncertain{err}
		}
		return nil
	})
	if err == nil {
		err = s.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
			k, err = scanKey(conn.QueryRow(ctx, selectKey, id))
			if errors.Is(err, pgx.ErrNoRows) {
				return unknownKey(id)
			}
			return err
		})
	}
	if err != nil {
		return store.SigningKey{}, false, err
	}
	return k, fresh, nil
}

// TrustedKeys implements store.KeyReader.
func (s *Store) TrustedKeys(ctx context.Context, ids ...string) (keys []store.SigningKey, err error) {
	f := filter{}
	f.add("revoked_at IS NULL")
	if len(ids) > 0 {
		f.add("id = ANY(%s)", slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !storable(id) }))
	}
	limit := f.value(max(store.MaxTrusted, len(ids)))
	err = s.run(ctx, "look up signing keys", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT "+keyColumns+" FROM pawl.signing_keys"+f.sql()+" ORDER BY seq DESC LIMIT "+limit, f.args...)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.SigningKey, error) { return scanKey(row) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// SigningKeys implements store.KeyReader.
func (s *Store) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	p, _, err := page(ctx, s, "list signing keys", query[store.SigningKey]{
		table: "signing_keys", columns: keyColumns, size: "octet_length(key)", newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows pgx.Rows, seq *int64, found *int) (store.SigningKey, error) {
			return scanKey(rows, seq, found)
		},
	})
	return p, err
}

func unknownKey(id string) error {
	return tell("signing key %s: %w", approval.Display(id, 80), store.ErrNotFound)
}

// scanKey reads what comes first, then a key's columns.
func scanKey(row interface{ Scan(...any) error }, first ...any) (k store.SigningKey, err error) {
	var public []byte
	var doc, retiredBy, revokedBy string
	var retiredAt, revokedAt *time.Time
	if err := row.Scan(append(first, &public, &doc, &retiredAt, &retiredBy, &revokedAt, &revokedBy)...); err != nil {
		return k, err
	}
	if err := decode(doc, &k); err != nil {
		return k, err
	}
	k.Public, k.RetiredBy, k.RevokedBy = public, retiredBy, revokedBy
	if retiredAt != nil {
		at := micros(*retiredAt)
		k.RetiredAt = &at
	}
	if revokedAt != nil {
		at := micros(*revokedAt)
		k.RevokedAt = &at
	}
	return k, nil
}
