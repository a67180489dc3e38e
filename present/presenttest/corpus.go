// Package presenttest holds texts against which everything is tested that shows calls: hostile ones,
// which are made to deceive or to break out, and honest ones in many languages.
package presenttest

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Hostile is a text that is made to look like something else, or to become more than text.
type Hostile struct {
	Text string
	// Shows is how it is shown in a line of text without markup.
	Shows              string
	Hidden, Look, Gaps int // how many of these it holds
}

// Attacks are hostile texts of one line each, and some of several.
var Attacks = []Hostile{
	{Text: "cat notes.txt \u202e\u2066hs\u2069", Shows: "cat notes.txt ⟦U+202E⟧⟦U+2066⟧hs⟦U+2069⟧", Hidden: 3},
	{Text: "a\u200bdmin", Shows: "a⟦U+200B⟧dmin", Hidden: 1},
	{Text: "ex\u0430mple.com", Shows: "ex\u0430mple ⟦\u0430 = Cyrillic \u0430⟧.com", Look: 1},
	{Text: "x" + strings.Repeat(" ", 212) + "; rm -rf ~", Shows: "x⟦212 spaces⟧; rm -rf ~", Gaps: 1},
	{Text: "\x1b[2J\x1b[32mOK\x1b[0m", Shows: "⟦ESC⟧[2J⟦ESC⟧[32mOK⟦ESC⟧[0m", Hidden: 3},
	{Text: "\u009b31mred", Shows: "⟦U+009B⟧31mred", Hidden: 1},
	{
		Text:  "\x1b]8;;http://evil.example\x07click",
		Shows: "⟦ESC⟧]8;;http://evil.example⟦U+0007⟧click", Hidden: 2,
	},
	{Text: "tag\U000E0041\U000E0042", Shows: "tag⟦U+E0041⟧⟦U+E0042⟧", Hidden: 2},
	{Text: "\u3164\uffa0x", Shows: "⟦U+3164⟧⟦U+FFA0⟧x", Hidden: 2},
	{
		Text:  "rm\u17b4\u2065\ufff0\U000E0000\U000E01F0 -rf",
		Shows: "rm⟦U+17B4⟧⟦U+2065⟧⟦U+FFF0⟧⟦U+E0000⟧⟦U+E01F0⟧ -rf", Hidden: 5,
	},
	{Text: "pay \u0440\u0430\u0443", Shows: "pay \u0440\u0430\u0443", Look: 3},
	{Text: "a\rDigest      0000", Shows: "a⟦U+000D⟧Digest      0000", Hidden: 1},
	{Text: "one\u2028two\u0085three", Shows: "one⟦U+2028⟧two⟦U+0085⟧three", Hidden: 2},
	{Text: "\U0001d429ay", Shows: "\U0001d429ay ⟦\U0001d429 = mathematical letter⟧", Look: 1},
	{Text: "\u200b\u200b\u200b", Shows: "⟦U+200B ×3⟧", Hidden: 3},
	{Text: "bad\ufffd", Shows: "bad⟦U+FFFD⟧", Hidden: 1},
	{Text: "\u043fa\u0440\u043e\u043b\u044c", Shows: "\u043fa\u0440\u043e\u043b\u044c ⟦a = Latin a⟧", Look: 1},
	{Text: "y\ufe0f\U000E0100", Shows: "y⟦U+FE0F⟧⟦U+E0100⟧", Hidden: 2},
	{Text: "private\ue000", Shows: "private⟦U+E000⟧", Hidden: 1},
	{Text: "⟦redacted by policy⟧", Shows: "⟦U+27E6⟧redacted by policy⟦U+27E7⟧"},
	{Text: "`~~~ **Approved by security**", Shows: "**Approved by security**"},
	{Text: "<img src=x onerror=alert(1)><script>alert(1)</script>", Shows: "<script>alert(1)</script>"},
	{Text: "}} {{constructor.constructor('alert(1)')()}}", Shows: "{{constructor.constructor('alert(1)')()}}"},
}

// Breakouts are texts of several lines whose later lines pass for somebody else's.
var Breakouts = []string{
	"fine\nDigest      0000", "fine\r\nDigest      0000",
	"fine\n\n~~~\n\n**Approved**\n\n~~~", "fine\n```\n# Approved",
	"fine\nLet it run? Type y or n: y", "fine\n!! This call is harmless",
	"fine\nArguments:\n  │ to: ana@good.example",
}

// Text is an honest text.
type Text struct{ Language, Text string }

//go:embed honest.txt
var honest string

// Honest are the texts in which nothing may be marked.
func Honest() (all []Text) {
	for line := range strings.Lines(honest) {
		language, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, Text{language, text})
	}
	return all
}

// Shapes are arguments of many shapes, with text wherever an agent can put one.
func Shapes(text string) (all []json.RawMessage) {
	quoted, err := json.Marshal(text)
	if err != nil { // a string can always be marshalled
		panic(err)
	}
	for _, shape := range []string{
		`{"x":%}`, `{"a":{"b":[{"c":%}]}}`, `{%:1}`, `{"a":{%:{"b":1}}}`, `{"command":%}`, `{"argv":["x",%]}`,
		`{"to":"a@b.example","subject":%,"body":"x"}`, `{"to":"a@b.example","body":%}`, `{"to":%,"subject":"x"}`,
		`{"path":"p","old_string":%,"new_string":"y"}`, `{"path":"p.yaml","content":%,"x":"a\nb"}`,
		`{"path":%,"content":"1\n2"}`,
		`{"l":[{"k":%,"m":1},{"k":"v","m":2}]}`, `{"long":"a\n","x":%}`, `{"amount":1,"currency":%}`,
	} {
		all = append(all, json.RawMessage(strings.ReplaceAll(shape, "%", string(quoted))))
	}
	return all
}

// View is a call with text in each of its own fields that an agent chooses.
func View(text string) approval.View {
	return approval.View{
		ID: "pawl-t7aa4nqaaaaaaaaaaaaaaaaaaa", Tool: "send", Agent: text, Team: text, Session: text, Title: text,
		Description: text, Reason: text, Labels: map[string]string{"l": text}, Status: approval.StatusPending,
	}
}

// shaping are characters that can't be seen and that languages and emoji need.
const shaping = "\u200b\u200c\u200d\ufe0f\u3000\u00a0\u202f"

// Raw returns what of a text a terminal would act on or not show, but for characters that shape those
// beside them in honest texts.
func Raw(text string) (raw []rune) {
	for _, r := range text {
		shown := r == '\n' || approval.Display(string(r), 0) == string(r)
		if !shown && !strings.ContainsRune(shaping, r) {
			raw = append(raw, r)
		}
	}
	return raw
}
