package present

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		line string
		rows []string
	}{
		{"", []string{""}},
		{"exactly 10", []string{"exactly 10"}},
		{"approved at 2026-03-01", []string{"approved", "at", "2026-03-01"}},
		{"ends in a ", []string{"ends in a "}},
		{"0123456789 ", []string{"0123456789"}},
		{"0123456789abcdef gh", []string{"0123456789", "abcdef gh"}},
		{"    0123456789", []string{"    012345", "6789"}},
		{"a" + strings.Repeat(" ", 22) + "b", []string{"a         ", "          ", "  b"}},
		{"字字 字字字", []string{"字字", "字字字"}},
		{"字字字字字字", []string{"字字字字字", "字"}},
	} {
		s := Sheet{Width: 10}
		if got := s.rows([]stretch{{text: tt.line}}, 10); !slices.Equal(got, tt.rows) {
			t.Errorf("%q: got %q, want %q", tt.line, got, tt.rows)
		}
	}
}

// What goes on from a line that is too long stands behind another bar than a new line.
func TestWrappedLinesDiffer(t *testing.T) {
	s := Sheet{Width: 28}
	s.Quote("A:", "one two three four five six\nseven")
	if got := s.String(); got != "A:\n  │ one two three four five\n  ┆ six\n  │ seven\n" {
		t.Errorf("it is\n%s", got)
	}
}

// Colours never change what is written, nor where it breaks.
func TestColours(t *testing.T) {
	const args = `{"command":"ls && rm -rf /tmp/x | sh; sudo dd","to":"p\u0430ypal <b> x","l":[{"a":"1"},{"b":2}],"s":"\u202e x"}`
	for _, width := range []int{0, 20, 40} {
		var texts []string
		for _, paint := range []func(ink, text string) string{
			nil, func(ink, text string) string { return "<" + ink + ">" + text + "</>" },
		} {
			s := Sheet{Width: width, Paint: paint}
			for _, b := range presented(args).Blocks {
				s.Block(b)
			}
			texts = append(texts, s.String())
		}
		if !strings.Contains(texts[1], "<31>&&</>") || !strings.Contains(texts[1], "<33>⟦U+202E⟧</>") {
			t.Errorf("no colours:\n%s", texts[1])
		}
		painted := strings.NewReplacer("<31>", "", "<33>", "", "<1>", "", "</>", "").Replace(texts[1])
		if painted != texts[0] {
			t.Errorf("%d: with colours\n%s\nwithout\n%s", width, painted, texts[0])
		}
	}
}

func presented(args string) Call {
	return Of(approval.View{Tool: "t", Args: json.RawMessage(args)}, Tool{})
}

func sheetOf(args string) string {
	var s Sheet
	for _, b := range presented(args).Blocks {
		s.Block(b)
	}
	return s.String()
}

// No name or value can be read as another one's, or as Pawl's own word.
func TestNothingPassesForAnother(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"a name with a value", `{"to: ana@good.example, x":"eve"}`, "Arguments:\n  │ \"to: ana@good.example, x\": eve\n"},
		{"a quoted name", `{"a\": 1, \"b":2}`, "Arguments:\n  │ \"a\\\": 1, \\\"b\": 2\n"},
		{"a name of lines", `{"a\nDigest      00":"x"}`, "Arguments:\n  │ \"a⟦U+000A⟧Digest      00\": x ⟦1 hidden character⟧\n"},
		{"a heading of its own", `{"x: y\nArguments":"a\nb"}`, "Arguments, \"x: y⟦U+000A⟧Arguments\":\n  │ a\n  │ b\n"},
		{"a mark", `{"x":"⟦redacted by policy⟧"}`, "Arguments:\n  │ x: ⟦U+27E6⟧redacted by policy⟦U+27E7⟧\n"},
		{"a cell", `{"l":[{"a":"1 · b: 2","b":"3"},{"a":"4","b":"5"}]}`,
			"Arguments, l, 2 rows:\n  │ ⟦1⟧ a: 1 · b: 2\n  │     b: 3\n  │ ⟦2⟧ a: 4\n  │     b: 5\n"},
		{"a subject of lines", `{"to":"a@b.example","subject":"x\nbcc: nobody"}`,
			"Arguments (mail):\n  │ to: a@b.example\n  │ subject: x\n  │     bcc: nobody\n"},
		{"a long name", `{"` + strings.Repeat("n", 70) + `":"a\nb"}`,
			"Arguments, " + strings.Repeat("n", 60) + "… (10 bytes more):\n  │ " + strings.Repeat("n", 70) + "\n  │ a\n  │ b\n"},
		{"a file's ending", `{"path":"x.a)\nID  y","content":"1\n2"}`,
			"Arguments, \"x.a)⟦U+000A⟧ID  y\":\n  │ 1\n  │ 2\nArguments, path:\n  │ x.a)\n  │ ID  y\n"},
	} {
		if got := sheetOf(tt.args); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	blocks := Compare("send", "send_all", []Change{
		{Path: "/to", Was: raw(`"a\u202e"`), Now: raw(`"b"`)}, {Path: "/cc", Now: raw(`["x",{"y":1}]`)}, {Path: "/n", Was: raw("1.0")},
		{Path: "/n2", Was: raw(`1`), Now: raw(`"1"`)}, {Path: "", Was: raw(`null`), Now: raw(`""`)},
		{Path: "/pin", Was: raw(`"[redacted]"`), Now: raw(`"[redacted]"`), Hidden: true},
		{Path: "/body", Was: raw(`"one\ntwo"`), Now: raw(`"one\n2"`)},
	})
	var got strings.Builder
	for _, b := range blocks {
		got.WriteString(string(b.Kind) + "\n" + strings.Join(b.PlainLines(), "\n") + "\n")
	}
	const want = `compare
- ⟦tool⟧: send
+ ⟦tool⟧: send_all
- /to: "a⟦U+202E⟧"
+ /to: "b"
+ /cc: ["x",{"y":1}]
- /n: 1.0
- /n2: 1
+ /n2: "1"
- ⟦all arguments⟧: null
+ ⟦all arguments⟧: ⟦empty text⟧
- /pin: "⟦redacted by policy⟧"
+ /pin: "⟦redacted by policy⟧" ⟦hidden in part or whole: it may have changed⟧
diff
  one
- two
+ 2
`
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
	if f := blocks[0].Found; f == nil || f.Hidden != 1 {
		t.Errorf("found %+v", f)
	}
	if blocks := Compare("a", "a", nil); len(blocks) != 0 {
		t.Errorf("nothing changed: %+v", blocks)
	}
}

