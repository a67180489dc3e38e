package policies_test

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
	t.Chdir("../../..")
	const file = "docs/policy-tools.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	now := session.ReplaceAllStringFunc(string(text), func(block string) string {
		ran++
		line := session.FindStringSubmatch(block)[1]
		r := clitest.CommandLine{}.Run(t, clitest.ShellWords(t, line)...)
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
		t.Errorf("%s does not show what the commands print; go test ./internal/cli/policies -run Documented -update writes it:\n%s", file, strings.TrimSpace(now))
	}
}
