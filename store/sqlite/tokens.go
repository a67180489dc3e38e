package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

const tokenColumns = `hash, token, revoked_at, revoked_by`

// AddToken implements store.Tokens.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	doc, entry, err := store.Added(t)
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
	return page(ctx, s, "list tokens", query[store.Token]{
		table: "tokens", columns: "seq, " + tokenColumns, newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows *sql.Rows) (seq int64, t store.Token, size int, err error) {
			t, size, err = scanToken(rows, &seq)
			return seq, t, size, err
		},
	})
}

func findToken(ctx context.Context, tx *sql.Tx, id string) (store.Token, error) {
	t, _, err := scanToken(tx.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("token %s: %w", approval.Display(id, 80), store.ErrNotFound)
	}
	return t, err
}

// scanToken reads what comes first, then a token's columns.
func scanToken(row interface{ Scan(...any) error }, first ...any) (t store.Token, size int, err error) {
	var hash []byte
	var doc, revokedBy string
	var revokedAt sql.NullInt64
	if err := row.Scan(append(first, &hash, &doc, &revokedAt, &revokedBy)...); err != nil {
		return t, 0, err
	}
	if err := decode(doc, &t); err != nil {
		return t, 0, err
	}
	if copy(t.Hash[:], hash) != len(t.Hash) {
		return t, 0, fmt.Errorf("%w: a token has no hash", ErrDamaged)
	}
	t.RevokedAt, t.RevokedBy = timeOrNil(revokedAt), revokedBy
	return t, len(doc), nil
}
