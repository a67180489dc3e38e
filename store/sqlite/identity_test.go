package sqlite

import (
	"strings"
	"testing"
)

// The database itself keeps tokens and signing keys from becoming more than they were, and what is
// revoked from coming back.
func TestTokensAndKeysAreFinal(t *testing.T) {
	s := open(t, fresh(t))
	run(t, s, `INSERT INTO tokens (id, hash, token) VALUES ('good', randomblob(32), '{"roles":["agent"]}')`)
	run(t, s, `INSERT INTO tokens (id, hash, token, revoked_at, revoked_by) VALUES ('revoked', randomblob(32), '{}', 1, 'ana')`)
	run(t, s, `INSERT INTO signing_keys (id, public, key) VALUES ('good', randomblob(32), '{}')`)
	run(t, s, `INSERT INTO signing_keys (id, public, key, retired_at, retired_by) VALUES ('retired', randomblob(32), '{}', 1, 'ana')`)
	run(t, s, `INSERT INTO signing_keys (id, public, key, revoked_at, revoked_by) VALUES ('revoked', randomblob(32), '{}', 1, 'ana')`)
	for _, query := range []string{
		`UPDATE tokens SET token = '{"roles":["admin"]}' WHERE id = 'good'`,
		`UPDATE tokens SET hash = randomblob(32) WHERE id = 'good'`,
		`UPDATE tokens SET id = 'other' WHERE id = 'good'`,
		`UPDATE tokens SET revoked_at = NULL, revoked_by = '' WHERE id = 'revoked'`,
		`UPDATE tokens SET revoked_by = 'ben' WHERE id = 'revoked'`,
		`UPDATE signing_keys SET public = randomblob(32) WHERE id = 'good'`,
		`UPDATE signing_keys SET key = '{"note":"x"}' WHERE id = 'good'`,
		`UPDATE signing_keys SET retired_at = NULL, retired_by = '' WHERE id = 'retired'`,
		`UPDATE signing_keys SET retired_at = 2 WHERE id = 'retired'`,
		`UPDATE signing_keys SET revoked_at = NULL, revoked_by = '' WHERE id = 'revoked'`,
	} {
		if _, err := s.writes.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), "never changes") {
			t.Errorf("%s: %v", query, err)
		}
	}
	run(t, s, `UPDATE tokens SET revoked_at = 1, revoked_by = 'ana' WHERE id = 'good'`)
	run(t, s, `UPDATE signing_keys SET revoked_at = 2, revoked_by = 'ana' WHERE id = 'retired'`)
}
