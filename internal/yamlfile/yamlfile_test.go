package yamlfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// parse returns what is wrong with a text's form, a line each.
func parse(text string) (yamlfile.Value, string) {
	var problems yamlfile.Problems
	v := yamlfile.Parse("f.yaml", []byte(text), &problems)
	return v, said(problems)
}

func said(problems yamlfile.Problems) string {
	if err := problems.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestParseRefuses(t *testing.T) {
	const bad = "the character %s does not belong into a text file; remove it, or write it as an escape inside double quotes"
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "f.yaml:1:1: the file is empty; fill it in, or leave the file out"},
		"only a comment":   {"# nothing\n", "f.yaml:1:1: the file is empty; fill it in, or leave the file out"},
		"only a separator": {"---\n", "f.yaml:1:1: the file is empty; fill it in, or leave the file out"},
		"null":             {"null\n", "f.yaml:1:1: the file is empty; fill it in, or leave the file out"},
		"too large":        {strings.Repeat("#", yamlfile.MaxSize+1), "f.yaml: the file is larger than 4 MiB; split it into several files"},

		"UTF-16":          {"\xff\xfea\x00", "f.yaml:1:1: the file is UTF-16; save it as UTF-8"},
		"not UTF-8":       {"a: 1\nä: \xe4\n", "f.yaml:2:4: the file is not valid UTF-8 from here on; save it as UTF-8"},
		"NUL":             {"a: \x00\n", "f.yaml:1:4: " + fmt.Sprintf(bad, "U+0000")},
		"escaped NUL":     {`a: "\0"`, "f.yaml:1:4: the text holds a NUL character; remove it"},
		"BOM inside":      {"a: 1\n\ufeffb: 2\n", "f.yaml:2:1: " + fmt.Sprintf(bad, "U+FEFF")},
		"hidden line":     {"# harmless\u2028a: 1\n", "f.yaml:1:11: " + fmt.Sprintf(bad, "U+2028")},
		"lone CR":         {"# harmless\ra: 1\n", "f.yaml:1:11: " + fmt.Sprintf(bad, "U+000D")},
		"reordered line":  {"a: \u202e1\n", "f.yaml:1:4: " + fmt.Sprintf(bad, "U+202E")},
		"each kind once":  {"a: \x01\x01\x02\n", "f.yaml:1:4: " + fmt.Sprintf(bad, "U+0001") + "\nf.yaml:1:6: " + fmt.Sprintf(bad, "U+0002")},
		"several at once": {"a: &x 1\nb: *x\nb: 2\n", "f.yaml:1:4: anchors (&name) are not taken; remove it; if it is meant as text, put it in quotes\nf.yaml:2:4: aliases (*name) are not taken; write the value out; if a star is meant as text, put it in quotes: \"*\"\nf.yaml:3:1: the key \"b\" is given twice; keep one; the first is at f.yaml:2:1"},

		"second document":     {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document starts here; one file holds one document: put it into a file of its own"},
		"tag":                 {"a: !secret x\n", "f.yaml:1:4: tags (!name) are not taken; remove it; if it is meant as text, put it in quotes"},
		"standard tag":        {"a: !!str 1\n", "f.yaml:1:4: tags (!name) are not taken; remove it; if it is meant as text, put it in quotes"},
		"merge key":           {"a: {<<: {b: 1}}\n", "f.yaml:1:5: merge keys (<<) are not taken; write the fields out"},
		"number as a key":     {"1: a\n", "f.yaml:1:1: the key is not text; put it in quotes"},
		"mapping as a key":    {"{a: 1}: b\n", "f.yaml:1:1: a mapping or list is used as a key; keys are text"},
		"hidden in a key":     {"a\u200b: 1\na\u200b: 2\n", "f.yaml:2:1: the key \"a\\\\u{200B}\" is given twice; keep one; the first is at f.yaml:1:1"},
		"nested too deep":     {strings.Repeat("[", 65) + strings.Repeat("]", 65), "f.yaml:1:65: nested deeper than 64; make it flatter"},
		"nested far too deep": {strings.Repeat("[", 20000), "f.yaml:1:1: not YAML: exceeded max depth of 10000; look for wrong indentation, here or just above"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := parse(c.text); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestSyntaxErrorsSayWhere(t *testing.T) {
	for name, c := range map[string]struct{ text, place, hint string }{
		"tab":                  {"a:\n  b: 1\n\tc: 2\nd: 3\n", "f.yaml:3:1: there is a tab in the indentation", "indent with spaces"},
		"tab after spaces":     {"a:\n  \t- b\n", "f.yaml:2:3: there is a tab in the indentation", "indent with spaces"},
		"indented less":        {"a:\n  - b: 1\n   c: 2\n  - d: 1\n  - e: 1\n", "f.yaml:3:4: ", "wrong indentation"},
		"indented more":        {"a:\n  - b: 1\n     c: 2\n  - d: 1\n", "f.yaml:3:6: ", "same indentation"},
		"list after map":       {"a: 1\nb: 2\n- c\nd: 1\ne: 1\n", "f.yaml:3:1: ", "wrong indentation"},
		"open bracket":         {"a: 1\nb: [1, 2\nc: 3\nd: 4\ne: 5\n", "f.yaml:2:1: ", "not closed"},
		"open brace":           {"a: 1\nb: {c: 1\nd: 3\ne: 4\n", "f.yaml:2:1: ", "not closed"},
		"open quote":           {"a: 1\nb: \"c\nd: 3\ne: 4\n", "f.yaml:2:4: ", "not closed"},
		"open quote of a list": {"a:\n  - b: \"c\n", "f.yaml:2:8: ", "not closed"},
		"second quote":         {"a: 1\nb: {\"\\\"é\": 'it''s', c: 'x}\nd: 1\n", "f.yaml:2:24: ", "not closed"},
		"star of a list":       {"a:\n  - {b: \"* \", c: *}\n", "f.yaml:2:18: ", `"*"`},
		"star of a value":      {"a:\n- b: *\n", "f.yaml:2:6: ", `"*"`},
		"extra brace":          {"a: 1\nb: {c: 1}}\n# d\n# e\nf: 2\n", "f.yaml:2:1: ", ""},
		"no colon":             {"a: 1\nb 2\nc: 3\nd: 4\n", "f.yaml:2:1: ", `"name: value"`},
		"two colons":           {"a: 1\nb: c: 2\n", "f.yaml:2:1: ", "quotes"},
		"bare star":            {"a: 1\nb: *\nc: 2\n", "f.yaml:2:4: ", `"*"`},
		"unknown alias":        {"a: 1\nb: *c\nd: 2\n", "f.yaml:2:4: ", `"*"`},
		"bare at":              {"a: 1\nb: @c\nd: 2\n", "f.yaml:2:1: ", "quotes"},
		"escape":               {"a: 1\nb: \"\\q\"\n", "f.yaml:2:1: ", "backslash"},
		"after the end":        {"a: 1\n...\nb\n", "f.yaml:3:1: ", ""},
		"CRLF":                 {"a: 1\r\nb: [\r\nc: 1\r\n", "f.yaml:2:1: ", "not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			v, got := parse(c.text)
			if !strings.HasPrefix(got, c.place) || !strings.Contains(got, c.hint) || strings.Contains(got, "\n") {
				t.Errorf("got %q\nwant it to begin with %q and to say %q", got, c.place, c.hint)
			}
			if v.Present() {
				t.Error("a file that is not YAML gave a value")
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	for name, text := range map[string]string{
		"BOM":              "\ufeffa: 1\n",
		"CRLF":             "a: 1\r\nb: 2\r\n",
		"no last line end": "a: 1",
		"document marks":   "---\na: 1\n...\n",
		"as large as may":  "a: 1\n" + strings.Repeat("#", yamlfile.MaxSize-5),
		"quoted merge":     `"<<": 1`,
		"a date as a key":  "2024-01-01: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if v, got := parse(text); got != "" || !v.Present() {
				t.Errorf("refused: %s", got)
			}
		})
	}
}

// Every reader, on what it takes and on what it does not.
func TestReadersSayWhatIsWrong(t *testing.T) {
	text := func(v yamlfile.Value) any { s, ok := v.Text(); return answer(s, ok) }
	lines := func(v yamlfile.Value) any { s, ok := v.Lines(); return answer(s, ok) }
	boolean := func(v yamlfile.Value) any { b, ok := v.Bool(); return answer(b, ok) }
	duration := func(v yamlfile.Value) any {
		d, ok := v.Duration(approval.Duration(time.Hour))
		return answer(d.String(), ok)
	}
	number := func(v yamlfile.Value) any { n, ok := v.Number(); return answer(n, ok) }
	whole := func(v yamlfile.Value) any { n, ok := v.Int(1, 65535); return answer(n, ok) }
	list := func(v yamlfile.Value) any { l, ok := v.List(); return answer(len(l), ok) }
	mapping := func(v yamlfile.Value) any { m := v.Mapping(); return answer(len(m.Entries()), m.Present()) }
	json := func(v yamlfile.Value) any { j, ok := v.JSON(); return answer(string(j), ok) }

	for _, c := range []struct {
		read  func(yamlfile.Value) any
		value string
		want  any    // nil: not read
		says  string // a part of the one problem
	}{
		{number, `0.5`, 0.5, ""},
		{number, `-3`, -3.0, ""},
		{number, `9007199254740993`, nil, "the integer is beyond 2^53"},
		{number, `0x10`, nil, "the number is not written as JSON writes numbers"},
		{number, `.nan`, nil, "the number is not written as JSON writes numbers"},
		{number, `"5"`, nil, "a is text, must be a number"},
		{number, `[5]`, nil, "a is a list, must be a number"},
		{text, `word`, "word", ""},
		{text, `yes`, "yes", ""},
		{text, `2024-01-01`, "2024-01-01", ""},
		{text, `"12"`, "12", ""},
		{text, `12`, nil, "a is a number, must be text; put it in quotes"},
		{text, `true`, nil, "a is true or false, must be text; put it in quotes"},
		{text, `[x]`, nil, "a is a list, must be text; write one value, not several"},
		{text, `{x: 1}`, nil, "a is a mapping, must be text; write one value, not several"},
		{text, ``, nil, "a is empty, must be text; fill it in, or remove it"},
		{text, `" "`, nil, "a is empty; fill it in, or remove it"},
		{text, `"x\ny"`, nil, "a holds the control character U+000A; write it as one line of text"},
		{lines, `"x\n\ty"`, "x\n\ty", ""},
		{lines, `"x\ry"`, nil, "a holds the control character U+000D; remove it"},
		{boolean, `true`, true, ""},
		{boolean, `False`, false, ""},
		{boolean, `yes`, nil, "a is text, must be true or false; write true or false, without quotes"},
		{boolean, `"true"`, nil, "a is text, must be true or false"},
		{boolean, `1`, nil, "a is a number, must be true or false"},
		{duration, `90`, "1m30s", ""},
		{duration, `1.5`, "1.5s", ""},
		{duration, `90s`, "1m30s", ""},
		{duration, `"1h"`, "1h0m0s", ""},
		{duration, `0`, nil, "a is out of bounds; it must be more than 0 and at most 1h"},
		{duration, `0.0000000001`, nil, "a is out of bounds"},
		{duration, `61m`, nil, "a is out of bounds"},
		{duration, `-5`, nil, "a is not a length of time; use seconds (90)"},
		{duration, `.inf`, nil, "a is not a length of time"},
		{duration, `Infinity`, nil, "a is not a length of time"},
		{duration, `NaN`, nil, "a is not a length of time"},
		{duration, `0x10`, nil, "a is not a length of time"},
		{duration, `9223372036.854776`, nil, "a is not a length of time"},
		{duration, `1d`, nil, "a is not a length of time"},
		{duration, `true`, nil, "a is true or false, must be a length of time"},
		{duration, `[1]`, nil, "a is a list, must be a length of time"},
		{whole, `80`, 80, ""},
		{whole, `65536`, nil, "a is out of bounds; write a whole number from 1 to 65535"},
		{whole, `0x50`, nil, "a is out of bounds"},
		{whole, `80.0`, nil, "a is a number, must be a whole number"},
		{whole, `"80"`, nil, "a is text, must be a whole number"},
		{list, `[1, 2]`, 2, ""},
		{list, `[]`, 0, ""},
		{list, `x`, nil, `a is text, must be a list; write "- entry"`},
		{mapping, `{x: 1, y: 2}`, 2, ""},
		{mapping, ``, nil, `a is empty, must be a mapping; write it as lines of "name: value"`},
		{mapping, `[x]`, nil, "a is a list, must be a mapping"},
		{json, `{b: 1, a: [1.50, -0, 1E5, null, True, x, 2024-01-01, "<\u00e9>"]}`, `{"b":1,"a":[1.50,-0,1E5,null,true,"x","2024-01-01","<é>"]}`, ""},
		{json, `9007199254740992`, "9007199254740992", ""},
		{json, `9007199254740993`, nil, "the integer is beyond 2^53 (9007199254740992) and readers would round it"},
		{json, `-18446744073709551616`, nil, "the integer is beyond 2^53"},
		{json, `1e999`, nil, "the number is too large"},
		{json, `0x1F`, nil, "the number is not written as JSON writes numbers"},
		{json, `1_000`, nil, "the number is not written as JSON writes numbers"},
		{json, `017`, nil, "the number is not written as JSON writes numbers"},
		{json, `.5`, nil, "the number is not written as JSON writes numbers"},
		{json, `.nan`, nil, "the number is not written as JSON writes numbers"},
		{json, `"0x1F"`, `"0x1F"`, ""},
	} {
		t.Run(c.value, func(t *testing.T) {
			var problems yamlfile.Problems
			file := yamlfile.Parse("f.yaml", []byte("a: "+c.value+"\n"), &problems).Mapping()
			got, problem := c.read(file.Field("a")), said(problems)
			if got != c.want {
				t.Errorf("read %v, want %v", got, c.want)
			}
			if (problem == "") != (c.says == "") || !strings.Contains(problem, c.says) || strings.Contains(problem, "\n") {
				t.Errorf("problem %q, want %q", problem, c.says)
			}
		})
	}
}

func answer(v any, ok bool) any {
	if !ok {
		return nil
	}
	return v
}

// What the form's own problems cover is not reported a second time, and what is absent not at all.
func TestReadersAreSilentOnWhatIsKnown(t *testing.T) {
	var problems yamlfile.Problems
	file := yamlfile.Parse("f.yaml", []byte("a: &x 1\nb: *x\nc: !t x\n1: x\n"), &problems).Mapping()
	before := len(problems)
	for _, v := range []yamlfile.Value{file.Field("b"), file.Field("c"), file.Field("d"), {}} {
		v.Text()
		v.Bool()
		v.Duration(1)
		v.List()
		v.Mapping().Need("x", "")
		v.Mapping().Done()
		v.JSON()
		if v.Present() {
			continue
		}
		if v.Problem("absent", ""); v.Where() != "" || v.Line() != 0 {
			t.Error("an absent value has a place")
		}
	}
	file.Field("a")
	file.Done()
	if len(problems) != before {
		t.Errorf("said again: %v", problems[before:])
	}
	if problems = nil; file.Has("z") {
		t.Error("has a field that is not there")
	}
}

func TestFields(t *testing.T) {
	var problems yamlfile.Problems
	text := "tol: a\nTIMEOUT: 1\nrequireapproval: true\nwhen: x\nzzz: 1\n\"a\\u202eb\": 1\nzzz: 2\n"
	m := yamlfile.Parse("f.yaml", []byte(text), &problems).Mapping()
	m.Need("tool", "name it")
	m.Field("timeout")
	m.Field("require_approval")
	m.Hint(map[string]string{"when": "remove it", "unless": "remove it, too"})
	m.Done()
	const known = "the fields here are tool, timeout, require_approval"
	want := `f.yaml:1:1: tool is missing; name it
f.yaml:1:1: unknown field "tol"; did you mean "tool"?
f.yaml:2:1: unknown field "TIMEOUT"; did you mean "timeout"?
f.yaml:3:1: unknown field "requireapproval"; did you mean "require_approval"?
f.yaml:4:1: unknown field "when"; remove it
f.yaml:5:1: unknown field "zzz"; ` + known + `
f.yaml:6:1: unknown field "a\\u{202E}b"; ` + known + `
f.yaml:7:1: the key "zzz" is given twice; keep one; the first is at f.yaml:5:1`
	if got := said(problems); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The parser puts the value of "? a" after the last line.
func TestPlacesAreInTheFile(t *testing.T) {
	var problems yamlfile.Problems
	yamlfile.Parse("f.yaml", []byte("? a"), &problems).Mapping().Field("a").Text()
	if got, want := said(problems), "f.yaml:1:1: a is empty, must be text; fill it in, or remove it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProblemsAreSortedAndStandOnce(t *testing.T) {
	var none yamlfile.Problems
	if err := none.Err(); err != nil {
		t.Fatalf("no problems are an error: %v", err)
	}
	var ps yamlfile.Problems
	for _, p := range []yamlfile.Problem{
		{File: "b", Line: 1, Column: 1, Message: "m"}, {File: "a", Line: 10, Column: 1, Message: "m"},
		{File: "a", Line: 9, Column: 2, Message: "m"}, {File: "a", Message: "whole", Hint: "h"},
		{File: "b", Line: 1, Column: 1, Message: "m"}, {File: "a", Line: 9, Column: 1, Message: "m"},
	} {
		ps.Add(p)
	}
	want := "a: whole; h\na:9:1: m\na:9:2: m\na:10:1: m\nb:1:1: m"
	if got := said(ps); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var problems yamlfile.Problems
	yamlfile.Parse("f.yaml", []byte(strings.Repeat("- !t x\n", 5000)), &problems)
	got := said(problems)
	if n := strings.Count(got, "\n"); n != 1000 || !strings.HasPrefix(got, "f.yaml: there are more problems than are shown") {
		t.Errorf("%d lines, beginning %.80q", n+1, got)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	good, large := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "large.yaml")
	for path, data := range map[string]string{good: "a: 1\n", large: strings.Repeat("#", yamlfile.MaxSize+1)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var problems yamlfile.Problems
	if data, ok := yamlfile.ReadFile(good, &problems); !ok || string(data) != "a: 1\n" || len(problems) > 0 {
		t.Errorf("read %q, %v, %v", data, ok, problems)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "absent.yaml: can't be read: ",
		dir:                               ": can't be read: ",
		large:                             "large.yaml: the file is larger than 4 MiB",
	} {
		var problems yamlfile.Problems
		if _, ok := yamlfile.ReadFile(path, &problems); ok || !strings.Contains(said(problems), want) {
			t.Errorf("%s: %v, %q; want %q", path, ok, said(problems), want)
		}
	}
}

func TestWarnings(t *testing.T) {
	var problems yamlfile.Problems
	file := yamlfile.Parse("f.yaml", []byte("a: 1\nb: 2"), &problems).Mapping()
	file.Field("b").Warn("odd", "look at it")
	if err := problems.Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
	if got := problems.Warnings().Error(); got != "f.yaml:2:4: warning: odd; look at it" {
		t.Error(got)
	}
	file.Field("a").Problem("bad", "mend it")
	if err := problems.Err(); err == nil || err.Error() != "f.yaml:1:4: bad; mend it" {
		t.Errorf("errors: %v", err)
	}
	// However many warnings there are, an error is never lost among them.
	for i := range 5000 {
		problems.Add(yamlfile.Problem{File: "f", Line: i, Message: "odd", Warning: true})
	}
	problems = problems[:0]
	for i := range 5000 {
		problems.Add(yamlfile.Problem{File: "f", Line: i, Message: "odd", Warning: true})
	}
	problems.Add(yamlfile.Problem{File: "f", Line: 1, Message: "bad"})
	if err := problems.Err(); err == nil || err.Error() != "f:1:0: bad" {
		t.Errorf("the error among warnings: %v", err)
	}
	if got := len(problems.Warnings()); got != 101 {
		t.Errorf("%d warnings are kept", got)
	}
}

func TestProblemsWithinText(t *testing.T) {
	for text, want := range map[string]string{
		`a: x + y`:       "f.yaml:1:8: bad",
		`a: 'x + y'`:     "f.yaml:1:9: bad",
		`a: "x + y"`:     "f.yaml:1:4: bad (at line 1, column 5 of the text)",
		"a: |\n  x + y":  "f.yaml:1:4: bad (at line 1, column 5 of the text)",
		"a: >-\n  x + y": "f.yaml:1:4: bad (at line 1, column 5 of the text)",
		`a: 'it''s'`:     "f.yaml:1:4: bad (at line 1, column 5 of the text)",
	} {
		var problems yamlfile.Problems
		yamlfile.Parse("f.yaml", []byte(text), &problems).Mapping().Field("a").Within(1, 5, "bad", "")
		if got := problems.Error(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestTooManyValues(t *testing.T) {
	var problems yamlfile.Problems
	if v := yamlfile.Parse("f.yaml", []byte("a: ["+strings.Repeat("1,", yamlfile.MaxValues)+"]"), &problems); v.Present() {
		t.Error("parsed")
	}
	if got := problems.Error(); got != "f.yaml: the file may hold more than 500000 values; split it into several files" {
		t.Error(got)
	}
}
