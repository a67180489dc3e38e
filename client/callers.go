package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
)

// Begun is what became of a call whose caller runs the tool: the tool may be started now, and then
// Args are what to run it with, or the call is as View says.
type Begun struct {
	View
	Started bool
	Args    json.RawMessage // not redacted
}

// StartAs starts a call whose tool this process runs itself, under call.IdempotencyKey, which is
// required, and starts the tool in the same request where that is allowed: startID is this
// process's own. It may be sent again under the same key. Errors: those of Start.
func (c *Client) StartAs(
	ctx context.Context, call approval.Call, startID string, wait time.Duration,
) (b Begun, err error) {
	call.Execution = approval.ExecutionCaller
	call.Normalize()
	if call.IdempotencyKey == "" {
		return b, approval.Errorf(approval.CodeInvalid, "the idempotency key is missing")
	}
	if err := call.Validate(); err != nil {
		return b, err
	}
	body := rest.StartRequest{Call: call, Wait: approval.Duration(max(wait, 0)), StartID: startID}
	if call.Timeout > 0 {
		body.Timeout = &call.Timeout
	}
	err = c.resend(ctx, call.IdempotencyKey, func() error {
		b, err = c.begun(ctx, request{method: http.MethodPost, path: "/api/calls", body: body, wait: wait})
		return err
	})
	return b, err
}

// Attach starts a call whose tool this process runs itself, or takes up the same call: that of its
// key, if it has one, or one of this caller's with equal tool, arguments, agent and session that is
// not started, or that ended unstarted and was told to nobody, and for which nobody waits. attached
// says that it did. It returns as soon as the tool may be started or the call has ended, at most
// after wait (the server caps it at 60 s); Permit goes on from there.
//
// Nothing is started here, so an answer that got lost costs nothing but a call for which nobody
// waits: a later Attach takes it up, 30 s after it began or a request last waited for it, or after
// Release, and at once by its key. Errors: those of Start.
func (c *Client) Attach(
	ctx context.Context, call approval.Call, wait time.Duration,
) (v View, attached bool, err error) {
	call.Execution = approval.ExecutionCaller
	call.Normalize()
	if err := call.Validate(); err != nil {
		return v, false, err
	}
	body := rest.StartRequest{Call: call, Wait: approval.Duration(max(wait, 0)), Attach: true}
	if call.Timeout > 0 {
		body.Timeout = &call.Timeout
	}
	err = c.resend(ctx, call.IdempotencyKey, func() error {
		res, err := c.send(ctx, request{method: http.MethodPost, path: "/api/calls", body: body, wait: wait})
		if err != nil {
			return err
		}
		attached = res.header.Get(rest.HeaderAttached) == "true"
		v, err = decodeView(res.body)
		return err
	})
	return v, attached, err
}

// Permit waits until it can start the tool of a call for startID, or until the call has ended or is
// Lost, and goes on from v, the call as it was last seen; only its ID is needed. While it waits the
// call is this caller's: nobody attaches to it. It asks again while the API does not answer.
//
// When ctx ends first it releases the call and returns it as it was last seen, with an error that
// wraps ctx's, and the API's if that was silent then; the tool may be started by then, so startID
// is still its. Errors beside that: *Error, with rest.CodeStarted where somebody else has started
// the tool.
func (c *Client) Permit(ctx context.Context, v View, startID string) (Begun, error) {
	b, err := c.permit(ctx, v, startID)
	if ctx.Err() != nil && err != nil && !errors.As(err, new(*UnreachableError)) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
		defer cancel()
		_ = c.Release(ctx, b.ID) // else its lease ends by itself
	}
	return b, err
}

// releaseWithin is how long a process that ends tries to release what it has waited for.
const releaseWithin = 2 * time.Second

// Release says that this process waits no longer for a call: the next Attach that asks the same
// takes it up. Errors: *Error, *UnreachableError, *UncertainError.
func (c *Client) Release(ctx context.Context, id string) error {
	if err := checkID("the call's ID", id); err != nil {
		return err
	}
	_, err := c.send(ctx, request{method: http.MethodPost, path: path("api", "calls", id, "release")})
	return err
}

