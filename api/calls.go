package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// shown is a call as every answer shows it.
func (s *Server) shown(v approval.View) rest.View {
	return rest.View{View: v, URL: approval.RequestURL(s.o.PublicURL, v.ID), Revision: revision(v)}
}

// revision is the same for the store's view of a call and its workflow's.
func revision(v approval.View) string {
	if v.Tool == "" || v.Status == approval.StatusEvaluating {
		return ""
	}
	sum := fnv.New64a()
	requirement, _ := json.Marshal(v.Requirement) // it came from JSON
	fmt.Fprint(sum, v.Status, "\x00", string(requirement))
	if v.Settled != nil {
		fmt.Fprint(sum, "\x00settled")
	}
	return strconv.FormatUint(sum.Sum64(), 36)
}

func callPath(id string) string { return "/api/calls/" + url.PathEscape(id) }

// startCall starts a call, or attaches to the one that the idempotency key stands for. The caller's
// leaving ends the waiting, never the call.
func (s *Server) startCall(c *gin.Context) error {
	var in rest.StartRequest
	if err := decode(c, &in, false); err != nil {
		return err
	}
	call := in.Call
	if in.Timeout != nil {
		if call.Timeout = *in.Timeout; call.Timeout <= 0 {
			return invalid("timeout: nobody can answer in no time; give more than 0s, or leave it out")
		}
	}
	if err := idempotencyKey(c, &call); err != nil {
		return err
	}
	p := principal(c)
	if err := identify(&call, p); err != nil {
		return err
	}
	if err := s.checkCaller(in); err != nil {
		return err
	}
	if err := store.CheckAttempt(c.Request.Context(), s.o.Store.Call, call); err != nil {
		return fromStore(err)
	}
	begin, err := calls.Prepare(call)
	if err != nil {
		return err
	}
	begin.Via = via(c)
	id, wait := begin.ID, min(in.Wait.Std(), s.o.MaxWait)
	done, err := s.quotas.hold(p, wait)
	if err != nil {
		return err
	}
	defer done()
	if in.Attach {
		switch found, err := s.attachTo(c.Request.Context(), begin); {
		case err != nil:
			return err
		case found != "":
			c.Header(rest.HeaderAttached, "true")
			return s.replyCaller(c, found, wait, in.StartID)
		}
	}
	if p.Authenticated() {
		if err := s.quotas.addPending(c.Request.Context(), p.Subject, id); err != nil {
			if call.IdempotencyKey == "" {
				return err
			}
			// However many calls wait, one that was started before may be continued.
			switch known := s.calls.Same(c.Request.Context(), begin); {
			case known == nil && call.Execution == approval.ExecutionCaller:
				c.Header(rest.HeaderAttached, "true")
				return s.replyCaller(c, id, wait, in.StartID)
			case known == nil:
				return s.attach(c, id, wait)
			case errors.Is(known, calls.ErrConflict):
				return conflict(id)
			}
			return err
		}
	}

	// A caller that hangs up does not stop it.
	run, err := s.calls.Start(context.WithoutCancel(c.Request.Context()), begin)
	switch {
	case errors.Is(err, calls.ErrConflict):
		return conflict(id)
	case err != nil:
		// The call may have started all the same; its ID lets the caller look.
		p := problemOf(err)
		p.ID, p.Location = id, callPath(id)
		return p
	case call.Execution == approval.ExecutionCaller:
		if run == "" {
			c.Header(rest.HeaderAttached, "true")
		}
		return s.replyCaller(c, id, wait, in.StartID)
	case run == "":
		return s.attach(c, id, wait)
	}
	return s.started(c, id, run, call.Tool, wait)
}

// checkCaller checks what is for calls only whose callers run the tools.
func (s *Server) checkCaller(in rest.StartRequest) error {
	byCaller := in.Execution == approval.ExecutionCaller
	switch {
	case !byCaller && (in.Attach || in.StartID != ""):
		return invalid("attach and start_id are for calls with execution: caller")
	case in.StartID != "":
		if err := approval.CheckStartID(in.StartID); err != nil {
			return err
		}
	}
	if !byCaller {
		return nil
	}
	_, err := s.callers()
	return err
}

