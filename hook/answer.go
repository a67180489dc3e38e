package hook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/strictjson"
)

// exitBlocks is the exit code by which a hook of Claude Code stops a tool call, with the reason on its
// standard error. All others but 0 let the call go on, unless the hook has onFailure: block.
const exitBlocks = 2

// exitNoted shows standard error to the person at the host, and changes nothing.
const exitNoted = 1

// Answer is what a hook's process does: it writes Out to standard output and Err to standard error, and
// exits with Exit. The zero Answer is no decision: the host goes on by its own rules.
type Answer struct {
	Out, Err string
	Exit     int
}

// decision is Out before a tool, in Claude Code's words.
type decision struct {
	Event    string          `json:"hookEventName"`
	Decision string          `json:"permissionDecision,omitempty"` // allow, deny or defer
	Reason   string          `json:"permissionDecisionReason,omitempty"`
	Input    json.RawMessage `json:"updatedInput,omitempty"`
}

func (h *ClaudeCode) say(d decision) Answer {
	d.Event = beforeTool
	out, err := strictjson.Marshal(map[string]decision{"hookSpecificOutput": d})
	if err != nil {
		return Blocked(err, h.o.Undo)
	}
	return Answer{Out: string(out) + "\n"}
}

// deny passes on what Pawl has said of a call. Everything else that denies is trouble.
func (h *ClaudeCode) deny(reason string) Answer {
	return h.say(decision{Decision: "deny", Reason: "Pawl: " + reason})
}

// Blocked stops the tool call where it is not even known which one it is. help says what a person can do.
func Blocked(err error, help string) Answer {
	return Answer{Err: "Pawl: " + troubleText(err, help) + "\n", Exit: exitBlocks}
}

// noted tells the person at the host what went wrong after a tool.
func noted(err error) Answer {
	if err == nil {
		return Answer{}
	}
	return Answer{Err: "Pawl: " + sentence(err.Error()) + "\n", Exit: exitNoted}
}

func troubleText(err error, help string) string {
	return strings.TrimSpace(sentence(err.Error()) + " Nothing has run. " + help)
}

// sentence makes one of an error.
func sentence(text string) string {
	text = approval.DisplayLines(text, 1000)
	if text != "" && !strings.ContainsRune(".!?", rune(text[len(text)-1])) {
		text += "."
	}
	return text
}

func shown(name string) string { return approval.Display(name, 200) }

// denial says why a call that has ended is not to run.
func denial(v client.View) string {
	id := shown(v.ID)
	by, notes := "a reviewer", ""
	if d := v.Decision; d != nil {
		if d.By != "" {
			by = shown(d.By)
		}
		if d.Notes != "" {
			notes = " They say: " + approval.DisplayLines(d.Notes, approval.MaxNotes)
		}
	}
	message := " the policy forbids it."
	if v.Error != nil {
		message = " " + sentence(v.Error.Message)
	}
	switch v.Status {
	case approval.StatusRejected:
		return fmt.Sprintf("%s rejected this call (%s).%s", by, id, notes)
	case approval.StatusExpired:
		return fmt.Sprintf("Nobody approved this call in time (%s). Nothing has run.", id)
	case approval.StatusBlocked:
		return fmt.Sprintf("This call is not allowed (%s):%s", id, message)
	case approval.StatusCancelled:
		return fmt.Sprintf("This call was withdrawn (%s).%s", id, notes)
	}
	return fmt.Sprintf("This call may have run already (%s): it ended %s. Find out before you try again.",
		id, v.Status)
}
