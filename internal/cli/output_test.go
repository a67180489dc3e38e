package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTableFits(t *testing.T) {
	rows := [][]string{{"pawl-aaaaaaa", strings.Repeat("x", 50), "字字字字"}, {"pawl-b", "-", "ok"}}
	for width, want := range map[int]string{
		0:  "ID            WHAT                                                NOTE\npawl-aaaaaaa  " + strings.Repeat("x", 50) + "  字字字字\npawl-b        -                                                   ok\n",
		40: "ID            WHAT              NOTE\npawl-aaaaaaa  xxxxxxxxxxxxxxx…  字字字字\npawl-b        -                 ok\n",
		1:  "ID            WHAT    NOTE\npawl-aaaaaaa  xxxxx…  字字…\npawl-b        -       ok\n",
	} {
		if got := TableOf([]string{"ID", "WHAT", "NOTE"}, rows, width); got != want {
			t.Errorf("%d:\n%s\nwant\n%s", width, got, want)
		}
	}
}

func TestPage(t *testing.T) {
	dir := t.TempDir()
	pager := filepath.Join(dir, "pager")
	if err := os.WriteFile(pager, []byte("#!/bin/sh\necho \"$1 LESS=$LESS\"; cat\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	find := func(name string) (string, error) {
		if name == "pager" || name == "less" {
			return pager, nil
		}
		return "", os.ErrNotExist
	}
	for _, tt := range []struct {
		name     string
		env      map[string]string
		terminal bool
		find     func(string) (string, error)
		want     string
	}{
		{"less, if nothing is set", nil, true, find, " LESS=FRX\ntext\n"},
		{"the person's own", map[string]string{"PAGER": "pager -x", "LESS": "S"}, true, find, "-x LESS="},
		{"not for a pipe", nil, false, find, "text\n"},
		{"not there", map[string]string{"PAGER": "none"}, true, find, "text\n"},
		{"a dumb terminal", map[string]string{"TERM": "dumb"}, true, find, "text\n"},
		{"nobody looks for one", nil, true, nil, "text\n"},
	} {
		var out strings.Builder
		a := &App{Env: Env{
			Stdout: &out, Stderr: &out, LookPath: tt.find, IsTerminal: func(any) bool { return tt.terminal },
			Getenv: func(name string) string { return tt.env[name] },
		}}
		if err := a.Page("text\n"); err != nil || !strings.HasPrefix(out.String(), tt.want) {
			t.Errorf("%s: %q, %v, want %q", tt.name, out.String(), err, tt.want)
		}
	}
}
