package pythonclient_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
)

const agentsPage = "../../docs/agents.md"

// newcomer has built binaries, an empty folder, and what the documents say.
type newcomer struct {
	t         *testing.T
	bin, dir  string
	env, args []string // of every program, and of pawl-dev
	pawl      *exec.Cmd
}

// TestNewcomer goes a new user's way with Python and with curl, in an empty folder: the wheel, the
// documents' programs, and pawl approve in another terminal.
func TestNewcomer(t *testing.T) {
	python := installWheel(t)
	n := &newcomer{t: t, bin: programs.Build(t, "pawl-dev", "pawl"), dir: t.TempDir()}
	n.write("policy.yaml", "rules:\n  - {tool: refund, when: args.cents >= 0 && args.cents < 100, auto_approve: true}\n")
	n.args = []string{
		"--no-ui", "--sample-tools", "--policy", "policy.yaml",
		"--api-listen", "127.0.0.1:0", "--temporal-listen", "127.0.0.1:0",
	}
	n.start()
	defer n.stop()

	page := "../../clients/python/README.md"
	n.write("first.py", shown(t, page, `(?s)\x60\x60\x60python\n(import pawlhq.*?)\x60\x60\x60`))
	guard := shown(t, page, `(?m)^(@pawl\.guard\(key=.*)$`)
	n.write("keyed.py", `import os, signal, sys
import pawlhq as pawl

`+guard+`
def refund(order: str, cents: int) -> str:
    with open("ran", "a") as f:
        f.write(order + "\n")
    if "--dies" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {cents} cents for order {order}"

print(refund(sys.argv[1], int(sys.argv[2])))
`)
	n.write("chain.py", `import asyncio, sys
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self

    def _generate(self, messages, *more, **named):
        print("the model reads:", messages[-1].content, flush=True)
        return super()._generate(messages, *more, **named)

@tool
def refund(order: str, cents: int) -> str:
    """Pay an order's money back."""
    with open("refunds", "a") as f:
        f.write(order + "\n")
    return f"paid {cents} cents for order {order}"

model, tools = Model(messages=iter([])), [refund]
`+shown(t, page, `(?s)\x60\x60\x60python\n(from langchain.*?)\x60\x60\x60`)+`
for line in sys.stdin:
    order, cents = line.split()
    call = {"name": "refund", "args": {"order": order, "cents": int(cents)}, "id": "call-" + order}
    model.messages = iter([AIMessage("", tool_calls=[call]), AIMessage("done")])
    try:
        asyncio.run(agent.ainvoke({"messages": [("user", "pay it back")]}))
    except Exception as e:
        print("failed:", e, flush=True)
`)
	curl := shown(t, "../../README.md", `(?s)\x60\x60\x60sh\n(curl -s .*?)\x60\x60\x60`)

	t.Run("Python", func(t *testing.T) {
		n.t = t
		n.ends(n.run(python, "keyed.py", "1", "50"), "paid 50 cents", "") // allowed

		first := n.run(python, "first.py")
		n.decide("approve")
		n.ends(first, "paid 1900 cents for order 4711\n", "")

		first = n.run(python, "first.py")
		n.decide("reject", "--notes", "use the sandbox")
		n.ends(first, "", "pawlhq.RejectedError: refund was rejected")

		waits := n.run(python, "keyed.py", "2", "500")
		n.waiting()
		waits.kill()
		again := n.run(python, "keyed.py", "2", "500")
		n.decide("approve")
		n.ends(again, "paid 500 cents for order 2\n", "")

		dies := n.run(python, "keyed.py", "3", "50", "--dies")
		n.ends(dies, "", "")
		n.ends(n.run(python, "keyed.py", "3", "50"), "", "pawlhq.OutcomeUnknownError")

		waits = n.run(python, "keyed.py", "4", "500")
		n.waiting()
		n.stop()
		n.ends(n.run(python, "keyed.py", "5", "50"), "", "nothing answers at")
		n.start()
		n.decide("approve")
		n.ends(waits, "paid 500 cents for order 4\n", "")
		n.ends(n.run(python, "keyed.py", "5", "50"), "paid 50 cents", "")

		ran, _ := os.ReadFile(filepath.Join(n.dir, "ran"))
		if string(ran) != "1\n2\n3\n4\n5\n" {
			t.Errorf("what ran: %q", ran)
		}
	})
	t.Run("LangChain", func(t *testing.T) {
		n.t = t
		addFrameworks(t, python)
		agent := n.talk(python, "chain.py")
		agent.ask("1 50")
		agent.reads("the model reads: paid 50 cents")
		agent.ask("2 500")
		n.decide("reject", "--notes", "use the sandbox")
		agent.reads("ana rejected the call: use the sandbox")
		// Interrupted, it gives its call back, and the next process waits for the same.
		agent.ask("3 500")
		approve := "pawl approve " + n.waiting()
		agent.reads(approve)
		_ = agent.Process.Signal(os.Interrupt)
		agent.reads("KeyboardInterrupt")

		agent = n.talk(python, "chain.py")
		agent.ask("3 500")
		agent.reads(approve)
		n.decide("approve")
		agent.reads("the model reads: paid 500 cents")
		n.stop()
		agent.ask("4 50")
		agent.reads("failed: nothing answers at")
		n.start()
		agent.ask("5 50")
		agent.reads("the model reads: paid 50 cents")

		ran, _ := os.ReadFile(filepath.Join(n.dir, "refunds"))
		if string(ran) != "1\n3\n5\n" {
			t.Errorf("what ran: %q", ran)
		}
	})
	t.Run("curl", func(t *testing.T) {
		n.t = t
		sh := func(key string) *program {
			here := strings.NewReplacer("http://127.0.0.1:7295", n.api(), "ticket-4711", key)
			return n.run("sh", "-c", "exec "+here.Replace(curl))
		}
		asked := sh("1")
		n.decide("approve")
		n.ends(asked, `"status":"executed"`, "")
		asked = sh("2")
		n.decide("reject", "--notes", "use the sandbox")
		n.ends(asked, `"notes":"use the sandbox"`, "")
		asked = sh("3")
		n.waiting()
		asked.kill()
		asked = sh("3")
		n.decide("approve")
		n.ends(asked, `"status":"executed"`, "")
		n.ends(sh("3"), `"status":"executed"`, "")
		n.stop()
		n.ends(sh("4"), "", "")
		n.start()
		asked = sh("4")
		n.decide("approve")
		n.ends(asked, `"status":"executed"`, "")
	})
}

