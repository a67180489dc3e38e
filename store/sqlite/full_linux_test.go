package sqlite

import (
	"bytes"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pawlhq/pawl/store/storetest"
)

// A store that can be read and not written to is not ready: every call would fail.
func TestPingWrites(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(t *testing.T, s *Store) (restore func())
	}{
		{"a full disk", func(t *testing.T, s *Store) func() {
			signal.Ignore(syscall.SIGXFSZ) // else the process would end
			var before syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a read-only disk", func(t *testing.T, s *Store) func() {
			run(t, s, `PRAGMA query_only = true`)
			return func() { run(t, s, `PRAGMA query_only = false`) }
		}},
		{"a file that was moved away", func(t *testing.T, s *Store) func() { return move(t, s.path, s.path+".old") }},
		{"a folder that was moved away", func(t *testing.T, s *Store) func() {
			dir := filepath.Dir(s.path)
			return move(t, dir, dir+".old")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, fresh(t))
			admit(t, s, "before")
			reader := openReader(t, s.path)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			restore := c.arrange(t, s)
			ping := s.Ping(t.Context())
			_, _, admitted := s.Admit(t.Context(), admission("lost", nil))
			beside := reader.Ping(t.Context())
			restore()
			if ping == nil || admitted == nil {
				t.Errorf("Ping says %v where a call says %v", ping, admitted)
			}
			if !strings.HasSuffix(c.name, "moved away") && beside != nil {
				t.Errorf("a handle that only reads: %v", beside)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("with the fault gone: %v", err)
			}
			whole(t, s, true, "before")
		})
	}
}

// move moves a file or folder away, until restore.
func move(t *testing.T, from, to string) (restore func()) {
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(to, from); err != nil {
			t.Fatal(err)
		}
	}
}

func openReader(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestFolderOfOthers(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o700: false, 0o755: false, 0o775: true, 0o777: true} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		o := Options{Path: filepath.Join(dir, "pawl.db"), Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if err := openWith(t, o).Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "chmod go-w") != want {
			t.Errorf("%o: %s", mode, log.String())
		}
		if o.ReadOnly = true; openWith(t, o) != nil && strings.Count(log.String(), "chmod") > 1 {
			t.Errorf("%o: a handle that only reads warns", mode)
		}
	}
}

// On a disk that is really full no step of a call is taken and none is half written: each says so, and
// is taken when there is space again.
func TestFullDiskAtEachStep(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Skipf("SKIPPED: a small disk can't be mounted here (%v); TestFullDisk bounds the file instead", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	storetest.FullDisk(t, s, ErrFull, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
