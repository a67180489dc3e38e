package pythontest

import (
	"bytes"
	_ "embed" // engines.py
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

//go:embed engines.py
var engines string

// The verdicts of other engines.
const (
	foreignAllow   = "allow"
	foreignAsk     = "require_approval"
	foreignDeny    = "deny"
	foreignDefault = "default_deny" // no entry matches
)

type capFenceFile struct {
	name  string
	Text  string        `json:"text"`
	Calls []foreignCall `json:"calls"`
}

type approveKitFile struct {
	Text  string   `json:"text"`
	Tools []string `json:"tools"`
}

// Of the policies that other tools ship, and of calls like those that they are about: what their
// engines deny, or ask people about, does not run here. The files and engines are those that their
// authors published; nothing of them is kept here.
func TestForeignPoliciesGetNoLaxer(t *testing.T) {
	python := Install(t)
	packages := sitePackages(t, python)
	asked := struct {
		CapFence   []capFenceFile   `json:"capfence"`
		ApproveKit []approveKitFile `json:"approvekit"`
		AgentGuard []string         `json:"agentguard"`
	}{capFenceFiles(t, packages), approveKitFiles(t, packages), dangerousNames()}
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", engines)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = t.TempDir(), bytes.NewReader(in), 10*time.Second
	var says strings.Builder
	cmd.Stderr = &says
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, says.String())
	}
	var answers struct {
		CapFence, ApproveKit [][]string
		AgentGuard           []string
	}
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}

	count := map[string]int{}
	for i, f := range asked.CapFence {
		set, err := policy.Compile(policy.File{Name: f.name, Data: []byte(f.Text)})
		if err != nil { // then nothing runs by it
			if !strings.Contains(err.Error(), "a value with * allows nothing for sure") {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		}
		for j, c := range f.Calls {
			args, err := json.Marshal(c.Payload)
			if err != nil {
				t.Fatal(err)
			}
			ours := set.Evaluate(approval.Call{Tool: c.Capability, Args: args, Labels: c.Context}, time.Now())
			theirs := answers.CapFence[i][j]
			count[theirs]++
			count["both "+theirs] += map[bool]int{true: 1}[string(ours.Kind) == theirs]
			switch {
			case ours.Kind == approval.VerdictAllow && theirs != foreignAllow,
				ours.Kind != approval.VerdictDeny && theirs == foreignDeny:
				t.Errorf("%s: %s %s %v: they say %s, we %s (%s)", f.name, c.Capability, args, c.Context, theirs, ours.Kind, ours.Policy.Rule)
			}
		}
	}
	t.Logf("%d files, verdicts: %v", len(asked.CapFence), count)
	for _, verdict := range []string{foreignAllow, foreignAsk, foreignDeny, foreignDefault} {
		if count[verdict] < 50 {
			t.Errorf("the corpus has %d calls that they answer with %s", count[verdict], verdict)
		}
	}
	if count["both "+foreignAllow] == 0 {
		t.Error("nothing that they allow runs here")
	}
	for i, f := range asked.ApproveKit {
		set, err := policy.Compile(policy.File{Name: "approvekit.yaml", Data: []byte(f.Text)})
		if err != nil {
			t.Errorf("%v in\n%s", err, f.Text)
			continue
		}
		for j, tool := range f.Tools {
			ours, theirs := string(set.Evaluate(approval.Call{Tool: tool}, time.Now()).Kind), answers.ApproveKit[i][j]
			if known := strings.Contains(f.Text, tool) || strings.Contains(f.Text, `"*"`); known && ours != theirs || !known && ours != foreignAsk {
				t.Errorf("%s in\n%s\nthey say %s, we %s", tool, f.Text, theirs, ours)
			}
		}
	}
	set, err := policy.Compile(policy.File{Name: "names.yaml", Data: []byte("classify: true\nunmatched: allow\nrules: []\n")})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range asked.AgentGuard {
		if answers.AgentGuard[i] == "" {
			t.Errorf("%s: they take it for harmless, so it tries nothing", name)
		}
		if v := set.Evaluate(approval.Call{Tool: name}, time.Now()); v.Kind == approval.VerdictAllow {
			t.Errorf("%s: they say %s, we let it run", name, answers.AgentGuard[i])
		}
	}
}

