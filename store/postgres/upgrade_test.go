package postgres

import (
	"errors"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// A store of version 1, with calls, permits and tools in it, goes on.
func TestOpenUpgradesVersion1(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	s := open(t, database)
	admit(t, s, "unused", "used")
	if err := s.Use(t.Context(), using("used")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, database,
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
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrSchema) || errors.Is(err, ErrNewer) {
			t.Errorf("opened without the right to upgrade: %v", err)
		}
	}
	s = open(t, database)
	for id, used := range map[string]bool{"unused": false, "used": true} {
		r, err := s.Call(t.Context(), id)
		if err != nil || r.Claim == nil || r.Claim.Queue != "" || r.Claim.UsedAt.IsZero() == used {
			t.Errorf("%s: %+v, %v", id, r.Claim, err)
		}
	}
	if err := s.Use(t.Context(), using("used")); !errors.Is(err, store.ErrStarted) {
		t.Errorf("a permit was used twice: %v", err)
	}
	if err := s.Use(t.Context(), using("unused")); err != nil {
		t.Errorf("a permit of before can't be used: %v", err)
	}
	if _, err := s.ActivePolicy(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the active policy of a store that had none: %v", err)
	}
	if _, fresh, err := s.ApplyPolicy(t.Context(), applying); err != nil || !fresh {
		t.Errorf("a policy can't be applied: %v", err)
	}
	if tool, err := s.Tool(t.Context(), "search"); err != nil || tool.Queue != "pawl" || tool.Publisher != "pawl" {
		t.Errorf("the tool is %+v, %v", tool, err)
	}
}
