package pawl_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goName is a name of one of Pawl's packages, as documents and comments write it.
var goName = regexp.MustCompile(`(?:^|[^\w/.])([a-z]+)\.([A-Z]\w+)(…?)`)

// variables stand before a point in documents, where they have the name of a package.
var variables = map[string]bool{"call": true, "agent": true, "client": true}

// Documents and comments name functions, types and constants that there are.
func TestNamesInTheDocs(t *testing.T) {
	type file struct{ path, text string }
	declared := map[string]map[string]bool{}
	var files []file
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || path == "dev" || path == "clients"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md") && path != "docs/threat-model.md": // TestThreatModel reads that
			text, err := os.ReadFile(path)
			files = append(files, file{path, string(text)})
			return err
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			for _, c := range parsed.Comments {
				files = append(files, file{path, c.Text()})
			}
			if declared[parsed.Name.Name] == nil {
				declared[parsed.Name.Name] = map[string]bool{}
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && id.IsExported() {
					declared[parsed.Name.Name][id.Name] = true
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range files {
		for _, m := range goName.FindAllStringSubmatch(f.text, -1) {
			names, ours := declared[m[1]]
			if !ours || variables[m[1]] || m[3] != "" { // the beginning of several names
				continue
			}
			if found++; !names[m[2]] {
				t.Errorf("%s names %s.%s, which does not exist", f.path, m[1], m[2])
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d names were looked up", found)
	}
}
