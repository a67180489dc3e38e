package review

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// typedAhead is how long input must be quiet before a question is asked.
const typedAhead = 30 * time.Millisecond

func (a *app) review() *cobra.Command {
	var f filter
	cmd := &cobra.Command{
		Use:   "review",
		Short: "Go through the calls that wait and decide them one by one",
		Long: `Go through the calls that wait for approval, the one with the nearest deadline
first, and decide each. Each is read again before a decision is sent, and the
decision is for exactly what was shown, by its digest. After them come the
calls whose outcome is unknown: say what became of each.`,
		Example: `  pawl review --as ana
  pawl review --as ana --risk critical`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Output == cli.OutputJSON {
				return cli.UsageError(errors.New("review is for people: it has no JSON form"))
			}
			q, err := f.query("")
			if err != nil {
				return err
			}
			c, err := a.Reviewer(cmd)
			if err != nil {
				return err
			}
			page, err := requests(cmd.Context(), c, q)
			if err != nil {
				return err
			}
			q.Status = string(approval.StatusOutcomeUnknown)
			unknown, err := requests(cmd.Context(), c, q)
			if err != nil {
				return err
			}
			if len(page.Items)+len(unknown.Items) == 0 {
				a.Note("nothing waits for approval")
				return nil
			}
			r := queueWalk{
				app: a, ctx: cmd.Context(), c: c, keys: readLines(cmd.Context(), a.Stdin), ends: map[string]int{},
			}
			err = r.reviewAll(page.Items, unknown.Items)
			a.Note("%s", r.summary(len(page.Items)+len(unknown.Items)))
			cli.NoteMore(a.App, page)
			cli.NoteMore(a.App, unknown)
			switch {
			case err == nil && r.ends[endNotCounted] > 0:
				return cli.ExitWith(cli.ExitDenied)
			case err == nil && r.ends[endNotJudged] > 0:
				return cli.ExitWith(cli.ExitPending)
			}
			return err
		},
	}
	f.flags(cmd.Flags())
	return cmd
}

type queueWalk struct {
	*app
	ctx  context.Context
	c    *client.Client
	keys *keyboard
	ends map[string]int // how many requests ended so
}

// How a request leaves the walk, as the summary says it.
const (
	endApproved   = "approved"
	endRejected   = "rejected"
	endSettled    = "settled"
	endSkipped    = "skipped"
	endNotPending = "no longer pending"
	endNotCounted = "did not count"
	endNotJudged  = "sent and not judged yet"
)

var (
	// errQuit ends the walk: the reviewer asked for it.
	errQuit = errors.New("quit")
	// errNoKeyboard ends the walk: the input is over, and with it all that could be answered.
	errNoKeyboard = errors.New("nobody can answer: standard input has ended, and there is no keyboard. " +
		"Run this in a terminal, or decide with 'pawl approve' and 'pawl reject'")
)

func (r *queueWalk) reviewAll(waiting, unknown []client.View) error {
	var failed error
	for i, listed := range slices.Concat(waiting, unknown) {
		place, look := fmt.Sprintf("%d of %d", i+1, len(waiting)+len(unknown)), r.reviewOne
		if i >= len(waiting) {
			look = r.settleOne
		}
		err := look(place, listed.ID)
		switch {
		case err == nil:
		case errors.Is(err, errQuit):
			return failed
		case errors.As(err, new(*client.UncertainError)), errors.Is(err, errNoKeyboard):
			return err
		case r.ctx.Err() != nil:
			return failed
		case errors.As(err, new(*client.UnreachableError)):
			return err
		default:
			r.Note("%v", err)
			failed = cli.ExitWith(cli.ExitError)
		}
	}
	return failed
}

// reviewOne shows a request until it is decided or left.
func (r *queueWalk) reviewOne(place, id string) error {
	v, err := cli.Find(r.ctx, r.c, id)
	if err != nil {
		return err
	}
	for {
		if v.Status != approval.StatusPending || v.Lost() {
			r.ends[endNotPending]++
			return r.Print(fmt.Sprintf("\nno longer pending: %s\n", cli.Summary(v)))
		}
		text := "\n" + r.Paint(cli.Bold, place) + "\n" + r.request(v) + r.yours(v) + r.warnings(v)
		if err := r.Page(text); err != nil {
			return err
		}
		r.dropTypedAhead()
		kind, notes, err := r.choose(v)
		if err != nil || kind == "" {
			return err
		}
		now, err := cli.Find(r.ctx, r.c, v.ID)
		if err != nil {
			return err
		}
		if now.Status == approval.StatusPending && now.Digest == v.Digest {
			return r.decide(kind, v, notes)
		}
		if now.Digest != v.Digest {
			r.Note("the request has changed since it was shown; nothing was sent; look again")
		}
		v = now
	}
}

