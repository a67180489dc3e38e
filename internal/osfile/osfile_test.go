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
