package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/approval"
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
// required, and starts the tool in the same request where that is allowed: startID is this process's
// own. It may be sent again under the same key. Errors: those of Start.
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

// PutOwnTools replaces the list of tools that an agent runs itself. Errors: *Error
// (rest.CodeToolTaken: workers run tools of these names).
func (c *Client) PutOwnTools(ctx context.Context, agent string, tools ...rest.OwnTool) error {
	if err := checkID("agent", agent); err != nil {
		return err
	}
	if tools == nil {
		tools = []rest.OwnTool{}
	}
	return c.resend(ctx, "", func() error {
		_, err := ask[rest.OwnTools](ctx, c, request{
			method: http.MethodPut, path: path("api", "agents", agent, "tools"), body: rest.OwnTools{Tools: tools},
		})
		return err
	})
}
