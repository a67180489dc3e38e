package present

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present/presenttest"
)

// Nothing that an agent writes reaches a terminal or the page's data as anything but text, whatever it
// stands in, and nothing of it is left out.
func TestAttacksAreShown(t *testing.T) {
	for _, attack := range presenttest.Attacks {
		want := Found{attack.Hidden, attack.Look, attack.Gaps}
		for _, args := range presenttest.Shapes(attack.Text) {
			call := Of(approval.View{Tool: "t", Args: args}, Tool{})
			if twice := (Found{2 * want.Hidden, 2 * want.Look, 2 * want.Gaps}); call.Found != want && call.Found != twice {
				t.Errorf("%s: found %+v, want %+v", args, call.Found, want)
			}
			checkShown(t, string(args), attack.Shows, call)
		}
		v := presenttest.View(attack.Text)
		call := Of(v, Tool{})
		if n := (Found{7 * want.Hidden, 7 * want.Look, 7 * want.Gaps}); call.Found != n {
			t.Errorf("%q in the call's own fields: found %+v, want %+v", attack.Text, call.Found, n)
		}
		checkShown(t, "own fields of "+attack.Text, attack.Shows, call)
		v = approval.View{Tool: attack.Text, Result: presenttest.Shapes(attack.Text)[0]}
		checkShown(t, "tool and result "+attack.Text, attack.Shows, Of(v, Tool{}))
	}
}

func checkShown(t *testing.T, what, shows string, call Call) {
	t.Helper()
	var wide, narrow Sheet
	narrow.Width = 40
	for _, s := range []*Sheet{&wide, &narrow} {
		s.Line("Would", call.Summary)
		for _, b := range call.Blocks {
			s.Block(b)
		}
		if raw := presenttest.Raw(s.String()); len(raw) > 0 {
			t.Errorf("%q: a terminal gets %U", what, raw)
		}
	}
	text := wide.String()
	if !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), shows) {
		t.Errorf("%q: %q is not in\n%s", what, shows, text)
	}
	doc, err := json.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	var spans any
	if err := json.Unmarshal(doc, &spans); err != nil {
		t.Fatal(err)
	}
	eachText(spans, func(s string) {
		if raw := presenttest.Raw(s); len(raw) > 0 || strings.Contains(s, "\n") {
			t.Errorf("%q: the page gets %q", what, s)
		}
	})
}

func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, one := range v {
			eachText(one, f)
		}
	case map[string]any:
		for name, one := range v {
			f(name)
			eachText(one, f)
		}
	}
}

// No line of a text passes for a line of Pawl's.
func TestBreakoutsStayBehindTheBar(t *testing.T) {
	for _, text := range presenttest.Breakouts {
		for _, args := range presenttest.Shapes(text) {
			for _, width := range []int{0, 40} {
				v := presenttest.View(text)
				v.Args = args
				s := Sheet{Width: width}
				for _, b := range Of(v, Tool{}).Blocks {
					s.Block(b)
				}
				s.Field("Tool", text)
				s.Warn(text)
				checkMargins(t, s.String())
			}
		}
	}
}

// checkMargins reports lines that begin as none of a sheet may.
func checkMargins(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		ours := false
		for _, start := range []string{"  │ ", "  ┆ ", "Arguments", "Facts:", "Title, ", "Description, ", "Reason, ", "Tool  ", "!! ", "     "} {
			ours = ours || strings.HasPrefix(line, start)
		}
		if !ours {
			t.Errorf("%q passes for a line of Pawl's in\n%s", line, text)
		}
	}
}

// Honest texts raise no alarm as what they usually are: prose, mails, arguments, names and files.
func TestFalseAlarms(t *testing.T) {
	alarms, places, languages := 0, 0, map[string]bool{}
	for _, honest := range presenttest.Honest() {
		languages[honest.Language] = true
		quoted, err := json.Marshal(honest.Text)
		if err != nil {
			t.Fatal(err)
		}
		for _, shape := range []string{
			`{"message":%}`, `{"to":"a@b.example","subject":%,"body":%}`, `{"l":[{"k":%,"m":1},{"k":"v","m":2}]}`, `{"a":{"b":[{"c":%}]}}`,
		} {
			places++
			args := json.RawMessage(strings.ReplaceAll(shape, "%", string(quoted)))
			v := approval.View{Tool: "t", Args: args, Title: honest.Text, Reason: honest.Text}
			if call := Of(v, Tool{}); call.Found.Any() {
				alarms++
				t.Errorf("%s: %s: %s\n%s", honest.Language, honest.Text, call.Found, shown(call))
			}
		}
	}
	if len(languages) < 10 {
		t.Errorf("only %d languages", len(languages))
	}
	t.Logf("%d false alarms in %d calls in %d languages", alarms, places, len(languages))
}
