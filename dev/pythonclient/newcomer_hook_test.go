package pythonclient_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// newcomerHost names the file with the events of the real Claude Code that TestNewcomerHost fires.
const newcomerHost = "NEWCOMER_HOST"

// TestNewcomerHost is Claude Code as its hooks see it. It reads lines, each with the ID of one use of the
// tool Bash and the command, and prints what became of it. It does nothing unless a newcomer starts it.
func TestNewcomerHost(t *testing.T) {
	recorded := os.Getenv(newcomerHost)
	if recorded == "" {
		return // it is a test's child, and no test
	}
	h, err := newClaude(recorded)
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		use, command, _ := strings.Cut(in.Text(), " ")
		var said string
		if said, err = h.bash(use, command); err == nil {
			fmt.Println(said)
		}
	}
	if err == nil {
		_, err = h.fire("SessionEnd", nil)
	}
	if err != nil {
		fmt.Println("the host failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// claude is a host with the settings that it found when it was started.
type claude struct {
	folder   string
	recorded map[string]map[string]any // the first event of each name: all of one session
	settings struct {
		Hooks map[string][]struct {
			Hooks []struct{ Command, OnFailure string }
		}
	}
}

func newClaude(recorded string) (*claude, error) {
	h := &claude{recorded: map[string]map[string]any{}}
	doc, err := os.ReadFile(recorded)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(doc) {
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, err
		}
		if name := event["hook_event_name"].(string); h.recorded[name] == nil {
			h.recorded[name] = event
		}
	}
	if h.folder, err = os.Getwd(); err != nil {
		return nil, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	if doc, err = os.ReadFile(filepath.Join(home, ".claude", "settings.json")); err != nil {
		return nil, err
	}
	return h, json.Unmarshal(doc, &h.settings)
}

// bash uses the tool, unless a hook says that it must not.
func (h *claude) bash(use, command string) (string, error) {
	of := map[string]any{"tool_use_id": use, "tool_input": map[string]any{"command": command, "description": "x"}}
	if denied, err := h.fire("PreToolUse", of); denied != "" || err != nil {
		return "denied: " + denied, err
	}
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		return "", err
	}
	response := maps.Clone(h.recorded["PostToolUse"]["tool_response"].(map[string]any))
	response["stdout"] = string(out)
	of["tool_response"] = response
	_, err = h.fire("PostToolUse", of)
	return "ran: " + strings.TrimSpace(string(out)), err
}

// fire runs the hooks of an event as the host does: by a shell, with the event on standard input. It
// returns why the tool must not run; else the tool runs, as if the host's own rules allowed it.
func (h *claude) fire(name string, change map[string]any) (denied string, err error) {
	event := maps.Clone(h.recorded[name])
	maps.Copy(event, change)
	event["cwd"] = h.folder
	doc, err := json.Marshal(event)
	if err != nil {
		return "", err
	}
	for _, group := range h.settings.Hooks[name] {
		for _, hook := range group.Hooks {
			cmd := exec.Command("sh", "-c", hook.Command)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(doc), os.Stderr
			cmd.Env = append(os.Environ(), "CLAUDE_CODE_ENTRYPOINT=cli", "CLAUDE_PROJECT_DIR="+h.folder,
				"CLAUDE_PID="+strconv.Itoa(os.Getpid()))
			out, failed := cmd.Output()
			var exit *exec.ExitError
			switch {
			case errors.As(failed, &exit) && (exit.ExitCode() == 2 || hook.OnFailure == "block"):
				return failed.Error(), nil
			case failed != nil:
				return "", failed
			case len(out) == 0:
				continue
			}
			var said struct {
				Of struct{ PermissionDecision, PermissionDecisionReason string } `json:"hookSpecificOutput"`
			}
			if err := json.Unmarshal(out, &said); err != nil {
				return "", err
			}
			if said.Of.PermissionDecision != "allow" {
				return strings.ReplaceAll(said.Of.PermissionDecisionReason, "\n", " "), nil
			}
		}
	}
	return "", nil
}

// shell starts a command as somebody types it, at home in the newcomer's folder.
func (n *newcomer) shell(command string) *talker {
	n.t.Helper()
	path := n.bin + string(filepath.ListSeparator) + os.Getenv("PATH")
	return n.talk("env", "HOME="+n.dir, "PATH="+path, "sh", "-c", "exec "+command)
}

// types runs such a command to its end, with what is typed into it, and returns what it says.
func (n *newcomer) types(command string, keys ...string) string {
	n.t.Helper()
	p := n.shell(command)
	for _, key := range keys {
		p.ask(key)
	}
	said := p.leave()
	if err := p.Wait(); err != nil {
		n.t.Fatalf("%s: %v\n%s", command, err, said)
	}
	return said
}

// leave ends a program's input, and waits until it and all that it has started have ended.
func (p *talker) leave() string {
	p.t.Helper()
	_ = p.in.(io.Closer).Close()
	var said strings.Builder
	for p.out.Scan() {
		said.WriteString(p.out.Text() + "\n")
	}
	return said.String()
}

// recipe are the commands that docs/agents.md shows first under a heading.
func recipe(t *testing.T, heading string) (commands []string) {
	t.Helper()
	block := shown(t, agentsPage, `(?s)## `+heading+`[^\n]*\n.*?\x60\x60\x60sh\n(.*?)\x60\x60\x60`)
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, " #")
		commands = append(commands, strings.TrimSpace(command))
	}
	return commands
}

