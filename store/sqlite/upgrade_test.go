package sqlite

import (
	"errors"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

// A store of version 1, with calls, permits and tools in it, goes on.
func TestOpenUpgradesVersion1(t *testing.T) {
	database := fresh(t)
	s := open(t, database)
	storetest.Version1(t, s)
	for _, back := range []string{
		text(storetest.Unpack),
		`DROP TRIGGER calls_stay_erased`,
		`ALTER TABLE calls DROP COLUMN packed`,
		`DROP TRIGGER claims_are_final`,
		`DROP TRIGGER entries_are_final`,
		`DROP INDEX calls_erasable`,
		`ALTER TABLE calls DROP COLUMN erased`,
		`ALTER TABLE entries DROP COLUMN salt`,
		`ALTER TABLE entries DROP COLUMN hash`,
		`CREATE TRIGGER claims_are_final BEFORE UPDATE ON claims WHEN false BEGIN SELECT 1; END`,
		`CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries WHEN false BEGIN SELECT 1; END`,
		`DROP INDEX entries_at`,
		`DROP INDEX entries_acts`,
		`DROP INDEX calls_waited`,
		`DROP INDEX calls_days`,
		`DROP INDEX calls_deadline`,
		`ALTER TABLE calls DROP COLUMN deadline`,
		`DROP INDEX calls_identical`,
		`ALTER TABLE calls DROP COLUMN identical`,
		`DROP TRIGGER claims_have_executors`,
		`DROP TRIGGER claims_keep_executors`,
		`ALTER TABLE claims DROP COLUMN start`,
		`ALTER TABLE claims DROP COLUMN executor`,
		`DROP TRIGGER calls_settle_once`,
		`DROP INDEX calls_unknown`,
		`ALTER TABLE calls DROP COLUMN settled_at`,
		`DROP INDEX calls_alike`,
		`ALTER TABLE calls DROP COLUMN alike`,
		`ALTER TABLE calls DROP COLUMN lease_until`,
		`ALTER TABLE calls DROP COLUMN delivered_at`,
		`DROP TABLE alike_key`,
		`DROP TABLE own_tools`,
		`DROP TABLE sessions`,
		`DROP TABLE channels`,
		`DROP TABLE origins`,
		`DROP TABLE sealed`,
		`DROP TABLE nodes`,
		`DROP TABLE checkpoints`,
		`DROP TRIGGER claims_are_judged`,
		`ALTER TABLE claims DROP COLUMN policy`,
		`ALTER TABLE calls DROP COLUMN revision`,
		`DROP TABLE signing_keys`,
		`ALTER TABLE claims DROP COLUMN evidence`,
		`DROP TABLE policy_versions`,
		`DROP TABLE policies`,
		`DROP TABLE tokens`,
		`DROP INDEX calls_requester`,
		`ALTER TABLE calls DROP COLUMN requester`,
		`DROP INDEX calls_twin`,
		`ALTER TABLE calls DROP COLUMN twin`,
		`DROP TABLE identity`,
		`ALTER TABLE claims DROP COLUMN queue`,
		`ALTER TABLE tools RENAME COLUMN publisher TO queue`,
		`DELETE FROM goose_db_version WHERE version_id > 1`,
		`INSERT INTO tools (name, queue, tool) VALUES ('search', 'pawl', '{"name":"search","queue":"pawl","kind":"go","idempotent":false,"timeout":"1m0s"}')`,
	} {
		run(t, s, back)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := Open(t.Context(), Options{Path: database, ReadOnly: true}); !errors.Is(err, store.ErrSchema) || errors.Is(err, store.ErrNewer) {
		t.Errorf("opened without the right to upgrade: %v", err)
	}
	storetest.Upgraded(t, open(t, database))
}