// idempotencyKey takes the key from the header too.
func idempotencyKey(c *gin.Context, call *approval.Call) error {
	const header = rest.HeaderIdempotencyKey
	switch keys := c.Request.Header.Values(header); {
	case len(keys) == 0:
		return nil
	case len(keys) > 1 || keys[0] == "":
		return invalid("the header %s must hold one key", header)
	case call.IdempotencyKey != "" && call.IdempotencyKey != keys[0]:
		return invalid("the header %s and the field idempotency_key hold different keys", header)
	default:
		call.IdempotencyKey = keys[0]
		return nil
	}
}

// started answers for a call that this request has started, whatever happens while it waits.
func (s *Server) started(c *gin.Context, id, run, tool string, wait time.Duration) error {
	ctx := c.Request.Context()
	c.Header("Location", callPath(id))
	begun := approval.View{ID: id, Tool: tool, Status: approval.StatusEvaluating}
	if wait <= 0 {
		return reply(c, http.StatusAccepted, s.shown(begun))
	}
	until := time.Now().Add(wait)
	waiting, cancel := waiting(ctx, wait)
	defer cancel()
	o, err := s.calls.Outcome(waiting, id, run)
	if refused := s.reauthenticate(c); refused != nil {
		p := problemOf(refused)
		p.ID, p.Location = id, callPath(id)
		return p
	}
	if err == nil {
		return s.replyStarted(c, *o, until)
	}
	if waiting.Err() == nil {
		s.o.Logger.WarnContext(ctx, "could not wait for a call that was started", "id", id, "error", err)
	}
	state, err := s.openState(ctx, id, false)
	if err != nil && ctx.Err() == nil {
		s.o.Logger.WarnContext(ctx, "could not show a call that was started", "id", id, "error", err)
	}
	if state == nil {
		state = &approval.State{View: begun}
	}
	return s.replyState(c, http.StatusAccepted, *state)
}

// attach continues the call that was started before under the same key.
func (s *Server) attach(c *gin.Context, id string, wait time.Duration) error {
	c.Header(rest.HeaderAttached, "true")
	err := s.replyExisting(c, id, time.Now().Add(wait))
	if p, ok := errors.AsType[*problem](err); ok && p.Code == rest.CodeWorkflowGone && p.ID == id {
		p.Detail += " To ask for it again, use another idempotency key."
	}
	return err
}

// replyExisting answers about a call that was started before: its outcome, or its state once the
// time is up.
func (s *Server) replyExisting(c *gin.Context, id string, until time.Time) error {
	ctx, wait := c.Request.Context(), max(0, time.Until(until))
	c.Header("Location", callPath(id))
	o, d, err := s.follow(ctx, id, wait)
	if err == nil && wait > 0 {
		err = s.reauthenticate(c)
	}
	if err != nil {
		return err
	}
	if o != nil {
		return s.replyStarted(c, *o, until)
	}
	if !calls.IsOpen(d.Status) {
		r, err := s.o.Store.Call(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fromStore(err)
		}
		if r.View.Status.Ended() {
			return s.replyStarted(c, r.View.Outcome(), until)
		}
		return workflowGone(id, d, r)
	}
	return s.replyOpen(c, http.StatusAccepted, d, false)
}

// replyStarted answers whoever starts a call with how it ended. One that was collapsed into an
// identical one ends as that does: the caller is the same, and would have asked for the same.
func (s *Server) replyStarted(c *gin.Context, o approval.Outcome, until time.Time) error {
	if o.DuplicateOf == "" || c.Writer.Header().Get(rest.HeaderDuplicate) != "" {
		return s.replyOutcome(c, o)
	}
	err := s.visible(c, o.DuplicateOf) // the workflow's result alone is no proof of whose call that is
	if err == nil {
		c.Header(rest.HeaderDuplicate, o.ID)
		err = s.replyExisting(c, o.DuplicateOf, until)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, calls.ErrUnknown) {
		c.Writer.Header().Del(rest.HeaderDuplicate)
		c.Header("Location", callPath(o.ID))
		return s.replyOutcome(c, o)
	}
	return err
}

func workflowGone(id string, d *calls.Description, r store.Record) *problem {
	p := newProblem(http.StatusConflict, rest.CodeWorkflowGone, noOutcome(d, r).Message)
	p.ID, p.CallStatus = id, r.View.Status
	return p
}

