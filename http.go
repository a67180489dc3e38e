package pawl

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/tool"
)

// HTTPOptions configure an HTTPAgent. Agent and Dir are needed.
type HTTPOptions struct {
	// Agent names the agent, to reviewers and in the policy.
	Agent string
	// Team and Session go into every call that has none of its own. Default: none.
	Team, Session string
	// URL is the API's address, and Token what it knows this agent by. Default: client.DefaultURL of
	// package client, and none.
	URL, Token string
	// HTTP sends the requests. Default: a client of its own. Redirects are never followed.
	HTTP *http.Client
	// Dir is where the agent keeps what it has started, so that a process that comes back neither runs a
	// tool again nor loses its result. Only this agent may write there. It is made if it is missing.
	Dir string
	// ReportWithin is how long a run may take before the call counts as lost; at most 24 hours. Default:
	// approval.DefaultReportWithin.
	ReportWithin time.Duration
	// OnWait is called once for each call that waits for people. Default: a line on standard error.
	OnWait func(Waiting)
}

// HTTPAgent guards functions by Pawl's HTTP API alone: the functions run in this process, once Pawl
// has let them. That is cooperation: nothing keeps a process from running its own functions
// unguarded. Where that matters, have workers run the tools. It is safe for concurrent use.
type HTTPAgent struct {
	o      HTTPOptions
	client *client.Client

	mu        sync.Mutex
	tools     []*tool.Tool
	published int // how many of them Pawl knows
}

// ConnectHTTP makes an agent on an HTTP API. It fails if nobody answers there, or if what answers
// offers no calls that their callers run.
func ConnectHTTP(ctx context.Context, o HTTPOptions) (*HTTPAgent, error) {
	invalid := func(format string, a ...any) (*HTTPAgent, error) {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl: HTTPOptions."+format, a...)
	}
	switch {
	case o.Agent == "":
		return invalid("Agent is missing: name the agent")
	case o.Dir == "":
		return invalid("Dir is missing: name a directory of this agent's own")
	case o.ReportWithin < 0 || o.ReportWithin > approval.MaxReportWithin.Std():
		return invalid("ReportWithin %v is not in (0, %v]", o.ReportWithin, approval.MaxReportWithin)
	}
	c, err := client.New(client.Options{URL: o.URL, Token: o.Token, UserAgent: "pawl-go", HTTP: o.HTTP})
	if err != nil {
		return nil, fmt.Errorf("pawl: %w", err)
	}
	v, err := c.Version(ctx)
	if err != nil {
		return nil, fmt.Errorf("pawl: no answer from Pawl's API: %w", err)
	}
	if !slices.Contains(v.Features, "caller") {
		return nil, fmt.Errorf("pawl: the API at %s offers no calls that their callers run: upgrade it", c.URL())
	}
	if err := osfile.PrivateDir(o.Dir); err != nil {
		return nil, fmt.Errorf("pawl: HTTPOptions.Dir: %w", err)
	}
	if o.OnWait == nil {
		o.OnWait = func(w Waiting) { _, _ = io.WriteString(os.Stderr, w.notice()) }
	}
	return &HTTPAgent{o: o, client: c}, nil
}

// GuardHTTP is Guard for an agent that runs its functions itself: the function that it returns has the
// same signature and the same errors. With About.Key, a process that comes back after a crash asks
// the same and gets the one result, as far as it is known: a run that was cut short ends as
// *OutcomeUnknownError, unless o says that fn is idempotent. Results beyond 64 KiB are not kept for it.
// While another process of this agent has the call, it is followed, and taken up if that process dies.
func GuardHTTP[In, Out any](
	a *HTTPAgent, name string, fn func(context.Context, In) (Out, error), o Tool,
) (func(context.Context, In) (Out, error), error) {
	if a == nil {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl.GuardHTTP needs an agent: see ConnectHTTP")
	}
	return guarded(name, fn, o, &agent.Causes{}, a.offer, a.call)
}

func (a *HTTPAgent) offer(t *tool.Tool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.tools, func(other *tool.Tool) bool { return other.Name() == t.Name() }) {
		return approval.Errorf(approval.CodeInvalid, "tool %s is guarded already", t.Name())
	}
	a.tools = append(a.tools, t)
	return nil
}

// publish tells Pawl what the agent runs itself.
func (a *HTTPAgent) publish(ctx context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.published == len(a.tools) {
		return nil
	}
	var all []rest.OwnTool
	for _, t := range a.tools {
		all = append(all, rest.OwnTool{Name: t.Name(), Description: t.Description(), Schema: t.Schema()})
	}
	if err := a.client.PutOwnTools(ctx, a.o.Agent, "", all...); err != nil {
		return &PublishError{Tool: name, Reason: err.Error(), cause: err}
	}
	a.published = len(all)
	return nil
}

