package postgres

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Erase implements store.Retention, by a function of the database: it has the right to empty entries,
// which users of the database lack.
func (s *Store) Erase(ctx context.Context, p store.EraseParams) (erased []string, err error) {
	if err := p.Check(); err != nil || len(p.IDs) == 0 {
		return nil, err
	}
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	var ids, views, verdicts []string
	for _, id := range p.IDs {
		r, err := s.Call(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case !r.View.Status.Ended():
			continue
		}
		view, verdict, err := remains(r, p)
		if err != nil {
			return nil, err
		}
		ids, views, verdicts = append(ids, id), append(views, view), append(verdicts, verdict)
	}
	e := p.Entry
	const erase = `SELECT pawl.erase($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	err = s.run(ctx, "erase calls", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, erase, ids, views, verdicts, int(p.Erase),
			e.Subject, e.Step, e.At, e.Salt, e.Leaf[:], []byte(e.Payload))
		if err == nil {
			erased, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			return uncertain{err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return erased, nil
}

// remains is what pawl.erase is to leave of a call's row: a tombstone, or, where only the payloads of its
// entries go, what they said of it.
func remains(r store.Record, p store.EraseParams) (view, verdict string, err error) {
	if p.Erase == store.EraseRow {
		return store.Tombstone(r, p.Entry.At)
	}
	doc, err := backend.PackedRow(r)
	return base64.StdEncoding.EncodeToString(doc), "", err
}

// PruneTokens implements store.Retention, by a function of the database likewise.
func (s *Store) PruneTokens(ctx context.Context, before time.Time) (int, error) {
	return s.PruneTokensBy(ctx, before, func(ids []string) (string, []any) {
		return `SELECT pawl.forget_tokens($1)`, []any{ids}
	})
}
