package call_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestForget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	forget := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{Env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}.Run(t, append([]string{"tools", "forget"}, args...)...)
	}
	forget("a").Want(t, cli.ExitError, nil, []string{"there is no store here"})
	if _, err := os.Stat(path); err == nil {
		t.Error("a store was made")
	}

	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	p := store.Publication{Publisher: "pawl-tools-a"}
	for _, name := range []string{"a", "b", "c", "d"} {
		p.Tools = append(p.Tools, store.Tool{Name: name, Queue: p.Publisher, Kind: "activity", Publisher: p.Publisher})
	}
	if _, err := s.PublishTools(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	forget("a").Want(t, cli.ExitError, nil, []string{"another Pawl process owns it"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	forget("b", "none\x1b[2J", "a").Want(t, cli.ExitDone, []string{"forgotten: a\nforgotten: b\n"}, []string{`none\u{001B}[2J is not in the catalogue`})
	forget("a", "b").Want(t, cli.ExitError, nil, []string{"a is not in the catalogue\nb is not"})
	forget("c", "a", "a", "-o", "json").Want(t, cli.ExitDone, []string{`"forgotten":["c"]`, `"unknown":["a"]`}, nil)
	forget("c", "-o", "json").Want(t, cli.ExitError, []string{`"forgotten":[]`}, nil)

	s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := s.Tools(t.Context()); err != nil || len(left) != 1 || left[0].Name != "d" {
		t.Errorf("left are %v, %v", left, err)
	}
}
