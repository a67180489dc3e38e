package postgres

import (
	"context"
	"strconv"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

func BenchmarkAdmit(b *testing.B) { storetest.BenchmarkAdmit(b, open(b, pgtest.New(b))) }
func BenchmarkAdmitParallel(b *testing.B) {
	storetest.BenchmarkAdmitParallel(b, open(b, pgtest.New(b)))
}
func BenchmarkGuard(b *testing.B)  { storetest.BenchmarkGuard(b, open(b, pgtest.New(b))) }
func BenchmarkAppend(b *testing.B) { storetest.BenchmarkAppend(b, open(b, pgtest.New(b))) }

// BenchmarkPending reads the reviewers' first page while 100 calls wait for people, and 100,000.
func BenchmarkPending(b *testing.B) {
	url := pgtest.New(b)
	s := open(b, url)
	conn := connect(b, url)
	storetest.BenchmarkPending(b, s, func(from, to int) {
		run(b, conn, `INSERT INTO pawl.calls (id, status, waits, tool, agent, session, risk, digest, run, created_at, view, verdict)
			SELECT 'pawl-' || i, 'pending', true, 'tool-' || (i % 20), 'agent-' || (i % 7), 'session-' || (i / 10), 'high', '', '',
				now(), '{"id":"' || i || '","reason":"' || repeat('0', 600) || '"}', '{}'
			FROM generate_series(`+strconv.Itoa(from)+`, `+strconv.Itoa(to)+`) AS i`)
		run(b, conn, `ANALYZE pawl.calls`)
	})
}

// BenchmarkCalls lists one page out of 100,000 calls, of which one in fifty waited for people and
// one in a thousand still does. EXPLAIN (ANALYZE) on Postgres 15: pages of requests with one
// status, and the count of pending ones, are read in order from calls_requests; several statuses
// are read from there and sorted; agent and tool together go backwards over calls_pkey until the
// page is full.
func BenchmarkCalls(b *testing.B) {
	url := pgtest.New(b)
	s := open(b, url)
	conn := connect(b, url)
	run(b, conn, `INSERT INTO pawl.calls (id, status, waits, tool, agent, session, risk, digest, run, created_at, ended_at, view, verdict)
		SELECT 'pawl-' || i, status, i % 50 IN (0, 7), 'tool-' || (i % 20), 'agent-' || (i % 7), 'session-' || (i / 10), '', '', '', now(),
			CASE WHEN status <> 'pending' THEN now() END, '{"id":"' || i || '","reason":"' || repeat('0', 600) || '"}', '{}'
		FROM generate_series(1, 100000) AS i,
			LATERAL (SELECT CASE WHEN i % 1000 = 0 THEN 'pending' WHEN i % 50 = 7 THEN 'rejected' ELSE 'executed' END AS status) AS s`)
	run(b, conn, `VACUUM ANALYZE pawl.calls`)
	storetest.BenchmarkCalls(b, s)
}

// BenchmarkLog has a server that flushes commits to the disk, as the bare rows' would.
func BenchmarkLog(b *testing.B) {
	server, err := pgtest.Durable("")
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(server.Remove)
	s := open(b, server.URL)
	run(b, connect(b, server.URL), `CREATE TABLE bare (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, call text, step text, kind text,
		at timestamptz, salt bytea, leaf bytea, payload bytea, metadata bytea, UNIQUE (call, step))`)
	const insert = `INSERT INTO public.bare (call, step, kind, at, salt, leaf, payload, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	storetest.BenchmarkLog(b, s, func(ctx context.Context, e audit.Entry) error {
		_, err := s.pool.Exec(ctx, insert, backend.EntryArgs(e)...)
		return err
	})
}
