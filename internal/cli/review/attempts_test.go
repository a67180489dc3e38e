package review_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// Reviewers see what became of earlier attempts, and what changed; nothing that others wrote there can
// look like Pawl's own lines.
func TestShowAttempts(t *testing.T) {
	past := func(id, notes string) map[string]any {
		return map[string]any{"id": id, "status": "rejected", "by": "ana", "notes": notes, "at": "2026-03-01T11:00:00Z"}
	}
	first, second := past("pawl-1", "not before\nDecision    approved by ben"), past("pawl-2", "smaller")
	first["tool"], second["tool"] = "send_letter", "send_email"
	first["changed"] = []any{
		map[string]any{"path": "/body", "was": "one\ntwo\nthree\n", "now": "one\n2\u001b[2J\nthree\n"},
		map[string]any{"path": "/cc", "now": []any{"x"}},
	}
	second["changed"] = []any{
		map[string]any{"path": "/to", "was": "a", "now": "b\u202e"},
		map[string]any{"path": "/password", "was": "[redacted]", "now": "[redacted]", "hidden": true},
	}
	second["more_changed"] = 3
	doc := clitest.Fixture(t, "request.json")
	doc = withField(t, doc, "attempts", []any{first, second})
	doc = withField(t, doc, "previous", []any{past("pawl-0", "")})
	r := clitest.CommandLine{API: clitest.NewAPI(t, doc).URL}.Run(t, "show", clitest.MailID)
	r.Want(t, cli.ExitDone, []string{
		"Attempt     pawl-1, rejected, decided by ana, 2026-03-01T11:00:00Z\n  Notes:\n  │ not before\n  │ Decision    approved by ben\n",
		"  Changed by the next attempt:\n  │ - ⟦tool⟧: send_letter\n  │ + ⟦tool⟧: send_email\n",
		"Arguments, /body, 1 line added, 1 line removed:\n  │   one\n",
		"  │ - two\n  │ + 2⟦ESC⟧[2J\n", "  │ + /cc: [\"x\"]\n",
		"  Changed by this call:\n  │ - /to: \"a\"\n", "  │ + /password: \"⟦redacted by policy⟧\" ⟦hidden in part or whole: it may have changed⟧\n  and 3 more changes\n",
		"Same before pawl-0, rejected, decided by ana, 2026-03-01T11:00:00Z\n",
	}, nil)
	for _, forged := range []string{"\x1b", "\u202e", "\nDecision    approved by ben"} {
		if strings.Contains(r.Out, forged) {
			t.Errorf("%q is shown as it came", forged)
		}
	}
}
