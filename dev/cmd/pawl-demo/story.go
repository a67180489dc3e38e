package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// story is the order in which the calls that wait are explained.
var story = []string{
	"send_email", "read_customer", "delete_account", "pay_refund", "run_command", "save_reply", "write_production",
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) prologue(agent int) {
	d.say(`
See what its calls would do, and decide, on the page:
    %s

A support agent, a process of its own (PID %d), asks for eight tool calls.
The policy lets one of them run at once; the others need a person's approval.
`, d.bold(d.API), agent)
}

// instructions tells how to decide each call that waits, in another way each. earlier is how many
// wait since an earlier run.
func (d *demo) instructions(earlier int) {
	d.say(`
Now it is up to you. A call that waits runs only after somebody approves it, and
silence is denial. Decide on the page, at %s,
or from a second terminal, in this folder:`, d.bold(d.API))
	for _, v := range d.requests {
		if v.Status != approval.StatusPending {
			continue
		}
		tool, id := approval.Display(v.Tool, 80), approval.Display(v.ID, 0)
		switch v.Tool {
		case "read_customer":
			d.say("\n  %s with curl:\n    %s", tool,
				d.bold("curl -X POST -H 'X-Pawl-Reviewer: you' "+d.API+"/api/requests/"+id+"/approve"))
		case "delete_account":
			d.say("\n  %s in Temporal's UI: More Actions > Send a Signal > approve,\n"+
				"  %s as data, so that the record has a name, and Submit, at\n    %s", tool, `{"reviewer": "you"}`,
				d.bold(d.UI+"/namespaces/"+d.Namespace+"/workflows/"+id))
		case "pay_refund":
			d.say("\n  %s takes two people, one after the other; be both:\n    %s\n    %s", tool,
				d.bold(d.command("approve", id, "--as", "you")), d.bold(d.command("approve", id, "--as", "finance")))
		case "save_reply":
			d.say("\n  %s is a function of the agent, which runs it itself after:\n    %s", tool,
				d.bold(d.command("approve", id, "--as", "you")))
		case "write_production":
			d.say("\n  %s: leave it alone, and it expires%s.", tool, expiry(v))
		default:
			d.say("\n  %s by command line:\n    %s", tool, d.bold(d.command("approve", id, "--as", "you")))
		}
	}
	pending, review := d.command("pending"), d.command("review", "--as", "you")
	more := ""
	if earlier > 0 {
		more = fmt.Sprintf(" (%d more since an earlier run)", earlier)
	}
	d.say("\nTo deny a call, write reject instead of approve. Also worth a try:\n")
	d.say("    %s  lists what waits%s", d.bold(pad(pending, len(review))), more)
	d.say("    %s  goes through it one by one", d.bold(review))
	d.say("\nHave your own agents ask here, too. Claude Code, before it runs a tool:\n    %s",
		d.bold(d.command("hook", "claude-code", "install")))
	d.say("\n  the servers in the settings of Claude Desktop, Cursor or VS Code:\n    %s",
		d.bold(d.command("mcp", "wrap", "FILE")))
}

func pad(s string, width int) string { return fmt.Sprintf("%-*s", width, s) }

func expiry(v client.View) string {
	if v.Deadline == nil {
		return ""
	}
	return " at " + v.Deadline.Local().Format(time.TimeOnly)
}

// epilogue tells where to look after the agent has ended, well or not.
func (d *demo) epilogue(well bool) {
	if well {
		d.say("\nAll calls have ended, and the agent is done. See what they left:")
		d.say("\n  every step of every call\n    %s", d.bold(d.command("audit", "list")))
		for _, v := range d.requests {
			if v.Tool == "read_customer" {
				d.say("\n  the personal data: whole for the agent, in Pawl's record without ssn and email\n    %s",
					d.bold(d.command("show", v.ID)))
			}
		}
		d.say("\n  what the tools wrote themselves, a line for each time that one ran\n    %s",
			d.bold(quote(filepath.Join(d.data, "sample-tools.log"))))
	} else {
		d.say("\nThe agent ended early. Its calls go on without it.")
	}
	if !d.exit {
		d.say("\nPawl keeps running, so you can look around. Ctrl-C stops it.")
	}
}

// command is a command line of pawl that can be pasted where this program was started.
func (d *demo) command(args ...string) string {
	words := append([]string{here(d.pawlBin)}, args...)
	if cmp.Or(os.Getenv("PAWL_API"), client.DefaultURL) != d.API {
		words = append(words, "--api", d.API)
	}
	return strings.Join(words, " ")
}

// here writes a path as short as the shell takes it in this folder.
func here(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			if !strings.ContainsRune(rel, filepath.Separator) {
				rel = "." + string(filepath.Separator) + rel
			}
			return quote(rel)
		}
	}
	return quote(path)
}

var plain = regexp.MustCompile(`^[\w@%+=:,./\\-]+$`)

func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func (d *demo) bold(s string) string {
	out, ok := d.out.(*os.File)
	if !ok || !isatty.IsTerminal(out.Fd()) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}
