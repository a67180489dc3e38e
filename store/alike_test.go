package store_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// A caller may attach to its own earlier call of equal tool and arguments, and to nothing else: least
// of all, where it wants people asked, to a call that ran without asking.
func TestAlike(t *testing.T) {
	key := []byte(strings.Repeat("k", 64))
	alike := func(change func(c *approval.Call)) string {
		c := approval.Call{
			Tool: "bash", Args: json.RawMessage(`{"a":1,"b":"x"}`), Requester: "bot", Agent: "coder", Session: "s",
		}
		if change != nil {
			change(&c)
		}
		return store.Alike(key, c)
	}
	first := alike(nil)
	for name, c := range map[string]struct {
		change func(c *approval.Call)
		same   bool
	}{
		"arguments in another order": {func(c *approval.Call) { c.Args = json.RawMessage(`{"b": "x", "a": 1}`) }, true},
		"other words":                {func(c *approval.Call) { c.Title, c.Reason = "t", "r" }, true},
		"another nonce":              {func(c *approval.Call) { c.Nonce = "n" }, true},
		"another tool":               {func(c *approval.Call) { c.Tool = "zsh" }, false},
		"other arguments":            {func(c *approval.Call) { c.Args = json.RawMessage(`{"a":2,"b":"x"}`) }, false},
		"another requester":          {func(c *approval.Call) { c.Requester = "eve" }, false},
		"another agent":              {func(c *approval.Call) { c.Agent = "tester" }, false},
		"another session":            {func(c *approval.Call) { c.Session = "t" }, false},
		"another description":        {func(c *approval.Call) { c.Description = "d" }, true},
		"people must be asked":       {func(c *approval.Call) { c.RequireApproval = true }, false},
	} {
		if got := alike(c.change); got == "" || (got == first) != c.same {
			t.Errorf("%s: alike is %v, want %v", name, got == first, c.same)
		}
	}
	asked := func(description string) string {
		return alike(func(c *approval.Call) { c.RequireApproval, c.Description = true, description })
	}
	if asked("Deletes all.") == asked("Sends all.") {
		t.Error("what people saw of one tool is like what they did not see of another")
	}
	attempt := alike(func(c *approval.Call) { c.AttemptOf = "pawl-1" })
	if attempt == first || attempt == alike(func(c *approval.Call) { c.AttemptOf = "pawl-2" }) {
		t.Error("a new attempt is like the one before it")
	}
	if store.Alike([]byte(strings.Repeat("l", 64)), approval.Call{Tool: "bash"}) == store.Alike(key, approval.Call{Tool: "bash"}) {
		t.Error("the key makes no difference")
	}
}

// Calls of one agent are identical whatever it says of them, and in whichever session.
func TestIdentical(t *testing.T) {
	key := []byte(strings.Repeat("k", 64))
	call := approval.Call{
		Tool: "bash", Args: json.RawMessage(`{"a":1,"password":"hunter2"}`), Requester: "bot", Agent: "coder", Session: "s",
	}
	first := store.Identical(key, call)
	for name, c := range map[string]struct {
		change func(c *approval.Call)
		same   bool
	}{
		"another session":       {func(c *approval.Call) { c.Session = "t" }, true},
		"other words":           {func(c *approval.Call) { c.Reason, c.AttemptOf, c.IdempotencyKey = "r", "pawl-1", "k" }, true},
		"people must be asked":  {func(c *approval.Call) { c.RequireApproval = true }, true},
		"the caller runs it":    {func(c *approval.Call) { c.Execution = approval.ExecutionCaller }, true},
		"another hidden value":  {func(c *approval.Call) { c.Args = json.RawMessage(`{"a":1,"password":"hunter3"}`) }, false},
		"another tool":          {func(c *approval.Call) { c.Tool = "zsh" }, false},
		"another requester":     {func(c *approval.Call) { c.Requester = "eve" }, false},
		"another agent":         {func(c *approval.Call) { c.Agent = "tester" }, false},
		"agent and tool merged": {func(c *approval.Call) { c.Agent, c.Tool = "coderb", "ash" }, false},
	} {
		other := call
		c.change(&other)
		if got := store.Identical(key, other); got == "" || (got == first) != c.same {
			t.Errorf("%s: identical is %v, want %v", name, got == first, c.same)
		}
	}
	if store.Identical([]byte(strings.Repeat("l", 64)), call) == first || store.Alike(key, call) == first {
		t.Error("the key, or what it is for, makes no difference")
	}
}
