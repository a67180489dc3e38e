package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Events of Claude Code that are answered here. What fires others is a mistake of the settings.
const (
	beforeTool = "PreToolUse"
	afterTool  = "PostToolUse"
	toolFailed = "PostToolUseFailure"
	// By the host's own check in auto or plan mode, after this hook let the call pass. What one of its rules, the
	// mode dontAsk or a person refuses fires nothing: those calls end with the session.
	denied     = "PermissionDenied"
	sessionEnd = "SessionEnd"
)

// Events lists what Claude Code has to fire.
var Events = []string{beforeTool, afterTool, toolFailed, denied, sessionEnd}

// maxEvent bounds one event in bytes: those after a tool hold its whole result.
const maxEvent = 64 << 20

// event is what the host writes to the hook's standard input.
type event struct {
	Name     string          `json:"hook_event_name"`
	Session  string          `json:"session_id"`
	Folder   string          `json:"cwd"`
	Tool     string          `json:"tool_name"`
	Input    json.RawMessage `json:"tool_input"`
	Use      string          `json:"tool_use_id"`
	Subagent string          `json:"agent_type"`

	Response    json.RawMessage `json:"tool_response"` // PostToolUse
	Error       string          `json:"error"`         // PostToolUseFailure
	Interrupted bool            `json:"is_interrupt"`
	Reason      string          `json:"reason"` // SessionEnd
}

func readEvent(from io.Reader) (e event, err error) {
	doc, err := io.ReadAll(io.LimitReader(from, maxEvent+1))
	switch {
	case err != nil:
		return e, fmt.Errorf("the event can't be read: %w", err)
	case len(doc) > maxEvent:
		return e, fmt.Errorf("the event is larger than %d bytes", maxEvent)
	case len(doc) == 0:
		return e, errors.New("there is no event on standard input: Claude Code runs this command as a hook")
	}
	// What the host adds to its events some day is passed over: the arguments are taken as they came, and
	// checked with the call.
	if err := json.Unmarshal(doc, &e); err != nil {
		return e, fmt.Errorf("what is on standard input is no event of Claude Code: %w", err)
	}
	if e.Session == "" {
		return e, errors.New("the event names no session_id")
	}
	switch e.Name {
	case sessionEnd:
		return e, nil
	case beforeTool, afterTool, toolFailed, denied:
	default:
		return e, fmt.Errorf("the event %q is none that this hook answers: %s",
			approval.Display(e.Name, 80), strings.Join(Events, ", "))
	}
	if e.Use == "" || e.Tool == "" {
		return e, fmt.Errorf("the event %s names no tool_name and tool_use_id", e.Name)
	}
	return e, nil
}

// ToolName is the name that a tool has in policies. One of an MCP server is called as the gateway calls
// it, so that one rule is about both. A name that can be read in two ways stays as it is: the server
// github__evil must not come under the rules for github.
func ToolName(host string) string {
	if server, name, ok := mcpTool(host); ok {
		return server + "." + name
	}
	return host
}

// mcpTool cuts a name where it can be cut in one way only.
func mcpTool(host string) (server, name string, ok bool) {
	rest, ok := strings.CutPrefix(host, "mcp__")
	if !ok || strings.Index(rest, "__") != strings.LastIndex(rest, "__") {
		return "", "", false
	}
	server, name, ok = strings.Cut(rest, "__")
	return server, name, ok && server != "" && name != ""
}
