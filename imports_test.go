package pawl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pawlhq/pawl"

// rooms says which rooms each room may import directly. Arrows point down only: a room never
// imports one that imports it. A new room gets a line here and in docs/architecture.md. The room ""
// is package pawl, at the root.
var rooms = map[string][]string{
	"":                      {"client", "codec", "health", "internal/agent", "internal/calls", "internal/osfile", "internal/retry", "present", "rest", "tool"},
	"pawltest":              {"", "internal/agent", "internal/calls", "internal/runner", "rest", "tool"},
	"approval":              {"strictjson"},
	"strictjson":            {},
	"redact":                {"approval", "strictjson"},
	"ballot":                {},
	"ballot/ballottest":     {},
	"present":               {},
	"present/presenttest":   {},
	"rest":                  {"approval", "present"},
	"codec":                 {"internal/osfile"},
	"internal/attempts":     {"present", "rest", "store"},
	"internal/build":        {},
	"internal/keyfile":      {"internal/osfile"},
	"internal/osfile":       {},
	"internal/wrapped":      {"internal/osfile"},
	"internal/yamlfile":     {"rest"},
	"policy":                {"internal/yamlfile", "policy/path", "policy/requirement", "tool"},
	"policy/requirement":    {"ballot"},
	"policy/path":           {},
	"policy/policytest":     {"audit", "internal/yamlfile", "policy"},
	"policy/policydiff":     {"policy", "policy/requirement", "policy/policytest"},
	"policy/schema":         {},
	"policy/active":         {"internal/yamlfile", "policy", "rest", "store"},
	"tool":                  {"present"},
	"tool/httptool":         {"tool"},
	"tool/toolfile":         {"internal/yamlfile", "policy", "present", "tool/httptool"},
	"audit":                 {"rest"},
	"audit/crosscheck":      {"activities", "audit", "codec", "internal/calls", "store"},
	"audit/tree":            {"audit", "internal/keyfile", "internal/osfile", "internal/retry", "rest", "store"},
	"audit/verify":          {"audit", "audit/tree", "internal/osfile", "store"},
	"store":                 {"audit", "rest"},
	"store/backend":         {"audit", "rest", "store", "store/packed"},
	"store/packed":          {},
	"store/sqlite":          {"audit", "internal/osfile", "store", "store/backend", "store/packed"},
	"store/postgres":        {"audit", "internal/retry", "store", "store/backend"},
	"store/postgres/pgtest": {},
	"store/storetest":       {"audit", "audit/tree", "audit/verify", "rest", "store"},
	"health":                {"internal/calls", "rest"},
	"internal/runner":       {"tool"},
	"internal/retry":        {},
	"internal/calls":        {"codec"},
	"internal/agent":        {"health", "internal/calls", "internal/retry", "internal/runner", "tool"},
	"activities":            {"audit", "auth/sign", "ballot", "internal/runner", "policy/requirement", "store", "tool"},
	"workflows":             {"activities", "auth/sign", "ballot", "codec", "internal/runner", "present", "tool"},
	"notify":                {"audit", "health", "internal/build", "internal/retry", "internal/yamlfile", "store"},
	"worker":                {"activities", "audit", "audit/tree", "codec", "health", "internal/calls", "internal/retry", "policy/active", "store", "tool", "tool/httptool", "tool/toolfile", "workflows"},
	"auth":                  {"audit", "auth/sign", "internal/keyfile", "internal/osfile", "rest", "store"},
	"auth/session":          {"auth", "rest", "store"},
	"auth/sign":             {},
	"auth/oidc":             {"auth", "auth/session", "rest"},
	"api/denials":           {"audit", "store"},
	"api/events":            {"health", "rest", "store"},
	"api/web":               {},
	"api":                   {"api/denials", "api/events", "api/web", "audit", "audit/tree", "auth", "auth/session", "ballot", "codec", "health", "internal/attempts", "internal/build", "internal/calls", "internal/retry", "internal/yamlfile", "policy", "policy/active", "policy/requirement", "present", "rest", "store"},
	"client":                {"internal/retry", "rest"},
	"cmd/pawl":              {"internal/cli", "internal/cli/access", "internal/cli/call", "internal/cli/gateway", "internal/cli/hooks", "internal/cli/operate", "internal/cli/policies", "internal/cli/review", "internal/osfile"},
	"internal/settings":     {"api", "audit/tree", "auth/oidc", "client", "internal/yamlfile", "rest", "store"},
	"mcp":                   {"client", "internal/osfile", "internal/retry", "rest", "tool"},
	"hook":                  {"client", "internal/osfile", "internal/retry", "internal/wrapped", "rest"},
	"internal/cli":          {"auth", "client", "internal/build", "internal/osfile", "internal/settings", "policy/requirement", "present", "rest", "store", "store/postgres", "store/sqlite"},
	"internal/cli/admin":    {"audit", "auth", "client", "internal/cli", "internal/settings", "internal/yamlfile", "policy", "policy/active", "rest", "store"},
	"internal/cli/access":   {"auth", "client", "codec", "internal/cli", "internal/cli/admin", "internal/settings", "rest"},
	"internal/cli/call":     {"client", "internal/cli", "internal/cli/admin", "internal/settings", "policy", "policy/active", "rest", "tool"},
	"internal/cli/clitest":  {"approval", "internal/cli", "internal/cli/access", "internal/cli/call", "internal/cli/gateway", "internal/cli/hooks", "internal/cli/operate", "internal/cli/policies", "internal/cli/review", "policy", "rest"},
	"internal/cli/operate":  {"api", "audit/tree", "auth", "auth/oidc", "auth/session", "codec", "health", "internal/cli", "internal/calls", "internal/cli/admin", "internal/cli/temporal", "internal/retry", "internal/settings", "notify", "policy", "policy/active", "rest", "store", "tool", "worker"},
	"internal/cli/gateway":  {"client", "internal/build", "internal/cli", "internal/settings", "internal/wrapped", "mcp", "rest"},
	"internal/cli/hooks":    {"client", "examples/policy/ready", "hook", "internal/cli", "internal/osfile", "internal/settings", "internal/wrapped", "rest"},
	"internal/cli/policies": {"client", "internal/cli", "internal/cli/admin", "internal/settings", "internal/yamlfile", "policy", "policy/active", "policy/policydiff", "policy/policytest", "policy/requirement", "policy/schema", "rest"},
	"internal/cli/sealed":   {"audit", "audit/crosscheck", "audit/tree", "audit/verify", "health", "internal/cli", "internal/cli/temporal", "internal/keyfile", "internal/settings", "rest", "store"},
	"internal/cli/temporal": {"codec", "worker"},
	"internal/cli/review":   {"audit", "audit/tree", "ballot", "client", "internal/cli", "internal/cli/sealed", "internal/retry", "present", "rest"},
	"examples/agent":        {"", "client"},
	"examples/policy/ready": {},
}

