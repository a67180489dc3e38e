package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
)

// A store of version 1, with calls, permits and tools in it, goes on.
func TestOpenUpgradesVersion1(t *testing.T) {
	database := fresh(t)
	using := func(id string) store.Use {
		return store.Use{ID: id, Digest: admission(id, nil).View.Digest, Run: "run", Activity: "1", At: time.Now()}
	}
	s := open(t, database)
	admit(t, s, "unused", "used")
	if err := s.Use(t.Context(), using("used")); err != nil {
		t.Fatal(err)
	}
	for _, back := range []string{
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

	if _, err := Open(t.Context(), Options{Path: database, ReadOnly: true}); !errors.Is(err, ErrSchema) || errors.Is(err, ErrNewer) {
		t.Errorf("opened without the right to upgrade: %v", err)
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
