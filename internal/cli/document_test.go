package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sheet(width int, heading, doc string) string {
	s := &Sheet{Width: width, paint: func(_, text string) string { return text }}
	s.JSON(heading, []byte(doc))
	return s.String()
}

func TestDocument(t *testing.T) {
	long := strings.Repeat("ab ", 100)
	for _, tt := range []struct{ name, doc, want string }{
		{"order and numbers stay", `{"b":1.50,"a":[1e400,{},[],null,true,12345678901234567890]}`, `A:
  │ {
  │   "b": 1.50,
  │   "a": [
  │     1e400,
  │     {},
  │     [],
  │     null,
  │     true,
  │     12345678901234567890
  │   ]
  │ }
`},
		{"lines are lines, and last", `{"body":"Dear Ana,\n\tyes\n","to":"ana"}`, `A:
  │ {
  │   "body": (3 lines, see below),
  │   "to": "ana"
  │ }
A, body (3 lines):
  │ Dear Ana,
  │     yes
  │ 
`},
		{"deep inside", `{"edits":[{"new":"a\nb"},"` + long + `"]}`, `A:
  │ {
  │   "edits": [
  │     {
  │       "new": (2 lines, see below)
  │     },
  │     (300 characters, see below)
  │   ]
  │ }
A, edits[0].new (2 lines):
  │ a
  │ b
A, edits[1] (1 line):
  │ ` + long + "\n"},
		{"a text that looks like one below", `{"a":"(3 lines, see below)"}`, "A:\n  │ {\n  │   \"a\": \"(3 lines, see below)\"\n  │ }\n"},
		{"control characters", `{"a\u001b[2J":"\u202e\u0007","b":"x\n\u001b[1A\r"}`, `A:
  │ {
  │   "a\u001b[2J": "\u202e\u0007",
  │   "b": (2 lines, see below)
  │ }
A, b (2 lines):
  │ x
  │ \u{001B}[1A\u{000D}
`},
		{"a name that would be a line", `{"a\nID  pawl-other":"x\ny"}`, `A:
  │ {
  │   "a\nID  pawl-other": (2 lines, see below)
  │ }
A, a\u{000A}ID pawl-other (2 lines):
  │ x
  │ y
`},
		{"letters as escapes", `"\u003cb\u003e \u0430\u0431\u0432"`, "A:\n  │ \"<b> абв\"\n"},
		{"no JSON", `{"a":`, "A:\n  │ {\"a\":\n"},
		{"more than one", `1 2`, "A:\n  │ 1 2\n"},
		{"none", ``, ""},
	} {
		if got := sheet(0, "A", tt.doc); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// What goes on from a line that is too long stands behind another bar than a new line.
func TestWrappedLinesDiffer(t *testing.T) {
	got := sheet(28, "A", `"one two three four five six\nseven"`)
	if !strings.HasSuffix(got, "  │ one two three four five\n  ┆ six\n  │ seven\n") {
		t.Errorf("it is\n%s", got)
	}
}

func TestLookalikes(t *testing.T) {
	for text, want := range map[string]string{
		"pay ana@example.com 100 €":  "",
		"Счёт оплачен, сумма 100":    "", // Russian
		"Η πληρωμή έγινε":            "", // Greek
		"東京 Tokyo café naïve Straße": "",
		"send to Иван Petrov":        "", // two words, two alphabets
		"p\u0430ypal.com":            `"p` + "\u0430" + `ypal" mixes Latin and Cyrillic letters`,
		"example.\u0441\u043em":      `"` + "\u0441\u043e" + `m" mixes Cyrillic and Latin letters`,
		"\u03bfk":                    `mixes Greek and Latin letters`,
		"pay \u0440\u0430\u0443":     `"` + "\u0440\u0430\u0443" + `" looks like Latin letters and is Cyrillic`,
		"\u0391\u0392":               `looks like Latin letters and is Greek`,
		"\uff50\uff41\uff59":         `is not written in ordinary letters`,
		"\U0001d429ay":               `is not written in ordinary letters`,
	} {
		if got := strings.Join(lookalikes(text), "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	got := sheet(0, "Arguments", `{"to":"p\u0430ypal","\u0441m":1}`)
	if want := "!! LOOK-ALIKE in to: "; !strings.Contains(got, want) || !strings.Contains(got, "!! LOOK-ALIKE in a name: ") {
		t.Errorf("%s\nlacks %s", got, want)
	}
	if n := strings.Count(sheet(0, "A", `"`+strings.Repeat("p\u0430 ", 50)+`"`), "!!"); n != maxMarks+1 {
		t.Errorf("%d marks", n)
	}
}

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
