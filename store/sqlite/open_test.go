package sqlite

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
)

func TestOpenMakesWhatIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data dir")
	s := open(t, filepath.Join(dir, "50%?#é.db"))
	admit(t, s, "a")
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir): 0o700 | fs.ModeDir, dir: 0o700 | fs.ModeDir,
		s.path: 0o600, s.path + "-wal": 0o600, s.path + "-shm": 0o600, s.path + lockSuffix: 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole(t, open(t, s.path), true, "a")
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("These are notes, not a database.\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	makeDB(t, other, `CREATE TABLE things (name TEXT)`)
	marked := filepath.Join(dir, "marked.db")
	makeDB(t, marked, `PRAGMA application_id = 7`)
	newer := filepath.Join(dir, "newer.db")
	s := open(t, newer)
	run(t, s, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		o        Options
		want     error // nil: any
		says     string
		nameless bool
	}{
		{name: "no path", o: Options{}, says: "needs a path", nameless: true},
		{name: "a folder", o: Options{Path: dir}, says: "is a folder"},
		{name: "a folder to read", o: Options{Path: dir, ReadOnly: true}, says: "is a folder"},
		{name: "a device", o: Options{Path: os.DevNull}, says: "not an ordinary file"},
		{name: "below a file", o: Options{Path: filepath.Join(file, "pawl.db")}, says: "not a directory"},
		{name: "nothing to read", o: Options{Path: filepath.Join(dir, "none.db"), ReadOnly: true}, want: ErrMissing},
		{name: "no folder to read in", o: Options{Path: filepath.Join(dir, "no", "none.db"), ReadOnly: true}, want: ErrMissing},
		{name: "not a database", o: Options{Path: file}, want: ErrForeign},
		{name: "not a database, to read", o: Options{Path: file, ReadOnly: true}, want: ErrForeign},
		{name: "another program's", o: Options{Path: other}, want: ErrForeign},
		{name: "another program's, to read", o: Options{Path: other, ReadOnly: true}, want: ErrForeign},
		{name: "another program's, empty", o: Options{Path: marked}, want: ErrForeign},
		{name: "a newer schema", o: Options{Path: newer}, want: store.ErrSchema, says: "999"},
		{name: "a newer schema, to read", o: Options{Path: newer, ReadOnly: true}, want: store.ErrSchema, says: "999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := os.ReadFile(c.o.Path)
			_, err := Open(t.Context(), c.o)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error is %v, want %v with %q", err, c.want, c.says)
			}
			if n := strings.Count(err.Error(), "store "+c.o.Path); !c.nameless && n != 1 {
				t.Errorf("the error names the file %d times, want once: %v", n, err)
			}
			if after, _ := os.ReadFile(c.o.Path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made a folder: %v", err)
	}
}

// Setting up may be interrupted between any two of its steps.
func TestOpenGoesOnWithAnInterruptedSetUp(t *testing.T) {
	mark := `PRAGMA application_id = 0x5061776C;`
	for name, query := range map[string]string{
		"empty file":      ``,
		"marked":          mark,
		"write-ahead log": mark + `PRAGMA journal_mode = WAL;`,
		"version table": mark + `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
			is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
			INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1);`,
	} {
		t.Run(name, func(t *testing.T) {
			path := fresh(t)
			makeDB(t, path, query)
			if _, err := Open(t.Context(), Options{Path: path, ReadOnly: true}); !errors.Is(err, ErrMissing) {
				t.Errorf("to read: %v, want %v", err, ErrMissing)
			}
			s := open(t, path)
			admit(t, s, "a")
			whole(t, openWith(t, Options{Path: path, ReadOnly: true}), true, "a")
		})
	}
}

func makeDB(t *testing.T, path, query string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), query)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOneOwner(t *testing.T) {
	path := fresh(t)
	s := open(t, path)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link, filepath.Join(filepath.Dir(path), ".", "pawl.db")} {
		_, err := Open(t.Context(), Options{Path: name})
		if !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), path+lockSuffix) {
			t.Errorf("a second owner of %s: %v, want %v with the lock file's name", name, err, ErrOwned)
		}
	}
	admit(t, s, "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole(t, open(t, link), true, "a")
}

func TestReadOnly(t *testing.T) {
	s := open(t, fresh(t))
	admit(t, s, "a")
	reader := openWith(t, Options{Path: s.path, ReadOnly: true})
	whole(t, reader, true, "a")
	admit(t, s, "b")
	whole(t, reader, true, "b")
	if page, err := reader.Calls(t.Context(), store.CallQuery{}); err != nil || page.Total != 2 {
		t.Errorf("a reader counts %d calls, %v", page.Total, err)
	}
	if err := reader.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	_, _, admitErr := reader.Admit(t.Context(), admission("c", nil))
	_, claimErr := reader.Claim(t.Context(), store.ClaimParams{ID: "a", Digest: "digest", At: time.Now(), GoodUntil: time.Now()})
	_, publishErr := reader.PublishTools(t.Context(), store.Publication{Publisher: "q"})
	_, forgetErr := reader.ForgetTools(t.Context(), "a")
	_, _, applyErr := reader.ApplyPolicy(t.Context(), applying)
	for what, err := range map[string]error{
		"ApplyPolicy": applyErr, "Admit": admitErr, "Claim": claimErr,
		"Append": reader.Append(t.Context(), admission("c", nil).Entries...), "PublishTools": publishErr, "ForgetTools": forgetErr,
	} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v, want %v", what, err, store.ErrReadOnly)
		}
	}
	if _, err := reader.reads.ExecContext(t.Context(), `DELETE FROM tools`); err == nil {
		t.Error("a reading connection wrote")
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole(t, reader, true, "a", "b")
	again := open(t, s.path)
	admit(t, again, "c")
	whole(t, reader, true, "a", "b", "c")
	if err := errors.Join(reader.Close(), again.Close()); err != nil {
		t.Fatal(err)
	}
	whole(t, openWith(t, Options{Path: s.path, ReadOnly: true}), true, "a", "b", "c") // nobody else has it open
}
