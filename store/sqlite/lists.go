package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Resolve implements store.Reader.
func (s *Store) Resolve(ctx context.Context, prefix string) (id string, err error) {
	if prefix == "" {
		return "", refuse(prefix, store.ErrNotFound)
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
				return refuse(prefix, store.ErrAmbiguous)
			default:
				id = next
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if id == "" {
			return refuse(prefix, store.ErrNotFound)
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
	f, by := filter{}, ""
	if q.Requests && len(q.Statuses) > 0 {
		by = "+" // the status tells most apart: this keeps SQLite from another index
	}
	f.equal(by+"tool", q.Tool)
	f.equal(by+"agent", q.Agent)
	f.equal(by+"session", q.Session)
	f.equal("requester", q.Requester) // its index has the status, too
	f.equal(by+"risk", string(q.Risk))
	if q.Risk != "" {
		if _, err := approval.ParseRisk(string(q.Risk)); err != nil {
			return store.Page[approval.View]{}, err
		}
	}
	if q.Requests {
		f.add("waits = 1") // not a parameter: this is what the partial index is recognised by
	}
	if len(q.Statuses) > 0 {
		var known []any
		for _, status := range q.Statuses {
			if _, err := approval.ParseStatus(string(status)); err != nil {
				return store.Page[approval.View]{}, err
			}
			if !slices.Contains(known, any(status)) {
				known = append(known, status)
			}
		}
		f.add("status IN (?"+strings.Repeat(", ?", len(known)-1)+")", known...)
	}
	return page(ctx, s, "list calls", query[approval.View]{
		table: "calls", columns: "seq, view", newest: true, where: f, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows *sql.Rows) (seq int64, v approval.View, size int, err error) {
			var doc string
			if err := rows.Scan(&seq, &doc); err != nil {
				return 0, v, 0, err
			}
			return seq, v, len(doc), decode(doc, &v)
		},
	})
}

// Entries implements store.Reader.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	f := filter{}
	f.equal("call", q.Subject)
	f.equal("kind", string(q.Kind))
	if !q.Since.IsZero() {
		f.add("at >= ?", q.Since.UnixMicro())
	}
	return page(ctx, s, "list audit entries", query[audit.Entry]{
		table: "entries", columns: "seq, call, step, kind, at, metadata, leaf, payload", where: f, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows *sql.Rows) (seq int64, e audit.Entry, size int, err error) {
			var at int64
			var leaf, payload []byte
			if err := rows.Scan(&seq, &e.Subject, &e.Step, &e.Kind, &at, &e.Metadata, &leaf, &payload); err != nil {
				return 0, e, 0, err
			}
			if len(leaf) != len(e.Leaf) {
				return 0, e, 0, fmt.Errorf("%w: audit entry %d has no leaf hash", ErrDamaged, seq)
			}
			copy(e.Leaf[:], leaf)
			e.At, e.Payload = fromMicros(at), payload
			return seq, e, len(e.Metadata) + len(payload), nil
		},
	})
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

// query asks for one page of a table that is ordered by its column seq.
type query[T any] struct {
	table, columns string // seq is the first column
	where          filter
	newest         bool // newest first, else oldest first
	cursor         string
	limit          int
	scan           func(*sql.Rows) (seq int64, item T, size int, err error)
}

// page reads one page and counts, both from one snapshot. A cursor is the seq
// of the last row before the page, so rows that are added never shift it.
func page[T any](ctx context.Context, s *Store, doing string, q query[T]) (p store.Page[T], err error) {
	limit, err := store.PageLimit(q.limit)
	if err != nil {
		return p, err
	}
	rest := filter{slices.Clone(q.where.conditions), slices.Clone(q.where.args)}
	compare, order := " > ?", " ORDER BY seq"
	if q.newest {
		compare, order = " < ?", " ORDER BY seq DESC"
	}
	if q.cursor != "" {
		after, err := store.ParseCursor(q.table, q.cursor)
		if err != nil {
			return p, err
		}
		rest.add("seq"+compare, after)
	}
	err = s.read(ctx, doing, func(tx *sql.Tx) error {
		count := "SELECT count(*) FROM (SELECT 1 FROM " + q.table + q.where.sql() + " LIMIT ?)"
		if err := tx.QueryRowContext(ctx, count, slices.Concat(q.where.args, []any{store.ExactTotal + 1})...).Scan(&p.Total); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT "+q.columns+" FROM "+q.table+rest.sql()+order+" LIMIT ?", slices.Concat(rest.args, []any{limit + 1})...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last int64
		for held := 0; rows.Next(); {
			if len(p.Items) == limit || held >= store.PageBytes {
				p.Next = store.Cursor(q.table, last)
				return nil
			}
			seq, item, size, err := q.scan(rows)
			if err != nil {
				return err
			}
			last, held, p.Items = seq, held+size, append(p.Items, item)
		}
		return rows.Err()
	})
	if err != nil {
		return store.Page[T]{}, err
	}
	return p, nil
}