// call takes a call from the question to its end. Each line may be the last one of the process: what
// was decided by then is in the journal or at Pawl.
func (a *HTTPAgent) call(ctx context.Context, t *tool.Tool, call approval.Call) (approval.Outcome, error) {
	if err := a.publish(ctx, t.Name()); err != nil {
		return approval.Outcome{}, err
	}
	call.Agent, call.ReportWithin = a.o.Agent, approval.Duration(a.o.ReportWithin)
	call.Team, call.Session = cmp.Or(call.Team, a.o.Team), cmp.Or(call.Session, a.o.Session)
	lasting := call.IdempotencyKey != ""
	call.IdempotencyKey = cmp.Or(call.IdempotencyKey, rand.Text())
	asked, err := approval.Call{Tool: call.Tool, Args: call.Args}.Fingerprint()
	if err != nil {
		return approval.Outcome{}, err
	}
	j, o, err := a.takeUp(ctx, t, call)
	if j == nil {
		return o, err
	}
	if err = j.take(asked); err == nil {
		o, err = a.run(ctx, t, call, j)
	}
	done := (err == nil || !errors.Is(err, ErrPending)) && !j.unsent
	if j.close(done, lasting); err != nil {
		return approval.Outcome{}, err
	}
	return o, nil
}

// run takes up where the journal stops.
func (a *HTTPAgent) run(
	ctx context.Context, t *tool.Tool, call approval.Call, j *journal,
) (approval.Outcome, error) {
	switch {
	case j.Report != nil:
		return a.report(ctx, t, j)
	case j.Running && !t.Idempotent():
		return a.finish(ctx, t, j, approval.ReportSignal{
			Status: approval.ReportUnknown, Error: "the process ended while the tool ran",
		})
	}
	begun, err := a.begin(ctx, t, call, j)
	if err != nil || !begun.Started {
		return begun.Outcome(), err
	}
	j.Call, j.Digest, j.Running = begun.ID, begun.Digest, true
	if err := j.write(); err != nil {
		return approval.Outcome{}, fmt.Errorf("pawl: %s was not run: %w", t.Name(), err)
	}
	// The run is not the caller's to cut short: it was started, once and for all.
	result, err := t.Run(context.WithoutCancel(ctx), tool.Invocation{
		CallID: begun.ID, Digest: begun.Digest, Tool: t.Name(), Args: begun.Args,
	})
	return a.finish(ctx, t, j, said(result, err))
}

// said is what there is to report of a run.
func said(result json.RawMessage, err error) approval.ReportSignal {
	switch {
	case err == nil:
		return approval.ReportSignal{Status: approval.ReportExecuted, Result: result}
	case tool.IsUnknown(err):
		return approval.ReportSignal{Status: approval.ReportUnknown, Error: approval.Display(err.Error(), 1000)}
	}
	return approval.ReportSignal{Status: approval.ReportFailed, Error: approval.Display(err.Error(), 1000)}
}

// begin asks until the tool is started or the call has ended.
func (a *HTTPAgent) begin(
	ctx context.Context, t *tool.Tool, call approval.Call, j *journal,
) (b client.Begun, err error) {
	pause := retry.Backoff{Most: 5 * time.Second}
	for b.ID == "" {
		if b, err = a.client.StartAs(ctx, call, j.Start, first); err != nil {
			var refused *client.Error
			if known, _ := waits(err); known && errors.As(err, &refused) && refused.ID != "" {
				b.ID = refused.ID // it is there, and another one runs it, or it has just ended: what follows says
				continue
			}
			if final := startError(t, err); final != nil {
				return b, final
			}
			if !pause.Wait(ctx) {
				return b, pending(ctx, t, "", err)
			}
		}
	}
	told := false
	for {
		if !told && b.Status == approval.StatusPending {
			told = true
			a.o.OnWait(Waiting{ID: b.ID, Tool: t.Name(), Status: b.Status, Deadline: b.Deadline})
		}
		switch {
		case b.Started, b.Status.Ended():
			return b, nil
		case b.Lost():
			return b, &GoneError{ID: b.ID, How: b.Error.Message}
		case b.Status == approval.StatusApproved:
			started, err := a.client.StartTool(ctx, b.ID, j.Start)
			switch known, final := waits(err); {
			case err == nil:
				return started, nil
			case final:
				return b, fmt.Errorf("call %s: %w", approval.Display(b.ID, 80), err)
			case !known && !pause.Wait(ctx):
				return b, pending(ctx, t, b.ID, err)
			case !known:
				continue
			}
		}
		changed, err := a.client.WaitChanged(ctx, held, rest.WaitCall{ID: b.ID, Revision: b.Revision})
		switch {
		case ctx.Err() != nil, err != nil && !pause.Wait(ctx):
			return b, pending(ctx, t, b.ID, err)
		case err != nil, len(changed) == 0:
			continue
		}
		pause.Reset()
		switch news := changed[0]; {
		case news.Outcome != nil:
			return ended(*news.Outcome), nil
		case news.Call != nil:
			b.Request.View = *news.Call
		default:
			return b, fmt.Errorf("%w: %s", ErrUnknownCall, approval.Display(b.ID, 80))
		}
	}
}

