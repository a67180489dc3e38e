package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

const (
	selectKey = `SELECT ` + backend.KeyColumns + ` FROM pawl.signing_keys WHERE id = $1`

	addKey    = `INSERT INTO pawl.signing_keys (id, public, key) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`
	retireKey = `UPDATE pawl.signing_keys SET retired_at = $2, retired_by = $3 WHERE id = $1 AND retired_at IS NULL AND revoked_at IS NULL`
	revokeKey = `UPDATE pawl.signing_keys SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL`
)

// AddKey implements store.Keys.
func (s *Store) AddKey(ctx context.Context, k store.SigningKey) (store.SigningKey, bool, error) {
	doc, entry, err := backend.Added(k)
	if err != nil {
		return store.SigningKey{}, false, err
	}
	stands, fresh, err := amend(ctx, s, "keep a signing key", s.key, entry, addKey, k.ID, [2]any{k.Public, doc})
	if err == nil && !fresh && !bytes.Equal(stands.Public, k.Public) {
		return store.SigningKey{}, false, approval.Errorf(approval.CodeInvalid, "signing key: another one has its ID")
	}
	return stands, fresh, err
}

// EndKey implements store.Keys.
func (s *Store) EndKey(ctx context.Context, e store.EndKeyParams) (store.SigningKey, bool, error) {
	if err := e.Check(); err != nil {
		return store.SigningKey{}, false, err
	}
	if !storable(e.ID) {
		return store.SigningKey{}, false, backend.About("signing key", e.ID, store.ErrNotFound)
	}
	entry, err := e.Entry()
	if err != nil {
		return store.SigningKey{}, false, err
	}
	end := retireKey
	if e.Revoke {
		end = revokeKey
	}
	return amend(ctx, s, "end a signing key", s.key, entry, end, e.ID, [2]any{e.At, e.By})
}

// key returns one key, whatever became of it.
func (s *Store) key(ctx context.Context, id string) (store.SigningKey, error) {
	return one(ctx, s, "signing key", selectKey, id, backend.Key)
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
		rows, err := conn.Query(ctx, "SELECT "+backend.KeyColumns+" FROM pawl.signing_keys"+f.sql()+" ORDER BY seq DESC LIMIT "+limit, f.args...)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.SigningKey, error) { return backend.Key(row) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// SigningKeys implements store.KeyReader.
func (s *Store) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	p, _, err := page(ctx, s, backend.Keys(q), filter{})
	return p, err
}
