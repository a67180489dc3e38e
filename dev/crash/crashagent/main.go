// Command crashagent is the agent that the crash tests kill. It asks for one call after the other,
// over HTTP or by the SDK, each under a key of its own, and waits for its end. Some of the tools
// are functions of its own; with --callers all are, and it runs them itself, over HTTP alone. What it
// began and what it was told stands in a journal, so that after its own death it goes on with the
// calls that it had open: under the same keys.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// line is one line of the journal: a call was begun (no status), or has ended, or something was
// said that can't be true.
type line struct {
	N       uint64          `json:"n"`
	Key     string          `json:"key"`
	Review  string          `json:"review"` // what reviewers are to do with it
	ID      string          `json:"id,omitempty"`
	Status  approval.Status `json:"status,omitempty"`
	Problem string          `json:"problem,omitempty"`
}

// marker is in the arguments of all calls: the tests look for it where nobody should be able to
// read it. It stands there several times, so that one of them lies in one page of a file.
const marker = "planted-in-the-agent-9d3c;planted-in-the-agent-9d3c;planted-in-the-agent-9d3c;"

type agent struct {
	name    string // over HTTP and in the SDK
	seed    uint64
	apis    []*client.Client
	own     *own     // nil: it has callers
	callers *callers // nil: it has own

	mu      sync.Mutex
	journal *os.File
	next    uint64
	open    []uint64        // begun in an earlier life, and not known to have ended
	ended   map[uint64]line // in any life
}

func main() {
	a := &agent{ended: map[uint64]line{}}
	journal := flag.String("journal", "", "`file` to keep in mind what was begun")
	runs := flag.String("runs", "", "`file` that tells the runs of the agent's own functions")
	calls := flag.Int("calls", 8, "calls in flight")
	flag.Uint64Var(&a.seed, "seed", 0, "what the calls are derived from")
	flag.StringVar(&a.name, "name", "", "the agent's `name`")
	callers := flag.String("callers", "", "run all tools as their calls' caller, with the SDK's journals in this `directory`")
	finish := flag.Bool("finish", false, "begin nothing new")
	var urls []string
	flag.Func("api", "`address` of an API; repeat it for more", func(url string) error {
		urls = append(urls, url)
		return nil
	})
	token := flag.String("token-file", "", "`file` with the token that the APIs know the agent by")
	flag.Parse()
	key, err := a.reach(urls, *token)
	log, failed := openRuns(*runs)
	if err = errors.Join(err, failed, a.remember(*journal)); err != nil {
		fmt.Fprintln(os.Stderr, "crashagent:", err)
		os.Exit(1)
	}
	if *callers != "" {
		a.callers = newCallers(pawl.HTTPOptions{
			Agent: a.name, URL: urls[rand.IntN(len(urls))], Token: key, Dir: *callers,
		}, log)
	} else {
		a.own = newOwn(a.name, log)
		go func() {
			if err := a.own.serve(context.Background()); err != nil {
				a.problem(line{Key: "serving"}, err.Error())
			}
		}()
	}
	// Told to stop, it begins nothing more, and stays until what it began has ended.
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var wg sync.WaitGroup
	for range *calls {
		wg.Go(func() {
			for {
				n, known, ok := a.take(*finish || stopping.Err() != nil)
				if !ok {
					return
				}
				a.call(n, known)
			}
		})
	}
	wg.Wait()
	if a.own != nil {
		a.own.connect().Close()
	}
}

// reach makes a client of each API, with the token in a file, if one is named.
func (a *agent) reach(urls []string, tokenFile string) (token string, err error) {
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			return "", err
		}
		token = string(text)
	}
	for _, url := range urls {
		c, err := client.New(client.Options{URL: url, Token: token, Timeout: 10 * time.Second})
		if err != nil {
			return "", err
		}
		a.apis = append(a.apis, c)
	}
	return token, nil
}

// remember reads the journal of the lives before. The last line may be torn.
func (a *agent) remember(path string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	begun := map[uint64]bool{}
	for doc := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(doc, &l) != nil {
			continue
		}
		begun[l.N] = true
		a.next = max(a.next, l.N+1)
		if l.Status != "" {
			a.ended[l.N] = l
		}
	}
	for n := range a.next {
		if _, ended := a.ended[n]; begun[n] && !ended {
			a.open = append(a.open, n)
		}
	}
	if a.journal, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	_, err = a.journal.WriteString("\n") // after what may be torn
	return err
}

