package pawl_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	namedTest = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")
	looseTest = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
)

// TestThreatModel keeps docs/threat-model.md from naming tests that are gone, and tables that say
// what shows their claims from having rows that don't.
func TestThreatModel(t *testing.T) {
	const page = "docs/threat-model.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{}
	named, shownBy := 0, false
	for i, line := range strings.Split(string(text), "\n") {
		for _, m := range namedTest.FindAllStringSubmatch(line, -1) {
			named++
			dir, name := m[1], m[2]
			if _, known := tests[dir]; !known {
				tests[dir] = testsIn(t, dir)
			}
			if !slices.Contains(tests[dir], name) {
				t.Errorf("%s:%d: there is no test %s in %s: name another, or take the claim out", page, i+1, name, dir)
			}
		}
		if loose := looseTest.FindString(namedTest.ReplaceAllString(line, "")); loose != "" {
			t.Errorf("%s:%d: write %s as `directory.%s`", page, i+1, loose, loose)
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case !strings.HasPrefix(line, "|"):
			shownBy = false
		case last == "shown by":
			shownBy = true
		case shownBy && strings.Trim(last, "-") != "" && last != "not tested" && !namedTest.MatchString(last):
			t.Errorf("%s:%d: what shows it? Name tests, or say \"not tested\"", page, i+1)
		}
	}
	if named == 0 {
		t.Errorf("%s names no tests", page)
	}
}

// testsIn lists the tests in a directory, of whatever platform.
func testsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
