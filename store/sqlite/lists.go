package sqlite

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Calls implements store.Reader.
func (s *Store) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	// A plus keeps SQLite from the index of a column.
	l, err := backend.Calls(q, "waits = 1", "+")
	if err != nil {
		return store.Page[approval.View]{}, err
	}
	return page(ctx, s, l)
}

// Entries implements store.Reader.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	l, err := backend.Entries(q, "instr(payload, %s) > 0")
	if err != nil {
		return store.Page[audit.Entry]{}, err
	}
	return page(ctx, s, l)
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	return page(ctx, s, backend.Tokens(q))
}

// SigningKeys implements store.KeyReader.
func (s *Store) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	return page(ctx, s, backend.Keys(q))
}

// PolicyVersions implements store.Policies.
func (s *Store) PolicyVersions(ctx context.Context, q store.Paging) (store.Page[store.PolicyVersion], error) {
	return page(ctx, s, backend.Versions(q))
}

// page reads one page and counts, both from one snapshot.
func page[T any](ctx context.Context, s *Store, l backend.List[T]) (p store.Page[T], err error) {
	rest, order, limit, err := l.Page()
	if err != nil {
		return p, err
	}
	list := "SELECT seq, " + l.Size + ", " + l.Columns + " FROM pawl." + l.Table + rest.SQL() +
		" ORDER BY " + order + " LIMIT " + strconv.Itoa(limit+1)
	err = s.read(ctx, l.Doing, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, text(l.Count()), values(l.Where.Args)...).Scan(&p.Total)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, text(list), values(rest.Args)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var seq int64
		for held, size := 0, 0; rows.Next(); held += size {
			if len(p.Items) == limit || held >= store.PageBytes {
				p.Next = backend.Cursor(l.Table, seq)
				return nil
			}
			item, err := l.Scan(rows, &seq, &size)
			if err != nil {
				return err
			}
			p.Items = append(p.Items, item)
		}
		return rows.Err()
	})
	if err != nil {
		return store.Page[T]{}, err
	}
	return p, nil
}
