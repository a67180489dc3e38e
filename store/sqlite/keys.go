package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

const keyColumns = `public, key, retired_at, retired_by, revoked_at, revoked_by`

// AddKey implements store.Keys.
func (s *Store) AddKey(ctx context.Context, k store.SigningKey) (stands store.SigningKey, fresh bool, err error) {
	doc, entry, err := store.Added(k)
	if err != nil {
		return store.SigningKey{}, false, err
	}
	err = s.write(ctx, "keep a signing key", func(tx transaction) error {
		stands, err = findKey(ctx, tx.tx, k.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case !bytes.Equal(stands.Public, k.Public):
			return approval.Errorf(approval.CodeInvalid, "signing key: another one has its ID")
		default:
			return nil
		}
		if err := tx.amend(ctx, entry, `INSERT INTO signing_keys (id, public, key) VALUES (?, ?, ?)`, k.ID, k.Public, doc); err != nil {
			return err
		}
		fresh = true
		stands, err = findKey(ctx, tx.tx, k.ID)
		return err
	})
	if err != nil {
		return store.SigningKey{}, false, err
	}
	return stands, fresh, nil
}

// EndKey implements store.Keys.
func (s *Store) EndKey(ctx context.Context, e store.EndKeyParams) (stands store.SigningKey, fresh bool, err error) {
	if err := e.Check(); err != nil {
		return store.SigningKey{}, false, err
	}
	end := `UPDATE signing_keys SET retired_at = ?, retired_by = ? WHERE id = ?`
	if e.Revoke {
		end = `UPDATE signing_keys SET revoked_at = ?, revoked_by = ? WHERE id = ?`
	}
	err = s.write(ctx, "end a signing key", func(tx transaction) error {
		if stands, err = findKey(ctx, tx.tx, e.ID); err != nil || e.Done(stands) {
			return err
		}
		entry, err := e.Entry()
		if err != nil {
			return err
		}
		if err := tx.amend(ctx, entry, end, e.At.UnixMicro(), e.By, e.ID); err != nil {
			return err
		}
		fresh = true
		stands, err = findKey(ctx, tx.tx, e.ID)
		return err
	})
	if err != nil {
		return store.SigningKey{}, false, err
	}
	return stands, fresh, nil
}

// TrustedKeys implements store.KeyReader.
func (s *Store) TrustedKeys(ctx context.Context, ids ...string) (keys []store.SigningKey, err error) {
	f := filter{}
	f.add("revoked_at IS NULL")
	if len(ids) > 0 {
		var args []any
		for _, id := range ids {
			args = append(args, id)
		}
		f.add("id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", args...)
	}
	err = s.read(ctx, "look up signing keys", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT "+keyColumns+" FROM signing_keys"+f.sql()+" ORDER BY seq DESC LIMIT ?", append(f.args, max(store.MaxTrusted, len(ids)))...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			k, _, err := scanKey(rows)
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// SigningKeys implements store.KeyReader.
func (s *Store) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	return page(ctx, s, "list signing keys", query[store.SigningKey]{
		table: "signing_keys", columns: "seq, " + keyColumns, newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows *sql.Rows) (seq int64, k store.SigningKey, size int, err error) {
			k, size, err = scanKey(rows, &seq)
			return seq, k, size, err
		},
	})
}

func findKey(ctx context.Context, tx *sql.Tx, id string) (store.SigningKey, error) {
	k, _, err := scanKey(tx.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM signing_keys WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return k, fmt.Errorf("signing key %s: %w", approval.Display(id, 80), store.ErrNotFound)
	}
	return k, err
}

// scanKey reads what comes first, then a key's columns.
func scanKey(row interface{ Scan(...any) error }, first ...any) (k store.SigningKey, size int, err error) {
	var public []byte
	var doc, retiredBy, revokedBy string
	var retiredAt, revokedAt sql.NullInt64
	if err := row.Scan(append(first, &public, &doc, &retiredAt, &retiredBy, &revokedAt, &revokedBy)...); err != nil {
		return k, 0, err
	}
	if err := decode(doc, &k); err != nil {
		return k, 0, err
	}
	k.Public = public
	k.RetiredAt, k.RetiredBy = timeOrNil(retiredAt), retiredBy
	k.RevokedAt, k.RevokedBy = timeOrNil(revokedAt), revokedBy
	return k, len(doc), nil
}
