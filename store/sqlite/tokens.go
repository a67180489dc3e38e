package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// AddToken implements store.Tokens.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	doc, entry, err := backend.Added(t)
	if err != nil {
		return err
	}
	return s.write(ctx, "keep a token", func(tx transaction) error {
		known, err := findToken(ctx, tx.tx, t.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case known.Hash != t.Hash:
			return approval.Errorf(approval.CodeInvalid, "token: another one has its ID")
		default:
			return nil
		}
		return tx.amend(ctx, entry, `INSERT INTO tokens (id, hash, token) VALUES (?, ?, ?)`, t.ID, t.Hash[:], doc)
	})
}

// RevokeToken implements store.Tokens.
func (s *Store) RevokeToken(ctx context.Context, r store.RevokeParams) (t store.Token, fresh bool, err error) {
	if err := r.Check(); err != nil {
		return store.Token{}, false, err
	}
	entry, err := r.Entry()
	if err != nil {
		return store.Token{}, false, err
	}
	err = s.write(ctx, "revoke a token", func(tx transaction) error {
		if t, err = findToken(ctx, tx.tx, r.ID); err != nil || t.RevokedAt != nil {
			return err
		}
		if err := tx.amend(ctx, entry, `UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE id = ?`, r.At.UnixMicro(), r.By, r.ID); err != nil {
			return err
		}
		fresh = true
		t, err = findToken(ctx, tx.tx, r.ID)
		return err
	})
	if err != nil {
		return store.Token{}, false, err
	}
	return t, fresh, nil
}

// Token implements store.TokenReader.
func (s *Store) Token(ctx context.Context, id string) (t store.Token, err error) {
	err = s.read(ctx, "look up a token", func(tx *sql.Tx) error {
		t, err = findToken(ctx, tx, id)
		return err
	})
	if err != nil {
		return store.Token{}, err
	}
	return t, nil
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	return page(ctx, s, backend.Tokens(q), filter{})
}

func findToken(ctx context.Context, tx *sql.Tx, id string) (store.Token, error) {
	t, err := backend.Token(tx.QueryRowContext(ctx, `SELECT `+backend.TokenColumns+` FROM tokens WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = backend.About("token", id, store.ErrNotFound)
	}
	return t, err
}
