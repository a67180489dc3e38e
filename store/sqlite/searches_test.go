package sqlite

import (
	"context"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/storetest"
)

// explained asks for the plan of each query that is run on snapshots.
type explained struct {
	database
	plans *[]string
}

type explainedQuerier struct {
	backend.Querier
	e explained
}

func (d explained) Snapshot(ctx context.Context, doing string, read func(backend.Querier) error) error {
	return d.database.Snapshot(ctx, doing, func(tx backend.Querier) error { return read(explainedQuerier{tx, d}) })
}

func (q explainedQuerier) Query(
	ctx context.Context, query string, args []any, read func(backend.Rows) error,
) error {
	err := q.Querier.Query(ctx, `EXPLAIN QUERY PLAN `+query, args, func(rows backend.Rows) error {
		var id, parent, unused int
		var detail string
		for rows.Next() {
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			*q.e.plans = append(*q.e.plans, detail+"  <- "+query)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	return q.Querier.Query(ctx, query, args, read)
}

// sortedLists are those that sort what an index found, and why they may.
var sortedLists = map[string]string{"entries/one_call's": "a call has few entries"}

// No list reads a table from end to end, or sorts more than a page of what it finds, but those of
// sortedLists, in a store with 50,000 entries. The plans are the same for any number: the store keeps
// no statistics.
func TestListsUseIndexes(t *testing.T) {
	s := open(t, fresh(t))
	fill(t, s)
	e := explained{database{s}, new([]string)}
	looking := backend.NewBase(e, s.Dialect())
	sorted := map[string]bool{}
	storetest.Searches(t, looking, func(t *testing.T, list func(), _ int) {
		*e.plans = nil
		list()
		_, name, _ := strings.Cut(t.Name(), "/")
		for _, plan := range *e.plans {
			switch {
			case strings.HasPrefix(plan, "SCAN calls"), strings.HasPrefix(plan, "SCAN entries"):
				frequent := strings.Contains(plan, "WHERE kind = $1)") // a thousand are found at once
				inOrder := frequent || strings.Contains(plan, " USING ")
				if !inOrder || !strings.Contains(plan, " LIMIT ") {
					t.Errorf("a table is read from end to end: %s", plan)
				}
			case strings.Contains(plan, "USE TEMP B-TREE"):
				page := strings.Contains(plan, " WHERE seq IN (") // found before, in order
				sorted[name] = sorted[name] || !page
				if !page && sortedLists[name] == "" {
					t.Errorf("what is found is sorted: %s", plan)
				}
			}
		}
		if len(*e.plans) == 0 {
			t.Error("nothing was explained")
		}
	})
	for name, why := range sortedLists {
		if !sorted[name] {
			t.Errorf("%s sorts nothing: remove it from the lists that may, because %s", name, why)
		}
	}
}

// fill writes what storetest.Searches looks for.
func fill(t *testing.T, s *Store) {
	t.Helper()
	err := s.write(t.Context(), "fill", func(tx transaction) error {
		const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1 / 2) `
		if err := tx.Exec(t.Context(), numbers+`INSERT INTO calls
				(id, status, waits, tool, agent, session, risk, digest, run, created_at, ended_at, view, verdict)
			SELECT 'call-' || i, status, i % 50 IN (0, 7), iif(i = 1, 'rare', 'tool-' || (i % 20)),
				'agent-' || (i % 7), 'session-' || (i / 10), '', '', '', $2 + (2 * i - 2) * 1000000, iif(status <> 'pending', 1, NULL),
				'{"id":"call-' || i || '"}', '{}'
			FROM (SELECT i, iif(i % 1000 = 0, 'pending', iif(i % 50 = 7, 'rejected', 'executed')) AS status FROM n)
			ORDER BY i`, storetest.Filled, storetest.SearchesBegin.UnixMicro()); err != nil {
			return err
		}
		return tx.Exec(t.Context(), numbers+`INSERT INTO entries (call, step, kind, at, metadata, leaf, payload)
			SELECT 'call-' || i, iif(last, 'end', 'admit'),
				iif(NOT last, 'call.requested', iif(i % 100 = 0, 'decision.counted', 'call.ended')),
				$2 + (2 * i - 2 + last) * 1000000, CAST('{}' AS BLOB), zeroblob(32),
				iif(i % 50 NOT IN (0, 7), x'017b7d', CAST(iif(i % 100 = 0 AND last,
					'{"decision":{"reviewer":"reviewer-' || (i / 100 % 10) || '"}}',
					'{"call":{"requester":"requester-' || (i / 50 % 10) || '"}}') AS BLOB))
			FROM n, (SELECT 0 AS last UNION ALL SELECT 1) ORDER BY i, last`,
			storetest.Filled, storetest.SearchesBegin.UnixMicro())
	})
	if err != nil {
		t.Fatal(err)
	}
}
