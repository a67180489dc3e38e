package pawl

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/present"
)

// Approver decides in the agent's own process: see Options.Approver. It is asked about one call at
// a time, and about each call once.
type Approver interface {
	// Review is shown a call as reviewers see it: redacted, with the digest that its decision will be
	// bound to. All texts in it are untrusted. ctx ends when the call does. A Review that fails or
	// panics decides nothing: the call goes on waiting for other people, or for its deadline.
	Review(ctx context.Context, v approval.View) (Decision, error)
}

// Decision is what an Approver says. The zero value decides nothing.
type Decision struct {
	Kind  approval.DecisionKind // approval.Approve or approval.Reject
	Notes string                // why; the agent gets to read them
}

// ApproverFunc is a function as an Approver.
type ApproverFunc func(ctx context.Context, v approval.View) (Decision, error)

// Review calls f.
func (f ApproverFunc) Review(ctx context.Context, v approval.View) (Decision, error) {
	return f(ctx, v)
}

// reviewEvery is how often the API is asked what waits, while anything does.
const reviewEvery = 300 * time.Millisecond

// reviews brings the agent's waiting calls before its approver.
type reviews struct {
	agent    *Agent
	approver Approver
	api      *client.Client
	conns    *http.Transport // of api
	asked    map[string]bool // by call ID; owned by run

	once sync.Once
}

func newReviews(a *Agent) (*reviews, error) {
	conns := &http.Transport{} // no proxy: the address is this machine's
	o := client.Options{
		URL: cmp.Or(a.o.API, client.DefaultURL), Reviewer: cmp.Or(a.o.Reviewer, a.o.Agent+" (in process)"),
		UserAgent: "pawl-sdk", HTTP: &http.Client{Transport: conns},
	}
	api, err := client.New(o)
	if err != nil {
		return nil, fmt.Errorf("pawl: Options.API: %w", err)
	}
	if !api.Local() {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl: Options.API is not a loopback address: "+
			"an approver inside the agent's process is for local work; "+
			"otherwise people decide with pawl approve or the API")
	}
	return &reviews{agent: a, approver: a.o.Approver, api: api, conns: conns, asked: map[string]bool{}}, nil
}

// begin starts to look for calls that wait, if that has not happened yet.
func (r *reviews) begin() {
	r.once.Do(func() {
		if r.agent.open() == nil {
			go r.run() // ends with the agent, if the approver returns when its context ends
		}
	})
}

func (r *reviews) run() {
	defer r.conns.CloseIdleConnections()
	ctx, log, warned := r.agent.runtime.Context(), r.agent.o.Logger, false
	for retry.Sleep(ctx, reviewEvery) {
		mine := r.agent.runtime.Waits()
		for id := range r.asked {
			if mine[id] == nil {
				delete(r.asked, id)
			}
		}
		if len(mine) <= len(r.asked) {
			continue
		}
		page, err := r.api.Requests(ctx, client.RequestQuery{Agent: r.agent.o.Agent})
		if err != nil {
			if !warned && ctx.Err() == nil {
				log.WarnContext(ctx, "the approver is not asked, since the API does not answer; trying again",
					"error", err)
			}
			warned = true
			continue
		}
		warned = false
		for i := len(page.Items) - 1; i >= 0; i-- { // oldest first
			if v := page.Items[i].View; mine[v.ID] != nil && !r.asked[v.ID] && v.Status == approval.StatusPending {
				r.review(v.View)
			}
		}
	}
}

// review asks about one call and sends the decision, which is bound to the digest that was shown.
func (r *reviews) review(v approval.View) {
	call := r.agent.runtime.Waits()[v.ID]
	if call == nil { // the call has ended while others were reviewed
		return
	}
	ctx, cancel := context.WithCancel(r.agent.runtime.Context())
	defer cancel()
	go func() {
		select {
		case <-call.Done:
			cancel()
		case <-ctx.Done():
		}
	}()
	r.asked[v.ID] = true
	d, err := r.call(ctx, v)
	if err == nil && d.Kind != "" {
		_, err = r.api.Decide(ctx, v.ID, client.Decision{Kind: d.Kind, Digest: v.Digest, Notes: d.Notes})
	}
	var away *client.UnreachableError
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.As(err, &away):
		delete(r.asked, v.ID)
		fallthrough
	default:
		r.agent.o.Logger.WarnContext(ctx, "the approver did not decide a call", "id", v.ID, "error", err)
	}
}

func (r *reviews) call(ctx context.Context, v approval.View) (d Decision, err error) {
	defer func() {
		if p := recover(); p != nil { // the value may hold what was shown
			d, err = Decision{}, fmt.Errorf("the approver panicked with a %T", p)
		}
	}()
	return r.approver.Review(ctx, v)
}

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
	var b present.Sheet
	fmt.Fprintf(&b, "\n%s asks to run %s",
		approval.Display(cmp.Or(v.Agent, "an agent"), 80), approval.Display(v.Tool, 200))
	if v.Risk != "" {
		fmt.Fprintf(&b, " (risk: %s)", approval.Display(string(v.Risk), 20))
	}
	b.WriteString("\n")
	shown := present.Of(v, present.Tool{})
	b.Line("would", shown.Summary)
	for _, part := range shown.Blocks {
		b.Block(part)
	}
	if shown.Found.Any() {
		b.Warn(present.Deceit(shown.Found))
	}
	if v.Deadline != nil {
		fmt.Fprintf(&b, "  until: %s\n", v.Deadline.Local().Format(time.DateTime))
	}
	fmt.Fprintf(&b, "  call:  %s\nLet it run? Type y or n: ", approval.Display(v.ID, 80))
	return b.String()
}
