package osfile_test

import (
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
