package cli

import "testing"

func TestDatabaseNames(t *testing.T) {
	for url, want := range map[string]string{
		"sqlite://a/b.db": "SQLite a/b.db", "postgres://u:p@h:1/d?password=x": "Postgres h:1/d", "postgresql:///d": "Postgres /d",
		"postgres://u:p@%zz/": "unreadable URL", "u:p@h": "unreadable URL", "": "unreadable URL",
	} {
		if got := (Database{URL: url}).String(); got != want {
			t.Errorf("%s: %q", url, got)
		}
	}
}