func sitePackages(t *testing.T, python string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(python), "..", "lib", "python3.*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// examples are the policies in a package's description.
func examples(t *testing.T, packages, name string) (texts []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(packages, name+"-*.dist-info", "METADATA"))
	if err != nil || len(found) != 1 {
		t.Fatal(name, found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
		texts = append(texts, block[1])
	}
	if len(texts) == 0 {
		t.Errorf("%s shows no policy any more", name)
	}
	return texts
}

func capFenceFiles(t *testing.T, packages string) (files []capFenceFile) {
	t.Helper()
	texts := map[string]string{}
	for _, text := range examples(t, packages, "capfence") {
		texts["README.yaml"] += text
	}
	paths, err := filepath.Glob(filepath.Join(packages, "policies", "packs", "*", "*.yaml"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d policies, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path)] = string(text)
	}
	for name, more := range ourFiles {
		texts[name] = more
	}
	for name, text := range texts {
		calls, err := derive([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files = append(files, capFenceFile{name, text, calls})
	}
	return files
}

// ourFiles are in their form, with what their own files do not show.
var ourFiles = map[string]string{
	"environment.yaml": "deny: [payments.refund]\nallow: [payments.*]\n",
	"branches.yaml":    "require_approval: [{capability: github.push.*}]\nallow: [{capability: github.*}]\n",
	"resource.yaml":    "deny: [admin]\nrequire_approval: ['*.delete']\nallow: ['*']\n",
	"scopes.yaml":      "deny: [db.*.*]\nrequire_approval: [mail.send.external]\nallow: ['*']\n",
	"values.yaml": "deny: [{capability: mcp.tools.call, tool_name: 'admin_*'}, {capability: k8s.apply, environment: 'prod?'}]\n" +
		"require_approval: [{capability: k8s.apply, environment: '[ls]ive'}, {capability: k8s.apply, tenant: '*bank*'}]\nallow: ['*']\n",
	"together.yaml": "deny: [{capability: db.run, match_regex: 'DROP.*users'}, {capability: db.run, match_keywords: ['42', 'none']}]\n" +
		"require_approval: [{capability: db.run, match_regex: ['force=\\w+ now', 'DELETE\\s+FROM', '^True$']}]\nallow: [db.run]\n",
}

func approveKitFiles(t *testing.T, packages string) (files []approveKitFile) {
	t.Helper()
	texts := append(examples(t, packages, "approvekit"),
		"rules:\n  - {tool: read, require_approval: false}\n  - {tool: send, require_approval: true, risk_level: HIGH}\n",
		"rules:\n  - {tool: send, require_approval: true, timeout: 0}\n  - {tool: read, auto_approve: true, timeout: 0}\n",
		"default_timeout: 0\nrules:\n  - {tool: send, require_approval: true}\n  - {tool: pay, require_approval: true, timeout: 60}\n  - {tool: read, require_approval: false}\n")
	for _, text := range texts {
		files = append(files, approveKitFile{text, []string{"send_email", "read_record", "send", "read", "pay", "other"}})
	}
	return files
}

// dangerousNames are names with AgentGuard's words, as writers of tools put them together. That a
// word must be a whole one, and that looking at something is no act, is how ours differs.
func dangerousNames() (names []string) {
	for _, verb := range strings.Fields("delete drop wipe truncate purge destroy remove send email message notify " +
		"publish post execute run shell command exec eval spawn write overwrite update insert modify save") {
		title := strings.ToUpper(verb[:1]) + verb[1:]
		for _, name := range []string{
			"V", "V_user", "T_user", "bulk_V", "VUser", "userT", "V-record", "users.V", "users/V_all", "V2", "U_RECORD", "BulkT", "do_V_now",
			"mcp__srv__V_item",
		} {
			names = append(names, strings.NewReplacer("V", verb, "T", title, "U", strings.ToUpper(verb)).Replace(name))
		}
	}
	return names
}
