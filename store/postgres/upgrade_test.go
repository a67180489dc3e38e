package postgres

import (
	"errors"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// A store of version 1, with calls, permits and tools in it, goes on.
func TestOpenUpgradesVersion1(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	s := open(t, database)
	storetest.Version1(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, database,
		storetest.Unpack,
		`DROP FUNCTION pawl.erase, pawl.forget_tokens, pawl.unpacked`,
		`DROP TRIGGER calls_stay_erased ON pawl.calls`,
		`DROP TRIGGER calls_erased_on_record ON pawl.calls`,
		`ALTER TABLE pawl.calls DROP COLUMN packed`,
		`DROP TRIGGER claims_are_final ON pawl.claims`,
		`DROP TRIGGER entries_are_final ON pawl.entries`,
		`ALTER TABLE pawl.calls DROP COLUMN erased`,
		`ALTER TABLE pawl.entries DROP COLUMN salt, DROP COLUMN hash`,
		`CREATE TRIGGER claims_are_final BEFORE UPDATE ON pawl.claims FOR EACH ROW WHEN (false) EXECUTE FUNCTION pawl.final('x')`,
		`CREATE TRIGGER entries_are_final BEFORE UPDATE ON pawl.entries FOR EACH ROW WHEN (false) EXECUTE FUNCTION pawl.final('x')`,
		`DROP INDEX pawl.entries_at`,
		`DROP INDEX pawl.entries_acts`,
		`DROP INDEX pawl.calls_waited`,
		`DROP INDEX pawl.calls_days`,
		`ALTER TABLE pawl.calls DROP COLUMN deadline`,
		`DROP TRIGGER claims_keep_executors ON pawl.claims`,
		`ALTER TABLE pawl.claims DROP COLUMN start, DROP COLUMN executor`,
		`DROP TRIGGER calls_settle_once ON pawl.calls`,
		`ALTER TABLE pawl.calls DROP COLUMN settled_at`,
		`ALTER TABLE pawl.calls DROP COLUMN alike, DROP COLUMN identical, DROP COLUMN lease_until, DROP COLUMN delivered_at`,
		`DROP TABLE pawl.alike_key, pawl.own_tools, pawl.sessions, pawl.channels`,
		`DROP TABLE pawl.origins, pawl.sealed, pawl.nodes, pawl.checkpoints`,
		`DROP FUNCTION pawl.clock`,
		`ALTER TABLE pawl.claims DROP COLUMN policy`,
		`ALTER TABLE pawl.calls DROP COLUMN revision`,
		`DROP TABLE pawl.signing_keys`,
		`ALTER TABLE pawl.claims DROP COLUMN evidence`,
		`DROP TABLE pawl.policy_versions, pawl.policies`,
		`DROP TABLE pawl.tokens`,
		`ALTER TABLE pawl.calls DROP COLUMN requester`,
		`ALTER TABLE pawl.calls DROP COLUMN twin`,
		`DROP TABLE pawl.identity`,
		`ALTER TABLE pawl.claims DROP COLUMN queue`,
		`ALTER TABLE pawl.tools RENAME COLUMN publisher TO queue`,
		`DELETE FROM pawl.goose_db_version WHERE version_id > 1`,
		`INSERT INTO pawl.tools (name, queue, tool) VALUES ('search', 'pawl', '{"name":"search","queue":"pawl","kind":"go","idempotent":false,"timeout":"1m0s"}')`)

	for _, o := range []Options{{URL: database, ReadOnly: true}, {URL: database, KeepSchema: true}} {
		if _, err := Open(t.Context(), o); !errors.Is(err, store.ErrSchema) || errors.Is(err, store.ErrNewer) {
			t.Errorf("opened without the right to upgrade: %v", err)
		}
	}
	storetest.Upgraded(t, open(t, database))
}
