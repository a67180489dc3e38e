package pawl

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/pawlhq/pawl/approval"
)

// typedAhead is how soon after a question an answer can't be one to it.
const typedAhead = 300 * time.Millisecond

// Terminal returns an Approver that shows each call on standard error and asks y/n on standard
// input. Where nobody can be asked, because standard input is no terminal or has ended, it rejects the
// call at once and says so. From its first question on, standard input is its own: what is typed while
// no question is open is dropped, so that it answers no later one.
func Terminal() Approver {
	return &terminal{
		in: os.Stdin, out: os.Stderr,
		isTerminal: func() bool {
			return isatty.IsTerminal(os.Stdin.Fd()) || isatty.IsCygwinTerminal(os.Stdin.Fd())
		},
	}
}

type terminal struct {
	in         io.Reader
	out        io.Writer
	isTerminal func() bool

	read  sync.Once
	lines chan string // closed when the input ends
}

// Review asks about one call. It is asked about one at a time.
func (t *terminal) Review(ctx context.Context, v approval.View) (Decision, error) {
	if !t.isTerminal() {
		return t.nobody(v, "standard input is not a terminal"), nil
	}
	t.read.Do(func() {
		t.lines = make(chan string)
		go t.scan()
	})
	t.drop()
	fmt.Fprint(t.out, question(v))
	asked := time.Now()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(t.out, "\nThe call has ended meanwhile; there is nothing to decide any more.\n")
			return Decision{}, ctx.Err()
		case line, ok := <-t.lines:
			if !ok {
				return t.nobody(v, "standard input has ended"), nil
			}
			answer := strings.ToLower(strings.TrimSpace(line))
			switch {
			case time.Since(asked) < typedAhead:
				answer = ""
			case answer == "y", answer == "yes":
				return Decision{Kind: approval.Approve}, nil
			case answer == "n", answer == "no":
				return Decision{Kind: approval.Reject}, nil
			}
			fmt.Fprint(t.out, "Let it run? Type y or n: ")
		}
	}
}

// nobody denies a call about which nobody can be asked: a call that waits in silence helps no one.
func (t *terminal) nobody(v approval.View, why string) Decision {
	fmt.Fprintf(t.out, "pawl: %s, so nobody can be asked here and call %s is rejected; "+
		"without an Approver it would wait for other reviewers\n", why, approval.Display(v.ID, 80))
	return Decision{Kind: approval.Reject, Notes: why + ", so the agent's process could ask nobody"}
}

// drop takes what was typed before the question.
func (t *terminal) drop() {
	for {
		select {
		case _, ok := <-t.lines:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// scan reads lines as long as the process lives: a read can't be taken back.
func (t *terminal) scan() {
	defer close(t.lines)
	for s := bufio.NewScanner(t.in); s.Scan(); {
		t.lines <- s.Text()
	}
}

// question shows everything that the decision will be about. Each line of untrusted text begins
// with a bar, so that none passes for a line of ours.
func question(v approval.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s asks to run %s",
		approval.Display(cmp.Or(v.Agent, "an agent"), 80), approval.Display(v.Tool, 200))
	if v.Risk != "" {
		fmt.Fprintf(&b, " (risk: %s)", approval.Display(string(v.Risk), 20))
	}
	b.WriteString("\n")
	block := func(name, text string) {
		if text != "" {
			text = strings.ReplaceAll(approval.DisplayLines(text, 0), "\n", "\n    | ")
			fmt.Fprintf(&b, "  %s:\n    | %s\n", name, text)
		}
	}
	var args bytes.Buffer
	if json.Indent(&args, v.Args, "", "  ") != nil {
		args.Reset()
		args.Write(v.Args)
	}
	block("title", v.Title)
	block("reason", v.Reason)
	block("description", v.Description)
	block("arguments", args.String())
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		labels = append(labels, name+": "+v.Labels[name])
	}
	block("labels", strings.Join(labels, "\n"))
	block("session", v.Session)
	if v.Deadline != nil {
		fmt.Fprintf(&b, "  until: %s\n", v.Deadline.Local().Format(time.DateTime))
	}
	fmt.Fprintf(&b, "  call:  %s\nLet it run? Type y or n: ", approval.Display(v.ID, 80))
	return b.String()
}
