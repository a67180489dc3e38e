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

// Under each policy on the policies' first page stands what it says of some calls, and it does.
func TestPolicyPage(t *testing.T) {
	text, err := os.ReadFile("docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	dir, tried := t.TempDir(), 0
	shown := "" // the policy whose calls come next
	for _, m := range snippet.FindAllStringSubmatch(string(text), -1) {
		kind, body := m[1], m[2]
		switch {
		case kind != "yaml":
		case !suite.MatchString(body):
			if shown != "" {
				t.Errorf("nothing is tried on\n%s", shown)
			}
			shown = body
			for _, p := range policy.Check(policy.File{Name: "policy.yaml", Data: []byte(body)}) {
				if !strings.Contains(body, "unmatched: allow") { // which the page explains
					t.Error(p)
				}
			}
		default:
			for name, data := range map[string]string{"policy.yaml": shown, "page_test.yaml": body} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			policytest.Check(t, filepath.Join(dir, "page_test.yaml"))
			shown = ""
			tried++
		}
	}
	if tried < 6 || shown != "" {
		t.Errorf("%d policies were tried; not: %s", tried, shown)
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
