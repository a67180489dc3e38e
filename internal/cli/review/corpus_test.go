package review_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/present/presenttest"
)

// lineStarts are how lines of 'pawl show', 'pending' and 'review' begin.
var lineStarts = []string{
	"  │ ", "  ┆ ", "Arguments", "Title, ", "Description, ", "Reason, ", "!! ", "send  pending", "Would  ", "ID  ", "Digest  ", "Agent  ",
	"Team  ", "Session  ", "Requester  ", "Label  ", "Created  ", "Deadline  ", "Timeline:", "AT  ", "2026-", "            ", "pawl-",
	"nothing waits", "1 of 1", "[y] approve", "0 approved", "warning: ",
}

// No text that an agent chooses reaches a terminal as anything but marked text behind its margin.
func TestCorpusOnATerminal(t *testing.T) {
	texts := map[string]string{}
	for _, text := range presenttest.Breakouts {
		texts[text] = ""
	}
	for _, attack := range presenttest.Attacks {
		texts[attack.Text] = attack.Shows
	}
	for text, shows := range texts {
		for i, args := range presenttest.Shapes(text) {
			v := presenttest.View(text)
			v.Args, v.Digest = args, strings.Repeat("ab", 32)
			lines := []string{"show " + v.ID}
			if i == 0 {
				lines = append(lines, "pending", "review --as ana")
			}
			for _, terminal := range []bool{true, false} {
				for _, line := range lines {
					r := clitest.CommandLine{
						API: clitest.NewAPI(t, document(t, v)).URL, Terminal: terminal, Stdin: strings.NewReader("s\n"),
					}.Run(t, strings.Split(line, " ")...)
					out := ours.ReplaceAllString(r.Out, "")
					if raw := presenttest.Raw(out + r.Err); len(raw) > 0 {
						t.Errorf("%s of %q: %U reach the terminal", line, text, raw)
					}
					if line != "pending" {
						checkLines(t, line, out)
					}
					if !terminal && line != "pending" && !strings.Contains(strings.ReplaceAll(out, `\"`, `"`), shows) {
						t.Errorf("%s of %q lacks %q:\n%s", line, text, shows, out)
					}
				}
			}
		}
	}
}

func checkLines(t *testing.T, command, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		known := line == "\n"
		for _, start := range lineStarts {
			known = known || strings.HasPrefix(line, start)
		}
		for _, fake := range []string{"Digest      0000", "!! This call is harmless", "Arguments:\n  │ to: ana@good"} {
			known = known && !strings.HasPrefix(line, fake)
		}
		if !known {
			t.Errorf("%s: %q passes for a line of Pawl's in\n%s", command, line, out)
		}
	}
}

func document(t *testing.T, v approval.View) string {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return withField(t, string(doc), "created_at", "2026-03-01T11:58:00Z")
}
