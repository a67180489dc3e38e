package postgres

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// callsVariable says how many calls BenchmarkLarge has, with ten entries each: 'make bench-large' sets
// a million.
const callsVariable = "PAWL_BENCH_CALLS"

// BenchmarkLarge looks for calls and entries in a large store, and writes to it.
func BenchmarkLarge(b *testing.B) {
	calls := 20_000
	if text := os.Getenv(callsVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			b.Fatalf("%s=%q is no number of calls from 1000 on", callsVariable, text)
		}
		calls = n
	}
	url := pgtest.New(b)
	s := open(b, url)
	enlarge(b, connect(b, url), calls)
	storetest.BenchmarkSearches(b, s, calls)
}

// enlarge writes calls, of which one in fifty waited for people and one in a thousand still does, and
// for each ten sealed entries, 100 ms apart: those of an allowed call and six decisions that were sent;
// in every hundredth call the last one counts. Leaf hashes are those that entries must have, and entries of
// calls that waited for nobody are packed.
func enlarge(b *testing.B, conn *pgx.Conn, calls int) {
	b.Helper()
	// Indexes are built from all rows at once, and nothing is logged for a crash: a minute's work, not an hour's.
	const indexes = `SELECT indexname, indexdef, EXISTS (SELECT FROM pg_constraint AS k WHERE k.conname = indexname)
		FROM pg_indexes WHERE schemaname = 'pawl' AND tablename = ANY ($1) AND indexname NOT LIKE '%_pkey'`
	rows, err := conn.Query(b.Context(), indexes, []string{"calls", "entries", "sealed"})
	if err != nil {
		b.Fatal(err)
	}
	type index struct {
		Name, Def  string
		Constraint bool
	}
	dropped, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range dropped {
		if i.Constraint {
			run(b, conn, `ALTER TABLE pawl.`+i.Name[:strings.Index(i.Name, "_")]+` DROP CONSTRAINT `+i.Name)
		} else {
			run(b, conn, `DROP INDEX pawl.`+i.Name)
		}
	}
	for _, table := range []string{"claims", "calls", "entries", "sealed"} { // claims refer to calls
		run(b, conn, `ALTER TABLE pawl.`+table+` SET UNLOGGED`)
	}
	run(b, conn, `SET maintenance_work_mem = '512MB'`)
	run(b, conn, `INSERT INTO pawl.calls
			(id, status, waits, tool, agent, session, requester, risk, digest, run, created_at, ended_at, view, verdict, identical)
		SELECT 'call-' || i, status, i % 50 IN (0, 7), CASE WHEN i = 1 THEN 'rare' ELSE 'tool-' || (i % 20) END,
			'agent-' || (i % 7), 'session-' || (i / 10), 'agent-' || (i % 7), '', encode(sha256(i::text::bytea), 'hex'), '',
			$2::timestamptz + i * interval '1 second', CASE WHEN status <> 'pending' THEN $2 + (i + 1) * interval '1 second' END,
			'{"id":"call-' || i || '","reason":"' || repeat('0', 300) || '"}', '{}', left(md5(i::text), 24)
		FROM generate_series(1, $1::int) AS i,
			LATERAL (SELECT CASE WHEN i % 1000 = 0 THEN 'pending' WHEN i % 50 = 7 THEN 'rejected' ELSE 'executed' END
				AS status) AS s ORDER BY i`, calls, storetest.SearchesBegin)
	run(b, conn, `INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata)
		SELECT call, step, kind, at, salt, sha256('\x00'::bytea || convert_to(
			'{"at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","call_id":"' || call
			|| '","kind":"' || kind || '","payload_sha256":"' || encode(sha256(salt || payload), 'hex')
			|| '","step":"' || step || '","v":2}', 'UTF8')),
			CASE WHEN i % 50 IN (0, 7) THEN payload ELSE '\x01'::bytea || payload END, ''
		FROM generate_series(1, $1::int) AS i, generate_series(0, 9) AS n, LATERAL (SELECT 'call-' || i AS call,
			CASE n WHEN 0 THEN 'admit' WHEN 1 THEN 'claim' WHEN 2 THEN 'start' WHEN 9 THEN 'end' ELSE 'sent/' || n END AS step,
			CASE WHEN n = 0 THEN 'call.requested' WHEN n = 1 THEN 'call.claimed' WHEN n = 2 THEN 'tool.started'
				WHEN n = 9 AND i % 100 = 0 THEN 'decision.counted' WHEN n = 9 THEN 'call.ended' ELSE 'decision.sent' END AS kind,
			$2::timestamptz + i * interval '1 second' + n * interval '100 ms' AS at, decode(md5(i || '/' || n), 'hex') AS salt,
			convert_to('{"notes":"' || repeat('0', 100) || '","' ||
				CASE WHEN n BETWEEN 3 AND 8 THEN 'reviewer' ELSE 'nobody' END || '":"reviewer-' || (i / 100 % 10) || '"}', 'UTF8') AS payload) AS e
		ORDER BY i, n`, calls, storetest.SearchesBegin)
	// As a sealer writes what comes together. Without indexes its trigger would read the whole table for each row.
	run(b, conn, `ALTER TABLE pawl.sealed DISABLE TRIGGER sealed_follow`)
	run(b, conn, `INSERT INTO pawl.sealed (log_index, entry, leaf, more)
		SELECT seq - 1, seq, leaf, (SELECT string_agg(e.leaf, '' ORDER BY e.seq) FROM pawl.entries AS e
			WHERE e.seq > first.seq AND e.seq < first.seq + 40)
		FROM pawl.entries AS first WHERE seq % 40 = 1 ORDER BY seq`)
	run(b, conn, `ALTER TABLE pawl.sealed ENABLE TRIGGER sealed_follow`)
	for _, i := range dropped {
		run(b, conn, i.Def)
	}
	run(b, conn, `VACUUM ANALYZE pawl.calls, pawl.entries, pawl.sealed`)
}
