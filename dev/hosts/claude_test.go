package hosts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const policy = `rules:
  - {tool: Bash, when: 'args.command.contains("allowed")', auto_approve: true}
  - {tool: Bash, when: 'args.command.contains("forbidden")', deny: true}
  - {tool: Bash, require_approval: true}
`

func httptestServer(t *testing.T, answer http.HandlerFunc) string {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

// once asks for one command and then ends its answer.
func once(command string) func([]string) []use {
	return func(results []string) []use {
		if len(results) > 0 {
			return nil
		}
		return []use{bash(command)}
	}
}

func TestThereIsAClaudeCode(t *testing.T) { realClaude(t) }

// TestClaudeCode runs the real Claude Code: 'make hosts'.
func TestClaudeCode(t *testing.T) {
	claude, programs := realClaude(t)
	c := pawlDev(t, programs, policy)
	start := func(t *testing.T, wait string, wrap func(string) string) *host {
		t.Helper()
		return newHost(t, claude, programs, c, wait, wrap)
	}
	decide := func(h *host, id, what string) {
		h.t.Helper()
		v, err := c.Request(h.t.Context(), id)
		if err == nil {
			d := client.Decision{Kind: approval.DecisionKind(what), Digest: v.Digest, Notes: "use the other file"}
			_, err = c.Decide(h.t.Context(), id, d)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}

	t.Run("allowed", func(t *testing.T) {
		h := start(t, "30s", nil)
		h.model.does(once("echo allowed >> ran"))
		h.run("go on")
		h.want(1)
	})
	t.Run("forbidden", func(t *testing.T) {
		h := start(t, "30s", nil)
		h.model.does(once("echo forbidden >> ran"))
		h.run("go on")
		h.want(0, "not allowed")
	})
	for what, want := range map[string]struct {
		ran   int
		words []string
		ends  approval.Status
	}{"approve": {1, nil, approval.StatusExecuted}, "reject": {0, []string{"ana rejected", "use the other file"}, approval.StatusRejected}} {
		t.Run(what, func(t *testing.T) {
			h := start(t, "60s", nil)
			h.model.does(once("echo asked >> ran"))
			cmd, _ := h.start(t.Context(), "go on")
			id := h.waiting(1)[0]
			decide(h, id, what)
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			h.want(want.ran, want.words...)
			h.ends(id, want.ends)
		})
	}

	// Nothing runs, and the model hears why.
	stuck := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else nobody notices that the client has gone
		<-r.Context().Done()
	}
	for name, f := range map[string]struct {
		wrap  func(command string) string
		words string
	}{
		"the API is down": {func(s string) string { return strings.ReplaceAll(s, c.URL(), "http://127.0.0.1:1") }, "uninstall"},
		"500": {func(s string) string {
			return strings.ReplaceAll(s, c.URL(), httptestServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
		}, "uninstall"},
		"garbage": {func(s string) string {
			return strings.ReplaceAll(s, c.URL(), httptestServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }))
		}, "uninstall"},
		"no answer": {func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, c.URL(), httptestServer(t, stuck)), "30s", "1s")
		}, "uninstall"},
		"its own failure":       {func(s string) string { return s + " --state /dev/null/x" }, "uninstall"},
		"a wrong flag":          {func(s string) string { return s + " --nonsense" }, "uninstall"},
		"an exit code":          {func(s string) string { return "exit 1; " + s }, "onFailure"},
		"garbage from the hook": {func(s string) string { return "echo '{'; exit 3; " + s }, "onFailure"},
		"a killed hook":         {func(s string) string { return "kill -9 $$; " + s }, "onFailure"},
		"a hook that hangs":     {func(s string) string { return "sleep 60; " + s }, "onFailure"},
		"no such program":       {func(s string) string { return "/nowhere/pawl hook claude-code" }, "onFailure"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, "30s", f.wrap)
			h.model.does(once("echo allowed >> ran"))
			h.run("go on")
			h.want(0, f.words)
		})
	}

	// The check of auto mode runs at Anthropic's, so the host refuses what needs it here, and says so by an event.
	t.Run("refused by the host's own check", func(t *testing.T) {
		h := start(t, "30s", nil)
		h.model.does(once("echo allowed >> ran; curl http://127.0.0.1:1/")) // what stays in the folder needs no check
		cmd, out := h.start(t.Context(), "--permission-mode", "auto", "go on")
		if err := cmd.Wait(); err == nil {
			t.Errorf("it could check the call: %s", out)
		}
		h.want(0)
		h.until(func() bool {
			page, err := c.Entries(t.Context(), client.EntryQuery{Kind: "tool.reported", Newest: true, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			return len(page.Items) == 1 && strings.Contains(string(page.Items[0].Payload), "own check denied it")
		})
	})
	t.Run("held back and resumed", func(t *testing.T) {
		h := start(t, "2s", nil)
		h.model.does(once("echo asked >> ran"))
		e := h.run("go on")
		if e.Stop != "tool_deferred" {
			t.Errorf("it stopped with %s", e.Stop)
		}
		h.want(0)
		id := h.waiting(1)[0]
		decide(h, id, "approve")
		h.run("--resume", e.Session)
		h.want(1)
		h.ends(id, approval.StatusExecuted)
	})
	t.Run("two at once", func(t *testing.T) {
		h := start(t, "2s", nil)
		h.model.does(func(results []string) []use {
			if len(results) > 0 {
				return nil
			}
			return []use{bash("echo asked1 >> ran"), bash("echo asked2 >> ran")}
		})
		h.run("go on")
		h.want(0)
		h.waiting(2)
	})
	// As in a terminal, the model hears that the call is pending, and makes it again with another ID.
	attended := func(command string) string { return "CLAUDE_CODE_ENTRYPOINT=cli " + command }
	t.Run("a long wait", func(t *testing.T) {
		h := start(t, "2s", attended)
		var id string
		h.model.does(func(results []string) []use {
			switch {
			case len(results) == 1 && strings.Contains(results[0], "pending"):
				id = h.waiting(1)[0]
				decide(h, id, "approve")
			case len(results) > 0:
				return nil
			}
			return []use{bash("echo asked >> ran")}
		})
		h.run("go on")
		h.want(1)
		h.ends(id, approval.StatusExecuted)
	})
	t.Run("killed while it waits", func(t *testing.T) {
		h := start(t, "60s", nil)
		h.model.does(once("echo asked >> ran"))
		ctx, kill := context.WithCancel(t.Context())
		session := "0a8f6e6c-6a4e-4b2c-9d5f-3f0d3b6a7c11"
		cmd, _ := h.start(ctx, "--session-id", session, "go on")
		id := h.waiting(1)[0]
		kill()
		_ = cmd.Wait() // killed
		h.want(0)
		decide(h, id, "approve")
		h.run("--resume", session, "NEW-PROMPT go on")
		h.want(1)
		h.ends(id, approval.StatusExecuted)
	})
	t.Run("killed while the tool runs", func(t *testing.T) {
		h := start(t, "60s", nil)
		h.model.does(once("echo asked >> ran; mkfifo hold; cat hold"))
		ctx, kill := context.WithCancel(t.Context())
		session := "1b8f6e6c-6a4e-4b2c-9d5f-3f0d3b6a7c22"
		cmd, _ := h.start(ctx, "--session-id", session, "go on")
		id := h.waiting(1)[0]
		decide(h, id, "approve")
		h.until(func() bool { return h.ran() == 1 })
		kill()
		_ = cmd.Wait() // killed
		// The same again is another call, which waits: the first may have run.
		ctx, kill = context.WithCancel(t.Context())
		cmd, _ = h.start(ctx, "--resume", session, "NEW-PROMPT go on")
		if again := h.waiting(1)[0]; again == id {
			t.Error("the call that may have run is taken up again")
		}
		kill()
		_ = cmd.Wait() // killed
		h.want(1)
		if f, err := os.OpenFile(filepath.Join(h.folder, "hold"), os.O_RDWR, 0); err == nil {
			_ = f.Close() // lets the tool end
		}
	})
}
