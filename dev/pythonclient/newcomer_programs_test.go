package pythonclient_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/dev/nodetest"
	"github.com/pawlhq/pawl/dev/programs"
)

// payer is a program that takes an order and its cents, pays, and writes the order into a file. The order is
// the call's key; an order that dies kills the program while it pays.
type payer struct {
	pay          func(order, cents string) *program
	file         string
	maybe, down  string // what it says where it may have run, and where Pawl is down
	diesWithPawl bool   // it ends when Pawl goes away, and goes on when it is started again
}

// pays goes a new user's way with a payer.
func (n *newcomer) pays(p payer) {
	n.t.Helper()
	says := func(asked *program, want string) {
		n.t.Helper()
		ended := asked.Wait()
		if said := asked.out.String() + asked.err.String(); !strings.Contains(said, want) {
			n.t.Errorf("it says %q, without %q: %v", said, want, ended)
		}
	}
	says(p.pay("1", "50"), "paid 50 cents for order 1") // allowed
	asked := p.pay("2", "500")
	n.decide("approve")
	says(asked, "paid 500 cents for order 2")
	asked = p.pay("3", "500")
	n.decide("reject", "--notes", "use the sandbox")
	says(asked, "use the sandbox")

	asked = p.pay("4", "500")
	waits := n.waiting()
	asked.kill()
	n.paste("approve", waits)
	says(p.pay("4", "500"), "paid 500 cents for order 4")
	n.becomes(waits, "executed")

	asked = p.pay("dies", "500")
	n.decide("approve")
	says(asked, "")
	says(p.pay("dies", "500"), p.maybe)

	asked = p.pay("5", "500")
	waits = n.waiting()
	n.stop()
	says(p.pay("6", "50"), p.down)
	if p.diesWithPawl {
		says(asked, p.down)
	}
	n.start()
	n.paste("approve", waits)
	if p.diesWithPawl {
		asked = p.pay("5", "500")
	}
	says(asked, "paid 500 cents for order 5")
	says(p.pay("6", "50"), "paid 50 cents for order 6")
	if ran, _ := os.ReadFile(filepath.Join(n.dir, p.file)); string(ran) != "1\n2\n4\ndies\n5\n6\n" {
		n.t.Errorf("what ran: %q", ran)
	}
}

// goPaid is what a test's Go program has beside the page's.
const goPaid = `package main

import (
	"os"
	"strconv"
	"strings"
)

func asked() Refund {
	cents, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	return Refund{Order: os.Args[1], Cents: cents}
}

func paid(order string) {
	f, err := os.OpenFile("go-paid", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(order + "\n")
	}
	if err != nil {
		panic(err)
	}
	if strings.HasPrefix(order, "dies") {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		select {}
	}
}
`

// goProgram goes this way with a module in an empty folder and the Go program of docs/agents.md: as it is
// there, and then with the key that the page names, an order of the test's, and a note of what ran.
func (n *newcomer) goProgram(t *testing.T) {
	n.t = t
	root, err := programs.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := shown(t, agentsPage, `(?s)## Go programs\n.*?\x60\x60\x60go\n(.*?)\x60\x60\x60`)
	key := shown(t, agentsPage, `\x60(pawl\.With\(ctx, pawl\.About\{Key: [^\x60]*)\x60`)
	build := func(name, text, more string) (path string) {
		folder := filepath.Join(n.dir, name)
		env := programs.NewModule(t, root, folder, text)
		if more != "" {
			n.write(filepath.Join(name, "more.go"), more)
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", "program", ".")
		cmd.Dir, cmd.Env = folder, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return filepath.Join(folder, "program")
	}
	first := n.run(build("first", text, ""))
	n.decide("approve")
	n.ends(first, "paid 1900 cents for order 4711 <nil>\n", "")

	for old, by := range map[string]string{
		`refund(ctx, Refund{Order: "4711", Cents: 1900})`: "refund(" +
			strings.Replace(key, `"refund-4711"`, "os.Args[1]", 1) + ", asked())",
		"\treturn fmt.Sprintf(": "\tpaid(in.Order)\n\treturn fmt.Sprintf(",
	} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("the program is without %q", old)
		}
		text = strings.Replace(text, old, by, 1)
	}
	keyed := build("keyed", text, goPaid)
	n.pays(payer{
		pay:  func(order, cents string) *program { return n.run(keyed, order, cents) },
		file: "go-paid", maybe: "may or may not have run", down: "no answer from Pawl's API",
	})
}

// javaScript goes this way with what docs/agents.md shows for programs in other languages.
func (n *newcomer) javaScript(t *testing.T) {
	n.t = t
	nodetest.Need(t)
	n.write("pay.mjs", shown(t, agentsPage, `(?s)## Programs in other languages\n.*?\x60\x60\x60js\n(.*?)\x60\x60\x60`)+`
import { appendFileSync } from "node:fs";

const [order, cents] = process.argv.slice(2);
console.log(await guarded("refund-" + order, "refund", { order, cents: Number(cents) }, async (args) => {
  appendFileSync("js-paid", args.order + "\n");
  if (args.order === "dies") process.kill(process.pid, "SIGKILL");
  return "paid " + args.cents + " cents for order " + args.order;
}));
`)
	n.pays(payer{
		pay:  func(order, cents string) *program { return n.run("node", "pay.mjs", order, cents) },
		file: "js-paid", maybe: "is not run here", down: "fetch failed", diesWithPawl: true,
	})
}
