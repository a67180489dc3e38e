package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
)

// View is a call as the API shows it: the state of one that goes on, or the outcome of one that has
// ended (Status.Ended). What only some answers hold is zero in the others: lists say nothing of
// Waiting, for example, and only Request fills the timeline.
type View struct {
	rest.Request
	Edited bool `json:"edited,omitempty"` // a reviewer changed the arguments

	// Raw is the JSON object as it was received.
	Raw json.RawMessage `json:"-"`
}

// Outcome is the view's ending. It is meaningful only when v.Status.Ended().
func (v View) Outcome() approval.Outcome {
	o := v.Request.Outcome()
	o.Edited = v.Edited
	return o
}

// Lost reports a call without an outcome that will never get one: its workflow was ended outside
// Pawl. Error says what is known, also whether the tool may have run.
func (v View) Lost() bool { return !v.Status.Ended() && v.Error != nil }

// Start starts a guarded call and returns it as soon as it has ended, at most after wait (zero: at
// once; the server caps it at 60 s). attached is true if the idempotency key stands for a call that
// was started before: what comes back is that one.
//
// A call without an idempotency key gets a random one, so that Start can send it again when an
// answer is lost, without starting it twice. Errors: what approval.Call.Validate refuses; *Error
// (approval.CodeConflict: the key was used for another call; rest.CodeWorkflowGone);
// *UnreachableError; *UncertainError, after which the same call under its Key can be started again
// safely.
func (c *Client) Start(
	ctx context.Context, call approval.Call, wait time.Duration,
) (v View, attached bool, err error) {
	call.Normalize()
	if err := call.Validate(); err != nil {
		return View{}, false, err
	}
	own := call.IdempotencyKey == ""
	if own {
		call.IdempotencyKey = rand.Text()
	}
	body := rest.StartRequest{Call: call, Wait: approval.Duration(max(wait, 0))}
	if call.Timeout > 0 {
		body.Timeout = &call.Timeout
	}
	err = c.resend(ctx, call.IdempotencyKey, func() error {
		res, err := c.send(ctx, request{method: http.MethodPost, path: "/api/calls", body: body, wait: wait})
		if err != nil {
			return err
		}
		attached = res.header.Get(rest.HeaderAttached) == "true" && !own
		v, err = decodeView(res.body)
		return err
	})
	return v, attached, err
}

// Get returns a call as it is now, by its whole ID: at once if it has ended, else after wait at
// most (the server caps it at 60 s). Errors: *Error (approval.CodeNotFound), *UnreachableError.
func (c *Client) Get(ctx context.Context, id string, wait time.Duration) (View, error) {
	if err := checkID("the call's ID", id); err != nil {
		return View{}, err
	}
	r := request{path: path("api", "calls", id), wait: max(wait, 0)}
	if whole := wait.Round(time.Millisecond); whole > 0 {
		r.query = url.Values{"wait": {whole.String()}}
	}
	return c.view(ctx, id, true, r)
}

// view reads one call, by its ID or, unless it is whole, what its ID begins with.
func (c *Client) view(ctx context.Context, id string, whole bool, r request) (View, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return View{}, err
	}
	v, err := decodeView(res.body)
	if err == nil && (!strings.HasPrefix(v.ID, id) || whole && v.ID != id) {
		return View{}, answerError("it is about another call than the one asked for")
	}
	return v, err
}

// Wait returns a call once it has ended, or is Lost. While the API does not answer (a restart, 502,
// 503, 504) it asks again until ctx ends. When ctx ends first it returns the call as last seen
// (zero if never) and an error that wraps ctx's, and the API's if that was silent then.
func (c *Client) Wait(ctx context.Context, id string) (View, error) {
	var last View
	var silence error
	pause := retry.Backoff{Most: maxPause}
	for {
		began := time.Now()
		v, err := c.Get(ctx, id, holdWithin(ctx))
		var delay time.Duration
		switch {
		case err == nil && (v.Status.Ended() || v.Lost()):
			return v, nil
		case err == nil:
			last, silence = v, nil
			pause.Reset()
			delay = max(0, minRound-time.Since(began)) // a server that does not hold requests is not hammered
		case ctx.Err() != nil:
			return last, errors.Join(ctx.Err(), silence)
		case !transient(err):
			return last, err
		default:
			wait, _ := refusedNow(err)
			silence, delay = err, max(wait, pause.Next())
		}
		if !retry.Sleep(ctx, delay) {
			return last, errors.Join(ctx.Err(), silence)
		}
	}
}

// holdWithin is how long the server is asked to hold an answer that has to come before ctx ends.
func holdWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return longPoll
	}
	left := time.Until(deadline)
	return max(0, min(longPoll, left-min(waitMargin, left/4)))
}

// Cancel withdraws a call, by its whole ID. done is true if the call has ended as cancelled; false
// means that the call was asked, durably, and will end so unless its tool is started first. Errors:
// *Error with Outcome approval.AnswerAlreadyResolved if the call had ended or was under way.
func (c *Client) Cancel(ctx context.Context, id, notes string) (done bool, err error) {
	if err := checkID("the call's ID", id); err != nil {
		return false, err
	}
	if err := approval.CheckNotes(notes); err != nil {
		return false, err
	}
	res, err := c.send(ctx, request{
		method: http.MethodPost, path: path("api", "calls", id, "cancel"),
		body: rest.CancelRequest{Notes: notes},
	})
	return res.status == http.StatusOK, err
}

// CancelSession withdraws the calls of a session that have not started, as far as they are the
// caller's own. It returns their IDs; each ends so unless its tool is started first.
func (c *Client) CancelSession(ctx context.Context, session, notes string) ([]string, error) {
	if err := cmp.Or(checkID("session", session), approval.CheckNotes(notes)); err != nil {
		return nil, err
	}
	res, err := c.send(ctx, request{
		method: http.MethodPost, path: path("api", "sessions", session, "cancel"),
		body: rest.CancelRequest{Notes: notes},
	})
	var out rest.SessionCancelled
	if err == nil {
		err = decodeInto(res.body, &out)
	}
	return out.IDs, err
}

// decodeView reads one call. Fields this version does not know are kept in Raw only; a call without
// an ID or with a status that is not known is refused.
func decodeView(doc []byte) (View, error) {
	var v View
	if err := decodeInto(doc, &v); err != nil {
		return View{}, err
	}
	if v.ID == "" {
		return View{}, answerError("it names no call")
	}
	if _, err := approval.ParseStatus(string(v.Status)); err != nil {
		return View{}, answerError(err.Error())
	}
	v.Raw = doc
	return v, nil
}

func answerError(what string) error {
	return fmt.Errorf("the API's answer can't be used: %s", what)
}
