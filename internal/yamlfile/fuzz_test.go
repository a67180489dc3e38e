package yamlfile_test

import (
	"bytes"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/strictjson"
)

// Whatever the bytes, nothing panics, every problem has a place in the file, and a file without
// problems turns into JSON that approval takes.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1\n", "\ufeffa: [1, {b: c}]\r\n", "a: &x [*x]\n", "<<: 1\n", "a: |\n  x\n y\n", "{a: 1}: b",
		"a: 1\n---\nb: 2\n", "a:\n\t- b\n", "a: !t x\n", "a: 0x1F\n", "a: 1e999\n", "- [\n", "\"\\uD800\"", "a: *",
		"? [a]\n: b\n", "a: \"\\0\"", "%YAML 1.2\n---\na: 1\n", "a: b # c\n# d\n\n# e\n- f\n", "#\n-\n{", "0: [:!00 \xef",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var problems yamlfile.Problems
		v := yamlfile.Parse("f.yaml", data, &problems)
		doc, ok := v.JSON()
		if v.Present() && v.Line() < 1 {
			t.Error("a value has no line")
		}
		v.Mapping().Done()
		for _, e := range v.Mapping().Entries() {
			e.Value.Text()
			e.Value.Bool()
			e.Value.Duration(approval.MaxTimeout)
			e.Value.List()
			e.Value.Mapping().Done()
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		for _, p := range problems {
			if p.Message == "" || len(data) <= yamlfile.MaxSize && (p.Line < 1 && len(problems) <= 1000 || p.Line > lines || p.Line > 0 && p.Column < 1) {
				t.Errorf("the problem %v is out of place", p)
			}
			if safe := p.String(); approval.Display(safe, 0) != safe {
				t.Errorf("the problem %q holds what can't be seen", safe)
			}
		}
		switch {
		case ok:
			if err := strictjson.Check(doc); err != nil && len(problems) == 0 {
				t.Errorf("JSON %q: %v", doc, err)
			}
		case problems.Err() == nil:
			t.Error("nothing was read, and no problem noted")
		}
	})
}
