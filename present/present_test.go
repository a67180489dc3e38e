package present

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present/presenttest"
)

func TestHostileTextIsMarkedAndWhole(t *testing.T) {
	for _, attack := range presenttest.Attacks {
		text, want := attack.Text, Found{attack.Hidden, attack.Look, attack.Gaps}
		for _, strict := range []bool{true, false} {
			spans := mark(text, "", strict)
			if got := found(spans); got != want {
				t.Errorf("%q: found %+v, want %+v", text, got, want)
			}
			if got := Raw(spans); got != text {
				t.Errorf("%q became %q", text, got)
			}
			for _, s := range spans {
				if strings.ContainsFunc(s.Text, unseen) && s.Kind != Redacted {
					t.Errorf("%q shows %q", text, s.Text)
				}
			}
		}
	}
}

func shown(c Call) string {
	var b strings.Builder
	b.WriteString(Plain(c.Summary) + "\n")
	for _, block := range c.Blocks {
		b.WriteString("[" + string(block.Kind) + " " + Plain(block.Name) + "] " + Plain(block.Note) + "\n")
		for _, line := range block.PlainLines() {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

func TestPresentations(t *testing.T) {
	const schema = `{"type":"object","required":["amount"],"properties":{"currency":{"type":"string"},
		"amount":{"type":"integer","x-pawl-minor-units":true},"code":{"enum":["a","b"]}},"x-pawl-summary":"Refund {amount} for {{x}}"}`
	for _, c := range []struct{ name, schema, args, want string }{
		{"mail", "", `{"to":["dee@example.com","o@shop.example"],"bcc":"a@b.example","subject":"Late","body":"Hello\n\n![x](https://t.example/p.gif)"}`,
			"Send an e-mail to 3 addresses: Late\n[mail ] \n  to: dee@example.com\n      o@shop.example\n  bcc: a@b.example ⟦hidden copy⟧\n" +
				"  subject: Late\n  Hello\n  \n  ![x](https://t.example/p.gif ⟦picture, not loaded⟧)\n"},
		{"money", schema, `{"amount":24000,"currency":"EUR","code":"a","more":"1"}`,
			"Refund 240.00 EUR for {x}\n[table ] \n  amount: 240.00 EUR ⟦raw value 24000, minor units⟧\n  currency: EUR\n" +
				"  code: a ⟦one of 2⟧\n  more: 1 ⟦text, not in the schema⟧\n"},
		{"edit", "", `{"file_path":"c.yaml","old_string":"a:\n  max: 1000\n","new_string":"a:\n  max: 25000\n"}`,
			"Change c.yaml in 1 place, 1 line added and 1 removed\n[diff c.yaml] ⟦1 line added, 1 line removed⟧\n    a:\n" +
				"  -   max: 1000\n  +   max: 25000\n    \n[table ] \n  file_path: c.yaml\n"},
		{"sql", "", `{"sql":"DELETE FROM sessions"}`,
			"Run SQL that deletes rows in sessions\n[code sql] \n  DELETE FROM sessions ⟦no WHERE: every row⟧\n"},
		{"command", "", `{"command":"ls && rm -rf x"}`, "Run the command ls && rm -rf x\n[code command] \n  ls && rm -rf x\n"},
		{"fallback", "", `{"fallback_command":"ls | sh","preScript":"sudo x","undoSql":"DROP TABLE x","scripted":"rm"}`,
			"Run the command ls | sh\n[code fallback_command] \n  ls | sh\n[code preScript] \n  sudo x\n" +
				"[code undoSql] \n  DROP TABLE x\n[table ] \n  scripted: rm\n"},
		{"address", "", `{"url":"https://good.example@ex\u0430mple.com/x","method":"POST"}`,
			"POST to ex\u0430mple ⟦\u0430 = Cyrillic \u0430⟧.com\n[table ] \n  url: https://good.example@ ⟦user name in front of the host⟧" +
				"ex\u0430mple ⟦\u0430 = Cyrillic \u0430⟧.com ⟦xn--exmple-4nf.com⟧/x ⟦1 look-alike letter⟧ ⟦link, opens nothing⟧\n  method: POST\n"},
		{"diff", "", `{"patch":"--- a\n+++ b\n@@ -1,2 +1 @@\n-x\n+y"}`, "Change b in 1 place, 1 line added and 1 removed"},
		{"tree by schema", `{"type":"object","properties":{"a":{"type":"object","x-pawl-as":"tree"}}}`, `{"a":{"b":1}}`,
			"Run t with 1 argument\n[tree a] \n  ⟦object, 1 entry⟧\n    b: 1\n"},
		{"tree", "", `{"a":{"b":[1,{"c":null}]}}`, "Run t with 1 argument\n[tree a] \n" +
			"  ⟦object, 1 entry⟧\n    b: ⟦list, 2 entries⟧\n      ⟦0⟧: 1\n      ⟦1⟧: ⟦object, 1 entry⟧\n        c: null\n"},
	} {
		got := shown(Of(approval.View{Tool: "t", Args: json.RawMessage(c.args)}, Tool{Schema: json.RawMessage(c.schema), Trusted: true}))
		if c.name == "diff" {
			if !strings.Contains(got, "@@ -1,2 +1 @@ ⟦counts don't match⟧") || !strings.HasPrefix(got, c.want) {
				t.Errorf("diff:\n%s", got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// Of a text full of marks no more is shown than a reader's browser can bear, and how much is missing
// is said; what is found is counted to the end.
func TestShownIsBounded(t *testing.T) {
	text := strings.Repeat("a\u200b", 40_000)
	for _, shape := range []string{`{"x":%}`, `{"command":%}`, `{"to":"a","body":%}`, `{"path":"p","old_string":%,"new_string":"y"}`, `{"x":[{"y":%}]}`} {
		c := Of(approval.View{Tool: "t", Args: json.RawMessage(strings.ReplaceAll(shape, "%", `"`+text+`"`))}, Tool{})
		size, cut := 0, 0
		for _, b := range c.Blocks {
			b.each(func(spans []Span) {
				size += len(spans)
				for _, s := range spans {
					if s.Kind == Cut {
						cut += s.N
					}
				}
			})
		}
		if size > maxSpans+10 || cut < 2*40_000-maxSpans-20 || c.Found.Hidden != 40_000 {
			t.Errorf("%s: %d spans, %d characters are cut, %+v", shape, size, cut, c.Found)
		}
	}
}

func FuzzMark(f *testing.F) {
	for _, attack := range presenttest.Attacks {
		f.Add(attack.Text)
	}
	for _, honest := range presenttest.Honest() {
		f.Add(honest.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		for _, strict := range []bool{true, false} {
			if got := Raw(mark(strings.ReplaceAll(text, "\n", " "), "", strict)); got != strings.ReplaceAll(text, "\n", " ") {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
}

func BenchmarkOf(b *testing.B) {
	for name, text := range map[string]string{
		"ascii": strings.Repeat("the quick brown fox ", 3200), "hidden": strings.Repeat("a\u200b", 16<<10),
	} {
		doc, err := json.Marshal(map[string]string{"body": text, "command": text})
		if err != nil {
			b.Fatal(err)
		}
		v := approval.View{Tool: "t", Args: doc}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Of(v, Tool{})
			}
		})
	}
}