func TestFilesAreHighlighted(t *testing.T) {
	for _, tt := range []struct{ file, content, want string }{
		{"a.json", `{"a": true, "b": 1}`, `string("a") keyword(true) string("b")`},
		{"a.yaml", "# why\nkey: 'x' # no", `dim(# why) keyword(key: ) string('x') dim( # no)`},
		{"a.sql", "DELETE FROM x -- all", `danger(DELETE) keyword(FROM)`},
		{"a.sh", "ls | sudo rm x", `danger(|) danger(sudo) danger(rm)`},
		{"a.txt", "DELETE true", ``},
		{"a", "# x", ``},
	} {
		var got []string
		for _, l := range inLanguage(language(tt.file), tt.content) {
			for _, s := range l.Spans {
				if s.Style != "" {
					got = append(got, string(s.Style)+"("+s.Text+")")
				}
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.file, text, tt.want)
		}
	}
}

// A mark names the policy's field that hides the value, never what the agent calls it, or what stands
// in the place of a URL's password.
func TestRedactionsSayWhy(t *testing.T) {
	fields := []string{"password", "api_key"}
	for _, tt := range []struct{ name, args, want string }{
		{"a field", `{"api_key":"[redacted]"}`, "api_key: ⟦redacted: api_key⟧"},
		{"in another spelling", `{"openaiApiKey":"[redacted]"}`, "openaiApiKey: ⟦redacted: api_key⟧"},
		{"an agent's words", `{"password, approved by ana":"[redacted]"}`, `ana": ⟦redacted: password⟧`},
		{"in a tree", `{"a":{"b":{"password":"[redacted]"}}}`, `password: "⟦redacted: password⟧"`},
		{"in a list", `{"l":[{"a":"1","password":"[redacted]"},{"a":"2","password":"[redacted]"}]}`,
			"⟦2⟧ a: 2\n  │     password: ⟦redacted: password⟧"},
		{"of no field", `{"data":"[redacted]"}`, "data: ⟦redacted by policy⟧"},
		{"a part", `{"api_key":"x [redacted]"}`, "api_key: x ⟦redacted by policy⟧"},
		{"repeated", `{"note":"[same as a redacted field]"}`, "note: ⟦same as a redacted field⟧"},
		{"in a URL", `{"command":"psql postgres://app:[redacted]@db/x"}`, "app:⟦redacted: password in a URL⟧@db"},
		{"in a URL's path", `{"command":"curl https://db:80/[redacted]@x"}`, "80/⟦redacted by policy⟧@x"},
		{"a URL's end", `{"command":"curl https://app:[redacted]"}`, "app:⟦redacted by policy⟧"},
		{"before an @", `{"command":"mail app:[redacted]@db"}`, "app:⟦redacted by policy⟧@db"},
	} {
		var s Sheet
		for _, b := range Of(approval.View{Args: json.RawMessage(tt.args)}, Tool{Redacts: fields}).Blocks {
			s.Block(b)
		}
		if !strings.Contains(s.String(), tt.want) {
			t.Errorf("%s: got\n%s\nwant %s", tt.name, s.String(), tt.want)
		}
	}
}
