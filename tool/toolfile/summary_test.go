package toolfile_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/tool/toolfile"
)

func TestSummary(t *testing.T) {
	const tool = "tools:\n  - name: refund\n    http: {url: 'http://127.0.0.1:9/x'}\n    schema: {type: object, properties: {amount: " +
		"{type: integer, x-pawl-minor-units: true}}}\n    summary: "
	specs, err := toolfile.Parse("tools.yaml", []byte(tool+`"Refund {amount} {{now}}"`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if doc := string(specs[0].Schema); !strings.HasPrefix(doc, `{"x-pawl-summary":"Refund {amount} {{now}}",`) {
		t.Errorf("the schema is %s", doc)
	}
	for summary, want := range map[string]string{
		`"Refund {sum}"`:                     "{sum} is no property of the schema",
		`"Refund {amount"`:                   "a { has no name and }",
		`"Refund amount}"`:                   "a } ends nothing",
		`"a\u202eb"`:                         "write one line",
		`"{}"`:                               "a { has no name and }",
		`"` + strings.Repeat("x", 201) + `"`: "write one line",
	} {
		_, err := toolfile.Parse("tools.yaml", []byte(tool+summary), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tools.yaml:5:") {
			t.Errorf("%s: %v, want %q", summary, err, want)
		}
	}
}