// leaves are the rooms that every other room may import.
var leaves = []string{"approval", "strictjson", "redact"}

// light are the rooms that agents and workflows load, and what must never come along with them.
var (
	light = []string{"", "pawltest", "approval", "ballot", "codec", "tool", "policy", "auth", "client", "workflows", "activities"}
	heavy = []string{"github.com/gin-gonic/gin", "github.com/jackc/pgx", "modernc.org/sqlite", "github.com/pressly/goose",
		"go.temporal.io/server", "github.com/spf13/cobra"}
	// carried are the rooms that agents and reviewers' programs build in. What keeps records, and what
	// knows callers, belongs to servers.
	carried = []string{"", "pawltest", "approval", "rest", "client", "codec", "health", "tool"}
	kept    = []string{"store", "audit", "auth"}
	// evaluators are what only those carry who evaluate policies.
	evaluators = []string{"cel.dev/cel-go", "github.com/antlr4-go"}
)

type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

func TestImportRules(t *testing.T) {
	var seen []string
	for _, p := range list(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		seen = append(seen, room)
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s is a room without a rule: add it to the table", room)
		}
		for _, i := range p.Imports {
			inner, ours := strings.CutPrefix(i, module+"/")
			if i == module {
				inner, ours = "", true
			}
			free := slices.Contains(leaves, inner) && !slices.Contains(leaves, room)
			if ours && !free && !slices.Contains(allowed, inner) {
				t.Errorf("%s must not import %s", p.ImportPath, i)
			}
		}
		for _, d := range p.Deps {
			inner := strings.TrimPrefix(d, module+"/")
			if slices.Contains(carried, room) && slices.ContainsFunc(kept, func(k string) bool { return inner == k || strings.HasPrefix(inner, k+"/") }) {
				t.Errorf("%s comes to need %s, which agents must not carry", p.ImportPath, d)
			}
			if strings.HasPrefix(d, "go.temporal.io/server") {
				t.Errorf("%s comes to need Temporal's server by %s", room, d)
			}
			brings := func(h string) bool { return strings.HasPrefix(d, h) }
			if slices.Contains(light, room) && (slices.ContainsFunc(heavy, brings) || room != "policy" && slices.ContainsFunc(evaluators, brings)) {
				t.Errorf("%s comes to need %s, which whoever imports it would have to carry", p.ImportPath, d)
			}
		}
	}
	for room := range rooms {
		if !slices.Contains(seen, room) {
			t.Errorf("there is a rule for the room %s, but no such room", room)
		}
	}
}

func TestModuleNeverNeedsTheServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("go.temporal.io/server ")) {
		t.Error("the root module's go.mod comes to need go.temporal.io/server; that belongs to dev/")
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}
