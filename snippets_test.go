package pawl_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/tool/toolfile"
)

var (
	snippet   = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")
	toolsFile = regexp.MustCompile(`(?m)^tools:`)
	suite     = regexp.MustCompile(`(?m)^tests:`)
)

// TestSnippets runs what the documentation shows: policies and tools files load, calls parse, Go
// programs compile.
func TestSnippets(t *testing.T) {
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, file := range append(docs, "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snippet.FindAllStringSubmatch(string(text), -1) {
			kind, body := m[1], m[2]
			switch {
			case kind == "yaml" && suite.MatchString(body):
				kind = "suite"
				_, err = policytest.Parse(file, []byte(body))
			case kind == "yaml" && toolsFile.MatchString(body):
				kind = "tools"
				env := func(string) (string, bool) { return "secret", true }
				_, err = toolfile.Parse(file, []byte(body), env)
			case kind == "yaml":
				_, err = policy.Compile(policy.File{Name: file, Data: []byte(body)})
			case kind == "go":
				err = compiles(t, body)
			case kind == "sh" && strings.Contains(body, "-d '{"):
				kind = "curl"
				_, doc, _ := strings.Cut(body, "-d '")
				doc, _, _ = strings.Cut(doc, "'")
				// wait belongs to the request, not to the call
				_, err = approval.ParseCall([]byte(strings.Replace(doc, `, "wait": "30s"`, "", 1)))
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", file, err, body)
			}
			ran[kind]++
		}
	}
	for _, kind := range []string{"yaml", "tools", "suite", "go", "curl"} {
		if ran[kind] == 0 {
			t.Errorf("no %s snippet was found: %v", kind, ran)
		}
	}
	if _, err := policy.Load("examples/policy.yaml"); err != nil {
		t.Error(err)
	}
	if _, err := toolfile.Load("examples/tools.yaml", os.LookupEnv); err != nil {
		t.Error(err)
	}
}

func compiles(t *testing.T, program string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "vet", file).CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return err
}
