package hook_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/hook"
)

// A tool of an MCP server has one name in policies, here and behind the gateway. One that can be read in
// two ways stays whole, so that no server comes under another one's rules.
func TestToolNames(t *testing.T) {
	for host, want := range map[string]string{
		"Bash": "Bash", "mcp__github__create_issue": "github.create_issue", "mcp__my_files__read": "my_files.read",
		"mcp__a-b__c-d": "a-b.c-d", "mcp__github__evil__run": "mcp__github__evil__run",
		"mcp__github___run": "mcp__github___run", "mcp____run": "mcp____run", "mcp__github__": "mcp__github__",
		"mcp__github": "mcp__github", "mcp_github__run": "mcp_github__run", "x_mcp__github__run": "x_mcp__github__run",
	} {
		if got := hook.ToolName(host); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
}

// What is asked: the tool by its name in policies, and the subagent; what runs: what people approved.
func TestAskedAndRun(t *testing.T) {
	w := newWorld(t)
	w.set(approval.StatusApproved, byAna)
	w.runs = json.RawMessage(`{"command":"ls -l"}`)
	e := strings.Replace(before("ls", "u"), `"Bash"`, `"mcp__shell__run","agent_type":"Explore"`, 1)
	a := w.fire(e)
	w.want(a, "allow", "ana")
	if !strings.Contains(a.Out, `"updatedInput":{"command":"ls -l"}`) {
		t.Errorf("it lets run %s", a.Out)
	}
	if c := w.begun[0]; c.Tool != "shell.run" || c.Labels[hook.Subagent] != "Explore" {
		t.Errorf("asked about %+v", c)
	}
}

// What the gateway guards is not asked about, and of anything else the gateway is not even thought of.
func TestGuardedByTheGateway(t *testing.T) {
	for tool, want := range map[string]string{
		"mcp__github__run": "none", "mcp__tracker__run": "deny", "mcp__github__evil__run": "deny", "Bash": "deny",
	} {
		t.Run(tool, func(t *testing.T) {
			w := newWorld(t)
			w.set(approval.StatusRejected, notByAna)
			w.want(w.fire(strings.Replace(before("ls", "u"), "Bash", tool, 1), func(o *hook.ClaudeOptions) {
				o.Guarded = func(server string, subagent bool) bool { return server == "github" && !subagent }
			}), want)
			if asked := w.asked() > 0; asked != (want == "deny") {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}
