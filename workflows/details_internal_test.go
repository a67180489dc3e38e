package workflows

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present/presenttest"
)

// Temporal's page shows Markdown. Nothing of a call gets out of its code span or block there, nothing
// acts on anything, and nothing is left out.
func TestDetailsHoldHostileTexts(t *testing.T) {
	texts := append([]string(nil), presenttest.Breakouts...)
	shows := map[string]string{}
	for _, attack := range presenttest.Attacks {
		texts = append(texts, attack.Text)
		shows[attack.Text] = attack.Shows
	}
	for _, text := range texts {
		for _, args := range presenttest.Shapes(text) {
			v := presenttest.View(text)
			v.Tool, v.Args, v.Digest = text, args, text
			v.Policy = &approval.PolicyRef{Rule: text, Why: text}
			v.Decision = &approval.FinalDecision{Kind: approval.FinalReject, By: text, Notes: text}
			deadline := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			v.Deadline = &deadline
			doc := details(approval.State{View: v, Answers: []approval.Answer{{
				DecisionID: text, Outcome: approval.AnswerInvalid, Message: text,
			}}}, "")
			if raw := presenttest.Raw(doc); len(raw) > 0 {
				t.Errorf("%q: %U in\n%s", text, raw, doc)
			}
			if !strings.Contains(strings.ReplaceAll(doc, `\"`, `"`), shows[text]) {
				t.Errorf("%q is not whole in\n%s", shows[text], doc)
			}
			outside := outsideOfCode(t, doc)
			for _, word := range []string{"Approved", "0000", "rm -rf", "evil", "script", "dmin", "harmless", "ana@"} {
				if strings.Contains(outside, word) {
					t.Errorf("%q: %q is outside of code in\n%s", text, word, doc)
				}
			}
		}
	}
}

// outsideOfCode is what of a Markdown document stands in no code span and no block.
func outsideOfCode(t *testing.T, doc string) string {
	t.Helper()
	var out strings.Builder
	fenced := false
	for line := range strings.Lines(doc) {
		switch {
		case strings.HasPrefix(line, "~~~"):
			fenced = !fenced
		case !fenced:
			parts := strings.Split(line, "`")
			if len(parts)%2 == 0 {
				t.Errorf("a code span is open in %q", line)
			}
			for i := 0; i < len(parts); i += 2 {
				out.WriteString(parts[i])
			}
		}
	}
	if fenced {
		t.Errorf("a block is open in\n%s", doc)
	}
	return out.String()
}

// Details fit into Temporal's limit whatever a call holds, and say what they leave out.
func TestDetailsAreBounded(t *testing.T) {
	for size, want := range map[int]string{
		100: "~~~\n", 20_000: "(cut; the whole is", approval.MaxArgs / 2: "too many to show here",
	} {
		text, err := json.Marshal(map[string]string{"x": strings.Repeat("a\u200b", size/4)})
		if err != nil {
			t.Fatal(err)
		}
		v := presenttest.View(strings.Repeat("\u202e", 2000))
		v.Args = text
		doc := details(approval.State{View: v}, "")
		if len(doc) > 20_000 || !strings.Contains(doc, want) {
			t.Errorf("%d: %d bytes, lacks %q:\n%.3000s", size, len(doc), want, doc)
		}
	}
}