// yours says what the reviewer may do with a request, and what approving would do, in the server's
// words.
func (r *queueWalk) yours(v client.View) string {
	if v.You == nil {
		return ""
	}
	return r.Paint(cli.Bold, approval.Display(cmp.Or(v.You.Why, v.You.IfApprove), 0)) + "\n"
}

func (r *queueWalk) decide(kind approval.DecisionKind, shown client.View, notes string) error {
	res, err := send(r.ctx, r.c, kind, shown, notes)
	if err != nil {
		return err
	}
	switch {
	case res.refused != nil:
		r.ends[endNotCounted]++
	case res.answer.Outcome == rest.AnswerNotJudged:
		r.ends[endNotJudged]++
	default:
		r.ends[cli.PastTense(string(kind))]++
	}
	return r.Say(res.line() + "\n")
}

// choose asks until there is a choice. An empty kind leaves the request as it is.
func (r *queueWalk) choose(v client.View) (kind approval.DecisionKind, notes string, err error) {
	for {
		answer, err := r.ask("[y] approve  [n] reject  [d] details  [s] skip  [q] quit > ")
		if err != nil {
			return "", "", err
		}
		switch strings.ToLower(answer) {
		case "y", "yes", "approve":
			if v.Requirement == nil || !v.Requirement.RequireReason {
				return approval.Approve, "", nil
			}
			notes, err := r.askWhy("why? (this call needs a reason) > ", true)
			return approval.Approve, notes, err
		case "n", "no", "reject":
			notes, err := r.askWhy("why? (empty: no notes) > ", false)
			return approval.Reject, notes, err
		case "d", "details":
			details := cmp.Or(r.timeline(v.Timeline), "no timeline\n")
			if err := r.Print(details); err != nil {
				return "", "", err
			}
		case "s", "skip":
			r.ends[endSkipped]++
			return "", "", nil
		case "q", "quit":
			return "", "", errQuit
		default:
			r.Note("answer y, n, d, s or q")
		}
	}
}

// askWhy asks for notes until they can be sent; needed: until there are some.
func (r *queueWalk) askWhy(prompt string, needed bool) (notes string, err error) {
	for {
		if notes, err = r.ask(prompt); err != nil {
			return "", err
		}
		switch err := approval.CheckNotes(notes); {
		case err != nil:
			r.Note("%v", err)
		case needed && notes == "":
			r.Note("write a reason, or leave with Ctrl-C")
		default:
			return notes, nil
		}
	}
}

func (r *queueWalk) ask(prompt string) (string, error) {
	if err := r.Print(prompt); err != nil {
		return "", err
	}
	line, err := r.keys.next(r.ctx)
	switch {
	case errors.Is(err, io.EOF):
		return "", errors.Join(errNoKeyboard, r.Print("\n"))
	case err != nil:
		return "", errors.Join(errQuit, r.Print("\n"))
	}
	return strings.TrimSpace(line), nil
}

// dropTypedAhead drops what a person typed before there was anything to answer: a key pressed twice
// must not decide the next request, unseen.
func (r *queueWalk) dropTypedAhead() {
	if !r.IsTerminal(r.Stdin) {
		return
	}
	for {
		quiet, cancel := context.WithTimeout(r.ctx, typedAhead)
		_, err := r.keys.next(quiet)
		cancel()
		if err != nil {
			return
		}
		r.Note("ignored what was typed before this request was shown")
	}
}

func (r *queueWalk) summary(listed int) string {
	var parts []string
	left := listed
	for _, end := range []string{
		endApproved, endRejected, endSettled, endSkipped, endNotPending, endNotCounted, endNotJudged,
	} {
		n := r.ends[end]
		left -= n
		if n > 0 || end == endApproved || end == endRejected || end == endSkipped {
			parts = append(parts, fmt.Sprintf("%d %s", n, end))
		}
	}
	if left > 0 {
		parts = append(parts, fmt.Sprintf("%d left", left))
	}
	return strings.Join(parts, ", ")
}

// keyboard reads lines only when one is wanted: in between, the keys are a pager's.
type keyboard struct {
	want   chan<- struct{}
	lines  <-chan string
	wanted bool
}

// next returns the next line. After an error of ctx the line that comes is the next one. io.EOF: the
// input has ended.
func (k *keyboard) next(ctx context.Context) (string, error) {
	if !k.wanted {
		k.wanted = true
		k.want <- struct{}{}
	}
	select {
	case line, ok := <-k.lines:
		if !ok {
			return "", io.EOF
		}
		k.wanted = false
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readLines reads lines until the input or ctx ends, so that waiting for a person can be
// interrupted.
func readLines(ctx context.Context, in io.Reader) *keyboard {
	want, lines := make(chan struct{}, 1), make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); ; {
			select {
			case <-want:
			case <-ctx.Done():
				return
			}
			if !s.Scan() {
				return
			}
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return &keyboard{want: want, lines: lines}
}
