package postgres

import (
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store/backend"
)

// The statements of the hot path. pgx prepares each once per connection.
const (
	// admitCall is a whole transaction in one statement: the call, its permit if $14 is true, and its
	// entries ($17 to $23), or nothing of it: where its ID is known, or its duplicate is pending.
	admitCall = `WITH call AS (
			INSERT INTO pawl.calls
				(id, status, waits, tool, agent, session, risk, digest, run, created_at, ended_at, view, verdict,
					requester, twin, alike, identical, packed, lease_until, deadline)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $24, nullif($25, ''), nullif($27, ''),
				nullif($29, ''), $30, CASE WHEN $27 <> '' AND $11::timestamptz IS NULL THEN pawl.clock(30) END, $31)
			ON CONFLICT DO NOTHING RETURNING seq
		), claim AS (
			INSERT INTO pawl.claims (call, run, at, good_until, queue, policy, executor)
			SELECT seq, '', $10, $15, $16, $26, $28 FROM call WHERE $14
		), log AS (
			INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata)
			SELECT e.call, e.step, e.kind, e.at, e.salt, e.leaf, e.payload, '' FROM call,
				unnest($17::text[], $18::text[], $19::text[], $20::timestamptz[], $21::bytea[], $22::bytea[],
					$23::bytea[])
				WITH ORDINALITY AS e (call, step, kind, at, salt, leaf, payload, place)
			ORDER BY e.place
			ON CONFLICT (call, step) DO NOTHING
		)
		SELECT EXISTS (SELECT FROM call)`
	// insertOpen writes one entry of a call that is locked and has not ended.
	insertOpen = backend.AddEntry + ` ON CONFLICT (call, step) DO NOTHING`
	// insertEntries keeps no payload where the call's were erased before. The lock, which Erase waits
	// for and which waits for Erase, shows that for certain.
	insertEntries = `WITH known AS (
			SELECT id, erased FROM pawl.calls WHERE id = ANY ($1::text[]) FOR KEY SHARE
		)
		INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata, hash)
		SELECT e.call, e.step, e.kind, e.at, CASE WHEN k.id IS NULL THEN e.salt END, e.leaf,
			CASE WHEN k.id IS NULL THEN e.payload END, '',
			CASE WHEN k.id IS NOT NULL THEN sha256(e.salt || pawl.unpacked(e.payload, e.call)) END
		FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::bytea[])
			WITH ORDINALITY AS e (call, step, kind, at, salt, leaf, payload, place)
			LEFT JOIN known AS k ON k.id = e.call AND k.erased > 0 AND e.kind <> 'call.erased'
		ORDER BY e.place
		ON CONFLICT (call, step) DO NOTHING`
)

// entryArgs are the columns of entries, each as an array.
func entryArgs(entries []audit.Entry) []any {
	n := len(entries)
	calls, steps, kinds := make([]string, n), make([]string, n), make([]string, n)
	ats := make([]time.Time, n)
	salts, leaves, payloads := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, e := range entries {
		calls[i], steps[i], kinds[i], ats[i] = e.Subject, e.Step, string(e.Kind), e.At
		salts[i], leaves[i], payloads[i] = e.Salt, e.Leaf[:], e.Payload
	}
	return []any{calls, steps, kinds, ats, salts, leaves, payloads}
}
