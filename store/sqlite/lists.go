package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// Resolve implements store.Reader.
func (s *Store) Resolve(ctx context.Context, prefix string) (id string, err error) {
	if prefix == "" {
		return "", backend.Refuse(prefix, store.ErrNotFound)
	}
	err = s.read(ctx, "look an ID up", func(tx *sql.Tx) error {
		// What a prefix fits stands together and starts here, a whole ID first.
		rows, err := tx.QueryContext(ctx, `SELECT id FROM calls WHERE id >= ? ORDER BY id LIMIT 2`, prefix)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var next string
			if err := rows.Scan(&next); err != nil {
				return err
			}
			switch {
			case next == prefix:
				id = next
				return nil
			case !strings.HasPrefix(next, prefix):
			case id != "":
				return backend.Refuse(prefix, store.ErrAmbiguous)
			default:
				id = next
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if id == "" {
			return backend.Refuse(prefix, store.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Calls implements store.Reader.
func (s *Store) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	if err := backend.CheckQuery(q); err != nil {
		return store.Page[approval.View]{}, err
	}
	f, by := filter{}, ""
	if q.Requests && len(q.Statuses) > 0 {
		by = "+" // the status tells most apart: this keeps SQLite from another index
	}
	f.equal(by+"tool", q.Tool)
	f.equal(by+"agent", q.Agent)
	f.equal(by+"session", q.Session)
	f.equal("requester", q.Requester) // its index has the status, too
	f.equal(by+"risk", string(q.Risk))
	if q.Requests {
		f.add("waits = 1") // not a parameter: this is what the partial index is recognised by
	}
	if len(q.Statuses) > 0 {
		var known []any
		for _, status := range q.Statuses {
			if !slices.Contains(known, any(status)) {
				known = append(known, status)
			}
		}
		f.add("status IN (?"+strings.Repeat(", ?", len(known)-1)+")", known...)
	}
	return page(ctx, s, backend.Calls(q), f)
}

// Entries implements store.Reader.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	f := filter{}
	f.equal("call", q.Subject)
	f.equal("kind", string(q.Kind))
	if !q.Since.IsZero() {
		f.add("at >= ?", q.Since.UnixMicro())
	}
	return page(ctx, s, backend.Entries(q), f)
}

// filter is a WHERE clause of conditions that must all hold.
type filter struct {
	conditions []string
	args       []any
}

func (f *filter) add(condition string, args ...any) {
	f.conditions, f.args = append(f.conditions, condition), append(f.args, args...)
}

// equal asks for a value; an empty one does not restrict.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.add(column+" = ?", value)
	}
}

func (f filter) sql() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// page reads one page of what fits where, and counts, both from one snapshot. A cursor is the seq
// of the last row before the page, so rows that are added never shift it.
func page[T any](ctx context.Context, s *Store, l backend.List[T], where filter) (p store.Page[T], err error) {
	limit, err := backend.PageLimit(l.Limit)
	if err != nil {
		return p, err
	}
	rest := filter{slices.Clone(where.conditions), slices.Clone(where.args)}
	compare, order := " > ?", " ORDER BY seq"
	if l.Newest {
		compare, order = " < ?", " ORDER BY seq DESC"
	}
	if l.Cursor != "" {
		after, err := backend.ParseCursor(l.Table, l.Cursor)
		if err != nil {
			return p, err
		}
		rest.add("seq"+compare, after)
	}
	count := "SELECT count(*) FROM (SELECT 1 FROM " + l.Table + where.sql() + " LIMIT ?)"
	list := "SELECT seq, " + l.Size + ", " + l.Columns + " FROM " + l.Table + rest.sql() + order + " LIMIT ?"
	err = s.read(ctx, l.Doing, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, count, slices.Concat(where.args, []any{store.ExactTotal + 1})...).Scan(&p.Total)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, list, slices.Concat(rest.args, []any{limit + 1})...)
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
