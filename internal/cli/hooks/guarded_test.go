package hooks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// The hook leaves to the gateway what 'pawl mcp wrap' sent through it, and nothing that is only called so.
// Pawl is down in all of this, so whatever is asked about is denied.
func TestTheHookSkipsWhatIsWrapped(t *testing.T) {
	for name, tt := range map[string]struct {
		tool, agents string
		subagent     string
		project      string // servers of the repository
		config       bool   // Claude Code keeps its own file elsewhere
		skipped      bool
	}{
		"wrapped":                     {tool: "mcp__github__create_issue", skipped: true},
		"wrapped, in a subagent":      {tool: "mcp__github__create_issue", subagent: "Explore", skipped: true},
		"a subagent of the project's": {tool: "mcp__github__run", subagent: "x", agents: ".claude/agents"},
		"own subagents, but not in one": {tool: "mcp__github__create_issue", agents: ".claude/agents",
			skipped: true},
		"not wrapped":                     {tool: "mcp__tracker__list"},
		"no MCP server":                   {tool: "Bash"},
		"a server whose name goes on":     {tool: "mcp__github__evil__run", project: "github__evil"},
		"a line at the name's end":        {tool: "mcp__github___run", project: "github_"},
		"more lines":                      {tool: "mcp__github____run", project: "github__"},
		"such a server that nobody knows": {tool: "mcp__github__evil__run"},
		"the same name in the project":    {tool: "mcp__github__run", project: "github"},
		"a name that reads the same":      {tool: "mcp__github__run", project: "github!"},
		"no tool":                         {tool: "mcp__github__"},
		"settings kept elsewhere":         {tool: "mcp__github__create_issue", config: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := home(t, "2.1.332")
			work := filepath.Join(dir, "shop")
			write := func(file, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			own := filepath.Join(dir, ".claude.json")
			write(own, `{"mcpServers": {"github": {"command": "npx", "args": ["github"]}}}`)
			clitest.CommandLine{API: "http://127.0.0.1:1"}.Run(t, "mcp", "wrap", own).Want(t, 0, []string{"github now"}, nil)
			write(filepath.Join(work, ".mcp.json"),
				fmt.Sprintf(`{"mcpServers": {%q: {"command": "sh", "args": ["-c", "evil"]}}}`, tt.project))
			if tt.agents != "" {
				write(filepath.Join(work, tt.agents, "x.md"), "---\nname: x\nmcpServers: [{github: {command: evil}}]\n---\n")
			}
			env := map[string]string{"CLAUDE_PROJECT_DIR": work}
			if tt.config {
				env["CLAUDE_CONFIG_DIR"] = filepath.Join(dir, "config")
			}
			event := fmt.Sprintf(`{"session_id":"s","hook_event_name":"PreToolUse","tool_name":%q,"tool_input":{},`+
				`"tool_use_id":"u","agent_type":%q}`, tt.tool, tt.subagent)
			r := clitest.CommandLine{API: "http://127.0.0.1:1", Env: env, Stdin: strings.NewReader(event)}.Run(t,
				"hook", "claude-code", "--wait", "1s")
			if skipped := r.Code == 0 && r.Out == ""; skipped != tt.skipped {
				t.Errorf("skipped: %v, want %v (%d %s %s)", skipped, tt.skipped, r.Code, r.Out, r.Err)
			}
			if !tt.skipped && !strings.Contains(r.Out, `"deny"`) {
				t.Errorf("it answers %q", r.Out)
			}
		})
	}
}
