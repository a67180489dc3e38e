package postgres

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// settlePoll is how often a reader of the log looks whether the transactions in front of it have
// ended. They last milliseconds.
const settlePoll = 5 * time.Millisecond

// Calls implements store.Reader. A call that is committed late, with a number lower than one listed
// already, is found on a later page.
func (s *Store) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	l, err := backend.Calls(q, "waits", "")
	if err != nil {
		return store.Page[approval.View]{}, err
	}
	p, _, err := page(ctx, s, l)
	return p, err
}

// Tokens implements store.TokenReader.
func (s *Store) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	p, _, err := page(ctx, s, backend.Tokens(q))
	return p, err
}

// SigningKeys implements store.KeyReader.
func (s *Store) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	p, _, err := page(ctx, s, backend.Keys(q))
	return p, err
}

// PolicyVersions implements store.Policies.
func (s *Store) PolicyVersions(ctx context.Context, q store.Paging) (store.Page[store.PolicyVersion], error) {
	p, _, err := page(ctx, s, backend.Versions(q))
	return p, err
}

// Entries implements store.Reader. In the order written, a page that is not the last ends before the
// first entry that another may still come in front of; if that is its first one, Entries waits for
// the transactions that are writing.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	list, err := backend.Entries(q, "position(%s::bytea in payload) > 0")
	if err != nil {
		return store.Page[audit.Entry]{}, err
	}
	if q.Newest { // as in Calls
		p, _, err := page(ctx, s, list)
		return p, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errSlow)
	defer cancel()
	for {
		settled, err := s.settled(ctx) // before the page's snapshot
		if err != nil {
			return store.Page[audit.Entry]{}, err
		}
		p, seqs, err := page(ctx, s, list)
		if err != nil || p.Next == "" {
			return p, err // no page follows a last one, so it may show all that is there
		}
		if keep, _ := slices.BinarySearch(seqs, settled+1); keep > 0 {
			p.Items, p.Next = p.Items[:keep], backend.Cursor("entries", seqs[keep-1])
			return p, nil
		}
		if !retry.Sleep(ctx, settlePoll) {
			const doing = "wait for a transaction that writes to the audit log"
			return store.Page[audit.Entry]{}, explain(ctx, s.where, doing, ctx.Err())
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

// page reads one page, with the seqs of its items, and counts, all from one snapshot.
func page[T any](
	ctx context.Context, s *Store, l backend.List[T],
) (p store.Page[T], seqs []int64, err error) {
	rest, order, limit, err := l.Page()
	if err != nil {
		return p, nil, err
	}
	// One row more than the limit shows whether there are more. The server stops at PageBytes, because
	// everything it sends would have to be read.
	list := "SELECT seq, found, " + l.Columns + " FROM (" +
		"SELECT *, count(*) OVER () AS found, coalesce(sum(size) OVER (ORDER BY " + order +
		" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM (" +
		"SELECT seq, " + l.Columns + ", " + l.Size + " AS size FROM pawl." + l.Table + rest.SQL() +
		" ORDER BY " + order + " LIMIT " + strconv.Itoa(limit+1) + ") AS found) AS sized" +
		" WHERE before < " + strconv.Itoa(store.PageBytes) + " ORDER BY " + order + " LIMIT " + strconv.Itoa(limit)
	// Planned for these very values: a plan for any status would read past all calls to find the few
	// that are pending.
	planned := func(args []any) []any { return slices.Concat([]any{pgx.QueryExecModeExec}, args) }
	err = s.read(ctx, l.Doing, func(ctx context.Context, tx pgx.Tx) error {
		p, seqs = store.Page[T]{}, nil // of an attempt before
		if err := tx.QueryRow(ctx, l.Count(), planned(l.Where.Args)...).Scan(&p.Total); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, list, planned(rest.Args)...)
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
