package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli/clitest"
)

var update = flag.Bool("update", false, "write what the documentation shows of commands anew")

var session = regexp.MustCompile("(?ms)^```console\n\\$ pawl ([^\n]*)\n(.*?)^```")

// The documentation shows what the commands print, run from the repository's root.
func TestDocumentedSessions(t *testing.T) {
	t.Chdir("../..")
	const file = "docs/policy-tools.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	now := session.ReplaceAllStringFunc(string(text), func(block string) string {
		ran++
		line := session.FindStringSubmatch(block)[1]
		r := clitest.CommandLine{}.Run(t, shellWords(t, line)...)
		if r.Err != "" {
			t.Errorf("%s: %s", line, r.Err)
		}
		return "```console\n$ pawl " + line + "\n" + r.Out + "```"
	})
	if ran < 4 {
		t.Errorf("only %d sessions found", ran)
	}
	if *update {
		if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if now != string(text) {
		t.Errorf("%s does not show what the commands print; go test ./cmd/pawl -run Documented -update writes it:\n%s", file, strings.TrimSpace(now))
	}
}

// shellWords takes a line apart as a shell does.
func shellWords(t *testing.T, line string) []string {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && r == ' ':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			open = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		t.Errorf("open quote in %s", line)
	}
	return append(words, word.String())
}