func (c *Client) permit(ctx context.Context, v View, startID string) (Begun, error) {
	b := Begun{View: v}
	var silence error
	pause := retry.Backoff{Most: maxPause}
	for !b.Status.Ended() && !b.Lost() {
		began := time.Now()
		// One that executes may be started for this startID already: then the answer is the same again.
		if b.Status == approval.StatusApproved || b.Status == approval.StatusExecuting {
			started, err := c.StartTool(ctx, b.ID, startID)
			if err == nil && !started.Started {
				return b, answerError("it does not say that the tool may run")
			}
			if err == nil { // the answer says nothing of decisions
				b.Started, b.Status, b.Args = true, started.Status, started.Args
				b.Digest = started.Digest
				return b, nil
			}
			if !goesOn(err) && !transient(err) && !errors.As(err, new(*UncertainError)) && ctx.Err() == nil {
				return b, err
			}
			silence = err
		}
		hold := holdWithin(ctx)
		if b.Status == "" || silence != nil { // it may be started for this startID: then nothing changes
			hold = 0
		}
		now, err := c.Get(ctx, b.ID, hold)
		news := err == nil && now.Status != b.Status
		delay := max(0, minRound-time.Since(began)) // a server that does not hold requests is not hammered
		switch {
		case ctx.Err() != nil:
			return b, errors.Join(ctx.Err(), silence)
		case err == nil:
			b.View, silence = now, nil
			pause.Reset()
		case !transient(err):
			return b, err
		default:
			wait, _ := refusedNow(err)
			silence, delay = err, max(wait, pause.Next())
		}
		if !news && !retry.Sleep(ctx, delay) {
			return b, errors.Join(ctx.Err(), silence)
		}
	}
	return b, nil
}

// goesOn reports the refusal of a start after which the call's state says more.
func goesOn(err error) bool {
	var e *Error
	return errors.As(err, &e) &&
		slices.Contains([]string{rest.CodeNotApproved, rest.CodeEnded, approval.CodeExpired}, e.Code)
}

// StartTool starts the tool of an approved call, once for each call: repeats with the same startID
// get the same answer. Errors: *Error (rest.CodeNotApproved, CodeStarted, CodeEnded,
// approval.CodeExpired), *UnreachableError, *UncertainError.
func (c *Client) StartTool(ctx context.Context, id, startID string) (b Begun, err error) {
	if err := checkID("the call's ID", id); err != nil {
		return b, err
	}
	r := request{
		method: http.MethodPost, path: path("api", "calls", id, "start"),
		body: rest.StartToolRequest{StartID: startID},
	}
	err = c.resend(ctx, "", func() error {
		b, err = c.begun(ctx, r)
		return err
	})
	return b, err
}

func (c *Client) begun(ctx context.Context, r request) (b Begun, err error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return b, err
	}
	if b.View, err = decodeView(res.body); err != nil {
		return b, err
	}
	var started struct {
		ReportBy *time.Time `json:"report_by"`
	}
	err = decodeInto(res.body, &started)
	if b.Started = started.ReportBy != nil; b.Started {
		b.Args = b.View.Args
	}
	return b, err
}

// Report says how the tool ended that this process started, and returns how the call has ended. The
// same report again gets the same answer; it is sent until the workflow has read it, or ctx ends.
// Errors: *Error (rest.CodeStarted, CodeNotStarted, CodeReportedLate), *UnreachableError,
// *UncertainError.
func (c *Client) Report(ctx context.Context, id string, report approval.ReportSignal) (v View, err error) {
	if err := checkID("the call's ID", id); err != nil {
		return v, err
	}
	if err := report.Validate(); err != nil {
		return v, err
	}
	r := request{method: http.MethodPost, path: path("api", "calls", id, "outcome"), body: report}
	for {
		err = c.resend(ctx, "", func() error {
			v, err = c.view(ctx, id, true, r)
			return err
		})
		if err != nil || v.Status.Ended() || ctx.Err() != nil {
			return v, err
		}
	}
}

// WaitChanged returns those of the calls that have ended or have another revision than they are
// given with, as soon as there is one, at most after wait; none if the time was up.
func (c *Client) WaitChanged(
	ctx context.Context, wait time.Duration, known ...rest.WaitCall,
) ([]rest.WaitedCall, error) {
	out, err := ask[rest.WaitAnswer](ctx, c, request{
		method: http.MethodPost, path: "/api/calls/wait", wait: wait,
		body: rest.WaitRequest{Calls: known, Wait: approval.Duration(wait)},
	})
	return out.Calls, err
}

// PutOwnTools replaces the list of tools of a source that an agent runs itself; the source of the
// agent's own program is "". Errors: *Error (rest.CodeToolTaken: workers run tools of these names).
func (c *Client) PutOwnTools(ctx context.Context, agent, source string, tools ...rest.OwnTool) error {
	if err := checkID("agent", agent); err != nil {
		return err
	}
	if tools == nil {
		tools = []rest.OwnTool{}
	}
	return c.resend(ctx, "", func() error {
		_, err := ask[rest.OwnTools](ctx, c, request{
			method: http.MethodPut, path: path("api", "agents", agent, "tools"),
			body: rest.OwnTools{Source: source, Tools: tools},
		})
		return err
	})
}
