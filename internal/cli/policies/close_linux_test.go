package policies_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store/sqlite"
)

// taking takes a store's lock file away from this process as soon as something is written to it, so
// that the store can't be closed without an error.
type taking struct {
	t     *testing.T
	dir   string // the store's
	taken bool
	text  bytes.Buffer
}

func (w *taking) Write(p []byte) (int, error) {
	if !w.taken {
		w.taken = true
		w.take()
	}
	return w.text.Write(p)
}

func (w *taking) take() {
	const open = "/proc/self/fd"
	list, err := os.ReadDir(open)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		to, err := os.Readlink(filepath.Join(open, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // ReadDir's own
		}
		if fd, _ := strconv.Atoi(e.Name()); filepath.Dir(to) == w.dir && strings.Contains(filepath.Base(to), "lock") {
			if err := syscall.Close(fd); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatal("no lock of the store is held")
}

// A store that can't be closed is told of, whatever was done in it before.
func TestStoreThatDoesNotClose(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"applied":       {[]string{"good.yaml"}, "Applied: version 1"},
		"applied, JSON": {[]string{"good.yaml", "-o", "json"}, `"version":1`},
		"a dry run":     {[]string{"good.yaml", "--dry-run"}, "+rules: []"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			c.args[0] = writeFile(t, dir, c.args[0], "rules: []\n")
			path := filepath.Join(dir, "pawl.db")
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			out, errs := &taking{t: t, dir: dir}, &strings.Builder{}
			none := func(string) string { return "" }
			code := clitest.Execute(t.Context(), cli.Env{
				Stdin: strings.NewReader(""), Stdout: out, Stderr: errs, Getenv: none,
				Environ: func() []string { return nil }, IsTerminal: func(any) bool { return false }, Now: time.Now,
			}, append([]string{"policy", "apply", "--direct", "--as", "ana", "--database-url", "sqlite://" + path}, c.args...)...)
			if code != cli.ExitError || !strings.Contains(out.text.String(), c.says) ||
				!strings.Contains(errs.String(), "store "+path+": close") {
				t.Errorf("exit code %d\n%s\n%s", code, out.text.String(), errs)
			}
		})
	}
}
