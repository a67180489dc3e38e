// Package hosts_test runs real coding agents, with a model that the test plays, against Pawl.
package hosts_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const patience = 2 * time.Minute

// pawlDev starts a dev stack with a policy, and returns the API's address.
func pawlDev(t *testing.T, programs, policy string) *client.Client {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "pawl-dev"), "--no-ui", "--api-listen", "127.0.0.1:0",
		"--temporal-listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--policy", file)
	cmd.Dir, cmd.Stderr = dir, t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // by the interrupt
	})
	var ready struct {
		API string `json:"api"`
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		t.Fatalf("pawl-dev says %q, %v", line, err)
	}
	c, err := client.New(client.Options{URL: ready.API, Reviewer: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// host is Claude Code in a project and a home folder of its own, with Pawl's hook.
type host struct {
	t            *testing.T
	model        *model
	pawl         *client.Client
	claude       string
	home, folder string
	api          string // PAWL_API; default: as the hook was installed
}

// realClaude is Claude Code, and the folder with Pawl's own programs. 'make hosts' sets both.
func realClaude(t *testing.T) (claude, programs string) {
	t.Helper()
	claude, programs = os.Getenv("PAWL_CLAUDE"), os.Getenv("PAWL_PROGRAMS")
	if claude == "" || programs == "" {
		t.Skip("******** NOT TESTED: the real Claude Code; 'make hosts' fetches it from npm and tests it ********")
	}
	return claude, programs
}

// newHost installs the hook as a person would. wrap changes the command of the hook before tools.
func newHost(t *testing.T, claude, programs string, c *client.Client, wait string, wrap func(command string) string) *host {
	t.Helper()
	h := &host{t: t, model: newModel(t), pawl: c, claude: claude, home: t.TempDir(), folder: t.TempDir()}
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "pawl"), "hook", "claude-code", "install",
		"--claude", claude, "--wait", wait, "--no-policy", "--api", c.URL(), "--as", "ana")
	cmd.Env, cmd.Dir = h.environment(), h.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if wrap == nil {
		return h
	}
	file := filepath.Join(h.home, ".claude", "settings.json")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]map[string][]map[string]any
	if err := json.Unmarshal(doc, &settings); err != nil {
		t.Fatal(err)
	}
	first := settings["hooks"]["PreToolUse"][0]["hooks"].([]any)[0].(map[string]any)
	first["command"] = wrap(first["command"].(string))
	if strings.HasPrefix(first["command"].(string), "sleep") {
		first["timeout"] = 1
	}
	if doc, err = json.Marshal(settings); err == nil {
		err = os.WriteFile(file, doc, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) environment() []string {
	return []string{
		"PAWL_API=" + h.api, "HOME=" + h.home, "PATH=" + os.Getenv("PATH"), "ANTHROPIC_BASE_URL=" + h.model.URL, "ANTHROPIC_API_KEY=x",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
	}
}

// ended is what 'claude -p' prints.
type ended struct {
	Session string `json:"session_id"`
	Stop    string `json:"stop_reason"`
}

// start starts Claude Code in print mode.
func (h *host) start(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer) {
	h.t.Helper()
	args = append(append([]string{"-p"}, args...), "--output-format", "json")
	if !slices.Contains(args, "--permission-mode") {
		args = append(args, "--allowedTools", "Bash")
	}
	cmd := exec.CommandContext(ctx, h.claude, args...)
	var out bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = h.environment(), h.folder, &out, h.t.Output()
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return cmd, &out
}

// run runs Claude Code to its end.
func (h *host) run(args ...string) (e ended) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	cmd, out := h.start(ctx, args...)
	if err := cmd.Wait(); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return e
}

// ran is how often the tool ran: each run adds a line to the file.
func (h *host) ran() int {
	doc, _ := os.ReadFile(filepath.Join(h.folder, "ran")) // nothing ran where there is none
	return bytes.Count(doc, []byte("\n"))
}

func (h *host) want(ran int, words ...string) {
	h.t.Helper()
	if got := h.ran(); got != ran {
		h.t.Errorf("it ran %d times, want %d", got, ran)
	}
	for _, word := range words {
		if !strings.Contains(h.model.heard(), word) {
			h.t.Errorf("the model did not hear %q, but %s", word, h.model.heard())
		}
	}
}

// waiting waits until so many calls of the session wait, and returns them.
func (h *host) waiting(n int) (ids []string) {
	h.t.Helper()
	h.until(func() bool {
		page, err := h.pawl.Requests(h.t.Context(), client.RequestQuery{Limit: 100})
		if err != nil {
			h.t.Fatal(err)
		}
		ids = nil
		for _, v := range page.Items {
			if v.Labels["project"] == h.folder {
				ids = append(ids, v.ID)
			}
		}
		return len(ids) >= n
	})
	if len(ids) != n {
		h.t.Fatalf("%d calls wait, want %d", len(ids), n)
	}
	return ids
}

func (h *host) until(f func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			h.t.Fatal("in vain waited")
		case <-tick.C:
		}
	}
}

func (h *host) ends(id string, status approval.Status) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	if v, err := h.pawl.Wait(ctx, id); err != nil || v.Status != status {
		h.t.Errorf("%s ended %s, %v, want %s", id, v.Status, err, status)
	}
}
