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

// goPaid is what a test's Go program has beside the page's. Its third argument is a file for what ran.
const goPaid = `package main

import (
	"os"
	"strconv"
	"strings"
)

func key() string { return os.Args[3] + os.Args[1] }

func asked() Refund {
	cents, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	return Refund{Order: os.Args[1], Cents: cents}
}

func paid(order string) {
	f, err := os.OpenFile(os.Args[3], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
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

// goModule builds a Go program in an empty folder.
func (n *newcomer) goModule(name, text, more string) (path string) {
	n.t.Helper()
	root, err := programs.Root(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	folder := filepath.Join(n.dir, name)
	env := programs.NewModule(n.t, root, folder, text)
	if more != "" {
		n.write(filepath.Join(name, "more.go"), more)
	}
	cmd := exec.CommandContext(n.t.Context(), "go", "build", "-o", "program", ".")
	cmd.Dir, cmd.Env = folder, env
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(folder, "program")
}

// goPayer is a page's Go program, with an order of the test's, that order's key, and a note of what ran.
func (n *newcomer) goPayer(name, text, down string) payer {
	n.t.Helper()
	for old, by := range map[string]string{
		`Refund{Order: "4711", Cents: 1900}`: "asked()",
		`"refund-4711"`:                      "key()",
		"\treturn fmt.Sprintf(":              "\tpaid(in.Order)\n\treturn fmt.Sprintf(",
	} {
		if strings.Count(text, old) != 1 {
			n.t.Fatalf("the program is without %q", old)
		}
		text = strings.Replace(text, old, by, 1)
	}
	built, file := n.goModule(name, text, goPaid), name+"-paid"
	pay := func(order, cents string) *program { return n.run(built, order, cents, file) }
	return payer{pay: pay, file: file, maybe: "may or may not have run", down: down}
}

// goProgram goes this way with the Go program of docs/agents.md: as it is there, and with the key that the
// page names.
func (n *newcomer) goProgram(t *testing.T) {
	n.t = t
	text := shown(t, agentsPage, `(?s)## Go programs\n.*?\x60\x60\x60go\n(.*?)\x60\x60\x60`)
	key := shown(t, agentsPage, `\x60(pawl\.With\(ctx, pawl\.About\{Key: [^\x60]*)\x60`)
	first := n.run(n.goModule("first", text, ""))
	n.decide("approve")
	n.ends(first, "paid 1900 cents for order 4711 <nil>\n", "")
	text = strings.Replace(text, "refund(ctx, ", "refund("+key+", ", 1)
	n.pays(n.goPayer("http", text, "no answer from Pawl's API"))
}

// goSDK goes this way with the Go program of the README, whose function Pawl starts by Temporal.
func (n *newcomer) goSDK(t *testing.T) {
	n.t = t
	text := shown(t, "../../README.md", `(?s)\x60\x60\x60go\n(package main\n.*?)\x60\x60\x60`)
	// Another tool than that of the program before, which ran it itself.
	text = strings.Replace(text, `"refund", payBack`, `"sdk.refund", payBack`, 1)
	n.pays(n.goPayer("sdk", text, "no answer from Temporal"))
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
