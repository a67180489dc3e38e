package osfile_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pawlhq/pawl/internal/osfile"
)

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	holder, other := open(), open()
	if err := osfile.Lock(holder); err != nil {
		t.Fatal(err)
	}
	if err := osfile.Lock(other); !errors.Is(err, osfile.ErrHeld) {
		t.Errorf("a lock that is held: %v", err)
	}
	if _, err := holder.WriteString("1234"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "1234" {
		t.Errorf("what the holder wrote reads %q, %v", text, err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := osfile.Lock(other); err != nil {
		t.Errorf("a lock whose holder has gone: %v", err)
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := osfile.SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := osfile.SyncDir(filepath.Join(dir, "none")); runtime.GOOS != "windows" && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestOthersMayWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "pawl.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		for mode, want := range map[os.FileMode]bool{
			0o777: true, 0o777 | os.ModeSticky: true, 0o702: true, 0o666: true, 0o775: false, 0o755: false, 0o700: false,
		} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if got := osfile.OthersMayWrite(path); got != want {
				t.Errorf("%s with %v: %v", filepath.Base(path), mode, got)
			}
		}
	}
	if osfile.OthersMayWrite(filepath.Join(dir, "none")) {
		t.Error("others may write to what is not there")
	}
}

func TestColumnsOfNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := osfile.Columns(f); n != 0 {
		t.Errorf("a file has %d columns", n)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "settings.json"), filepath.Join(dir, "link.json")
	if err := osfile.Replace(file, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	if err := osfile.Replace(link, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != "two" && runtime.GOOS != "windows" {
		t.Errorf("%q, %v", got, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v: the permissions changed", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
	if osfile.Replace(filepath.Join(dir, "absent", "x"), nil, 0o600) == nil {
		t.Error("a folder that is not there was no error")
	}
}

// A line that a crash has cut short takes none with it that is written later.
func TestJournalAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for n, torn := range []string{"", "{", `{"N":100`, `{"N":100}`, "\n", "\n{"} {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.WriteString(torn)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		j, err := osfile.OpenJournal(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = j.Read()
		if err := errors.Join(err, j.Append(map[string]int{"N": n}), j.Close()); err != nil {
			t.Fatal(err)
		}
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last, found := osfile.LastLine(doc, func(line []byte) (last map[string]int, ok bool) {
			return last, json.Unmarshal(line, &last) == nil
		})
		if !found || last["N"] != n {
			t.Errorf("behind %q, %v is found, want %d", torn, last, n)
		}
	}
}