// take says what is next: a call that was open when this life began; now and then one that has
// ended, which must be told as before; or a new one.
func (a *agent) take(stopping bool) (n uint64, known, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(a.open) > 0:
		n, a.open = a.open[0], a.open[1:]
		return n, true, true
	case stopping:
		return 0, false, false
	case len(a.ended) > 0 && rand.IntN(5) == 0:
		for n := range a.ended {
			return n, true, true
		}
	}
	n = a.next
	a.next++
	return n, false, true
}

// plan is the n-th call: the same in every life.
func (a *agent) plan(n uint64) (approval.Call, string) {
	r := rand.New(rand.NewPCG(a.seed, n))
	tools := []string{"allowed", "allowed_slow", "guarded", "slow", "slow", "own", "own", "own", "own_allowed"}
	if a.callers != nil {
		tools = []string{"job", "job", "job_allowed"}
		if dies(n) != "" {
			tools = []string{"job_allowed"}
		}
	}
	reviews := []string{"approve", "approve", "approve", "approve", "reject", "cancel", "ignore"}
	key := fmt.Sprintf("%s-%d-%d", a.name, a.seed, n)
	call := approval.Call{
		Tool: tools[r.IntN(len(tools))], Agent: a.name, IdempotencyKey: key,
		Args:    json.RawMessage(fmt.Sprintf(`{"key":%q,"marker":%q}`, key, marker)),
		Timeout: approval.Duration(time.Hour),
	}
	review := reviews[r.IntN(len(reviews))]
	switch {
	case strings.Contains(call.Tool, "allowed"):
		review = "allow"
	case review == "ignore":
		call.Timeout = approval.Duration(2 * time.Second)
	}
	call.Labels = map[string]string{"review": review}
	return call, review
}

// call asks for a call and stays until it has ended. One that is known was begun before.
func (a *agent) call(n uint64, known bool) {
	call, review := a.plan(n)
	l := line{N: n, Key: call.IdempotencyKey, Review: review}
	if !known {
		a.write(l)
	}
	var err error
	switch {
	case a.callers != nil:
		l.Status, err = a.callers.call(call, n)
	case isOwn(call.Tool):
		l.ID, l.Status, err = a.own.call(call, known)
	default:
		if !a.overHTTP(&l, call) {
			return
		}
	}
	if err != nil {
		a.problem(l, err.Error())
		return
	}
	a.mu.Lock()
	before, ended := a.ended[n]
	a.ended[n] = l
	a.mu.Unlock()
	if !ended {
		a.write(l)
	} else if before.ID != l.ID || before.Status != l.Status {
		a.problem(l, fmt.Sprintf("asked again, it is %s; before it was %s, %s", l.Status, before.ID, before.Status))
	}
}

// overHTTP rides over the absence of every part, on any API.
func (a *agent) overHTTP(l *line, call approval.Call) bool {
	var v client.View
	for {
		var err error
		if v, _, err = a.any().Start(context.Background(), call, time.Second); err == nil {
			break
		}
		a.tolerate(*l, "starting", err)
	}
	for l.ID = v.ID; !v.Status.Ended(); {
		if v.Lost() {
			a.problem(*l, "the call is lost: "+v.Error.Message)
			return false
		}
		last, err := a.any().Get(context.Background(), l.ID, 5*time.Second)
		if err != nil {
			a.tolerate(*l, "waiting", err)
			continue
		}
		v = last
	}
	l.Status = v.Status
	return true
}

func (a *agent) any() *client.Client { return a.apis[rand.IntN(len(a.apis))] }

// tolerate takes errors that a part's absence explains, and notes others.
func (a *agent) tolerate(l line, doing string, err error) {
	if !absent(err) {
		a.problem(l, doing+": "+err.Error())
	}
	time.Sleep(time.Duration(50+rand.IntN(200)) * time.Millisecond)
}

// absent reports whether a part's absence explains an error.
func absent(err error) bool {
	var answered *client.Error
	return errors.As(err, new(*client.UnreachableError)) || errors.As(err, new(*client.UncertainError)) ||
		errors.As(err, &answered) && answered.HTTPStatus >= 502
}

func (a *agent) problem(l line, what string) {
	l.Problem, l.Status = what, ""
	a.write(l)
}

// write puts a line on record, for good, before anything follows from it.
func (a *agent) write(l line) {
	doc, err := json.Marshal(l)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if _, err = a.journal.Write(append(doc, '\n')); err == nil {
			err = a.journal.Sync()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashagent:", err)
		os.Exit(1)
	}
}
