package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// The database itself keeps tokens and signing keys from becoming more than they were, and what is
// revoked from coming back; an API has no right to remove them, nor the triggers.
func TestTokensAndKeysAreFinal(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	open(t, url)
	owner := connect(t, url)
	name, his := role(t, url, "")
	t.Cleanup(func() { pgtest.Exec(t, url, `DROP OWNED BY "`+name+`"`) })
	for _, grant := range documentedGrants(t, "architecture.md") {
		run(t, owner, strings.ReplaceAll(strings.ReplaceAll(grant, "TO worker", `TO "`+name+`"`), "TO api", `TO "`+name+`"`))
	}
	const random = `decode(repeat(md5(random()::text), 2), 'hex')`
	conn := connect(t, his)
	for _, query := range []string{
		`INSERT INTO pawl.tokens (id, hash, token) VALUES ('good', ` + random + `, '{"roles":["agent"]}')`,
		`INSERT INTO pawl.tokens (id, hash, token, revoked_at, revoked_by) VALUES ('revoked', ` + random + `, '{}', now(), 'ana')`,
		`INSERT INTO pawl.signing_keys (id, public, key) VALUES ('good', ` + random + `, '{}')`,
		`INSERT INTO pawl.signing_keys (id, public, key, retired_at, retired_by) VALUES ('retired', ` + random + `, '{}', now(), 'ana')`,
		`INSERT INTO pawl.signing_keys (id, public, key, revoked_at, revoked_by) VALUES ('revoked', ` + random + `, '{}', now(), 'ana')`,
	} {
		run(t, conn, query)
	}
	for _, c := range []struct{ query, want string }{
		{`UPDATE pawl.tokens SET token = '{"roles":["admin"]}' WHERE id = 'good'`, "never changes"},
		{`UPDATE pawl.tokens SET hash = ` + random + ` WHERE id = 'good'`, "never changes"},
		{`UPDATE pawl.tokens SET id = 'other' WHERE id = 'good'`, "never changes"},
		{`UPDATE pawl.tokens SET revoked_at = NULL, revoked_by = '' WHERE id = 'revoked'`, "never changes"},
		{`UPDATE pawl.tokens SET revoked_by = 'ben' WHERE id = 'revoked'`, "never changes"},
		{`UPDATE pawl.signing_keys SET public = ` + random + ` WHERE id = 'good'`, "never changes"},
		{`UPDATE pawl.signing_keys SET key = '{"note":"x"}' WHERE id = 'good'`, "never changes"},
		{`UPDATE pawl.signing_keys SET retired_at = NULL, retired_by = '' WHERE id = 'retired'`, "never changes"},
		{`UPDATE pawl.signing_keys SET retired_at = now() + interval '1 day' WHERE id = 'retired'`, "never changes"},
		{`UPDATE pawl.signing_keys SET revoked_at = NULL, revoked_by = '' WHERE id = 'revoked'`, "never changes"},
		{`DELETE FROM pawl.tokens`, "permission denied"},
		{`DELETE FROM pawl.signing_keys`, "permission denied"},
		{`DELETE FROM pawl.entries`, "permission denied"},
		{`TRUNCATE pawl.entries`, "permission denied"},
		{`INSERT INTO pawl.entries (seq, call, step, kind, at, metadata, leaf) OVERRIDING SYSTEM VALUE
			VALUES (1 << 40, 'c', 's', 'k', now(), '', ` + random + `)`, "permission denied"},
		{`ALTER TABLE pawl.entries DISABLE TRIGGER ALL`, "must be owner"},
		{`DROP TRIGGER entries_are_final ON pawl.entries`, "must be owner"},
		{`DROP TRIGGER tokens_are_final ON pawl.tokens`, "must be owner"},
		{`CREATE OR REPLACE FUNCTION pawl.final() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`, "permission denied"},
		{`SET session_replication_role = replica`, "permission denied"},
	} {
		if _, err := conn.Exec(t.Context(), c.query); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.query, err, c.want)
		}
	}
	run(t, conn, `UPDATE pawl.tokens SET revoked_at = now(), revoked_by = 'ana' WHERE id = 'good'`)
	run(t, conn, `UPDATE pawl.signing_keys SET revoked_at = now(), revoked_by = 'ana' WHERE id = 'retired'`)
}

// documentedGrants are those that a document shows first, for a worker and an API.
func documentedGrants(t *testing.T, doc string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + doc)
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```sql\n")
	block, _, _ = strings.Cut(block, "```")
	var grants []string
	for line := range strings.Lines(block) {
		grants = append(grants, strings.SplitN(line, ";", 2)[0])
	}
	if len(grants) < 5 {
		t.Fatalf("docs/%s shows the grants %q", doc, grants)
	}
	return grants
}