// shown is what a document shows.
func shown(t *testing.T, page, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s shows no %s", page, pattern)
	}
	return string(found[1])
}

func (n *newcomer) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// start starts Pawl, where it was before.
func (n *newcomer) start() {
	n.t.Helper()
	n.pawl = exec.Command(filepath.Join(n.bin, "pawl-dev"), n.args...)
	n.pawl.Dir, n.pawl.Env = n.dir, programs.Environment()
	out, err := n.pawl.StdoutPipe()
	if err == nil {
		err = n.pawl.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	var ready struct{ API, Temporal string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		n.t.Fatal(err)
	}
	journal := filepath.Join(n.dir, "journal")
	n.env = programs.Environment("PAWL_API="+ready.API, "PAWL_DIR="+journal, "PAWL_AS=ana",
		"TEMPORAL_ADDRESS="+ready.Temporal)
	for i, arg := range n.args {
		switch arg {
		case "--api-listen":
			n.args[i+1] = strings.TrimPrefix(ready.API, "http://")
		case "--temporal-listen":
			n.args[i+1] = ready.Temporal
		}
	}
}

func (n *newcomer) stop() {
	_ = n.pawl.Process.Signal(os.Interrupt)
	_ = n.pawl.Wait()
}

func (n *newcomer) api() string {
	for _, kv := range n.env {
		if api, ok := strings.CutPrefix(kv, "PAWL_API="); ok {
			return api
		}
	}
	return ""
}

type program struct {
	*exec.Cmd
	out, err bytes.Buffer
}

func (p *program) kill() { _, _ = p.Process.Kill(), p.Wait() }

func (n *newcomer) run(name string, args ...string) *program {
	n.t.Helper()
	p := &program{Cmd: exec.CommandContext(n.t.Context(), name, args...)}
	p.Dir, p.Env, p.Stdout, p.Stderr, p.WaitDelay = n.dir, n.env, &p.out, &p.err, time.Second
	if err := p.Start(); err != nil {
		n.t.Fatal(err)
	}
	return p
}

// talker is a program that is asked line by line.
type talker struct {
	*program
	in  io.Writer
	out *bufio.Scanner // what it prints and complains
	t   *testing.T
}

func (n *newcomer) talk(name string, args ...string) *talker {
	n.t.Helper()
	p := &program{Cmd: exec.CommandContext(n.t.Context(), name, args...)}
	p.Dir, p.Env, p.WaitDelay = n.dir, n.env, time.Second
	in, err := p.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	p.Stderr = p.Stdout
	if err := p.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(p.kill)
	return &talker{p, in, bufio.NewScanner(out), n.t}
}

func (p *talker) ask(line string) { _, _ = fmt.Fprintln(p.in, line) }

// reads waits for a line with a text in it.
func (p *talker) reads(text string) {
	p.t.Helper()
	defer time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() }).Stop()
	var read strings.Builder
	for p.out.Scan() {
		if strings.Contains(p.out.Text(), text) {
			return
		}
		read.WriteString(p.out.Text() + "\n")
	}
	p.t.Fatalf("it did not print %q:\n%s", text, read.String())
}

// ends waits for a program that prints out, and says complaint.
func (n *newcomer) ends(p *program, out, complaint string) {
	n.t.Helper()
	ended, printed, complained := p.Wait(), p.out.String(), p.err.String()
	said := strings.Contains(printed, out) && (out != "" || printed == "")
	if !said || !strings.Contains(complained, complaint) {
		n.t.Errorf("printed %q and %q, want %q and %q: %v", printed, complained, out, complaint, ended)
	}
}

// paste runs pawl.
func (n *newcomer) paste(args ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(n.bin, "pawl"), args...)
	cmd.Dir, cmd.Env = n.dir, n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("pawl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// waiting is the ID of the one call that waits for people.
func (n *newcomer) waiting() string {
	n.t.Helper()
	id := regexp.MustCompile(`"id":\s*"([^"]+)"`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		if found := id.FindStringSubmatch(n.paste("pending", "-o", "json")); found != nil {
			return found[1]
		}
	}
	n.t.Fatal("no call waits")
	return ""
}

func (n *newcomer) decide(verb string, args ...string) {
	n.t.Helper()
	n.paste(append([]string{verb, n.waiting()}, args...)...)
}
