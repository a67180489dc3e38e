package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// settlePoll is how often a reader of the log looks whether the transactions in front of it have
// ended. They last milliseconds.
const settlePoll = 5 * time.Millisecond

// Resolve implements store.Reader.
func (s *Store) Resolve(ctx context.Context, prefix string) (id string, err error) {
	if prefix == "" || !storable(prefix) {
		return "", backend.Refuse(prefix, store.ErrNotFound)
	}
	var fits []string
	err = s.run(ctx, "look an ID up", func(ctx context.Context, conn *pgxpool.Conn) error {
		// What a prefix fits stands together and starts here, a whole ID first.
		rows, err := conn.Query(ctx, `SELECT id FROM pawl.calls WHERE id >= $1 ORDER BY id LIMIT 2`, prefix)
		if err != nil {
			return err
		}
		fits, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return "", err
	}
	fits = slices.DeleteFunc(fits, func(id string) bool { return !strings.HasPrefix(id, prefix) })
	switch {
	case len(fits) == 0:
		return "", backend.Refuse(prefix, store.ErrNotFound)
	case len(fits) == 2 && fits[0] != prefix:
		return "", backend.Refuse(prefix, store.ErrAmbiguous)
	}
	return fits[0], nil
}

// Calls implements store.Reader. A call that is committed late, with a number lower than one listed
// already, is found on a later page.
func (s *Store) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	if err := backend.CheckQuery(q); err != nil {
		return store.Page[approval.View]{}, err
	}
	f := filter{}
	f.equal("tool", q.Tool)
	f.equal("agent", q.Agent)
	f.equal("session", q.Session)
	f.equal("requester", q.Requester)
	f.equal("risk", string(q.Risk))
	if q.Requests {
		f.add("waits") // not a parameter: this is what the partial index is recognised by
	}
	var known []string
	for _, status := range q.Statuses {
		known = append(known, string(status))
	}
	switch len(known) {
	case 0:
	case 1: // an index gives the rows of one status in order
		f.equal("status", known[0])
	default:
		f.add("status = ANY(%s)", known)
	}
	p, _, err := page(ctx, s, backend.Calls(q), f)
	return p, err
}

// Entries implements store.Reader. A page that is not the last ends before the first entry that
// another may still come in front of; if that is its first one, Entries waits for the transactions
// that are writing.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	f := filter{}
	f.equal("call", q.Subject)
	f.equal("kind", string(q.Kind))
	if !q.Since.IsZero() {
		f.add("at >= %s", q.Since)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errSlow)
	defer cancel()
	for {
		settled, err := s.settled(ctx) // before the page's snapshot
		if err != nil {
			return store.Page[audit.Entry]{}, err
		}
		p, seqs, err := page(ctx, s, backend.Entries(q), f)
		if err != nil || p.Next == "" {
			return p, err // nobody goes on from a last page, so it may show what is there
		}
		if keep, _ := slices.BinarySearch(seqs, settled+1); keep > 0 {
			p.Items, p.Next = p.Items[:keep], backend.Cursor("entries", seqs[keep-1])
			return p, nil
		}
		select {
		case <-ctx.Done():
			return store.Page[audit.Entry]{}, explain(ctx, s.where, "wait for a transaction that writes to the audit log", ctx.Err())
		case <-time.After(settlePoll):
		}
	}
}

// settled is a place in the log before which nothing will appear any more; see the function of that
// name in the schema.
func (s *Store) settled(ctx context.Context) (seq int64, err error) {
	err = s.run(ctx, "list audit entries", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT pawl.settled()`).Scan(&seq)
	})
	return seq, err
}

// filter is a WHERE clause of conditions that must all hold.
type filter struct {
	conditions []string
	args       []any
}

// add takes a condition, with %s where its value goes.
func (f *filter) add(condition string, value ...any) {
	if len(value) > 0 {
		condition = fmt.Sprintf(condition, f.value(value[0]))
	}
	f.conditions = append(f.conditions, condition)
}

// value adds a parameter and returns its name.
func (f *filter) value(v any) string {
	f.args = append(f.args, v)
	return "$" + strconv.Itoa(len(f.args))
}

// equal asks for a value; an empty one does not restrict.
func (f *filter) equal(column, value string) {
	switch {
	case value == "":
	case !storable(value):
		f.add("false")
	default:
		f.add(column+" = %s", value)
	}
}

func (f *filter) sql() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// page reads one page of what fits where, with the seqs of its items, and counts, all from one
// snapshot. A cursor is the seq of the last row before the page, so rows that are added never shift
// it.
func page[T any](ctx context.Context, s *Store, l backend.List[T], where filter) (p store.Page[T], seqs []int64, err error) {
	limit, err := backend.PageLimit(l.Limit)
	if err != nil {
		return p, nil, err
	}
	all := where
	count := "SELECT count(*) FROM (SELECT FROM pawl." + l.Table + all.sql() + " LIMIT " + strconv.Itoa(store.ExactTotal+1) + ") AS counted"
	rest := filter{slices.Clone(all.conditions), slices.Clone(all.args)}
	compare, order := "seq > %s", "seq"
	if l.Newest {
		compare, order = "seq < %s", "seq DESC"
	}
	if l.Cursor != "" {
		after, err := backend.ParseCursor(l.Table, l.Cursor)
		if err != nil {
			return p, nil, err
		}
		rest.add(compare, after)
	}
	// One row more than the limit shows whether there are more. The server stops at PageBytes, because
	// everything it sends would have to be read.
	list := "SELECT seq, found, " + l.Columns +
		" FROM (SELECT *, count(*) OVER () AS found, coalesce(sum(size) OVER (ORDER BY " + order + " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before" +
		" FROM (SELECT seq, " + l.Columns + ", " + l.Size + " AS size FROM pawl." + l.Table + rest.sql() +
		" ORDER BY " + order + " LIMIT " + strconv.Itoa(limit+1) + ") AS found) AS sized" +
		" WHERE before < " + strconv.Itoa(store.PageBytes) + " ORDER BY " + order + " LIMIT " + strconv.Itoa(limit)
	err = s.read(ctx, l.Doing, func(ctx context.Context, tx pgx.Tx) error {
		p, seqs = store.Page[T]{}, nil // of an attempt before
		// Planned for these very values: a plan for any status would read past all calls to find the few
		// that are pending.
		if err := tx.QueryRow(ctx, count, slices.Concat([]any{pgx.QueryExecModeExec}, all.args)...).Scan(&p.Total); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, list, slices.Concat([]any{pgx.QueryExecModeExec}, rest.args)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		found := 0
		for rows.Next() {
			var seq int64
			item, err := l.Scan(rows, &seq, &found)
			if err != nil {
				return err
			}
			p.Items, seqs = append(p.Items, item), append(seqs, seq)
		}
		if found > len(p.Items) {
			p.Next = backend.Cursor(l.Table, seqs[len(seqs)-1])
		}
		return rows.Err()
	})
	if err != nil {
		return store.Page[T]{}, nil, err
	}
	return p, seqs, nil
}
