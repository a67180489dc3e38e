package cases_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/hook"
)

const hookMode = "hook"

// throughHook is a coding agent that fires Claude Code's events for one use of a tool, in one session for
// all processes of a case. The key is the use's ID.
func (asked caseCall) throughHook(ctx context.Context) (string, error) {
	c, err := client.New(client.Options{URL: asked.API})
	if err != nil {
		return "", err
	}
	h, err := hook.NewClaudeCode(hook.ClaudeOptions{
		Client: c, Dir: asked.Dir, Agent: asked.Agent, Wait: asked.patience(), Trouble: "Start Pawl.",
	})
	if err != nil {
		return "", err
	}
	use := asked.Key
	if use == "" {
		use = rand.Text()
	}
	fire := func(event string) hook.Answer {
		return h.Answer(ctx, strings.NewReader(fmt.Sprintf(
			`{"session_id":"case","hook_event_name":%q,"tool_name":%q,"tool_input":{"x":1},"tool_use_id":%q,"is_interrupt":%v}`,
			event, asked.Tool, use, asked.Unsure)))
	}
	a := fire("PreToolUse")
	if a.Exit != 0 {
		return "", errors.New(a.Err)
	}
	if a.Out != "" {
		var out struct {
			Said struct{ PermissionDecision, PermissionDecisionReason string } `json:"hookSpecificOutput"`
		}
		if err := json.Unmarshal([]byte(a.Out), &out); err != nil {
			return "", err
		}
		if out.Said.PermissionDecision != "allow" {
			return hookSays(out.Said.PermissionDecisionReason), nil
		}
	}
	if err := asked.act(); err != nil {
		return "", err
	}
	after, end := "PostToolUse", "executed"
	if asked.Unsure {
		after, end = "PostToolUseFailure", "outcome_unknown"
	}
	if a := fire(after); a.Err != "" {
		return "", errors.New(a.Err)
	}
	return end, nil
}

// hookSays is a denial of the hook's in the words of the cases.
func hookSays(reason string) string {
	_, notes, _ := strings.Cut(reason, "They say: ")
	for words, end := range map[string]string{
		"rejected this call":                "rejected: " + notes,
		"Nobody approved this call in time": "expired",
		"This call is not allowed":          "blocked",
		"This call is pending":              "pending",
		"may have run already":              "outcome_unknown",
		"Nothing has run. Start Pawl.":      "unreachable",
	} {
		if strings.Contains(reason, words) {
			return end
		}
	}
	return reason
}
