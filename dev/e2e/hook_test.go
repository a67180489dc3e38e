package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/stack"
	hooks "github.com/pawlhq/pawl/hook"
)

// agentHost is Claude Code as its hook sees it: each event is a process of its own.
type agentHost struct {
	t    *testing.T
	w    *world
	api  string
	dir  string // of the hook's records
	uses int
	http *http.Client // nil: the usual one
}

// killedAtAnswer is the network of a process that is killed when the answer about its new call comes.
type killedAtAnswer struct{ kill func() }

func (k killedAtAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && r.URL.Path == "/api/calls" {
		k.kill()
		return nil, errors.Join(r.Context().Err(), res.Body.Close())
	}
	return res, err
}

// fire has a new process of the hook answer an event about a shell command. It returns what the host is
// to do, by the hook's word or else its exit code, and why.
func (h *agentHost) fire(ctx context.Context, wait time.Duration, event, command string) (decision, reason string) {
	h.t.Helper()
	c, err := client.New(client.Options{URL: h.api, HTTP: h.http})
	if err != nil {
		h.t.Fatal(err)
	}
	process, err := hooks.NewClaudeCode(hooks.ClaudeOptions{Client: c, Dir: h.dir, Wait: wait, Trouble: "Start Pawl."})
	if err != nil {
		h.t.Fatal(err)
	}
	if event == "PreToolUse" { // the others are about the last one
		h.uses++
	}
	doc, err := json.Marshal(map[string]any{
		"session_id": "s", "cwd": "/home/ana/shop", "hook_event_name": event, "tool_name": "Bash",
		"tool_input": map[string]string{"command": command, "description": "x"}, "tool_use_id": fmt.Sprint("toolu_", h.uses),
		"tool_response": map[string]string{"stdout": "hunter2"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	a := process.Answer(ctx, strings.NewReader(string(doc)))
	if a.Out == "" {
		return fmt.Sprint(a.Exit), a.Err
	}
	var out struct {
		Said struct{ PermissionDecision, PermissionDecisionReason string } `json:"hookSpecificOutput"`
	}
	if err := json.Unmarshal([]byte(a.Out), &out); err != nil {
		h.t.Fatal(err)
	}
	return out.Said.PermissionDecision, out.Said.PermissionDecisionReason
}

func (h *agentHost) want(decision, words, event, command string) {
	h.t.Helper()
	got, reason := h.fire(h.t.Context(), 2*time.Second, event, command)
	if got != decision || !strings.Contains(reason, words) {
		h.t.Errorf("%s %s: %s (%s), want %s with %q", event, command, got, reason, decision, words)
	}
}

// last is the call that was asked about last.
func (h *agentHost) last() string {
	h.t.Helper()
	items, _ := h.w.get("/api/requests?status=all&limit=1").doc["items"].([]any)
	if len(items) == 0 {
		return ""
	}
	return items[0].(map[string]any)["id"].(string)
}

func (h *agentHost) decide(id, what, body string) {
	h.t.Helper()
	if a := h.w.decide(id, what, "ana", body); a.code != http.StatusOK {
		h.t.Fatalf("%d %v", a.code, a.doc)
	}
}

// noted reports whether a record of the hook names a call.
func (h *agentHost) noted(id string) bool {
	records, err := filepath.Glob(filepath.Join(h.dir, "*", "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.ContainsFunc(records, func(path string) bool {
		record, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(record), id)
	})
}

// Claude Code's hook against a real Pawl, with the ready policy: through kills and an outage, to the
// session's end.
func TestClaudeCodeHook(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) {
		c.Policy = []string{filepath.Join("..", "..", "examples", "policy", "ready", "coding-agent.yaml")}
	})
	h := &agentHost{t: t, w: w, api: w.API, dir: t.TempDir()}
	const before, after, denied = "PreToolUse", "PostToolUse", "PermissionDenied"

	// Allowed: the host's own rules go on, and Pawl hears how it ended, but not the result.
	h.want("0", "", before, "git status")
	h.want("0", "", after, "git status")
	h.want("deny", "not allowed", before, "pawl approve x")

	// Asked for: pending, taken up by the next one, approved, reported.
	h.want("deny", "pending", before, "make")
	id := h.last()
	h.want("deny", id, before, "make")
	h.decide(id, "approve", `{}`)
	h.want("allow", "ana", before, "make")
	h.want("0", "", after, "make")
	if o := w.ends(id, approval.StatusExecuted, 0); o["result"] != nil {
		t.Errorf("the result is there: %v", o)
	}

	// Approved, and then denied by the host's own check: it has not run, and may be asked for again.
	h.want("deny", "pending", before, "make doc")
	id = h.last()
	h.decide(id, "approve", `{}`)
	h.want("allow", "ana", before, "make doc")
	h.want("0", "", denied, "make doc")
	if o := w.ends(id, approval.StatusFailed, 0); o["error"].(map[string]any)["code"] != approval.CodeNotRun {
		t.Errorf("%v", o)
	}

	// Killed while it waits: the next process goes on. Rejected: the model hears why.
	ctx, kill := context.WithCancel(t.Context())
	waits := make(chan string)
	go func() {
		got, _ := h.fire(ctx, time.Minute, before, "make all")
		waits <- got
	}()
	waitFor(t, "it waits, and has noted for which call", func() bool { return h.last() != id && h.noted(h.last()) })
	kill()
	if got := <-waits; got != "deny" {
		t.Errorf("a killed process says %s", got)
	}
	first := h.last()
	h.decide(first, "reject", `{"notes":"not on a Friday"}`)
	h.want("deny", "not on a Friday", before, "make all")
	if h.last() != first {
		t.Error("it was asked for twice")
	}

	// Killed before it knows its call, which has begun: the next process finds that.
	ctx, kill = context.WithCancel(t.Context())
	h.http = &http.Client{Transport: killedAtAnswer{kill}}
	if got, _ := h.fire(ctx, time.Minute, before, "make check"); got != "deny" {
		t.Errorf("a killed process says %s", got)
	}
	h.http = nil
	waitFor(t, "the call has begun", func() bool { return h.last() != first })
	h.want("deny", h.last(), before, "make check")

	// A new hook without the records of the one before takes up what it left: the lease was given back.
	h.want("deny", "pending", before, "make dist")
	first = h.last()
	kept := h.dir
	h.dir = t.TempDir()
	h.want("deny", first, before, "make dist")
	h.dir = kept

	// Pawl is down: nothing runs. It comes back, and what waits goes on.
	h.want("deny", "pending", before, "make install")
	id = h.last()
	w.stop()
	h.want("deny", "Nothing has run. Start Pawl.", before, "make install")
	h.want("deny", "Nothing has run. Start Pawl.", before, "git status")
	w.start()
	h.api = w.API
	h.decide(id, "approve", `{}`)
	h.want("allow", "ana", before, "make install")

	// The tool was killed, so nobody says how it ended, and the session ends: that is unknown. What waits is
	// withdrawn, and nothing is left.
	h.want("deny", "pending", before, "make clean")
	open := h.last()
	// So is a call whose process was killed before it knew which one it is.
	ctx, kill = context.WithCancel(t.Context())
	h.http = &http.Client{Transport: killedAtAnswer{kill}}
	if got, _ := h.fire(ctx, time.Minute, before, "make test"); got != "deny" {
		t.Errorf("a killed process says %s", got)
	}
	h.http = nil
	waitFor(t, "the call waits", func() bool { return h.last() != open })
	unnamed := h.last()
	h.want("0", "", "SessionEnd", "")
	w.ends(unnamed, approval.StatusCancelled, 0)
	w.ends(id, approval.StatusOutcomeUnknown, 0)
	w.ends(open, approval.StatusCancelled, 0)
	w.ends(first, approval.StatusCancelled, 0)
	if left, err := filepath.Glob(filepath.Join(h.dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}
