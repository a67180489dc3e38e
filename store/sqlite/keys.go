package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// AddKey implements store.Keys.
func (s *Store) AddKey(ctx context.Context, k store.SigningKey) (stands store.SigningKey, fresh bool, err error) {
	doc, entry, err := backend.Added(k)
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
		rows, err := tx.QueryContext(ctx, "SELECT "+backend.KeyColumns+" FROM signing_keys"+f.sql()+" ORDER BY seq DESC LIMIT ?", append(f.args, max(store.MaxTrusted, len(ids)))...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			k, err := backend.Key(rows)
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
	return page(ctx, s, backend.Keys(q), filter{})
}

func findKey(ctx context.Context, tx *sql.Tx, id string) (store.SigningKey, error) {
	k, err := backend.Key(tx.QueryRowContext(ctx, `SELECT `+backend.KeyColumns+` FROM signing_keys WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = backend.About("signing key", id, store.ErrNotFound)
	}
	return k, err
}
