package sqlite

import (
	"context"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/storetest"
)

func BenchmarkAdmit(b *testing.B)         { storetest.BenchmarkAdmit(b, open(b, fresh(b))) }
func BenchmarkAdmitParallel(b *testing.B) { storetest.BenchmarkAdmitParallel(b, open(b, fresh(b))) }
func BenchmarkGuard(b *testing.B)         { storetest.BenchmarkGuard(b, open(b, fresh(b))) }
func BenchmarkAppend(b *testing.B)        { storetest.BenchmarkAppend(b, open(b, fresh(b))) }

// BenchmarkPending reads the reviewers' first page while 100 calls wait for people, and 100,000.
func BenchmarkPending(b *testing.B) {
	s := open(b, fresh(b))
	storetest.BenchmarkPending(b, s, func(from, to int) {
		_, err := s.writes.ExecContext(b.Context(), `
			WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
			INSERT INTO calls (id, status, waits, tool, agent, session, risk, digest, run, created_at, view, verdict)
			SELECT 'pawl-' || i, 'pending', 1, 'tool-' || (i % 20), 'agent-' || (i % 7), 'session-' || (i / 10), 'high', '', '', i,
				'{"id":"' || i || '","reason":"' || hex(zeroblob(300)) || '"}', '{}' FROM n`, from, to)
		if err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkCalls lists one page out of 100,000 calls, of which one in fifty waited for people and
// one in a thousand still does.
func BenchmarkCalls(b *testing.B) {
	s := open(b, fresh(b))
	_, err := s.writes.ExecContext(b.Context(), `
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000),
		c (i, status, waits) AS (SELECT i, iif(i % 1000 = 0, 'pending', iif(i % 50 = 7, 'rejected', 'executed')), i % 50 IN (0, 7) FROM n)
		INSERT INTO calls (id, status, waits, tool, agent, session, risk, digest, run, created_at, ended_at, view, verdict)
		SELECT 'pawl-' || i, status, waits, 'tool-' || (i % 20), 'agent-' || (i % 7), 'session-' || (i / 10), '', '', '', i,
			iif(status = 'pending', NULL, i), '{"id":"' || i || '","reason":"' || hex(zeroblob(300)) || '"}', '{}' FROM c`)
	if err != nil {
		b.Fatal(err)
	}
	storetest.BenchmarkCalls(b, s)
}

func BenchmarkLog(b *testing.B) {
	s := open(b, fresh(b))
	if err := s.write(b.Context(), "test", func(t transaction) error {
		return t.Exec(b.Context(), `CREATE TABLE bare (seq INTEGER PRIMARY KEY, call TEXT, step TEXT, kind TEXT, at INTEGER,
			salt BLOB, leaf BLOB, payload BLOB, metadata BLOB, UNIQUE (call, step)) STRICT`)
	}); err != nil {
		b.Fatal(err)
	}
	const insert = `INSERT INTO bare (call, step, kind, at, salt, leaf, payload, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	storetest.BenchmarkLog(b, s, func(ctx context.Context, e audit.Entry) error {
		return s.write(ctx, "test", func(t transaction) error { return t.Exec(ctx, insert, backend.EntryArgs(e)...) })
	})
}
