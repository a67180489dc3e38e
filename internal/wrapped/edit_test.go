package wrapped_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/wrapped"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1, // x` + "\n}":      `{"a": 1` + "\n}",
		`{"a": "//", /* , */ }`:      `{"a": "//"}`,
		`["\"//", 1,]`:               `["\"//", 1]`,
		`{"a": [1, /* x */], "b":2}`: `{"a": [1], "b":2}`,
		`{"a": ",}"}`:                `{"a": ",}"}`,
		`// only`:                    ``,
		`/* open`:                    ``,
		"\uFEFF{\"a\": \"\uFEFF\"}":  "{\"a\": \"\uFEFF\"}",
	} {
		dense := strings.NewReplacer(" ", "", "\n", "").Replace
		if got := string(wrapped.Plain([]byte(text))); len(got) != len(text) || dense(got) != dense(want) {
			t.Errorf("%q became\n%q, want\n%q", text, got, want)
		}
	}
}

// Whatever settings hold, entries are found where they are, or not at all.
func FuzzEntries(f *testing.F) {
	f.Add(`{"mcpServers": {"a": {"command": "x", /* y */ "args": ["z"],},}, // w` + "\n}")
	f.Add(`{"mcp":{"servers":{"a":{}}},"projects":{"p":{"mcpServers":{"b":{"url":"u"}}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := wrapped.Entries([]byte(text))
		if err != nil {
			return
		}
		for _, e := range entries {
			if !json.Valid(e.Plain()) {
				t.Errorf("%v is %q", e.Keys, e.Plain())
			}
			replaced := wrapped.Apply([]byte(text), []wrapped.Edit{{From: e.Value, To: e.To, Text: "null"}})
			if !json.Valid(wrapped.Plain(replaced)) {
				t.Errorf("without %v it is %q", e.Keys, replaced)
			}
		}
	})
}
