package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

func TestExposedStores(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pawl.db")
	for _, tt := range []struct {
		dir, file os.FileMode
		want      string
	}{
		{0o700, 0o600, ""}, {0o755, 0o644, ""}, {0o775, 0o664, ""},
		{0o777, 0o600, "chmod o-w " + dir}, {0o700, 0o666, "chmod o-w " + file}, {0o777, 0o666, "chmod o-w " + file},
	} {
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, tt.file), os.Chmod(dir, tt.dir)); err != nil {
			t.Fatal(err)
		}
		if got := (Database{URL: "sqlite://" + file}).Exposed(); (tt.want == "") != (got == "") || !strings.HasSuffix(got, tt.want) {
			t.Errorf("%v %v: %q", tt.dir, tt.file, got)
		}
	}
	if got := (Database{URL: "postgres:///pawl"}).Exposed(); got != "" {
		t.Errorf("Postgres: %q", got)
	}
}
