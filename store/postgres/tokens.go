package postgres

import (
	"context"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

const (
	selectToken = `SELECT ` + backend.TokenColumns + ` FROM pawl.tokens WHERE id = $1`

	addToken    = `INSERT INTO pawl.tokens (id, hash, token) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`
	revokeToken = `UPDATE pawl.tokens SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL`
)

// AddToken implements store.Tokens.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	doc, entry, err := backend.Added(t)
	if err != nil {
		return err
	}
	known, fresh, err := amend(ctx, s, "keep a token", s.Token, entry, addToken, t.ID, [2]any{t.Hash[:], doc})
	if err == nil && !fresh && known.Hash != t.Hash {
		return approval.Errorf(approval.CodeInvalid, "token: another one has its ID")
	}
	return err
}

// RevokeToken implements store.Tokens.
func (s *Store) RevokeToken(ctx context.Context, r store.RevokeParams) (store.Token, bool, error) {
	if err := r.Check(); err != nil {
		return store.Token{}, false, err
	}
	if !storable(r.ID) {
		return store.Token{}, false, backend.About("token", r.ID, store.ErrNotFound)
	}
	entry, err := r.Entry()
	if err != nil {
		return store.Token{}, false, err
	}
	return amend(ctx, s, "revoke a token", s.Token, entry, revokeToken, r.ID, [2]any{r.At, r.By})
}

// Token implements store.TokenReader.
func (s *Store) Token(ctx context.Context, id string) (store.Token, error) {
	return one(ctx, s, "token", selectToken, id, backend.Token)
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	p, _, err := page(ctx, s, backend.Tokens(q), filter{})
	return p, err
}