func conflict(id string) error {
	return newProblem(http.StatusConflict, approval.CodeConflict,
		"The idempotency key was used for another call. "+
			"Repeat that call exactly to continue it, or use another key.").about(id, "")
}

// replyOutcome answers with how a call ended. A call whose key turned out to be another call's
// never ran, and that other call's end is not its own.
func (s *Server) replyOutcome(c *gin.Context, o approval.Outcome) error {
	if o.Error != nil && o.Error.Code == approval.CodeConflict {
		return conflict(o.ID)
	}
	if err := s.delivers(c, &o); err != nil {
		return err
	}
	return reply(c, http.StatusOK, o)
}

// getCall shows a call from Temporal, and from the store when Temporal has forgotten it.
func (s *Server) getCall(c *gin.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	wait, err := s.waitParam(c)
	if err != nil {
		return err
	}
	if looksAhead(c.Request) {
		wait = 0 // as whoever waits for a call holds it
	}
	done, err := s.quotas.hold(principal(c), wait)
	if err != nil {
		return err
	}
	defer done()
	if err := s.visible(c, id); err != nil {
		return err
	}
	err = s.showCall(c, id, wait)
	if !errors.Is(err, calls.ErrUnknown) {
		return err
	}
	full, err := s.o.Store.Resolve(c.Request.Context(), id)
	if err != nil {
		return fromStore(err)
	}
	if full != id {
		if err = s.showCall(c, full, wait); !errors.Is(err, calls.ErrUnknown) {
			return err
		}
	}
	return s.showStored(c, full, nil)
}

// showCall shows a call by its whole ID, or fails with calls.ErrUnknown.
func (s *Server) showCall(c *gin.Context, id string, wait time.Duration) error {
	ctx := c.Request.Context()
	r, err := s.o.Store.Call(ctx, id)
	follow := s.follow
	switch {
	case err == nil && r.View.ErasedAt != nil: // Temporal may still know what is gone
		return reply(c, http.StatusOK, s.shown(r.View))
	// One that nobody has judged yet may be a caller's, too.
	case wait > 0 && (errors.Is(err, store.ErrNotFound) || err == nil && r.View.Execution == approval.ExecutionCaller):
		follow = s.followCaller
	}
	o, d, err := follow(ctx, id, wait)
	if err == nil && wait > 0 {
		err = s.reauthenticate(c)
	}
	switch {
	case err != nil:
		return err
	case o != nil:
		return s.replyOutcome(c, *o)
	case !calls.IsOpen(d.Status):
		return s.showStored(c, id, d)
	}
	return s.replyOpen(c, http.StatusOK, d, true)
}

// replyOpen answers with the state of a call whose workflow is open.
func (s *Server) replyOpen(c *gin.Context, status int, d *calls.Description, ask bool) error {
	ctx, id := c.Request.Context(), d.WorkflowExecution.ID
	state, err := s.openState(ctx, id, ask)
	switch {
	case err != nil:
		return err
	case state == nil:
		state = &approval.State{View: approval.View{
			ID: id, Status: approval.StatusEvaluating, CreatedAt: d.WorkflowStartTime,
		}}
	}
	return s.replyState(c, status, *state)
}

func (s *Server) replyState(c *gin.Context, status int, state approval.State) error {
	waits := s.waitingFor(c.Request.Context(), state)
	return reply(c, status, rest.OpenCall{View: s.shown(state.View), Waiting: waits})
}

// showStored shows a call whose workflow has no outcome to give (any more).
func (s *Server) showStored(c *gin.Context, id string, d *calls.Description) error {
	r, err := s.o.Store.Call(c.Request.Context(), id)
	switch {
	case errors.Is(err, store.ErrNotFound) && d != nil:
		return reply(c, http.StatusOK, s.shown(approval.View{
			ID: id, Status: approval.StatusEvaluating, CreatedAt: d.WorkflowStartTime,
			Error: noOutcome(d, store.Record{}),
		}))
	case err != nil:
		return fromStore(err)
	case r.View.Status.Ended():
		return s.replyOutcome(c, r.View.Outcome())
	}
	r.View.Error = noOutcome(d, r)
	return reply(c, http.StatusOK, s.shown(r.View))
}