// pending says that ctx ended before the call did. Without an ID it may not have been started.
func pending(ctx context.Context, t *tool.Tool, id string, trouble error) error {
	return &PendingError{
		ID: id, Tool: t.Name(), Uncertain: id == "", stopped: agent.Stopped(ctx), trouble: trouble,
	}
}

// waits tells what a refused start means: the call goes on otherwise, or the refusal is final; else it
// is worth another try.
func waits(err error) (known, final bool) {
	var e *client.Error
	if !errors.As(err, &e) || e.HTTPStatus >= 500 || e.HTTPStatus == http.StatusTooManyRequests {
		return false, false
	}
	known = slices.Contains(
		[]string{rest.CodeNotApproved, rest.CodeEnded, rest.CodeStarted, approval.CodeExpired}, e.Code)
	return known, !known
}

// held is how long the API is asked to hold an answer, and first how long the first one, so that people
// soon hear that they are waited for.
const (
	held  = 25 * time.Second
	first = time.Second
)

func ended(o approval.Outcome) (b client.Begun) {
	v := approval.View{ID: o.ID, Tool: o.Tool, Digest: o.Digest, Execution: o.Execution}
	v.End(o, time.Time{})
	b.Request.View.View = v
	return b
}

// startError is why a call was not started, or nil if another try may help.
func startError(t *tool.Tool, err error) error {
	var e *client.Error
	switch {
	case errors.As(err, &e) && e.Code == approval.CodeConflict:
		return callError(e.ID, calls.ErrConflict)
	case errors.As(err, new(*client.UncertainError)), errors.As(err, new(*client.UnreachableError)):
		return nil
	case errors.As(err, &e) && (e.HTTPStatus >= 500 || e.HTTPStatus == http.StatusTooManyRequests):
		return nil
	case e == nil && approval.CodeOf(err) == approval.CodeInvalid:
		return err
	}
	return fmt.Errorf("pawl: %s was not started: %w", t.Name(), err)
}

// finish keeps a report, so that a process that comes back can send it, and sends it.
func (a *HTTPAgent) finish(
	ctx context.Context, t *tool.Tool, j *journal, report approval.ReportSignal,
) (approval.Outcome, error) {
	report.StartID = j.Start
	j.Report = &report
	kept := j.write() // without it, only this process can report; that may still work
	o, err := a.report(ctx, t, j)
	if err != nil {
		err = errors.Join(err, kept)
	}
	return o, err
}

// patience is how long a report is sent at least, though its caller does not wait any more.
const patience = 15 * time.Second

// report sends the report until Pawl has it. If ctx ends first, the tool has run, and the journal
// holds the report.
func (a *HTTPAgent) report(ctx context.Context, t *tool.Tool, j *journal) (approval.Outcome, error) {
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	sending := ctx
	if ctx.Err() != nil {
		sending = until
	}
	pause := retry.Backoff{Most: 5 * time.Second}
	for {
		v, err := a.client.Report(sending, j.Call, *j.Report)
		var e *client.Error
		switch {
		case err == nil && v.Status.Ended():
			return v.Outcome(), nil
		case errors.As(err, &e) && e.HTTPStatus < 500 && e.HTTPStatus != http.StatusTooManyRequests:
			// Too late for Pawl, or it takes nothing from this caller. What the tool did is what its caller
			// needs to know; a report that may be taken later is kept.
			j.unsent = e.HTTPStatus != http.StatusConflict
			o, _ := j.Report.Outcome()
			o.ID, o.Tool, o.Digest = j.Call, t.Name(), j.Digest
			return o, nil
		case sending.Err() != nil || !pause.Wait(sending):
			return approval.Outcome{}, pending(ctx, t, j.Call, err)
		}
	}
}

// look is how often a process that follows another looks whether that one has let the call go.
const look = 5 * time.Second

// takeUp opens the journal of the call's key. It is nil if the call ended in another process of this
// agent: while that one has the journal, the call is followed.
func (a *HTTPAgent) takeUp(
	ctx context.Context, t *tool.Tool, call approval.Call,
) (*journal, approval.Outcome, error) {
	call.Execution = approval.ExecutionCaller
	none, id := approval.Outcome{}, ""
	for {
		j, err := openJournal(a.o.Dir, call.IdempotencyKey)
		if err != nil {
			return nil, none, fmt.Errorf("pawl: %s was not started: %w", t.Name(), err)
		}
		if j != nil {
			return j, none, nil
		}
		if id == "" {
			v, _, err := a.client.Start(ctx, call, 0)
			if err != nil {
				return nil, none, cmp.Or(startError(t, err), pending(ctx, t, "", err))
			}
			id = v.ID
		}
		until, cancel := context.WithTimeout(ctx, look)
		v, err := a.client.Wait(until, id)
		timeIsUp := until.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil && v.Lost():
			return nil, none, &GoneError{ID: id, How: v.Error.Message}
		case err == nil:
			return nil, v.Outcome(), nil
		case !timeIsUp:
			return nil, none, pending(ctx, t, id, err)
		}
	}
}
