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

// rooms says which rooms each room may import directly. Arrows point down
// only: nobody imports a room that stands on him. A new room gets a line here
// and in docs/architecture.md.
// The room "" is package pawl, at the root.
var rooms = map[string][]string{
	"":                      {"approval", "client", "codec", "health", "internal/agent", "internal/calls", "internal/retry", "internal/runner", "tool"},
	"pawltest":              {"", "approval", "internal/agent", "internal/calls", "internal/runner", "tool"},
	"approval":              {},
	"ballot":                {"approval"},
	"codec":                 {"internal/osfile"},
	"internal/osfile":       {},
	"internal/yamlfile":     {"approval"},
	"policy":                {"approval", "internal/yamlfile", "tool"},
	"policy/policytest":     {"approval", "internal/yamlfile", "policy"},
	"policy/policydiff":     {"approval", "internal/yamlfile", "policy", "policy/policytest"},
	"policy/schema":         {},
	"policy/active":         {"approval", "internal/yamlfile", "policy", "store"},
	"tool":                  {"approval"},
	"tool/httptool":         {"approval", "tool"},
	"tool/toolfile":         {"approval", "internal/yamlfile"},
	"audit":                 {"approval"},
	"store":                 {"approval", "audit"},
	"store/sqlite":          {"approval", "audit", "internal/osfile", "store"},
	"store/postgres":        {"approval", "audit", "store"},
	"store/postgres/pgtest": {},
	"store/storetest":       {"approval", "audit", "store"},
	"health":                {"approval", "internal/calls"},
	"internal/runner":       {"approval", "tool"},
	"internal/retry":        {},
	"internal/calls":        {"approval", "codec"},
	"internal/agent":        {"approval", "health", "internal/calls", "internal/runner", "tool"},
	"activities":            {"approval", "audit", "auth/sign", "ballot", "internal/runner", "store", "tool"},
	"workflows":             {"activities", "approval", "auth/sign", "ballot", "codec", "internal/runner", "tool"},
	"worker":                {"approval", "activities", "audit", "codec", "health", "policy/active", "store", "tool", "tool/httptool", "tool/toolfile", "workflows"},
	"auth":                  {"approval", "audit", "auth/sign", "internal/osfile", "store"},
	"auth/sign":             {"approval"},
	"auth/oidc":             {"approval", "auth"},
	"api":                   {"approval", "audit", "auth", "ballot", "codec", "health", "internal/calls", "internal/retry", "internal/yamlfile", "policy", "policy/active", "store"},
	"client":                {"approval", "auth", "store"},
	"cmd/pawl":              {"internal/cli", "internal/cli/access", "internal/cli/call", "internal/cli/operate", "internal/cli/policies", "internal/cli/review"},
	"internal/cli":          {"approval", "auth", "auth/oidc", "client", "codec", "internal/yamlfile", "store", "store/postgres", "store/sqlite"},
	"internal/cli/access":   {"approval", "auth", "client", "codec", "internal/cli", "store"},
	"internal/cli/call":     {"approval", "auth", "client", "internal/cli"},
	"internal/cli/clitest":  {"approval", "client", "internal/cli", "internal/cli/access", "internal/cli/call", "internal/cli/operate", "internal/cli/policies", "internal/cli/review", "policy"},
	"internal/cli/operate":  {"api", "approval", "auth", "auth/oidc", "codec", "health", "internal/cli", "policy", "policy/active", "store", "tool", "worker"},
	"internal/cli/policies": {"approval", "client", "internal/cli", "internal/yamlfile", "policy", "policy/active", "policy/policydiff", "policy/policytest", "policy/schema", "store"},
	"internal/cli/review":   {"approval", "auth", "client", "internal/cli", "store"},
	"examples/agent":        {"approval", "client"},
}

// light are the rooms that agents and workflows load, and what must never come
// along with them.
var (
	light = []string{"", "pawltest", "approval", "ballot", "codec", "tool", "policy", "auth", "client", "workflows", "activities"}
	heavy = []string{"github.com/gin-gonic/gin", "github.com/jackc/pgx", "modernc.org/sqlite", "github.com/pressly/goose",
		"go.temporal.io/server", "github.com/spf13/cobra"}
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
			if ours && !slices.Contains(allowed, inner) {
				t.Errorf("%s must not import %s", p.ImportPath, i)
			}
		}
		for _, d := range p.Deps {
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