// claudeCode goes a new user's way with Claude Code's hook: what docs/agents.md shows, in an empty folder.
func (n *newcomer) claudeCode(t *testing.T) {
	n.t = t
	commands := recipe(t, "Claude Code")
	if len(commands) != 3 || commands[1] != "claude" {
		t.Fatalf("docs/agents.md shows %q", commands)
	}
	install, claude, review := commands[0], commands[1], commands[2]
	recorded, err := filepath.Abs("../../hook/testdata/claude-code-2.1.332.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf(`#!/bin/sh
if [ "$1" = --version ]; then echo "2.1.332 (Claude Code)"; exit; fi
unset PAWL_API PAWL_DIR PAWL_AS # a person who follows the page has none of them
%s=%s exec %s -test.run='^TestNewcomerHost$'
`, newcomerHost, recorded, os.Args[0])
	if err := os.WriteFile(filepath.Join(n.bin, "claude"), []byte(host), 0o700); err != nil {
		t.Fatal(err)
	}

	if said := n.types(install); !strings.Contains(said, "was added") {
		t.Fatalf("%s says %s", install, said)
	}
	agent := n.shell(claude)
	agent.ask("2 echo 2 >> commands")
	n.waiting()
	if said := n.types(review, "y", "q"); !strings.Contains(said, "1 approved") {
		t.Fatalf("%s says %s", review, said)
	}
	agent.reads("ran:")
	agent.ask("3 echo 3 >> commands")
	n.decide("reject", "--notes", "use the sandbox")
	agent.reads("use the sandbox")

	// Killed while it waits, and approved meanwhile: the model tries again, and the same call goes on.
	agent.ask("4 echo 4 >> commands")
	waits := n.waiting()
	_ = agent.Process.Kill()
	_, _ = agent.Process.Wait()
	agent.leave() // once the hook has noticed, too
	n.paste("approve", waits)
	agent = n.shell(claude)
	agent.ask("5 echo 4 >> commands")
	agent.reads("ran:")
	n.becomes(waits, "executed")

	// Killed while the tool runs: it may have run. The same again is another call.
	agent.ask("6 echo dies >> commands; kill -9 $PPID")
	dies := n.waiting()
	n.paste("approve", dies)
	agent.leave()
	agent = n.shell(claude)
	agent.ask("6 echo dies >> commands; kill -9 $PPID")
	agent.reads("may have run already")
	agent.ask("7 echo dies >> commands; kill -9 $PPID")
	n.decide("reject")
	agent.reads("rejected")
	agent.leave()
	n.becomes(dies, "outcome_unknown")

	// Pawl is down, and comes back: what waited goes on.
	agent = n.shell(claude)
	agent.ask("8 echo 8 >> commands")
	waits = n.waiting()
	n.stop()
	other := n.shell(claude)
	other.ask("9 echo 9 >> commands")
	other.reads("Nothing has run.")
	n.start()
	n.paste("approve", waits)
	agent.reads("ran:")
	other.ask("10 pwd") // allowed, by the layer that was installed: it needs some seconds, or a start
	other.reads("ran: " + n.dir)

	if ran, _ := os.ReadFile(filepath.Join(n.dir, "commands")); string(ran) != "2\n4\ndies\n8\n" {
		t.Errorf("what ran: %q", ran)
	}
	undo := shown(t, agentsPage, "`(pawl hook claude-code uninstall)`")
	if said := n.types(undo, "y"); !strings.Contains(said, "was taken out") {
		t.Errorf("%s says %s", undo, said)
	}
	settings := filepath.Join(n.dir, ".claude", "settings.json")
	if _, err := os.Stat(settings); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there were no settings, and now there are: %v", err)
	}
}
