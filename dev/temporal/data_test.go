package temporal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"modernc.org/sqlite"
)

// pragmas are what a connection answers after it was set up.
var pragmas struct {
	sync.Mutex
	byDSN map[string][]string
}

// The hook must be there before the first connection of the process: the driver does not lock it.
func init() {
	pragmas.byDSN = map[string][]string{}
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error {
		if !strings.Contains(dsn, "setup=") {
			return nil // not one of the server's
		}
		var got []string
		for _, name := range []string{"journal_mode", "synchronous", "busy_timeout"} {
			rows, err := conn.QueryContext(context.Background(), "PRAGMA "+name, nil)
			if err != nil {
				return err
			}
			row := make([]driver.Value, 1)
			if err := errors.Join(rows.Next(row), rows.Close()); err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%s=%v", name, row[0]))
		}
		pragmas.Lock()
		defer pragmas.Unlock()
		pragmas.byDSN[dsn] = append(pragmas.byDSN[dsn], strings.Join(got, " "))
		return nil
	})
}

func TestEveryConnectionIsDurable(t *testing.T) {
	// Characters that mean something in a SQLite URI must not lead to another file.
	dir := filepath.Join(t.TempDir(), "a b%20c?mode=memory#d")
	s := start(t, options(dir))
	c := dial(t, s.FrontendAddr())
	execute(t, c, "any", await)

	connections := 0
	pragmas.Lock()
	for dsn, answers := range pragmas.byDSN {
		if !strings.Contains(dsn, escapePath(dir)) {
			continue
		}
		for _, got := range answers {
			connections++
			if want := "journal_mode=wal synchronous=2 busy_timeout=10000"; got != want { // 2 is FULL
				t.Errorf("connection has %s, want %s", got, want)
			}
		}
	}
	pragmas.Unlock()
	if connections == 0 {
		t.Error("saw no connection of the server")
	}

	file := filepath.Join(dir, databaseFile)
	if mode := query[string](t, file, `PRAGMA journal_mode`); mode != "wal" {
		t.Errorf("journal mode is %q from outside", mode)
	}
	if n := query[int](t, file, `SELECT count(*) FROM executions`); n == 0 {
		t.Error("no execution in temporal.db")
	}
	if n := query[int](t, file, `SELECT count(DISTINCT shard_id) FROM shards`); n != DefaultHistoryShards {
		t.Errorf("%d shards, want %d", n, DefaultHistoryShards)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("files beside the data directory: %v, %v", entries, err)
	}

	stop(t, s)
	if fi, err := os.Stat(file + "-wal"); err == nil && fi.Size() > 0 {
		t.Errorf("write-ahead log holds %d bytes after a graceful stop", fi.Size())
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("database mode: %v, %v", fi.Mode(), err)
	}
}

func TestDatabaseMadeAnewInTheSameProcess(t *testing.T) {
	dir := t.TempDir()
	s := start(t, options(dir))
	execute(t, dial(t, s.FrontendAddr()), "old", await)
	stop(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s = start(t, options(dir))
	execute(t, dial(t, s.FrontendAddr()), "new", await)
	file := filepath.Join(dir, databaseFile)
	if n := query[int](t, file, `SELECT count(*) FROM current_executions WHERE workflow_id = 'new'`); n != 1 {
		t.Error("the new workflow is not in the new file: the server writes to the deleted one")
	}
}

func TestOtherSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	stop(t, start(t, options(dir)))
	query[int](t, filepath.Join(dir, databaseFile), `UPDATE pawl_setup SET schema = '0.1/0.1' RETURNING 1`)
	_, err := Start(t.Context(), options(dir))
	if err == nil || !strings.Contains(err.Error(), "0.1/0.1") || !strings.Contains(err.Error(), schemaVersion) {
		t.Errorf("other schema: %v, want both versions", err)
	}
}

func query[T any](t *testing.T, file, stmt string) T {
	t.Helper()
	db, err := openDatabase(file, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var got T
	if err := db.QueryRow(stmt).Scan(&got); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("%s: %v", stmt, err)
	}
	return got
}

func TestConfigure(t *testing.T) {
	keyword, double := enumspb.INDEXED_VALUE_TYPE_KEYWORD, enumspb.INDEXED_VALUE_TYPE_DOUBLE
	cfg := &persistencespb.NamespaceConfig{}
	steps := []struct {
		name    string
		ask     map[string]enumspb.IndexedValueType
		changed bool
		err     string
		want    map[string]string
	}{
		{"first", map[string]enumspb.IndexedValueType{"B": keyword, "A": keyword}, true, "", map[string]string{"Keyword01": "A", "Keyword02": "B"}},
		{"same again", map[string]enumspb.IndexedValueType{"A": keyword}, false, "", map[string]string{"Keyword01": "A", "Keyword02": "B"}},
		{"another type", map[string]enumspb.IndexedValueType{"D": double}, true, "", map[string]string{"Keyword01": "A", "Keyword02": "B", "Double01": "D"}},
		{"type changed", map[string]enumspb.IndexedValueType{"A": double}, false, `"A" is Keyword already`, nil},
		{"too many", map[string]enumspb.IndexedValueType{"E": double, "F": double, "G": double}, true, `no room for search attribute "G"`, nil},
	}
	for _, s := range steps {
		changed, err := configure(cfg, DefaultRetention, s.ask)
		if changed != s.changed {
			t.Errorf("%s: changed = %t", s.name, changed)
		}
		if (err == nil) != (s.err == "") || err != nil && !strings.Contains(err.Error(), s.err) {
			t.Errorf("%s: error %v, want %q", s.name, err, s.err)
		}
		for column, name := range s.want {
			if cfg.CustomSearchAttributeAliases[column] != name {
				t.Errorf("%s: %s is %q, want %q", s.name, column, cfg.CustomSearchAttributeAliases[column], name)
			}
		}
	}
}
