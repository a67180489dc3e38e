package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestFullDisk(t *testing.T) {
	s := open(t, fresh(t))
	admit(t, s, "before")
	var pages int
	if err := s.writes.QueryRowContext(t.Context(), `PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	run(t, s, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+5))

	large := json.RawMessage(`{"text":"` + strings.Repeat("x", 200_000) + `"}`)
	_, fresh, err := s.Admit(t.Context(), admission("large", large))
	if !errors.Is(err, ErrFull) || fresh || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("on a full disk: fresh %v, %v; want %v with the file's name", fresh, err, ErrFull)
	}
	if strings.Contains(err.Error(), "xxx") {
		t.Error("the error has the call's arguments")
	}
	if _, err := s.Call(t.Context(), "large"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a call that could not be written: %v, want %v", err, store.ErrNotFound)
	}
	whole(t, s, true, "before")
	admit(t, s, "small") // there is space for this one

	run(t, s, `PRAGMA max_page_count = 1000000`)
	if _, fresh, err := s.Admit(t.Context(), admission("large", large)); err != nil || !fresh {
		t.Errorf("with space again: fresh %v, %v", fresh, err)
	}
	whole(t, s, true, "before", "small", "large")
}

func TestDamagedFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"cut off", func(b []byte) []byte { return b[:len(b)/2] }},
		{"garbage from the second page on", func(b []byte) []byte { return spoil(b, 4096, len(b)) }},
		{"garbage in the middle", func(b []byte) []byte { return spoil(b, len(b)/3/4096*4096, len(b)*2/3) }},
		{"garbage in the first page", func(b []byte) []byte { return spoil(b, 100, 4096) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fresh(t)
			s := open(t, path)
			for i := range 100 {
				admit(t, s, fmt.Sprintf("call-%d", i))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.damage(file), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{false, true} {
				err := readAll(t, Options{Path: path, ReadOnly: readOnly})
				if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) {
					t.Errorf("read only %v: %v, want %v with the file's name", readOnly, err, store.ErrDamaged)
				}
			}
		})
	}
}

func spoil(b []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		b[i] = 0xA5
	}
	return b
}

// readAll reads every call and entry, and returns the first error.
func readAll(t *testing.T, o Options) error {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		return err
	}
	defer s.Close()
	for q := (store.CallQuery{Limit: 10}); ; {
		page, err := s.Calls(t.Context(), q)
		if err != nil {
			return err
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for q := (store.EntryQuery{Limit: 10}); ; {
		page, err := s.Entries(t.Context(), q)
		if err != nil {
			return err
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

func TestDamagedRows(t *testing.T) {
	s, run := tampering(t)
	storetest.DamagedRow(t, s, run)
}

func TestEntriesChanged(t *testing.T) {
	s := open(t, fresh(t))
	run(t, s, `DROP TRIGGER entries_are_final`)
	storetest.EntriesChanged(t, s, func(step, column string, value any) {
		run(t, s, `UPDATE entries SET `+column+` = ? WHERE step = ?`, value, step)
	})
}

func TestPermissions(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	prepare := func(t *testing.T) (dir, path string) {
		path = fresh(t)
		s := open(t, path)
		admit(t, s, "a")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		dir = filepath.Dir(path)
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		return dir, path
	}
	chmod := func(t *testing.T, path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(t *testing.T, o Options, says string) {
		t.Helper()
		_, err := Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), o.Path) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want the file's name and %q", o, err, says)
		}
	}
	t.Run("a file that may only be read", func(t *testing.T) {
		_, path := prepare(t)
		chmod(t, path, 0o400)
		refused(t, Options{Path: path}, "may not be written")
		whole(t, openWith(t, Options{Path: path, ReadOnly: true}), true, "a")
	})
	t.Run("a file that may not be read", func(t *testing.T) {
		_, path := prepare(t)
		chmod(t, path, 0)
		refused(t, Options{Path: path}, "can't be opened")
		refused(t, Options{Path: path, ReadOnly: true}, "can't be opened")
	})
	t.Run("a folder that may only be read", func(t *testing.T) {
		dir, path := prepare(t)
		if err := os.Remove(path + lockSuffix); err != nil {
			t.Fatal(err)
		}
		chmod(t, dir, 0o500)
		refused(t, Options{Path: path}, "write to the folder")
		refused(t, Options{Path: path, ReadOnly: true}, "copy the store")
	})
	t.Run("a folder that may not be entered", func(t *testing.T) {
		dir, path := prepare(t)
		chmod(t, dir, 0)
		refused(t, Options{Path: path}, "permissions")
		refused(t, Options{Path: path, ReadOnly: true}, "permissions")
	})
}
