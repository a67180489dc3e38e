package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

const (
	tokenColumns = `hash, token, revoked_at, revoked_by`
	selectToken  = `SELECT ` + tokenColumns + ` FROM pawl.tokens WHERE id = $1`

	addToken    = `INSERT INTO pawl.tokens (id, hash, token) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`
	revokeToken = `UPDATE pawl.tokens SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL`
)

// AddToken implements store.Tokens.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	doc, entry, err := store.Added(t)
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
		return store.Token{}, false, unknown("token", r.ID)
	}
	entry, err := r.Entry()
	if err != nil {
		return store.Token{}, false, err
	}
	return amend(ctx, s, "revoke a token", s.Token, entry, revokeToken, r.ID, [2]any{r.At, r.By})
}

// Token implements store.TokenReader.
func (s *Store) Token(ctx context.Context, id string) (store.Token, error) {
	return one(ctx, s, "token", selectToken, id, func(row pgx.Row) (store.Token, error) { return scanToken(row) })
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	p, _, err := page(ctx, s, "list tokens", query[store.Token]{
		table: "tokens", columns: tokenColumns, size: "octet_length(token)", newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows pgx.Rows, seq *int64, found *int) (store.Token, error) { return scanToken(rows, seq, found) },
	})
	return p, err
}

// scanToken reads what comes first, then a token's columns.
func scanToken(row pgx.Row, first ...any) (t store.Token, err error) {
	var hash []byte
	var doc, revokedBy string
	var revokedAt *time.Time
	if err := row.Scan(append(first, &hash, &doc, &revokedAt, &revokedBy)...); err != nil {
		return t, err
	}
	if err := decode(doc, &t); err != nil {
		return t, err
	}
	if copy(t.Hash[:], hash) != len(t.Hash) {
		return t, fmt.Errorf("%w: a token has no hash", ErrDamaged)
	}
	t.RevokedAt, t.RevokedBy = microsOrNil(revokedAt), revokedBy
	return t, nil
}
