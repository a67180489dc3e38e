package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// plan is a node of EXPLAIN's JSON.
type plan struct {
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Loops   float64 `json:"Actual Loops"`
	Plans   []plan
}

// read is how many rows of tables it reads.
func (p plan) read() (rows float64) {
	if p.Table != "" {
		rows = (p.Rows + p.Removed) * p.Loops
	}
	for _, child := range p.Plans {
		rows += child.read()
	}
	return rows
}

// explained runs EXPLAIN for each query that is run on snapshots, and adds up the rows they read.
type explained struct {
	database
	rows  *float64
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
	err := q.Querier.Query(ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+query, args, func(rows backend.Rows) error {
		var doc string
		var plans []struct{ Plan plan }
		for rows.Next() {
			if err := rows.Scan(&doc); err != nil {
				return err
			}
		}
		if err := json.Unmarshal([]byte(doc), &plans); err != nil {
			return err
		}
		*q.e.rows += plans[0].Plan.read()
		*q.e.plans = append(*q.e.plans, query+"\n"+doc)
		return rows.Err()
	})
	if err != nil {
		return err
	}
	return q.Querier.Query(ctx, query, args, read)
}

// No list reads more rows than its page needs, in a store with 50,000 entries.
func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	conn := connect(t, url)
	fill(t, conn)
	run(t, conn, `VACUUM ANALYZE pawl.calls, pawl.entries`)
	e := explained{database{s}, new(float64), new([]string)}
	looking := backend.NewBase(e, s.Dialect())
	storetest.Searches(t, looking, func(t *testing.T, list func(), most int) {
		*e.rows, *e.plans = 0, nil
		if list(); *e.rows > float64(most) {
			t.Errorf("%.0f rows are read, at most %d are needed:\n%s", *e.rows, most, strings.Join(*e.plans, "\n"))
		}
	})
}

// fill writes what storetest.Searches looks for.
func fill(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	run(t, conn, `INSERT INTO pawl.calls
			(id, status, waits, tool, agent, session, risk, digest, run, created_at, ended_at, view, verdict)
		SELECT 'call-' || i, status, i % 50 IN (0, 7), CASE WHEN i = 1 THEN 'rare' ELSE 'tool-' || (i % 20) END,
			'agent-' || (i % 7), 'session-' || (i / 10), '', '', '',
			$2::timestamptz + ((2 * i - 2) * interval '1 second'),
			CASE WHEN status <> 'pending' THEN now() END, '{"id":"call-' || i || '"}', '{}'
		FROM generate_series(1, $1::int / 2) AS i,
			LATERAL (SELECT CASE WHEN i % 1000 = 0 THEN 'pending' WHEN i % 50 = 7 THEN 'rejected' ELSE 'executed' END
				AS status) AS s ORDER BY i`, storetest.Filled, storetest.SearchesBegin)
	run(t, conn, `INSERT INTO pawl.entries (call, step, kind, at, metadata, leaf, payload)
		SELECT 'call-' || i, CASE WHEN last THEN 'end' ELSE 'admit' END,
			CASE WHEN NOT last THEN 'call.requested' WHEN i % 100 = 0 THEN 'decision.counted' ELSE 'call.ended' END,
			$2::timestamptz + ((2 * i - 2 + last::int) * interval '1 second'), '{}', decode(repeat('00', 32), 'hex'),
			CASE WHEN i % 50 NOT IN (0, 7) THEN '\x017b7d'::bytea WHEN i % 100 = 0 AND last
				THEN convert_to('{"decision":{"reviewer":"reviewer-' || (i / 100 % 10) || '"}}', 'UTF8')
				ELSE convert_to('{"call":{"requester":"requester-' || (i / 50 % 10) || '"}}', 'UTF8') END
		FROM generate_series(1, $1::int / 2) AS i, (VALUES (false), (true)) AS l (last)
		ORDER BY i, last`, storetest.Filled, storetest.SearchesBegin)
}
