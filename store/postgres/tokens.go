package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

const (
	tokenColumns = `hash, token, revoked_at, revoked_by`
	selectToken  = `SELECT ` + tokenColumns + ` FROM pawl.tokens WHERE id = $1`

	// addToken and revokeToken are whole transactions in one statement: the
	// change with its entry ($4 to $10), or nothing.
	addToken = `WITH changed AS (
			INSERT INTO pawl.tokens (id, hash, token) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING seq
		), log AS (` + changeEntries + `)
		SELECT EXISTS (SELECT FROM changed)`
	revokeToken = `WITH changed AS (
			UPDATE pawl.tokens SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL RETURNING seq
		), log AS (` + changeEntries + `)
		SELECT EXISTS (SELECT FROM changed)`
	changeEntries = `INSERT INTO pawl.entries (call, step, kind, at, metadata, leaf, payload)
			SELECT e.call, e.step, e.kind, e.at, e.metadata, e.leaf, e.payload FROM changed,
				unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bytea[], $9::bytea[], $10::bytea[])
				WITH ORDINALITY AS e (call, step, kind, at, metadata, leaf, payload, place)
			ORDER BY e.place
			ON CONFLICT (call, step) DO NOTHING`
)

// AddToken implements store.Tokens.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	if err := t.Check(); err != nil {
		return err
	}
	entry, err := t.Entry()
	if err != nil {
		return err
	}
	doc, err := store.Encode(t)
	if err != nil {
		return err
	}
	known, fresh, err := s.changeToken(ctx, "keep a token", t.ID, addToken, append([]any{t.ID, t.Hash[:], doc}, entryArgs([]audit.Entry{entry})...))
	if err == nil && !fresh && known.Hash != t.Hash {
		return approval.Errorf(approval.CodeInvalid, "token: another one has its ID")
	}
	return err
}

// RevokeToken implements store.Tokens.
func (s *Store) RevokeToken(ctx context.Context, r store.Revocation) (store.Token, bool, error) {
	if err := r.Check(); err != nil {
		return store.Token{}, false, err
	}
	if !storable(r.ID) {
		return store.Token{}, false, unknownToken(r.ID)
	}
	entry, err := r.Entry()
	if err != nil {
		return store.Token{}, false, err
	}
	return s.changeToken(ctx, "revoke a token", r.ID, revokeToken, append([]any{r.ID, r.At, r.By}, entryArgs([]audit.Entry{entry})...))
}

// changeToken runs a statement that changes a token, or finds nothing to
// change, and returns the token as it stands.
func (s *Store) changeToken(ctx context.Context, doing, id, statement string, args []any) (t store.Token, fresh bool, err error) {
	if s.readOnly {
		return store.Token{}, false, store.ErrReadOnly
	}
	err = s.run(ctx, doing, func(ctx context.Context, conn *pgxpool.Conn) error {
		if err := conn.QueryRow(ctx, statement, args...).Scan(&fresh); err != nil {
			return uncertain{err}
		}
		return nil
	})
	if err == nil {
		// A token does not change further, so there is no hurry to look.
		t, err = s.Token(ctx, id)
	}
	if err != nil {
		return store.Token{}, false, err
	}
	return t, fresh, nil
}

// Token implements store.TokenReader.
func (s *Store) Token(ctx context.Context, id string) (t store.Token, err error) {
	if !storable(id) {
		return t, unknownToken(id)
	}
	err = s.run(ctx, "look up a token", func(ctx context.Context, conn *pgxpool.Conn) error {
		t, err = scanToken(conn.QueryRow(ctx, selectToken, id))
		if errors.Is(err, pgx.ErrNoRows) {
			return unknownToken(id)
		}
		return err
	})
	if err != nil {
		return store.Token{}, err
	}
	return t, nil
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	p, _, err := page(ctx, s, "list tokens", query[store.Token]{
		table: "tokens", columns: tokenColumns, size: "octet_length(token)", newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows pgx.Rows, seq *int64, found *int) (store.Token, error) { return scanToken(rows, seq, found) },
	})
	return p, err
}

func unknownToken(id string) error {
	return tell("token %s: %w", approval.Display(id, 80), store.ErrNotFound)
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
	if t.RevokedAt, t.RevokedBy = nil, revokedBy; revokedAt != nil {
		at := micros(*revokedAt)
		t.RevokedAt = &at
	}
	return t, nil
}
